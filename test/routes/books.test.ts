import { isIP, SocketAddress } from "node:net";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Incarnation, RouteInEffect } from "../../src/routes/lookup.ts";
import { hasPod, isTerminal, objectKey, type ObjectKey, routingId } from "../../src/routes/route.ts";
import { type RouteTable } from "../../src/routes/table.ts";
import { makeRoute, observe, rv } from "./support/timeline.ts";
import { newTable } from "../support/defaults.ts";

// The table keeps indexes, counts and incarnations up to date as it goes. After every operation of a random life they
// must be what one gets by working them out anew from the entries.

const NAMESPACES = ["n1", "n2", "n3"];
const NAMES = ["a", "b", "c"];
const IDS = ["short", "SHORT", "other", "n1--a", "x--y"];
const IPS = ["10.0.0.1", "10.0.0.2", "", "bogus", "fd00::1", "FD00:0::1", "::ffff:10.0.0.1"];
const STATES = ["running", "running", "running", "paused", "creating", "available", "dead", "future"];

const route = fc.record({
  namespace: fc.constantFrom(...NAMESPACES),
  name: fc.constantFrom(...NAMES),
  uid: fc.constantFrom("u1", "u2"),
  id: fc.constantFrom(...IDS),
  ip: fc.constantFrom(...IPS),
  state: fc.constantFrom(...STATES),
  podUid: fc.option(fc.constantFrom("p1", "p2"), { nil: undefined }),
  shutdownInMs: fc.option(fc.integer({ min: -20, max: 80 }), { nil: undefined }),
  ending: fc.boolean(),
});
const operation = fc.record({
  kind: fc.constantFrom(
    "observe",
    "observe",
    "remove",
    "relist",
    "bookmark",
    "live",
    "push",
    "push",
    "delete",
    "time",
  ),
  route,
  others: fc.array(route, { maxLength: 5 }),
  /** Relative to the watermark. */
  step: fc.integer({ min: -4, max: 9 }),
  waitMs: fc.integer({ min: 0, max: 60 }),
  yes: fc.boolean(),
});
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

class Life {
  readonly table: RouteTable;
  readonly #scopes: readonly string[];
  readonly #alive = new Map<number, Incarnation>();
  readonly #ended = new Set<number>();
  /** What ended in the operation at hand. */
  #endedNow: Incarnation[] = [];
  readonly #watermarks = new Map<string, number>();
  #nowMs = 1_000;

  constructor(scopes: readonly string[] | "none") {
    this.#scopes = scopes === "none" ? [] : scopes;
    this.table = newTable({
      scopes,
      hintTtlMs: 60,
      tombstoneTtlMs: 200,
      maxHints: 4,
      maxTombstones: 4,
    });
    this.table.addListener({
      // One may begin and end within a mutation, unseen: when a list takes first one holder of an IP away, then another.
      incarnationEnded: (incarnation) => {
        const { number } = incarnation;
        this.#endedNow.push(incarnation);
        expect(this.#ended.has(number), `incarnation ${number} ended twice`).toBe(false);
        this.#ended.add(number);
        this.#alive.delete(number);
      },
    });
  }

  do({ kind, route, others, step, waitMs, yes }: Operation): void {
    this.#nowMs += waitMs;
    this.#endedNow = [];
    const scope = this.#scopes.find((name) => name === "" || name === route.namespace);
    const version = Math.max(1, (this.#watermarks.get(scope ?? "") ?? 10) + step);
    switch (kind) {
      case "push":
        this.table.pushUpdate(this.#route(route, version), this.#nowMs);
        break;
      case "delete":
        this.table.pushDelete({ ...route, resourceVersion: String(version) }, this.#nowMs);
        break;
      case "time":
        this.table.advance(this.#nowMs);
        break;
      case "observe":
      case "remove":
      case "relist":
      case "bookmark":
      case "live":
        if (scope !== undefined) this.#informer(kind, scope, version, [route, ...others], yes);
    }
    this.#note();
  }

  #informer(kind: string, scope: string, version: number, routes: Operation["others"], yes: boolean): void {
    const [first] = routes;
    if (!first) return;
    const observation = (fields: Operation["route"]) => ({
      ...observe(this.#route(fields, version)),
      ...(fields.ending && { route: undefined }),
    });
    const listed = new Map(
      routes
        .filter(({ namespace }) => scope === "" || namespace === scope)
        .map((fields) => [`${fields.namespace}/${fields.name}`, observation(fields)]),
    );
    if (kind === "observe") this.table.observe(scope, observation(first), this.#nowMs);
    else if (kind === "bookmark") this.table.bookmark(scope, rv(version), this.#nowMs);
    else if (kind === "live") this.table.setLive(scope, yes, this.#nowMs);
    else if (kind === "remove") {
      this.table.remove(scope, first.namespace, first.name, yes ? first.uid : "", rv(version), this.#nowMs);
    } else if (this.table.relist(scope, rv(version), [...listed.values()], this.#nowMs) === "behind" && yes) {
      this.table.startOver(scope, rv(version), [...listed.values()], this.#nowMs);
    }
  }

  #route({ namespace, name, uid, id, ip, state, podUid, shutdownInMs }: Operation["route"], version: number) {
    const shutdownAtMs = shutdownInMs === undefined ? undefined : this.#nowMs + shutdownInMs;
    const fields = { namespace, uid, ip, state, podUid, shutdownAtMs };
    return makeRoute(name, version, { ...fields, id: routingId(namespace, name, id) });
  }

  #note(): void {
    for (const { name, watermark } of this.table.stats().scopes)
      this.#watermarks.set(name, Number(watermark));
  }

  /** Works everything out anew. */
  check(): void {
    const { table } = this;
    const routes: RouteInEffect[] = [];
    const count = { entries: 0, hints: 0, tombstones: 0 };
    const kinds = { hint: "hints", tombstone: "tombstones" } as const;
    for (const key of table.keys()) {
      const view = table.inspect(key);
      expect(view?.facts.length, `${key} is kept for nothing`).toBeGreaterThan(0);
      count.entries++;
      for (const { kind } of view?.facts ?? []) if (kind in kinds) count[kinds[kind as keyof typeof kinds]]++;
      if (view?.inEffect) routes.push(view.inEffect);
    }
    const states = new Map<string, number>();
    for (const { state } of routes) states.set(state, (states.get(state) ?? 0) + 1);
    const served = routes.filter(({ incarnation }) => incarnation);
    const byId = Map.groupBy(routes, ({ route }) => route.id.toLowerCase());
    const byIp = Map.groupBy(
      routes.filter(({ route, state }) => hasPod(state) && isIP(route.ip) !== 0),
      ({ route }) => oneSpelling(route.ip),
    );

    const stats = table.stats();
    expect(stats).toMatchObject({ ...count, servable: served.length });
    expect(new Map(stats.states)).toEqual(states);
    expect(stats.ipConflicts).toBe([...byIp.values()].filter((holders) => holders.length > 1).length);
    this.#checkIncarnations(served);
    this.#checkEnds(served);
    this.#checkIds(byId, stats.idConflicts);
    for (const [ip, holders] of byIp) {
      expect(holders.filter(({ incarnation }) => incarnation).length, `${ip} is served for`).toBeLessThan(2);
      if (holders.length === 1) expect(holders[0]?.ipReassigned, `${ip} has one holder`).toBe(false);
    }
  }

  #checkIncarnations(served: readonly RouteInEffect[]): void {
    for (const { route, state, ipReassigned, incarnation } of served) {
      if (!incarnation) continue;
      expect({ state, ipReassigned, ip: route.ip, uid: route.uid }).toEqual({
        state: "running",
        ipReassigned: false,
        ip: incarnation.ip,
        uid: incarnation.uid,
      });
      expect(this.#ended.has(incarnation.number), `incarnation ${incarnation.number} has ended`).toBe(false);
      const known = this.#alive.get(incarnation.number);
      if (known) expect(known).toBe(incarnation);
      this.#alive.set(incarnation.number, incarnation);
    }
    const now = new Set(served.map(({ incarnation }) => incarnation?.number));
    expect(new Set<number | undefined>(this.#alive.keys())).toEqual(now);
  }

  /** Nobody's connections are reset for what happened to another. */
  #checkEnds(served: readonly RouteInEffect[]): void {
    for (const ended of this.#endedNow) {
      const begun = served.find(({ incarnation }) => incarnation?.key === ended.key)?.incarnation;
      if (begun === undefined) continue;
      expect(identityOf(begun), `${ended.key} ended and began again as it was`).not.toEqual(
        identityOf(ended),
      );
    }
  }

  #checkIds(byId: ReadonlyMap<string, readonly RouteInEffect[]>, conflicts: number): void {
    let disputed = 0;
    for (const [id, claimants] of byId) {
      const living = claimants.filter(({ state }) => !isTerminal(state));
      const found = this.table.lookup(id.toUpperCase());
      if (living.length > 1) {
        disputed++;
        const keys: ObjectKey[] = living.map(({ route }) => objectKey(route.namespace, route.name)).sort();
        expect(found).toEqual({ kind: "id_conflict", keys });
      } else {
        expect(living.length === 1 ? living : claimants).toContain(found);
      }
    }
    expect(conflicts).toBe(disputed);
    const every = [
      ...IDS,
      ...NAMESPACES.flatMap((namespace) => NAMES.map((name) => `${namespace}--${name}`)),
    ];
    for (const id of every.filter((id) => !byId.has(id.toLowerCase()))) {
      expect(this.table.lookup(id).kind, `${id} is nobody's`).toBe("unknown");
    }
  }

  /** The cluster is emptied: nothing may be left. */
  end(): void {
    for (const scope of this.#scopes) this.table.relist(scope, rv(10 ** 9), [], this.#nowMs);
    if (this.#scopes.length > 0) {
      expect(this.table.stats()).toMatchObject({
        entries: 0,
        servable: 0,
        hints: 0,
        tombstones: 0,
        ipConflicts: 0,
      });
    }
  }
}

/** What tells one life from another that begins in the same mutation. */
function identityOf(incarnation: Incarnation): unknown {
  const { uid, ip } = incarnation;
  return { uid, ip, podUid: "podUid" in incarnation ? incarnation.podUid : undefined };
}

function oneSpelling(ip: string): string {
  if (isIP(ip) === 4) return ip;
  return new SocketAddress({ address: ip, family: "ipv6" }).address.replace("::ffff:10", "10");
}

for (const scopes of [[""], ["n1", "n2"], "none"] as const) {
  test(`books and indexes are what the facts say, scopes ${JSON.stringify(scopes)}`, () => {
    fc.assert(
      fc.property(fc.array(operation, { minLength: 5, maxLength: 60 }), (operations) => {
        const life = new Life(scopes);
        for (const each of operations) {
          life.do(each);
          life.check();
        }
        life.end();
        life.check();
      }),
      { numRuns: 600 },
    );
  });
}
