import { METRICS } from "../../src/metrics/names.ts";
import type { AlertMaker } from "./alert.ts";
import { seriesName } from "./case-series.ts";
import { HOUR, MINUTE } from "./pace.ts";
import { is, matching, promql, ROUTER } from "./promql.ts";

const q = promql();
const ONE = { namespace: "agents", instance: "gate-0:9902" };
const dropped = (kind: string, reason: string) => seriesName(METRICS.tableFactsDropped, { kind, reason });
const mutated = (outcome: string) => seriesName(METRICS.routeMutations, { source: "peer", outcome });

/** The route table, the informer and peers. */
export const routeAlerts: AlertMaker = (pace) => {
  const ten = pace.duration(10 * MINUTE);
  return [
    {
      name: "LychgateMisrouteRisk",
      severity: "critical",
      conditions: [
        {
          value: q.increase(METRICS.tableFactsDropped, ten, ROUTER, {
            kind: is("tombstone"),
            reason: is("evicted"),
          }),
          is: "> 0",
        },
      ],
      forSeconds: 0,
      summary: "{{ $labels.instance }} forgets deletions early: a late push could revive a dead route",
      description:
        "More deletions are remembered than tombstones.max allows, and the oldest are evicted before their time.",
      panel: { dashboard: "lychgate-routes", title: "Pushed facts given up" },
      cases: [
        {
          title: "one tombstone is evicted",
          series: { [dropped("tombstone", "evicted")]: "0x5 1x20" },
          atMinutes: 8,
          firing: [ONE],
        },
        {
          title: "tombstones end as they should, and hints are evicted",
          series: {
            [dropped("tombstone", "evicted")]: "0x20",
            [dropped("tombstone", "expired")]: "0+5x20",
            [dropped("hint", "evicted")]: "0+5x20",
          },
          atMinutes: 8,
          firing: [],
        },
      ],
    },
    {
      name: "LychgateTombstonesNearLimit",
      severity: "warning",
      conditions: [
        {
          value: `${q.series(METRICS.tableFacts, { kind: is("tombstone") })} / ${q.series(METRICS.tableFactsLimit, { kind: is("tombstone") })}`,
          is: "> 0.8",
        },
      ],
      forSeconds: 5 * MINUTE,
      summary: "{{ $labels.instance }} remembers nearly as many deletions as it may",
      description:
        "Above tombstones.max the oldest are evicted, and a late push could then revive a dead route.",
      panel: { dashboard: "lychgate-routes", title: "Hints and tombstones, share of the limit" },
      cases: [
        {
          title: "90 of 100",
          series: {
            [seriesName(METRICS.tableFacts, { kind: "tombstone" })]: "90x10",
            [seriesName(METRICS.tableFactsLimit, { kind: "tombstone" })]: "100x10",
          },
          atMinutes: 8,
          firing: [{ ...ONE, kind: "tombstone" }],
        },
        {
          title: "many hints are no risk",
          series: {
            [seriesName(METRICS.tableFacts, { kind: "hint" })]: "90x10",
            [seriesName(METRICS.tableFactsLimit, { kind: "hint" })]: "100x10",
            [seriesName(METRICS.tableFacts, { kind: "tombstone" })]: "10x10",
            [seriesName(METRICS.tableFactsLimit, { kind: "tombstone" })]: "100x10",
          },
          atMinutes: 8,
          firing: [],
        },
      ],
    },
    {
      name: "LychgateLyingPeer",
      severity: "critical",
      conditions: [
        {
          value: q.increase(METRICS.tableFactsDropped, ten, ROUTER, {
            reason: is("contradicted", "refuted", "expired"),
          }),
          is: "> 0",
        },
        { value: `count by (${ROUTER}) (${q.series(METRICS.watchConnected)})`, is: "> 0" },
      ],
      on: ROUTER,
      forSeconds: 0,
      summary: "A peer of {{ $labels.instance }} pushed what the API server does not say",
      description:
        "A read of the API server refuted what was pushed, the informer contradicted it, or did not confirm it in time. With `peers.trust: serve` it was in effect until then.",
      panel: { dashboard: "lychgate-routes", title: "Pushed facts given up" },
      cases: [
        {
          title: "a hint that nobody confirms",
          series: {
            [dropped("hint", "expired")]: "0x5 1x20",
            [seriesName(METRICS.watchConnected, { scope: "" })]: "1x30",
          },
          atMinutes: 8,
          firing: [ONE],
        },
        {
          title: "a push that a read refutes",
          series: {
            [dropped("tombstone", "refuted")]: "0x5 1x20",
            [seriesName(METRICS.watchConnected, { scope: "" })]: "1x30",
          },
          atMinutes: 8,
          firing: [ONE],
        },
        {
          title: "without an informer tombstones expire by right",
          series: { [dropped("tombstone", "expired")]: "0+3x20" },
          atMinutes: 8,
          firing: [],
        },
        {
          title: "a cluster that was restored gives up hints",
          series: {
            [dropped("hint", "restored")]: "0x5 4x20",
            [dropped("hint", "expired")]: "0x25",
            [seriesName(METRICS.watchConnected, { scope: "" })]: "1x30",
          },
          atMinutes: 8,
          firing: [],
        },
      ],
    },
    {
      name: "LychgateUnprovenPeer",
      severity: "warning",
      conditions: [
        {
          value: q.increase(METRICS.peerPushes, ten, ROUTER, { result: is("unproven", "not_listed") }),
          is: "> 0",
        },
      ],
      forSeconds: 0,
      summary: "{{ $labels.instance }} refuses pushes whose sender did not prove that it may push",
      description:
        "They got 401 or 403 (`peers.require`) and changed nothing. A peer with a wrong or old key, a clock that is off or a certificate that is not listed; or somebody who should not reach the port.",
      panel: { dashboard: "lychgate-routes", title: "Proofs of peers" },
      cases: [
        {
          title: "a push without a proof",
          series: {
            [seriesName(METRICS.peerPushes, { result: "unproven" })]: "0x5 1x20",
            [seriesName(METRICS.peerPushes, { result: "not_listed" })]: "0x25",
          },
          atMinutes: 8,
          firing: [ONE],
        },
        {
          title: "a certificate whose name is not listed",
          series: {
            [seriesName(METRICS.peerPushes, { result: "unproven" })]: "0x25",
            [seriesName(METRICS.peerPushes, { result: "not_listed" })]: "0x5 1x20",
          },
          atMinutes: 8,
          firing: [ONE],
        },
        {
          title: "pushes that are taken, and a refusal of long ago",
          series: {
            [seriesName(METRICS.peerPushes, { result: "applied" })]: "0+5x25",
            [seriesName(METRICS.peerPushes, { result: "unproven" })]: "3x25",
          },
          atMinutes: 8,
          firing: [],
        },
      ],
    },
    {
      name: "LychgateForeignPeer",
      severity: "warning",
      conditions: [
        {
          value: `${q.increase(METRICS.routeMutations, ten, ROUTER, {
            source: is("peer"),
            outcome: matching("invalid_.*|ignored_out_of_scope"),
          })} + ${q.increase(METRICS.peerPushes, ten, ROUTER, {
            result: is("malformed", "too_large", "forbidden", "rate_limited"),
          })} + ${q.increase(METRICS.podIpsRefused, ten, ROUTER, { source: is("peer") })}`,
          is: "> 0",
        },
      ],
      forSeconds: 0,
      summary: "{{ $labels.instance }} gets pushes that are not meant for it, or none at all",
      description:
        "Bodies that are no route, routes without key or version, of namespaces that this router does not watch, or with an IP that no pod can have; or pushes of somebody who may not push, or pushes too much.",
      panel: { dashboard: "lychgate-routes", title: "Pushes received" },
      cases: [
        {
          title: "pushes of another namespace",
          series: {
            [mutated("ignored_out_of_scope")]: "0x5 3x20",
            [seriesName(METRICS.peerPushes, { result: "malformed" })]: "0x25",
            [seriesName(METRICS.podIpsRefused, { source: "peer" })]: "0x25",
          },
          atMinutes: 8,
          firing: [ONE],
        },
        {
          title: "a push of the router's own address",
          series: {
            [mutated("ignored_out_of_scope")]: "0x25",
            [seriesName(METRICS.peerPushes, { result: "malformed" })]: "0x25",
            [seriesName(METRICS.podIpsRefused, { source: "peer" })]: "0x5 1x20",
          },
          atMinutes: 8,
          firing: [ONE],
        },
        {
          title: "pushes that come late are ordinary",
          series: {
            [mutated("ignored_stale")]: "0+9x20",
            [mutated("ignored_out_of_scope")]: "0x25",
            [seriesName(METRICS.peerPushes, { result: "malformed" })]: "0x25",
            [seriesName(METRICS.podIpsRefused, { source: "peer" })]: "0x25",
            [seriesName(METRICS.peerPushes, { result: "ignored" })]: "0+9x25",
          },
          atMinutes: 8,
          firing: [],
        },
      ],
    },
    {
      name: "LychgateResurrectionStorm",
      severity: "warning",
      conditions: [
        {
          value: `${q.rate(METRICS.resurrectionAttempts, ten, ROUTER, { source: is("peer") })} / ${q.rate(METRICS.routeMutations, ten, ROUTER, { source: is("peer") })}`,
          is: "> 0.25",
        },
      ],
      forSeconds: 5 * MINUTE,
      summary: "Peers of {{ $labels.instance }} push dead sandboxes again and again",
      description:
        "More than a quarter of all pushes would have revived a dead sandbox. All were stopped; the peer that sends them is behind, or replays.",
      panel: { dashboard: "lychgate-routes", title: "Resurrection attempts by source and guard" },
      cases: [
        {
          title: "every second push",
          series: {
            [seriesName(METRICS.resurrectionAttempts, { source: "peer", guard: "watermark" })]: "0+5x30",
            [mutated("ignored_watermark")]: "0+5x30",
            [mutated("applied")]: "0+5x30",
          },
          atMinutes: 20,
          firing: [ONE],
        },
        {
          title: "one in ten comes late",
          series: {
            [seriesName(METRICS.resurrectionAttempts, { source: "peer", guard: "watermark" })]: "0+1x30",
            [mutated("ignored_watermark")]: "0+1x30",
            [mutated("applied")]: "0+9x30",
          },
          atMinutes: 20,
          firing: [],
        },
        {
          title: "nobody pushes",
          series: {
            [seriesName(METRICS.resurrectionAttempts, { source: "peer", guard: "watermark" })]: "0x30",
            [mutated("applied")]: "0x30",
          },
          atMinutes: 20,
          firing: [],
        },
      ],
    },
    {
      name: "LychgateWatermarkStale",
      severity: "critical",
      conditions: [{ value: q.series(METRICS.watermarkAge), is: `> ${pace.seconds(180)}` }],
      forSeconds: MINUTE,
      summary: "{{ $labels.instance }} has not heard the API server for minutes",
      description:
        "Known routes are served and pushes are taken, but what the API server says does not arrive. Nothing expires meanwhile.",
      panel: { dashboard: "lychgate-routes", title: "Watermark age" },
      cases: [
        {
          title: "silent for six minutes",
          series: { [seriesName(METRICS.watermarkAge, { scope: "" })]: "5 60+60x10" },
          atMinutes: 6,
          firing: [ONE],
        },
        {
          title: "bookmarks come each minute",
          series: { [seriesName(METRICS.watermarkAge, { scope: "" })]: "58x20" },
          atMinutes: 6,
          firing: [],
        },
      ],
    },
    {
      name: "LychgateRelistStorm",
      severity: "warning",
      conditions: [
        { value: q.increase(METRICS.watchRelists, pace.duration(15 * MINUTE), ROUTER), is: "> 5" },
      ],
      forSeconds: 0,
      summary: "{{ $labels.instance }} reads the whole list again and again",
      description:
        "A list is what the API server can least afford. One after an expired watch is ordinary, one each few minutes is not.",
      panel: { dashboard: "lychgate-routes", title: "Lists read again" },
      cases: [
        {
          title: "one each minute",
          series: { [seriesName(METRICS.watchRelists, { reason: "expired" })]: "0+1x30" },
          atMinutes: 20,
          firing: [ONE],
        },
        {
          title: "one in half an hour",
          series: { [seriesName(METRICS.watchRelists, { reason: "expired" })]: "0x15 1x15" },
          atMinutes: 20,
          firing: [],
        },
      ],
    },
    {
      name: "LychgateRouteConflict",
      severity: "warning",
      conditions: [{ value: q.series(METRICS.routeConflicts), is: "> 0" }],
      forSeconds: 5 * MINUTE,
      summary: "{{ $labels.instance }} serves some sandboxes not at all: two claim one {{ $labels.kind }}",
      description:
        "Living sandboxes share a routing ID or a pod IP. None of them is served, or the latest only: order of arrival must not decide.",
      panel: { dashboard: "lychgate-routes", title: "Conflicts" },
      cases: [
        {
          title: "an ID for ten minutes",
          series: { [seriesName(METRICS.routeConflicts, { kind: "id" })]: "0 1x20" },
          atMinutes: 10,
          firing: [{ ...ONE, kind: "id" }],
        },
        {
          title: "an address changes hands",
          series: { [seriesName(METRICS.routeConflicts, { kind: "ip" })]: "0 1 0x20" },
          atMinutes: 10,
          firing: [],
        },
      ],
    },
    {
      name: "LychgateClusterRestored",
      severity: "warning",
      conditions: [{ value: q.increase(METRICS.clusterRestores, pace.duration(HOUR), ROUTER), is: "> 0" }],
      forSeconds: 0,
      summary: "{{ $labels.instance }} started over: the cluster's versions went back",
      description:
        "The API server lists versions below what it said before, as after a restore from a backup. Pushes are not taken until the old height is passed.",
      panel: { dashboard: "lychgate-routes", title: "Faults of the watch" },
      cases: [
        {
          title: "once",
          series: { [seriesName(METRICS.clusterRestores)]: "0x5 1x20" },
          atMinutes: 10,
          firing: [ONE],
        },
        {
          title: "never",
          series: { [seriesName(METRICS.clusterRestores)]: "0x20" },
          atMinutes: 10,
          firing: [],
        },
      ],
    },
  ];
};
