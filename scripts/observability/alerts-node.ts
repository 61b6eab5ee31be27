import { HOST_METRICS } from "../../src/metrics/names.ts";
import type { AlertMaker } from "./alert.ts";
import { seriesName } from "./case-series.ts";
import { MINUTE } from "./pace.ts";
import { is, isNot, promql, ROUTER } from "./promql.ts";

const q = promql();
const ONE = { namespace: "agents", instance: "gate-0:9902" };
const cidrs = (verdict: string) => seriesName(HOST_METRICS.overlapCidrs, { verdict });

/** The kernel routes of the node. */
export const nodeAlerts: AlertMaker = (pace) => {
  const quarter = pace.duration(15 * MINUTE);
  const hijacked = `sum by (${ROUTER}) (${q.series(HOST_METRICS.overlapCidrs, { verdict: isNot("ok") })})`;
  const strict = `max by (${ROUTER}) (${q.series(HOST_METRICS.overlapStrict)})`;
  return [
    {
      name: "LychgateOverlapStrict",
      severity: "critical",
      conditions: [
        { value: hijacked, is: "> 0" },
        { value: strict, is: "== 1" },
      ],
      on: ROUTER,
      forSeconds: 0,
      summary: "{{ $labels.instance }} is kept from being ready: the node routes expected CIDRs elsewhere",
      description:
        "The kernel would send packets for expected CIDRs another way than the default route, and the check is STRICT.",
      panel: { dashboard: "lychgate-node", title: "Expected CIDRs by where the kernel sends them" },
      cases: [
        {
          title: "one CIDR of three",
          series: {
            [cidrs("ok")]: "3 2x10",
            [cidrs("overlap")]: "0 1x10",
            [seriesName(HOST_METRICS.overlapStrict)]: "1x10",
          },
          atMinutes: 2,
          firing: [ONE],
        },
        {
          title: "WARN only warns",
          series: {
            [cidrs("ok")]: "3 2x10",
            [cidrs("overlap")]: "0 1x10",
            [seriesName(HOST_METRICS.overlapStrict)]: "0x10",
          },
          atMinutes: 2,
          firing: [],
        },
        {
          title: "all leave by the default route",
          series: {
            [cidrs("ok")]: "3x10",
            [cidrs("overlap")]: "0x10",
            [seriesName(HOST_METRICS.overlapStrict)]: "1x10",
          },
          atMinutes: 2,
          firing: [],
        },
      ],
    },
    {
      name: "LychgateOverlap",
      severity: "warning",
      conditions: [
        { value: hijacked, is: "> 0" },
        { value: strict, is: "== 0" },
      ],
      on: ROUTER,
      forSeconds: 5 * MINUTE,
      summary: "The node of {{ $labels.instance }} routes expected CIDRs elsewhere",
      description:
        "The kernel would send packets for expected CIDRs another way than the default route. The check is WARN: the router stays ready.",
      panel: { dashboard: "lychgate-node", title: "Expected CIDRs by where the kernel sends them" },
      cases: [
        {
          title: "no default route for ten minutes",
          series: { [cidrs("no_default")]: "0 3x20", [seriesName(HOST_METRICS.overlapStrict)]: "0x20" },
          atMinutes: 10,
          firing: [ONE],
        },
        {
          title: "a route that came and went",
          series: { [cidrs("overlap")]: "0 1 0x20", [seriesName(HOST_METRICS.overlapStrict)]: "0x20" },
          atMinutes: 10,
          firing: [],
        },
      ],
    },
    {
      name: "LychgateOverlapCheckFails",
      severity: "warning",
      conditions: [
        {
          value: q.increase(HOST_METRICS.overlapChecks, quarter, ROUTER, { result: is("failed") }),
          is: "> 0",
        },
      ],
      forSeconds: 5 * MINUTE,
      summary: "{{ $labels.instance }} can't read the node's routes",
      description: "The overlap check fails, and what it last found stands.",
      panel: { dashboard: "lychgate-node", title: "Overlap checks" },
      cases: [
        {
          title: "each check fails",
          series: { [seriesName(HOST_METRICS.overlapChecks, { result: "failed" })]: "0+1x20" },
          atMinutes: 10,
          firing: [ONE],
        },
        {
          title: "they succeed",
          series: {
            [seriesName(HOST_METRICS.overlapChecks, { result: "failed" })]: "0x20",
            [seriesName(HOST_METRICS.overlapChecks, { result: "ok" })]: "0+1x20",
          },
          atMinutes: 10,
          firing: [],
        },
      ],
    },
    {
      name: "LychgateStaticRoutesWrong",
      severity: "critical",
      conditions: [
        {
          value: `sum by (${ROUTER}) (${q.series(HOST_METRICS.staticRoutes, { state: isNot("present") })})`,
          is: "> 0",
        },
      ],
      forSeconds: 5 * MINUTE,
      summary: "The node of {{ $labels.instance }} lacks static routes",
      description: "Configured static routes are missing from the kernel, or differ there.",
      panel: { dashboard: "lychgate-node", title: "Static routes" },
      cases: [
        {
          title: "one is missing",
          series: {
            [seriesName(HOST_METRICS.staticRoutes, { state: "present" })]: "3 2x20",
            [seriesName(HOST_METRICS.staticRoutes, { state: "missing" })]: "0 1x20",
          },
          atMinutes: 10,
          firing: [ONE],
        },
        {
          title: "all are there",
          series: {
            [seriesName(HOST_METRICS.staticRoutes, { state: "present" })]: "3x20",
            [seriesName(HOST_METRICS.staticRoutes, { state: "missing" })]: "0x20",
          },
          atMinutes: 10,
          firing: [],
        },
      ],
    },
    {
      name: "LychgateAnycastFails",
      severity: "critical",
      conditions: [
        {
          value: `${q.increase(HOST_METRICS.anycastReconciles, quarter, ROUTER, { result: is("failed") })} + ${q.increase(HOST_METRICS.anycastBirdConfigures, quarter, ROUTER, { result: is("refused", "unreachable") })}`,
          is: "> 0",
        },
      ],
      forSeconds: 5 * MINUTE,
      summary: "{{ $labels.instance }} can't make announcements what they should be",
      description:
        "The kernel or BIRD refuses: an address may be announced that has no backend, or not announced though it has.",
      panel: { dashboard: "lychgate-node", title: "BIRD's answers" },
      cases: [
        {
          title: "BIRD is unreachable",
          series: {
            [seriesName(HOST_METRICS.anycastReconciles, { result: "failed" })]: "0+1x20",
            [seriesName(HOST_METRICS.anycastBirdConfigures, { result: "unreachable" })]: "0+1x20",
          },
          atMinutes: 12,
          firing: [ONE],
        },
        {
          title: "all is done",
          series: {
            [seriesName(HOST_METRICS.anycastReconciles, { result: "ok" })]: "0+1x20",
            [seriesName(HOST_METRICS.anycastReconciles, { result: "failed" })]: "0x20",
            [seriesName(HOST_METRICS.anycastBirdConfigures, { result: "unreachable" })]: "0x20",
          },
          atMinutes: 12,
          firing: [],
        },
      ],
    },
    {
      name: "LychgateAnycastDrift",
      severity: "warning",
      conditions: [{ value: q.increase(HOST_METRICS.anycastDrift, quarter, ROUTER), is: "> 1" }],
      forSeconds: 0,
      summary: "Somebody changes the announced routes of {{ $labels.instance }}",
      description: "The kernel or BIRD was found other than it had been left, more than once.",
      panel: { dashboard: "lychgate-node", title: "Drift" },
      cases: [
        {
          title: "again and again",
          series: { [seriesName(HOST_METRICS.anycastDrift)]: "0+1x20" },
          atMinutes: 12,
          firing: [ONE],
        },
        {
          title: "once, by hand",
          series: { [seriesName(HOST_METRICS.anycastDrift)]: "0x12 1x30" },
          atMinutes: 30,
          firing: [],
        },
      ],
    },
  ];
};
