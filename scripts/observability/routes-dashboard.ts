import { METRICS } from "../../src/metrics/names.ts";
import { CHOSEN, WINDOW } from "./dashboard.ts";
import type { DashboardSpec } from "./dashboard.ts";
import { is, promql, selector } from "./promql.ts";

const q = promql(CHOSEN);

/** Who told the table what, what came of it, and who lies. */
export const ROUTES: DashboardSpec = {
  uid: "lychgate-routes",
  title: "Lychgate / Routes",
  description:
    "What the route table holds, who told it, what it refused, and how far it is behind the API server.",
  subject: `__name__="${METRICS.buildInfo.name}"`,
  rows: [
    {
      title: "The table",
      panels: [
        {
          title: "Routes running",
          description: "Routes that are served, summed over the routers.",
          kind: "stat",
          unit: "short",
          width: 4,
          base: "blue",
          queries: [
            { expr: `sum(${q.series(METRICS.routes, { state: is("running") })})`, legend: "running" },
          ],
        },
        {
          title: "Resurrections stopped",
          description:
            "Updates of dead sandboxes that the table refused, in the time shown. Each would have sent requests to a stranger's pod.",
          kind: "stat",
          unit: "short",
          width: 5,
          base: "blue",
          queries: [{ expr: q.increase(METRICS.resurrectionAttempts, "$__range"), legend: "stopped" }],
        },
        {
          title: "Evicted tombstones",
          description:
            "Deletions that were forgotten early, in the time shown: each opens a window for a late push. Must be 0.",
          kind: "stat",
          unit: "short",
          width: 5,
          thresholds: [[1, "red"]],
          queries: [
            {
              expr: q.increase(METRICS.tableFactsDropped, "$__range", undefined, {
                kind: is("tombstone"),
                reason: is("evicted"),
              }),
              legend: "evicted",
            },
          ],
        },
        {
          title: "Unconfirmed pushes",
          description:
            "Pushed facts, in the time shown, that a read of the API server refuted, that the informer contradicted, or that it did not confirm in time: somebody lies, or pushes to the wrong cluster.",
          kind: "stat",
          unit: "short",
          width: 5,
          thresholds: [[1, "red"]],
          queries: [
            {
              expr: q.increase(METRICS.tableFactsDropped, "$__range", undefined, {
                reason: is("contradicted", "refuted", "expired"),
              }),
              legend: "unconfirmed",
            },
          ],
        },
        {
          title: "In conflict",
          description: "Routing IDs and pod IPs that several living sandboxes claim.",
          kind: "stat",
          unit: "short",
          width: 5,
          thresholds: [[1, "orange"]],
          queries: [{ expr: `sum(${q.series(METRICS.routeConflicts)})`, legend: "conflicts" }],
        },
        {
          title: "Routes by state",
          description: "Routes in effect. Only running ones are served.",
          kind: "time",
          unit: "short",
          width: 12,
          stacked: true,
          queries: [{ expr: `sum by (state) (${q.series(METRICS.routes)})`, legend: "{{state}}" }],
        },
        {
          title: "Churn by source and outcome",
          description:
            "What the table was told, by the informer, by peers and by time passing, and what came of it.",
          kind: "time",
          unit: "ops",
          width: 12,
          stacked: true,
          queries: [
            {
              expr: q.seenRate(METRICS.routeMutations, WINDOW, "source, outcome"),
              legend: "{{source}} {{outcome}}",
            },
          ],
        },
      ],
    },
    {
      title: "What would have come back",
      panels: [
        {
          title: "Resurrection attempts by source and guard",
          description:
            "Refused updates of sandboxes without a living route: who wrote them, and the rule that stopped them. Late pushes make a few; many come from a peer that is behind or replays.",
          kind: "time",
          unit: "ops",
          width: 12,
          queries: [
            {
              expr: q.seenRate(METRICS.resurrectionAttempts, WINDOW, "source, guard"),
              legend: "{{source}} stopped by {{guard}}",
            },
          ],
        },
        {
          title: "Incarnations ended",
          description:
            "Stretches of a sandbox's life behind one address that ended, and connections in use that were reset for it.",
          kind: "time",
          unit: "ops",
          width: 12,
          queries: [
            { expr: q.seenRate(METRICS.incarnationsEnded, WINDOW, "reason"), legend: "{{reason}}" },
            { expr: q.seenRate(METRICS.upstreamResets, WINDOW, "reason"), legend: "reset: {{reason}}" },
          ],
        },
        {
          title: "Hints and tombstones",
          description: "Pushed updates and deletions that the informer has not confirmed yet.",
          kind: "time",
          unit: "short",
          width: 6,
          queries: [
            { expr: `sum by (kind) (${q.series(METRICS.tableFacts)})`, legend: "{{kind}}s" },
            { expr: `sum(${q.series(METRICS.tableDoubts)})`, legend: "in doubt" },
          ],
        },
        {
          title: "Hints and tombstones, share of the limit",
          description:
            "Of those that a router keeps at most. At 1 the oldest are evicted: of tombstones each opens a window for a late push.",
          kind: "time",
          unit: "percentunit",
          width: 6,
          max: 1,
          thresholds: [[0.8, "red"]],
          queries: [
            {
              expr: `${q.series(METRICS.tableFacts)} / ${q.series(METRICS.tableFactsLimit)}`,
              legend: "{{kind}}s {{instance}}",
            },
          ],
        },
        {
          title: "Pushed facts given up",
          description:
            "refuted, contradicted, expired: a read or the informer says otherwise, or nothing in time: somebody lies. evicted: there were too many; of tombstones it opens a window for late pushes.",
          kind: "time",
          unit: "short",
          width: 6,
          thresholds: [[1, "red"]],
          queries: [
            {
              expr: q.seenIncrease(METRICS.tableFactsDropped, WINDOW, "kind, reason"),
              legend: "{{kind}} {{reason}}",
            },
          ],
        },
        {
          title: "Conflicts",
          description:
            "Routing IDs and pod IPs that several living sandboxes claim; none of them is served, or the latest only. refused: routes with an IP that no pod can have.",
          kind: "time",
          unit: "short",
          width: 6,
          thresholds: [[1, "orange"]],
          queries: [
            { expr: `sum by (kind) (${q.series(METRICS.routeConflicts)})`, legend: "{{kind}}" },
            {
              expr: q.seenIncrease(METRICS.podIpsRefused, WINDOW, "source"),
              legend: "refused, from the {{source}}",
            },
          ],
        },
      ],
    },
    {
      title: "Snapshots",
      panels: [
        {
          title: "Age of the snapshot served",
          description:
            "Routers that started while the API server was away serve what was known before. 0 when none does.",
          kind: "time",
          unit: "s",
          width: 8,
          queries: [{ expr: q.series(METRICS.snapshotServedAge), legend: "{{instance}}" }],
        },
        {
          title: "Since the last snapshot was saved",
          description: "Grows while nothing changes too. Failures are below.",
          kind: "time",
          unit: "s",
          width: 8,
          queries: [{ expr: `time() - (${q.series(METRICS.snapshotSaved)} > 0)`, legend: "{{instance}}" }],
        },
        {
          title: "Snapshots saved and loaded",
          description:
            "By what came of it. `loaded`, `damaged` and so on: at a start without the API server.",
          kind: "time",
          unit: "ops",
          width: 8,
          queries: [
            { expr: q.rate(METRICS.snapshotSaves, WINDOW, "result"), legend: "save {{result}}" },
            { expr: q.rate(METRICS.snapshotLoads, WINDOW, "result"), legend: "load {{result}}" },
          ],
        },
        {
          title: "Time to save a snapshot",
          description: "99th percentile, over all routers.",
          kind: "time",
          unit: "s",
          width: 8,
          queries: [{ expr: q.quantile(0.99, METRICS.snapshotSaveDuration, WINDOW), legend: "p99" }],
        },
        {
          title: "Size of the snapshot",
          description: "About 500 bytes for each sandbox.",
          kind: "time",
          unit: "bytes",
          width: 8,
          queries: [{ expr: q.series(METRICS.snapshotBytes), legend: "{{instance}}" }],
        },
      ],
    },
    {
      title: "Waking",
      panels: [
        {
          title: "Sandboxes woken for requests",
          description:
            "By how it ended (docs/wake.md). timeout: it did not run within wake.timeoutMs; unavailable: the API server did not answer.",
          kind: "time",
          unit: "ops",
          width: 8,
          queries: [{ expr: q.seenRate(METRICS.wakes, WINDOW, "end"), legend: "{{end}}" }],
        },
        {
          title: "Requests that wait for it",
          description: "And how that ended. left: the client did not wait for so long.",
          kind: "time",
          unit: "short",
          width: 8,
          queries: [
            { expr: `sum(${q.series(METRICS.wakeRequestsHeld)})`, legend: "held now" },
            {
              expr: q.seenRate(METRICS.wakeRequestsHeldTotal, WINDOW, "end"),
              legend: "{{end}} per second",
            },
          ],
        },
        {
          title: "How long sandboxes take",
          description: "From the first request until the sandbox runs.",
          kind: "time",
          unit: "s",
          width: 8,
          queries: [0.5, 0.99].map((quantile) => ({
            expr: q.quantile(quantile, METRICS.wakeDuration, WINDOW),
            legend: `p${quantile * 100}`,
          })),
        },
        {
          title: "Attempts at the API server",
          description:
            "forbidden: the right to patch Sandboxes is missing (deploy/components/wake). Of several routers one gets patched, the others awake.",
          kind: "time",
          unit: "ops",
          width: 8,
          queries: [{ expr: q.seenRate(METRICS.wakeAttempts, WINDOW, "result"), legend: "{{result}}" }],
        },
      ],
    },
    {
      title: "Peers",
      panels: [
        {
          title: "Pushes received",
          description:
            "Pushes on /refresh by what became of them. malformed, too_large, invalid, forbidden, unproven, not_listed: not from a peer of ours. rate_limited, overloaded: too many.",
          kind: "time",
          unit: "ops",
          width: 8,
          queries: [{ expr: q.seenRate(METRICS.peerPushes, WINDOW, "result"), legend: "{{result}}" }],
        },
        {
          title: "Reads that settle pushes",
          description:
            "Reads of the API server for pushes, by what came of them. failed: it did not answer. Many of `open`: pushes of one sandbox come faster than reads.",
          kind: "time",
          unit: "ops",
          width: 8,
          queries: [
            { expr: q.seenRate(METRICS.pushReads, WINDOW, "of, result"), legend: "{{of}} {{result}}" },
          ],
        },
        {
          title: "Requests held",
          description:
            "Requests that wait until a push of their sandbox is settled, and how it ended. timeout: the API server did not answer in time.",
          kind: "time",
          unit: "short",
          width: 8,
          queries: [
            { expr: `sum(${q.series(METRICS.requestsHeld)})`, legend: "held now" },
            { expr: q.seenRate(METRICS.requestsHeldTotal, WINDOW, "end"), legend: "{{end}} per second" },
          ],
        },
        {
          title: "How long such a read takes",
          description: "Requests for the sandbox wait as long, `peers.settleMs` at the most.",
          kind: "time",
          unit: "s",
          width: 8,
          queries: [0.5, 0.99].map((quantile) => ({
            expr: q.quantile(quantile, METRICS.pushReadDuration, WINDOW),
            legend: `p${quantile * 100}`,
          })),
        },
        {
          title: "Push-to-apply lag",
          description:
            "From a push's arrival until a read of the API server or the informer confirmed the same version.",
          kind: "time",
          unit: "s",
          width: 8,
          queries: [0.5, 0.9, 0.99].map((quantile) => ({
            expr: q.quantile(quantile, METRICS.pushToApply, WINDOW),
            legend: `p${quantile * 100}`,
          })),
        },
        {
          title: "Push-to-apply lag, heat map",
          description: "The same, each push counted.",
          kind: "heatmap",
          unit: "s",
          width: 8,
          queries: [{ expr: q.buckets(METRICS.pushToApply, WINDOW), legend: "{{le}}" }],
        },
        {
          title: "Comparisons with other replicas",
          description:
            "By what came of them. `incomparable`: they watch otherwise; `failed`: no answer, or no good one.",
          kind: "time",
          unit: "ops",
          width: 8,
          queries: [{ expr: q.rate(METRICS.antiEntropyLooks, WINDOW, "result"), legend: "{{result}}" }],
        },
        {
          title: "Drift between replicas",
          description:
            "Objects that stand different at other replicas. For long above 0: pushes get lost, or a watch is behind.",
          kind: "time",
          unit: "short",
          width: 8,
          queries: [
            { expr: q.series(METRICS.antiEntropyDrift), legend: "{{instance}}" },
            { expr: q.rate(METRICS.antiEntropyDifferences, WINDOW, "kind"), legend: "{{kind}} per second" },
          ],
        },
        {
          title: "Repairs by outcome",
          description: "Facts of other replicas that the table was given.",
          kind: "time",
          unit: "ops",
          width: 8,
          queries: [{ expr: q.rate(METRICS.antiEntropyRepairs, WINDOW, "outcome"), legend: "{{outcome}}" }],
        },
        {
          title: "Members",
          description:
            "Other members of the memberlist by status, and how badly the routers keep up as members (0 is well): then it is they who are slow, not the others.",
          kind: "time",
          unit: "short",
          width: 8,
          queries: [
            { expr: `sum by (status) (${q.series(METRICS.members)})`, legend: "{{status}}" },
            { expr: `max(${q.series(METRICS.memberHealthScore)})`, legend: "health score, worst" },
          ],
        },
        {
          title: "Probes of members",
          description:
            "Many `late` or `stream`: packets are lost, or UDP is filtered. `failed`: a member died, or can't be reached.",
          kind: "time",
          unit: "ops",
          width: 8,
          queries: [{ expr: q.seenRate(METRICS.memberProbes, WINDOW, "result"), legend: "{{result}}" }],
        },
        {
          title: "Refused from members",
          description:
            "Packets and streams of the memberlist that were not taken, by why: see docs/memberlist.md.",
          kind: "time",
          unit: "ops",
          width: 8,
          queries: [{ expr: q.seenRate(METRICS.memberRefusals, WINDOW, "reason"), legend: "{{reason}}" }],
        },
        {
          title: "Proofs of peers",
          description:
            "Signatures and certificates that came with pushes, by what was wrong with them, and those that were required and missing. wrong, replayed: another key, or an attack. See docs/peers.md#proof.",
          kind: "time",
          unit: "ops",
          width: 24,
          queries: [
            {
              expr: q.seenRate(METRICS.peerProofs, WINDOW, "method, result"),
              legend: "{{method}} {{result}}",
            },
          ],
        },
      ],
    },
    {
      title: "The informer",
      panels: [
        {
          title: "Watermark age",
          description:
            "Time since the API server was last heard: how old what the table knows may be. Bookmarks come about once a minute.",
          kind: "time",
          unit: "s",
          width: 8,
          thresholds: [
            [90, "orange"],
            [180, "red"],
          ],
          queries: [{ expr: q.series(METRICS.watermarkAge), legend: "{{instance}} {{scope}}" }],
        },
        {
          title: "Watch connected",
          description: "1 while the watch is open and answered.",
          kind: "time",
          unit: "short",
          width: 4,
          max: 1,
          queries: [
            { expr: `min by (scope) (${q.series(METRICS.watchConnected)})`, legend: "all routers {{scope}}" },
          ],
        },
        {
          title: "Events of objects",
          description: "Events that watches delivered, and how long ago the last one came.",
          kind: "time",
          unit: "ops",
          width: 6,
          queries: [{ expr: q.rate(METRICS.watchEvents, WINDOW), legend: "events" }],
        },
        {
          title: "Since the last event",
          description: "A quiet cluster has none: compare with the watermark's age.",
          kind: "time",
          unit: "s",
          width: 6,
          queries: [
            { expr: `time() - ${q.series(METRICS.watchLastEvent)}`, legend: "{{instance}} {{scope}}" },
          ],
        },
        {
          title: "Lists read again",
          description:
            "Whole lists after the first, by why. expired: the API server had forgotten the version.",
          kind: "time",
          unit: "short",
          width: 8,
          queries: [
            { expr: q.seenIncrease(METRICS.watchRelists, WINDOW, "reason"), legend: "{{reason}}" },
            { expr: q.increase(METRICS.watchLists, WINDOW), legend: "lists taken" },
          ],
        },
        {
          title: "Time to read a list",
          description: "Mean of all whole lists since the router started.",
          kind: "time",
          unit: "s",
          width: 8,
          queries: [
            {
              expr: `${selector(METRICS.watchListDuration, {}, "_sum", CHOSEN)} / ${selector(METRICS.watchListDuration, {}, "_count", CHOSEN)}`,
              legend: "{{instance}}",
            },
          ],
        },
        {
          title: "Faults of the watch",
          description:
            "Watches that ended and why (closed is ordinary), objects left aside, and clusters restored from a backup.",
          kind: "time",
          unit: "short",
          width: 8,
          queries: [
            { expr: q.seenIncrease(METRICS.watchRestarts, WINDOW, "reason"), legend: "{{reason}}" },
            {
              expr: q.seenIncrease(METRICS.watchInvalidObjects, WINDOW, "reason"),
              legend: "object: {{reason}}",
            },
            { expr: q.increase(METRICS.clusterRestores, WINDOW), legend: "cluster restored" },
            {
              expr: q.increase(METRICS.watchVersionChecks, WINDOW, undefined, { result: is("behind") }),
              legend: "version behind",
            },
          ],
        },
      ],
    },
  ],
};
