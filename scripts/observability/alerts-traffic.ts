import { METRICS, PROCESS_METRICS } from "../../src/metrics/names.ts";
import type { Alert, AlertCase, AlertMaker } from "./alert.ts";
import { seriesName } from "./case-series.ts";
import { HOUR, MINUTE } from "./pace.ts";
import { is, promql, ROUTER } from "./promql.ts";
import { OBJECTIVE, RECORDED } from "./recording-rules.ts";

const q = promql();
const ONE = { namespace: "agents", instance: "gate-0:9902" };

function requests(code: string, reason: string): string {
  return seriesName(METRICS.requests, { method: "GET", code, reason });
}

/** Requests, connections, workers and the process. */
export const trafficAlerts: AlertMaker = (pace) => {
  const { duration } = pace;
  const five = duration(5 * MINUTE);
  return [
    {
      name: "LychgateAbsent",
      severity: "critical",
      conditions: [{ value: `absent(${q.series(METRICS.buildInfo)})`, is: "== 1" }],
      forSeconds: 5 * MINUTE,
      summary: "No router is scraped",
      description: "Prometheus has no target that is a Lychgate. Either none runs, or none can be scraped.",
      panel: { dashboard: "lychgate-overview", title: "Routers ready" },
      cases: [
        { title: "nothing is scraped", series: {}, atMinutes: 6, firing: [{}] },
        {
          title: "one router is enough",
          series: { [seriesName(METRICS.buildInfo, { version: "1", node: "v24" })]: "1x10" },
          atMinutes: 6,
          firing: [],
        },
      ],
    },
    {
      name: "LychgateNotReady",
      severity: "critical",
      conditions: [{ value: q.series(METRICS.ready), is: "== 0" }],
      forSeconds: 2 * MINUTE,
      summary: "{{ $labels.instance }} is not ready",
      description:
        "/readyz of the router says no: load balancers send it nothing. The reply to /readyz?verbose says why.",
      panel: { dashboard: "lychgate-overview", title: "Routers ready" },
      cases: [
        {
          title: "not ready for three minutes",
          series: { [seriesName(METRICS.ready)]: "1 0x10" },
          atMinutes: 4,
          firing: [ONE],
        },
        {
          title: "a restart takes less than two minutes",
          series: { [seriesName(METRICS.ready)]: "1 0 1x10" },
          atMinutes: 4,
          firing: [],
        },
      ],
    },
    {
      name: "LychgateServerErrors",
      severity: "warning",
      conditions: [{ value: RECORDED.serverErrorRatio, is: "> 0.05" }],
      forSeconds: 5 * MINUTE,
      summary: "More than 5 % of requests get a 5xx: {{ $labels.reason }}",
      description:
        "Replies of the router itself, by their x-lychgate-reason. What a pod answers is not counted. The reason says whose doing it is.",
      panel: { dashboard: "lychgate-overview", title: "5xx of the router by reason" },
      cases: [
        {
          title: "a tenth of all requests go to paused sandboxes",
          series: { [requests("200", "ok")]: "0+540x20", [requests("502", "sandbox_paused")]: "0+60x20" },
          atMinutes: 15,
          firing: [{ namespace: "agents", reason: "sandbox_paused" }],
        },
        {
          title: "a hundredth does, and pods answer 500 as they please",
          series: {
            [requests("200", "ok")]: "0+300x20",
            [requests("500", "ok")]: "0+300x20",
            [requests("502", "sandbox_paused")]: "0+6x20",
          },
          atMinutes: 15,
          firing: [],
        },
      ],
    },
    {
      name: "LychgatePoolExhausted",
      severity: "warning",
      conditions: [
        { value: q.rate(METRICS.requests, five, ROUTER, { reason: is("overloaded") }), is: "> 0" },
      ],
      forSeconds: MINUTE,
      summary: "{{ $labels.instance }} refuses requests: overloaded",
      description:
        "Requests got 503 overloaded: a sandbox has all the connections that it may have and too many requests wait, or files or connections run out.",
      panel: { dashboard: "lychgate-overview", title: "Connections to pods" },
      cases: [
        {
          title: "one request a minute is refused",
          series: { [requests("503", "overloaded")]: "0+1x20" },
          atMinutes: 10,
          firing: [ONE],
        },
        {
          title: "they were refused a quarter of an hour ago",
          series: { [requests("503", "overloaded")]: "0+1x3 3x30" },
          atMinutes: 20,
          firing: [],
        },
      ],
    },
    {
      name: "LychgateConnectionsNearLimit",
      severity: "warning",
      conditions: [
        {
          value: `${q.series(METRICS.clientConnectionsOpen)} / ${q.series(METRICS.clientConnectionsLimit)}`,
          is: "> 0.9",
        },
      ],
      forSeconds: 5 * MINUTE,
      summary: "{{ $labels.instance }} has nearly as many client connections as it takes",
      description: "Above lychgate_client_connections_limit new connections are told 503 and closed.",
      panel: { dashboard: "lychgate-overview", title: "Client connections, share of the limit" },
      cases: [
        {
          title: "95 of 100",
          series: {
            [seriesName(METRICS.clientConnectionsOpen)]: "95x10",
            [seriesName(METRICS.clientConnectionsLimit)]: "100x10",
          },
          atMinutes: 8,
          firing: [ONE],
        },
        {
          title: "half, and a primary without connections of its own",
          series: {
            [seriesName(METRICS.clientConnectionsOpen)]: "50x10",
            [seriesName(METRICS.clientConnectionsLimit)]: "100x10",
            [seriesName(METRICS.clientConnectionsOpen, {}, "gate-1:9902")]: "0x10",
            [seriesName(METRICS.clientConnectionsLimit, {}, "gate-1:9902")]: "0x10",
          },
          atMinutes: 8,
          firing: [],
        },
      ],
    },
    {
      name: "LychgateWorkersMissing",
      severity: "warning",
      conditions: [
        { value: `${q.series(METRICS.workersWanted)} - ${q.series(METRICS.workersReady)}`, is: "> 0" },
      ],
      forSeconds: 2 * MINUTE,
      summary: "{{ $labels.instance }} has fewer workers than it should",
      description: "Worker processes end and are replaced, or do not get to know the routes.",
      panel: { dashboard: "lychgate-overview", title: "Workers" },
      cases: [
        {
          title: "three of four for three minutes",
          series: {
            [seriesName(METRICS.workersWanted)]: "4x10",
            [seriesName(METRICS.workersReady)]: "4 3x10",
          },
          atMinutes: 4,
          firing: [ONE],
        },
        {
          title: "one process does everything",
          series: { [seriesName(METRICS.workersWanted)]: "0x10", [seriesName(METRICS.workersReady)]: "0x10" },
          atMinutes: 4,
          firing: [],
        },
      ],
    },
    {
      name: "LychgateWorkerLagging",
      severity: "critical",
      conditions: [{ value: q.series(METRICS.workerRouteLag), is: `> ${pace.seconds(5)}` }],
      forSeconds: MINUTE,
      summary: "Worker {{ $labels.worker }} of {{ $labels.instance }} serves old routes",
      description:
        "A worker has not taken over a change of the table for more than five seconds, a whole minute long.",
      panel: { dashboard: "lychgate-overview", title: "Age of the oldest change that a worker lacks" },
      cases: [
        {
          title: "worker 1 hangs",
          series: { [seriesName(METRICS.workerRouteLag, { worker: "1" })]: "0 60 120 180 240 300" },
          atMinutes: 3,
          firing: [{ ...ONE, worker: "1" }],
        },
        {
          title: "it was busy once",
          series: { [seriesName(METRICS.workerRouteLag, { worker: "1" })]: "0 8 0 0 0 0" },
          atMinutes: 3,
          firing: [],
        },
      ],
    },
    {
      name: "LychgateConfigReloadFailed",
      severity: "warning",
      conditions: [{ value: q.series(METRICS.configLastReloadSuccessful), is: "== 0" }],
      forSeconds: 5 * MINUTE,
      summary: "{{ $labels.instance }} could not reload its configuration",
      description:
        "The last reload found a fault. The router runs on with the configuration that it had, and would not start with the one that is there now.",
      panel: {
        dashboard: "lychgate-overview",
        title: "Configuration: reloads, and routers whose last one failed",
      },
      cases: [
        {
          title: "the last reload failed ten minutes ago",
          series: { [seriesName(METRICS.configLastReloadSuccessful)]: "1 0x15" },
          atMinutes: 10,
          firing: [ONE],
        },
        {
          title: "it was put right within five minutes",
          series: { [seriesName(METRICS.configLastReloadSuccessful)]: "1 0x3 1x15" },
          atMinutes: 10,
          firing: [],
        },
      ],
    },
    {
      name: "LychgateCertificateExpires",
      severity: "warning",
      conditions: [
        { value: `${q.series(METRICS.tlsCertificateExpiry)} - time()`, is: `< ${7 * 24 * 60 * 60}` },
      ],
      forSeconds: 15 * MINUTE,
      summary: "A certificate of {{ $labels.instance }} expires within a week: {{ $labels.file }}",
      description:
        "What renews certificates should have done so weeks before, or the router could not use what it brought. Clients refuse a certificate that has expired.",
      panel: { dashboard: "lychgate-overview", title: "TLS: days until a certificate expires" },
      cases: [
        {
          title: "five days are left",
          series: {
            [seriesName(METRICS.tlsCertificateExpiry, { file: "/tls/tls.crt" })]: `${5 * 24 * 60 * 60}x40`,
          },
          atMinutes: 30,
          firing: [{ ...ONE, file: "/tls/tls.crt" }],
        },
        {
          title: "ten days are left",
          series: {
            [seriesName(METRICS.tlsCertificateExpiry, { file: "/tls/tls.crt" })]: `${10 * 24 * 60 * 60}x40`,
          },
          atMinutes: 30,
          firing: [],
        },
      ],
    },
    {
      name: "LychgateCertificateReloadFailed",
      severity: "warning",
      conditions: [{ value: q.series(METRICS.tlsLastReloadSuccessful), is: "== 0" }],
      forSeconds: 5 * MINUTE,
      summary: "{{ $labels.instance }} could not use a certificate that has changed",
      description:
        "Files with certificates, keys or the CA of clients have changed and are of no use. What was in force before stays, until it expires; a router that starts now would not come up.",
      panel: { dashboard: "lychgate-overview", title: "TLS: days until a certificate expires" },
      cases: [
        {
          title: "a pair does not fit for ten minutes",
          series: { [seriesName(METRICS.tlsLastReloadSuccessful)]: "1 0x15" },
          atMinutes: 10,
          firing: [ONE],
        },
        {
          title: "it was half written for a moment",
          series: { [seriesName(METRICS.tlsLastReloadSuccessful)]: "1 0x3 1x15" },
          atMinutes: 10,
          firing: [],
        },
      ],
    },
    {
      name: "LychgateEventLoopBusy",
      severity: "warning",
      conditions: [
        {
          value: `${q.series(PROCESS_METRICS.eventLoopLagP99)} and on (${ROUTER}) ${q.series(METRICS.buildInfo)}`,
          is: "> 0.1",
        },
      ],
      forSeconds: 10 * MINUTE,
      summary: "{{ $labels.instance }} is late: its event loop is busy",
      description:
        "A process of the router is more than 100 ms late, one time in a hundred: every request waits for that.",
      panel: { dashboard: "lychgate-overview", title: "Event loop, 99th percentile of how late it was" },
      cases: [
        {
          title: "150 ms for a quarter of an hour",
          series: {
            [seriesName(PROCESS_METRICS.eventLoopLagP99)]: "0.15x30",
            [seriesName(METRICS.buildInfo, { version: "1", node: "v24" })]: "1x30",
          },
          atMinutes: 15,
          firing: [ONE],
        },
        {
          title: "another program of Node's is",
          series: {
            [seriesName(PROCESS_METRICS.eventLoopLagP99, {}, "shop:80")]: "0.15x30",
            [seriesName(PROCESS_METRICS.eventLoopLagP99)]: "0.01x30",
            [seriesName(METRICS.buildInfo, { version: "1", node: "v24" })]: "1x30",
          },
          atMinutes: 15,
          firing: [],
        },
      ],
    },
    {
      name: "LychgateBug",
      severity: "critical",
      conditions: [
        {
          value: `${q.increase(METRICS.upstreamWedges, duration(HOUR), ROUTER)} + ${q.increase(METRICS.watchSinkFailures, duration(HOUR), ROUTER)}`,
          is: "> 0",
        },
      ],
      forSeconds: 0,
      summary: "{{ $labels.instance }} found a fault of its own",
      description:
        "A connection never started its request, or the table threw on what the informer told it. Neither can happen without a bug.",
      panel: { dashboard: "lychgate-overview", title: "Faults of our own" },
      cases: [
        {
          title: "one connection wedged",
          series: {
            [seriesName(METRICS.upstreamWedges)]: "0x5 1x10",
            [seriesName(METRICS.watchSinkFailures)]: "0x15",
          },
          atMinutes: 8,
          firing: [ONE],
        },
        {
          title: "none did",
          series: {
            [seriesName(METRICS.upstreamWedges)]: "0x15",
            [seriesName(METRICS.watchSinkFailures)]: "0x15",
          },
          atMinutes: 8,
          firing: [],
        },
      ],
    },
    ...budgetAlerts(),
  ];
};

/** Fast: a page, when 2 % of a month's budget goes in an hour. Slow: a ticket, when 10 % goes in three days. */
function budgetAlerts(): readonly Alert[] {
  const budget = 1 - OBJECTIVE;
  const burning = (short: "5m" | "6h", long: "1h" | "3d", times: number): Alert["conditions"] =>
    [long, short].map((window) => ({
      value: RECORDED.budgetErrorRatio(window),
      is: `> ${Number((times * budget).toFixed(6))}`,
    }));
  const common = {
    forSeconds: 2 * MINUTE,
    panel: { dashboard: "lychgate-overview", title: "Error budget: how fast it burns" },
    description:
      "Counted are replies that are the router's or its cluster's doing (not_ready, overloaded, upstream_unreachable and the like), not paused or dead sandboxes. The objective is 99.9 % of requests.",
  } as const;
  return [
    {
      ...common,
      name: "LychgateErrorBudgetBurnFast",
      severity: "critical",
      conditions: burning("5m", "1h", 14.4),
      summary: "The error budget of {{ $labels.namespace }} burns 14 times too fast",
      cases: [burns(70, 30, 5, true), burns(70, 3_000, 5, false)],
    },
    {
      ...common,
      name: "LychgateErrorBudgetBurnSlow",
      severity: "warning",
      conditions: burning("6h", "3d", 1),
      summary: "The error budget of {{ $labels.namespace }} burns too fast for days",
      cases: [burns(500, 998, 2, true), burns(500, 9_998, 2, false)],
    },
  ];
}

/** So many good and bad requests per minute. */
function burns(minutes: number, good: number, bad: number, fires: boolean): AlertCase {
  return {
    title: `${bad} of ${good + bad} requests fail for ${minutes} minutes`,
    series: {
      [requests("200", "ok")]: `0+${good}x${minutes}`,
      [requests("502", "upstream_unreachable")]: `0+${bad}x${minutes}`,
    },
    atMinutes: minutes,
    firing: fires ? [{ namespace: "agents" }] : [],
  };
}
