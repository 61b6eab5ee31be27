import { METRICS, PROCESS_METRICS } from "../../src/metrics/names.ts";
import type { MetricSpec } from "../../src/metrics/names.ts";
import { CHOSEN, WINDOW } from "./dashboard.ts";
import type { DashboardSpec } from "./dashboard.ts";
import { ROUTER_FAULTS } from "./fault-reasons.ts";
import { is, isNot, matching, promql, ROUTER } from "./promql.ts";
import { BUDGET_WINDOWS, OBJECTIVE, RECORDED } from "./recording-rules.ts";

const q = promql(CHOSEN);
const SERVER_ERRORS = { code: matching("5.."), reason: isNot("ok") };

/** A metric that other programs have too, of routers only. */
function ofRouters(expr: string): string {
  return `${expr} and on (${ROUTER}) ${q.series(METRICS.buildInfo)}`;
}

function processGauge(spec: MetricSpec): string {
  return ofRouters(q.series(spec));
}

/** Is it well, what passes through it, and what is it short of? */
export const OVERVIEW: DashboardSpec = {
  uid: "lychgate-overview",
  title: "Lychgate / Overview",
  description: "Whether the routers are well, what passes through them, and what they are short of.",
  subject: `__name__="${METRICS.buildInfo.name}"`,
  rows: [
    {
      title: "Is it well?",
      panels: [
        {
          title: "Alerts firing",
          description: "Alerts of Lychgate that fire now. Each has a runbook.",
          kind: "stat",
          unit: "short",
          width: 4,
          thresholds: [[1, "red"]],
          queries: [
            {
              expr: 'count(ALERTS{alertname=~"Lychgate.+",alertstate="firing"}) or vector(0)',
              legend: "firing",
            },
          ],
        },
        {
          title: "Routers ready",
          description:
            "Share of the routers whose /readyz says yes. The others get no traffic from load balancers.",
          kind: "stat",
          unit: "percentunit",
          width: 4,
          base: "red",
          thresholds: [
            [0.5, "orange"],
            [1, "green"],
          ],
          noValue: "none",
          queries: [{ expr: `avg(${q.series(METRICS.ready)})`, legend: "ready" }],
        },
        {
          title: "Requests per second",
          description: "All requests that were answered, by pods or by the router.",
          kind: "stat",
          unit: "reqps",
          width: 4,
          base: "blue",
          queries: [{ expr: q.rate(METRICS.requests, WINDOW), legend: "requests" }],
        },
        {
          title: "Failed by the router's doing",
          description:
            "Share of requests whose failure is the business of who runs the router or its cluster. Paused and dead sandboxes are not counted.",
          kind: "stat",
          unit: "percentunit",
          width: 4,
          thresholds: [
            [0.001, "orange"],
            [0.01, "red"],
          ],
          queries: [
            {
              expr: `(${q.rate(METRICS.requests, WINDOW, undefined, { reason: is(...ROUTER_FAULTS) })} or vector(0)) / (${q.rate(METRICS.requests, WINDOW)} > 0) or vector(0)`,
              legend: "failed",
            },
          ],
        },
        {
          title: "Time to first byte, 99th percentile",
          description: "From a request's first byte to the first byte of the pod's answer.",
          kind: "stat",
          unit: "s",
          width: 4,
          noValue: "no requests",
          base: "blue",
          queries: [{ expr: q.quantile(0.99, METRICS.timeToFirstByte, WINDOW), legend: "p99" }],
        },
        {
          title: "Table is older than",
          description:
            "Longest time since a router heard the API server. Bookmarks come about once a minute.",
          kind: "stat",
          unit: "s",
          width: 4,
          noValue: "not watched",
          thresholds: [
            [90, "orange"],
            [180, "red"],
          ],
          queries: [{ expr: `max(${q.series(METRICS.watermarkAge)})`, legend: "age" }],
        },
      ],
    },
    {
      title: "Traffic",
      panels: [
        {
          title: "Requests by reason",
          description:
            "ok: the pod answered. Everything else is a reply of the router, with this x-lychgate-reason.",
          kind: "time",
          unit: "reqps",
          width: 12,
          stacked: true,
          queries: [{ expr: q.rate(METRICS.requests, WINDOW, "reason"), legend: "{{reason}}" }],
        },
        {
          title: "Requests by status",
          description: "Statuses as clients saw them; 499 means that the client left first.",
          kind: "time",
          unit: "reqps",
          width: 12,
          stacked: true,
          queries: [{ expr: q.rate(METRICS.requests, WINDOW, "code"), legend: "{{code}}" }],
        },
        {
          title: "Body bytes",
          description: "Bytes of bodies, in requests that are over.",
          kind: "time",
          unit: "Bps",
          width: 12,
          queries: [
            { expr: q.rate(METRICS.requestBytes, WINDOW), legend: "from clients" },
            { expr: q.rate(METRICS.responseBytes, WINDOW), legend: "to clients" },
          ],
        },
        {
          title: "Under way",
          description:
            "Requests that are not answered whole, and upgraded connections (WebSockets for the most part).",
          kind: "time",
          unit: "short",
          width: 12,
          queries: [
            { expr: `sum(${q.series(METRICS.requestsInFlight)})`, legend: "requests" },
            { expr: `sum(${q.series(METRICS.upgradesOpen)})`, legend: "upgraded" },
          ],
        },
      ],
    },
    {
      title: "Errors",
      panels: [
        {
          title: "5xx of the router by reason",
          description:
            "What pods answer is not in here. Reasons of sandboxes (paused, dead, refused) are their owners' business; the others are yours.",
          kind: "time",
          unit: "reqps",
          width: 8,
          stacked: true,
          queries: [
            { expr: q.rate(METRICS.requests, WINDOW, "reason", SERVER_ERRORS), legend: "{{reason}}" },
          ],
        },
        {
          title: "4xx of the router by reason",
          description:
            "Requests that name no sandbox, are malformed or lack a token; 499: clients that left first.",
          kind: "time",
          unit: "reqps",
          width: 8,
          stacked: true,
          queries: [
            {
              expr: q.rate(METRICS.requests, WINDOW, "reason", {
                code: matching("4.."),
                reason: isNot("ok"),
              }),
              legend: "{{reason}}",
            },
          ],
        },
        {
          title: "Error budget: how fast it burns",
          description: `1: the budget of ${Number(((1 - OBJECTIVE) * 100).toFixed(3))} % of requests lasts just its month. Over 14 for an hour pages, over 1 for three days makes a ticket.`,
          kind: "time",
          unit: "short",
          width: 8,
          thresholds: [
            [1, "orange"],
            [14.4, "red"],
          ],
          queries: Object.keys(BUDGET_WINDOWS).map((window) => ({
            expr: `max(${RECORDED.budgetErrorRatio(window as keyof typeof BUDGET_WINDOWS)}{namespace=~"$namespace"}) / ${Number((1 - OBJECTIVE).toFixed(6))}`,
            legend: `over ${window}`,
          })),
        },
      ],
    },
    {
      title: "Latency",
      panels: [
        {
          title: "Request duration, heat map",
          description:
            "From a request's first byte to the last byte of its answer. Upgraded connections are left out.",
          kind: "heatmap",
          unit: "s",
          width: 12,
          queries: [{ expr: q.buckets(METRICS.requestDuration, WINDOW), legend: "{{le}}" }],
        },
        {
          title: "Request duration",
          description: "Percentiles by who answered: the pod, or the router itself.",
          kind: "time",
          unit: "s",
          width: 6,
          queries: [0.5, 0.99].map((quantile) => ({
            expr: q.quantile(quantile, METRICS.requestDuration, WINDOW, "answered_by"),
            legend: `p${quantile * 100} {{answered_by}}`,
          })),
        },
        {
          title: "Pods: connect and first byte",
          description:
            "What of the duration is the pods': time to connect, and until the first byte of the answer.",
          kind: "time",
          unit: "s",
          width: 6,
          queries: [
            { expr: q.quantile(0.5, METRICS.timeToFirstByte, WINDOW), legend: "p50 first byte" },
            { expr: q.quantile(0.99, METRICS.timeToFirstByte, WINDOW), legend: "p99 first byte" },
            { expr: q.quantile(0.99, METRICS.upstreamConnectDuration, WINDOW), legend: "p99 connect" },
          ],
        },
      ],
    },
    {
      title: "Saturation",
      panels: [
        {
          title: "Connections from clients",
          description:
            "Open, and those that were refused per second for want of room: in all, or from one address. Evicted: connections to the peer or the admin port that were closed for newer ones, in a flood.",
          kind: "time",
          unit: "short",
          width: 6,
          queries: [
            { expr: `sum(${q.series(METRICS.clientConnectionsOpen)})`, legend: "open" },
            {
              expr: q.rate(METRICS.clientConnectionsRefused, WINDOW, "reason"),
              legend: "refused/s: {{reason}}",
            },
            {
              expr: q.rate(METRICS.listenerEvictions, WINDOW, "listener"),
              legend: "evicted/s: {{listener}}",
            },
          ],
        },
        {
          title: "Client connections, share of the limit",
          description:
            "Of those that each router takes at most. At 1 new connections are told 503 and closed.",
          kind: "time",
          unit: "percentunit",
          width: 6,
          max: 1,
          thresholds: [[0.9, "red"]],
          queries: [
            {
              expr: `${q.series(METRICS.clientConnectionsOpen)} / ${q.series(METRICS.clientConnectionsLimit)}`,
              legend: "{{instance}}",
            },
          ],
        },
        {
          title: "Connections to pods",
          description:
            "Open connections, incarnations that have any, requests that wait for one, and 503 overloaded per second. Waiting requests mean that a sandbox uses all that it may have.",
          kind: "time",
          unit: "short",
          width: 6,
          queries: [
            { expr: `sum(${q.series(METRICS.upstreamConnectionsOpen)})`, legend: "open" },
            { expr: `sum(${q.series(METRICS.upstreamPools)})`, legend: "incarnations" },
            { expr: `sum(${q.series(METRICS.upstreamWaiting)})`, legend: "requests waiting" },
            {
              expr: `${q.rate(METRICS.requests, WINDOW, undefined, { reason: is("overloaded") })} or vector(0)`,
              legend: "overloaded/s",
            },
          ],
        },
        {
          title: "Connecting to pods",
          description: "Attempts by how they ended, and requests that found a kept connection.",
          kind: "time",
          unit: "ops",
          width: 6,
          queries: [
            { expr: q.seenRate(METRICS.upstreamConnects, WINDOW, "result"), legend: "{{result}}" },
            { expr: q.rate(METRICS.upstreamReuse, WINDOW), legend: "reused" },
            { expr: q.rate(METRICS.upstreamRetries, WINDOW), legend: "sent again" },
          ],
        },
        {
          title: "CPU by process",
          description: "1 is a whole core. A process of Node's can't use much more.",
          kind: "time",
          unit: "short",
          width: 8,
          thresholds: [[0.9, "red"]],
          queries: [
            {
              expr: ofRouters(
                `sum by (${ROUTER}, worker) (rate(${q.series(PROCESS_METRICS.cpu)}[${WINDOW}]))`,
              ),
              legend: "{{instance}} {{worker}}",
            },
          ],
        },
        {
          title: "Memory by process",
          description: "Resident memory, the heap within it, and memory outside the heap (buffers).",
          kind: "time",
          unit: "bytes",
          width: 8,
          queries: [
            {
              expr: processGauge(PROCESS_METRICS.residentMemory),
              legend: "resident {{instance}} {{worker}}",
            },
            { expr: processGauge(PROCESS_METRICS.heapUsed), legend: "heap {{instance}} {{worker}}" },
            {
              expr: processGauge(PROCESS_METRICS.externalMemory),
              legend: "external {{instance}} {{worker}}",
            },
          ],
        },
        {
          title: "Event loop, 99th percentile of how late it was",
          description: "Every request waits that long now and then. Above 100 ms there is an alert.",
          kind: "time",
          unit: "s",
          width: 8,
          thresholds: [[0.1, "red"]],
          queries: [
            { expr: processGauge(PROCESS_METRICS.eventLoopLagP99), legend: "p99 {{instance}} {{worker}}" },
            { expr: processGauge(PROCESS_METRICS.eventLoopLagMax), legend: "max {{instance}} {{worker}}" },
          ],
        },
        {
          title: "Open files by process",
          description: "File descriptors, sockets included.",
          kind: "time",
          unit: "short",
          width: 8,
          queries: [{ expr: processGauge(PROCESS_METRICS.openFiles), legend: "{{instance}} {{worker}}" }],
        },
        {
          title: "Faults of our own",
          description:
            "Neither should ever happen: connections that never began their request, and a table that threw.",
          kind: "time",
          unit: "short",
          width: 8,
          thresholds: [[1, "red"]],
          queries: [
            { expr: q.increase(METRICS.upstreamWedges, WINDOW), legend: "wedged connections" },
            { expr: q.increase(METRICS.watchSinkFailures, WINDOW), legend: "table threw" },
          ],
        },
        {
          title: "TLS: handshakes by how they ended",
          description:
            "full: with a signature. resumed: by a session ticket, for a tenth of the cost. All others ended without a request.",
          kind: "time",
          unit: "reqps",
          width: 8,
          queries: [{ expr: q.rate(METRICS.tlsHandshakes, WINDOW, "result"), legend: "{{result}}" }],
        },
        {
          title: "TLS: days until a certificate expires",
          description:
            "Of the certificate in force, by its file. A router whose last reload failed has another one in force than the one on disk.",
          kind: "time",
          unit: "short",
          width: 8,
          queries: [
            {
              expr: `min by (file) ((${q.series(METRICS.tlsCertificateExpiry)} - time()) / 86400)`,
              legend: "{{file}}",
            },
            { expr: `sum(1 - ${q.series(METRICS.tlsLastReloadSuccessful)})`, legend: "last reload failed" },
            { expr: q.increase(METRICS.tlsReloads, WINDOW, "result"), legend: "reloads: {{result}}" },
          ],
        },
        {
          title: "Configuration: reloads, and routers whose last one failed",
          description:
            "Reloads by SIGHUP. A router whose last reload failed runs on with the configuration that it had. The age says since when a router has what it has.",
          kind: "time",
          unit: "short",
          width: 8,
          thresholds: [[1, "red"]],
          queries: [
            { expr: q.increase(METRICS.configReloads, WINDOW, "result"), legend: "{{result}}" },
            { expr: `sum(1 - ${q.series(METRICS.configLastReloadSuccessful)})`, legend: "last one failed" },
            {
              expr: `max((time() - ${q.series(METRICS.configLastReloadSuccess)}) / 86400)`,
              legend: "days since the oldest was read",
            },
          ],
        },
      ],
    },
    {
      title: "Workers",
      panels: [
        {
          title: "Workers",
          description:
            "Worker processes that there should be and that are ready. Both 0: one process does everything.",
          kind: "time",
          unit: "short",
          width: 8,
          queries: [
            { expr: `sum(${q.series(METRICS.workersWanted)})`, legend: "wanted" },
            { expr: `sum(${q.series(METRICS.workersReady)})`, legend: "ready" },
          ],
        },
        {
          title: "Age of the oldest change that a worker lacks",
          description: "How far a worker is behind the table. What it does not know it serves as before.",
          kind: "time",
          unit: "s",
          width: 8,
          thresholds: [
            [1, "orange"],
            [5, "red"],
          ],
          queries: [
            { expr: q.series(METRICS.workerRouteLag), legend: "{{instance}} {{worker}}" },
            { expr: q.quantile(0.99, METRICS.workerApplyDuration, WINDOW), legend: "p99 until applied" },
          ],
        },
        {
          title: "Workers: restarts, lags, batches",
          description:
            "Workers that ended unasked, times that one fell a second behind or did not tell its metrics, and batches of routes.",
          kind: "time",
          unit: "ops",
          width: 8,
          queries: [
            { expr: q.seenRate(METRICS.workerRestarts, WINDOW, "end"), legend: "{{end}}" },
            { expr: q.rate(METRICS.workerLags, WINDOW, "worker"), legend: "worker {{worker}} fell behind" },
            { expr: q.rate(METRICS.workerMetricsMissed, WINDOW), legend: "metrics missed" },
            { expr: q.rate(METRICS.workerBatches, WINDOW), legend: "batches" },
          ],
        },
      ],
    },
  ],
};
