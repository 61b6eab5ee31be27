import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compareResourceVersions } from "../../../src/routes/resource-version.ts";
import type { RouteTable } from "../../../src/routes/table.ts";
import { pushesOf, type Step } from "../../routes/support/explorer.ts";
import { HAPPENINGS, observationOf, rv, stateOf, timeline } from "../../routes/support/timeline.ts";
import { compareAll, testReplica, type TestReplica } from "./support.ts";

// The same pushes, in any order and with any of them lost, to three replicas that compare: all end equal.

const RUNS = 1_000;
const happenings = fc.array(fc.tuple(fc.constantFrom("a", "b", "c", "d"), fc.constantFrom(...HAPPENINGS)), {
  minLength: 3,
  maxLength: 24,
});
/** For each replica: how each push sorts, and whether it is lost. */
const deliveries = fc.array(fc.array(fc.tuple(fc.nat(), fc.boolean()), { minLength: 50, maxLength: 50 }), {
  minLength: 3,
  maxLength: 3,
});

function push(table: RouteTable, step: Step): void {
  if (step.kind === "push") table.pushUpdate(step.route, 0, "10.9.9.9");
  else if (step.kind === "push-delete")
    table.pushDelete({ namespace: "ns", name: step.name, resourceVersion: rv(step.version) }, 0, "10.9.9.9");
}

function deliver(
  replicas: readonly TestReplica[],
  pushes: readonly Step[],
  orders: [number, boolean][][],
): Set<Step> {
  const arrived = new Set<Step>();
  for (const [index, { table }] of replicas.entries()) {
    const order = pushes
      .map((step, at) => ({
        step,
        sort: orders[index]?.[at % 50]?.[0] ?? 0,
        lost: orders[index]?.[at % 50]?.[1],
      }))
      .filter(({ lost }) => !lost)
      .sort((a, b) => a.sort - b.sort);
    for (const { step } of order) {
      push(table, step);
      arrived.add(step);
    }
  }
  return arrived;
}

/**
 * What is in effect, as people see it. Not which of two is served that have one pod IP: that depends on what a replica knows of
 * the moment at which each took it (rule 10), and one whose watermark is higher knows more.
 */
function effects({ table }: TestReplica): string {
  const keys = ["ns/a", "ns/b", "ns/c", "ns/d"] as const;
  return keys
    .map((key) => {
      const { inEffect } = table.inspect(key) ?? {};
      if (!inEffect || inEffect.state === "dead") return `${key} nothing`;
      const { route, state } = inEffect;
      return [key, route.resourceVersion, route.uid, route.ip, state].join(" ");
    })
    .join("\n");
}

test("three routers without an informer", async () => {
  await fc.assert(
    fc.asyncProperty(happenings, deliveries, async (steps, orders) => {
      const moments = timeline(steps);
      const replicas = ["a", "b", "c"].map((name) => testReplica(name));
      const arrived = deliver(replicas, pushesOf(moments), orders);
      await compareAll(replicas);
      const [one, ...others] = replicas.map(effects);
      for (const other of others) expect(other).toBe(one);
      const roots = replicas.map(({ local }) => local.digest().root);
      expect(new Set(roots).size).toBe(1);
      // And what they agree on is the newest that any of them was told; death wins ties.
      for (const name of ["a", "b", "c", "d"]) {
        let newest = 0;
        let end = 0;
        for (const step of arrived) {
          if (step.kind === "push" && step.route.name === name)
            newest = Math.max(newest, Number(step.route.resourceVersion));
          if (step.kind === "push-delete" && step.name === name) end = Math.max(end, step.version);
        }
        const version = replicas[0]?.table.inspect(`ns/${name}`)?.inEffect?.route.resourceVersion;
        expect(Number(version ?? 0)).toBe(newest > end ? newest : 0);
      }
    }),
    { numRuns: RUNS },
  );
});

describe("three routers that watch, one further behind than the other, while the API server is away", () => {
  test("all end equal, and nothing is in effect that one of them saw end", async () => {
    await fc.assert(
      fc.asyncProperty(
        happenings,
        deliveries,
        fc.array(fc.nat({ max: 24 }), { minLength: 3, maxLength: 3 }),
        async (steps, orders, listedAt) => {
          const moments = timeline(steps);
          const replicas = ["a", "b", "c"].map((name) => testReplica(name, { scopes: [""] }));
          const watermarks = listedAt.map((at) => 5 + 10 * Math.min(at, moments.length));
          for (const [index, { table }] of replicas.entries()) {
            const version = watermarks[index] ?? 5;
            table.relist("", rv(version), stateOf(moments, version).map(observationOf), 0);
          }
          deliver(replicas, pushesOf(moments), orders);
          await compareAll(replicas);
          const [one, ...others] = replicas.map(effects);
          for (const other of others) expect(other).toBe(one);
          const furthest = Math.max(...watermarks);
          for (const { table } of replicas) {
            for (const key of ["ns/a", "ns/b", "ns/c", "ns/d"] as const) {
              const route = table.inspect(key)?.inEffect?.route;
              const ended = moments.findLast(
                (moment) =>
                  moment.key === key &&
                  moment.version <= furthest &&
                  (moment.route === undefined || moment.route.state === "dead"),
              );
              if (!route || !ended || route.state === "dead") continue;
              expect(compareResourceVersions(route.resourceVersion, rv(ended.version))).toBeGreaterThan(0);
            }
          }
          // The informers deliver the rest; then nothing is left of what they told each other.
          const end = moments.length * 10 + 5;
          for (const [index, { table }] of replicas.entries()) {
            for (const moment of moments.filter(({ version }) => version > (watermarks[index] ?? 5))) {
              if (moment.gone) table.remove("", "ns", moment.name, moment.uid, rv(moment.version), 0);
              else table.observe("", observationOf(moment), 0);
            }
            table.bookmark("", rv(end), 0);
            expect(table.stats().hints).toBe(0);
          }
          const roots = replicas.map(({ table }) => effects({ table } as TestReplica));
          expect(new Set(roots).size).toBe(1);
        },
      ),
      { numRuns: RUNS },
    );
  });
});
