import fc from "fast-check";
import { objectKey, routingId } from "../../../src/routes/route.ts";
import { makeRoute, observe, rv } from "../../routes/support/timeline.ts";
import { newTable } from "../../support/defaults.ts";

// Random lives of a small table: few names, IDs and IPs, so that they collide all the time.

const NAMESPACES = ["n1", "n2"];
const NAMES = ["a", "b", "c"];
const LABELS = ["short", "SHORT", "other", "x--y"];
const IPS = ["10.0.0.1", "10.0.0.1", "10.0.0.2", "", "fd00::1"];
const STATES = ["running", "running", "running", "running", "paused", "paused", "creating", "dead", "future"];

/** Every ID that a route of such a life can have, and one that none has. */
export const IDS: readonly string[] = [
  ...LABELS,
  "nobody",
  ...NAMESPACES.flatMap((namespace) => NAMES.map((name) => `${namespace}--${name}`)),
];

/** Every object of such a life. */
export const OBJECTS: readonly (readonly [namespace: string, name: string])[] = NAMESPACES.flatMap(
  (namespace) => NAMES.map((name) => [namespace, name] as const),
);

const route = fc.record({
  namespace: fc.constantFrom(...NAMESPACES),
  name: fc.constantFrom(...NAMES),
  uid: fc.constantFrom("u1", "u2"),
  label: fc.constantFrom(...LABELS),
  ip: fc.constantFrom(...IPS),
  state: fc.constantFrom(...STATES),
  podUid: fc.option(fc.constantFrom("p1", "p2"), { nil: undefined }),
  shutdownInMs: fc.option(fc.integer({ min: -20, max: 80 }), { nil: undefined }),
  accessToken: fc.constantFrom("", "secret"),
});

/** Something that happens to a table. */
export const mutation = fc.record({
  kind: fc.constantFrom(
    "observe",
    "observe",
    "observe",
    "remove",
    "relist",
    "bookmark",
    "push",
    "push",
    "delete",
    "time",
  ),
  route,
  others: fc.array(route, { maxLength: 6 }),
  /** Relative to the watermark. */
  step: fc.integer({ min: -2, max: 9 }),
  waitMs: fc.integer({ min: 0, max: 60 }),
});
export type Mutation = typeof mutation extends fc.Arbitrary<infer T> ? T : never;

/** A table with a small informer and peers that say what they are told to. */
export class TableLife {
  readonly table = newTable({ scopes: [""], hintTtlMs: 60, tombstoneTtlMs: 200 });
  #nowMs = 1_000;

  mutate({ kind, route, others, step, waitMs }: Mutation): void {
    this.#nowMs += waitMs;
    const { table } = this;
    const nowMs = this.#nowMs;
    const watermark = Number(table.stats().scopes[0]?.watermark ?? 0) || 10;
    const version = Math.max(1, watermark + step);
    const { namespace, name, uid } = route;
    if (kind === "observe") table.observe("", observe(this.#route(route, version)), nowMs);
    else if (kind === "remove") table.remove("", namespace, name, uid, rv(version), nowMs);
    else if (kind === "bookmark") table.bookmark("", rv(version), nowMs);
    else if (kind === "push") table.pushUpdate(this.#route(route, version), nowMs);
    else if (kind === "delete") table.pushDelete({ ...route, resourceVersion: String(version) }, nowMs);
    else if (kind === "time") table.advance(nowMs);
    else {
      const listed = new Map([route, ...others].map((each) => [objectKey(each.namespace, each.name), each]));
      const observations = [...listed.values()].map((each) => observe(this.#route(each, version)));
      table.relist("", rv(version), observations, nowMs);
    }
  }

  #route({ namespace, name, label, shutdownInMs, ...fields }: Mutation["route"], version: number) {
    const shutdownAtMs = shutdownInMs === undefined ? undefined : this.#nowMs + shutdownInMs;
    return makeRoute(name, version, {
      ...fields,
      namespace,
      shutdownAtMs,
      id: routingId(namespace, name, label),
    });
  }
}
