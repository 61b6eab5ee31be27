import { HOST_METRICS } from "../../src/metrics/names.ts";
import type { MetricSpec } from "../../src/metrics/names.ts";
import { CHOSEN, WINDOW } from "./dashboard.ts";
import type { DashboardSpec } from "./dashboard.ts";
import { is, isNot, promql } from "./promql.ts";

const q = promql(CHOSEN);
const sumOf = (spec: MetricSpec, by: string) => `sum by (${by}) (${q.series(spec)})`;

/** Where the kernel of the node sends packets. */
export const NODE: DashboardSpec = {
  uid: "lychgate-node",
  title: "Lychgate / Node",
  description:
    "Kernel routes of the nodes: overlap of expected CIDRs, static routes, announced addresses. A part that is not used shows nothing.",
  // Any of them: a node may use one part only.
  subject: '__name__=~"lychgate_(node|anycast)_.+"',
  rows: [
    {
      title: "Overlap",
      panels: [
        {
          title: "CIDRs that go elsewhere",
          description: "Expected CIDRs that the kernel would not send by the default route, or not whole.",
          kind: "stat",
          unit: "short",
          width: 6,
          thresholds: [[1, "red"]],
          noValue: "not checked",
          queries: [
            {
              expr: `sum(${q.series(HOST_METRICS.overlapCidrs, { verdict: isNot("ok") })})`,
              legend: "elsewhere",
            },
          ],
        },
        {
          title: "Routers in STRICT",
          description: "There an overlap keeps the router from being ready; elsewhere it only warns.",
          kind: "stat",
          unit: "short",
          width: 6,
          base: "blue",
          noValue: "not checked",
          queries: [{ expr: `sum(${q.series(HOST_METRICS.overlapStrict)})`, legend: "strict" }],
        },
        {
          title: "Static routes amiss",
          description: "Configured static routes that the kernel lacks or has otherwise.",
          kind: "stat",
          unit: "short",
          width: 6,
          thresholds: [[1, "red"]],
          noValue: "not used",
          queries: [
            {
              expr: `sum(${q.series(HOST_METRICS.staticRoutes, { state: isNot("present") })})`,
              legend: "amiss",
            },
          ],
        },
        {
          title: "Addresses announced",
          description: "Service addresses that BIRD announces.",
          kind: "stat",
          unit: "short",
          width: 6,
          base: "blue",
          noValue: "not used",
          queries: [
            {
              expr: `sum(${q.series(HOST_METRICS.anycastAddresses, { state: is("announced") })})`,
              legend: "announced",
            },
          ],
        },
        {
          title: "Expected CIDRs by where the kernel sends them",
          description:
            "ok: by the default route. Everything else would leave another way, or not at all; `lychgate node overlap` names the route.",
          kind: "time",
          unit: "short",
          width: 12,
          stacked: true,
          queries: [{ expr: sumOf(HOST_METRICS.overlapCidrs, "verdict"), legend: "{{verdict}}" }],
        },
        {
          title: "Overlap checks",
          description: "Checks per second by result, and how long ago the last one ended.",
          kind: "time",
          unit: "ops",
          width: 6,
          queries: [{ expr: q.rate(HOST_METRICS.overlapChecks, WINDOW, "result"), legend: "{{result}}" }],
        },
        {
          title: "Since the last overlap check",
          description: "Of each router.",
          kind: "time",
          unit: "s",
          width: 6,
          queries: [{ expr: `time() - ${q.series(HOST_METRICS.overlapLastCheck)}`, legend: "{{instance}}" }],
        },
      ],
    },
    {
      title: "Static routes",
      panels: [
        {
          title: "Static routes",
          description: "How configured routes stand in the kernel.",
          kind: "time",
          unit: "short",
          width: 12,
          stacked: true,
          queries: [{ expr: sumOf(HOST_METRICS.staticRoutes, "state"), legend: "{{state}}" }],
        },
        {
          title: "Changes of static routes",
          description: "What was done so that the kernel has them.",
          kind: "time",
          unit: "short",
          width: 12,
          queries: [
            { expr: q.seenIncrease(HOST_METRICS.staticRouteChanges, WINDOW, "change"), legend: "{{change}}" },
          ],
        },
      ],
    },
    {
      title: "Anycast",
      panels: [
        {
          title: "Addresses",
          description: "Service addresses by whether they are announced.",
          kind: "time",
          unit: "short",
          width: 8,
          stacked: true,
          queries: [{ expr: sumOf(HOST_METRICS.anycastAddresses, "state"), legend: "{{state}}" }],
        },
        {
          title: "Backends",
          description: "Local backends by whether they may be sent traffic.",
          kind: "time",
          unit: "short",
          width: 8,
          stacked: true,
          queries: [{ expr: sumOf(HOST_METRICS.anycastBackends, "state"), legend: "{{state}}" }],
        },
        {
          title: "Changes",
          description:
            "Addresses announced and withdrawn; grow and shrink: a backend joined or left the multipath group.",
          kind: "time",
          unit: "short",
          width: 8,
          queries: [
            { expr: q.seenIncrease(HOST_METRICS.anycastChanges, WINDOW, "change"), legend: "{{change}}" },
          ],
        },
        {
          title: "Time to withdraw",
          description:
            "From hearing of the last backend's end to BIRD's answer. What arrives meanwhile is lost.",
          kind: "time",
          unit: "s",
          width: 8,
          thresholds: [[1, "red"]],
          queries: [0.5, 0.99].map((quantile) => ({
            expr: q.quantile(quantile, HOST_METRICS.anycastWithdrawDuration, "$__range"),
            legend: `p${quantile * 100}`,
          })),
        },
        {
          title: "Reconciliation",
          description:
            "Times that the kernel and BIRD were compared with what should be, and how long that took.",
          kind: "time",
          unit: "short",
          width: 8,
          queries: [
            { expr: q.rate(HOST_METRICS.anycastReconciles, WINDOW, "result"), legend: "{{result}}/s" },
            { expr: q.quantile(0.99, HOST_METRICS.anycastReconcileDuration, WINDOW), legend: "p99 seconds" },
          ],
        },
        {
          title: "BIRD's answers",
          description: "New configurations by what BIRD said.",
          kind: "time",
          unit: "short",
          width: 4,
          queries: [
            { expr: q.increase(HOST_METRICS.anycastBirdConfigures, WINDOW, "result"), legend: "{{result}}" },
          ],
        },
        {
          title: "Drift",
          description:
            "Times that the kernel or BIRD was found other than it had been left: somebody else changes it.",
          kind: "time",
          unit: "short",
          width: 4,
          thresholds: [[1, "orange"]],
          queries: [{ expr: q.increase(HOST_METRICS.anycastDrift, WINDOW), legend: "drift" }],
        },
      ],
    },
  ],
};
