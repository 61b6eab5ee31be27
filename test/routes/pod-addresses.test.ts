import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Incarnation } from "../../src/routes/lookup.ts";
import { makeRoute, observe, rv } from "./support/timeline.ts";
import { newTable } from "../support/defaults.ts";

// What no pod can have as its IP is never served, whoever wrote it.

const REFUSED = "127.0.0.1";
const notLoopback = (ip: string) => !ip.startsWith("127.");

function table(isPodAddress = notLoopback) {
  const made = newTable({ scopes: [""], isPodAddress });
  const refused: string[] = [];
  const ended: string[] = [];
  made.addListener({
    podIpRefused: (source, key, ip) => void refused.push(`${source} ${key} ${ip}`),
    incarnationEnded: ({ ip }: Incarnation, reason) => void ended.push(`${ip} ${reason}`),
  });
  return { made, refused, ended };
}

describe("an IP that no pod can have", () => {
  test("is not served when the informer lists it, and is shown as what it is", () => {
    const { made, refused } = table();
    made.relist("", rv(10), [observe(makeRoute("one", 5, { ip: REFUSED }))], 0);
    expect(made.lookup("ns--one")).toMatchObject({
      kind: "found",
      state: "ip_not_allowed",
      incarnation: undefined,
      route: { ip: REFUSED, state: "running" },
    });
    expect(made.stats()).toMatchObject({ servable: 0, states: new Map([["ip_not_allowed", 1]]) });
    expect(refused).toEqual([`informer ns/one ${REFUSED}`]);
  });

  test("is not served when an event or a push brings it, and ends the life behind the address before", () => {
    const { made, refused, ended } = table();
    made.relist("", rv(10), [observe(makeRoute("a", 5, { ip: "10.0.0.1" }))], 0);
    expect(made.lookup("ns--a")).toMatchObject({ incarnation: { ip: "10.0.0.1" } });
    made.observe("", observe(makeRoute("a", 12, { ip: REFUSED })), 0);
    expect(made.lookup("ns--a")).toMatchObject({ state: "ip_not_allowed", incarnation: undefined });
    expect(made.pushUpdate(makeRoute("b", 20, { ip: REFUSED }), 0)).toBe("applied");
    expect(made.lookup("ns--b")).toMatchObject({ state: "ip_not_allowed", incarnation: undefined });
    expect(refused).toEqual([`informer ns/a ${REFUSED}`, `peer ns/b ${REFUSED}`]);
    expect(ended).toEqual(["10.0.0.1 ip_moved"]);
    // A right address heals it.
    made.observe("", observe(makeRoute("a", 21, { ip: "10.0.0.2" })), 0);
    expect(made.lookup("ns--a")).toMatchObject({ state: "running", incarnation: { ip: "10.0.0.2" } });
  });

  test("leaves what has no pod as it is: paused, dead, without an IP", () => {
    const { made, refused } = table();
    const listed = [
      observe(makeRoute("paused", 5, { ip: REFUSED, state: "paused" })),
      observe(makeRoute("dead", 6, { ip: REFUSED, state: "dead" })),
      observe(makeRoute("new", 7, { ip: "", state: "creating" })),
    ];
    made.relist("", rv(10), listed, 0);
    expect([...made.stats().states.keys()].sort()).toEqual(["creating", "dead", "paused"]);
    expect(refused).toEqual([]);
    made.observe("", observe(makeRoute("paused", 11, { ip: REFUSED })), 0);
    expect(made.lookup("ns--paused")).toMatchObject({ state: "ip_not_allowed" });
  });

  test("is held against nobody: no other route is `ip_reassigned` for it", () => {
    let refuse = false;
    const { made, ended } = table((ip) => !(refuse && ip === "10.0.0.9"));
    made.relist("", rv(10), [observe(makeRoute("one", 5, { ip: "10.0.0.9" }))], 0);
    made.observe("", observe(makeRoute("two", 11, { ip: "10.0.0.9" })), 0);
    expect(made.stats().ipConflicts).toBe(1);
    expect(made.lookup("ns--two")).toMatchObject({ incarnation: { ip: "10.0.0.9" } });
    refuse = true;
    made.podAddressesChanged(0);
    expect(made.stats()).toMatchObject({ ipConflicts: 0, servable: 0 });
    expect(ended).toContain("10.0.0.9 not_running");
    refuse = false;
    made.podAddressesChanged(0);
    expect(made.lookup("ns--one")).toMatchObject({ ipReassigned: true });
    expect(made.lookup("ns--two")).toMatchObject({ incarnation: { ip: "10.0.0.9" } });
  });
});

type Step =
  | {
      readonly kind: "list" | "event" | "push";
      readonly name: string;
      readonly ip: string;
      readonly state: string;
    }
  | { readonly kind: "change"; readonly refused: readonly string[] };

const NAMES = ["a", "b", "c"];
const IPS = ["10.0.0.1", "10.0.0.2", "127.0.0.1", ""];

const steps = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constantFrom("list" as const, "event" as const, "push" as const),
      name: fc.constantFrom(...NAMES),
      ip: fc.constantFrom(...IPS),
      state: fc.constantFrom("running", "paused", "creating", "available", "dead"),
    }),
    fc.record({ kind: fc.constant("change" as const), refused: fc.subarray(IPS) }),
  ),
  { maxLength: 30 },
);

test("in no history has a route with a refused IP an incarnation, and the books agree with a table built anew", () => {
  fc.assert(
    fc.property(steps, (history: readonly Step[]) => {
      let refused: readonly string[] = ["127.0.0.1"];
      const { made } = table((ip) => !refused.includes(ip));
      let version = 1;
      made.relist("", rv(version), [], 0);
      for (const step of history) {
        version += 1;
        if (step.kind === "change") {
          ({ refused } = step);
          made.podAddressesChanged(0);
        } else {
          const { kind, name, ip, state } = step;
          const route = makeRoute(name, version, { ip, state });
          if (kind === "list") made.relist("", rv(version), [observe(route)], 0);
          else if (kind === "event") made.observe("", observe(route), 0);
          else made.pushUpdate(route, 0);
        }
        let servable = 0;
        const states = new Map<string, number>();
        for (const key of made.keys()) {
          const inEffect = made.inspect(key)?.inEffect;
          if (!inEffect) continue;
          const { route, state, incarnation } = inEffect;
          states.set(state, (states.get(state) ?? 0) + 1);
          if (incarnation) servable += 1;
          const hasPod = ["running", "creating", "available"].includes(route.state);
          const isRefused = hasPod && route.ip !== "" && refused.includes(route.ip);
          expect(state).toBe(isRefused ? "ip_not_allowed" : route.state);
          if (isRefused) expect(incarnation).toBeUndefined();
        }
        expect(made.stats().servable).toBe(servable);
        expect(Object.fromEntries(made.stats().states)).toEqual(Object.fromEntries(states));
      }
    }),
    { numRuns: 300 },
  );
});
