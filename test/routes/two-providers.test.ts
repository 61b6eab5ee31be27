import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  inLookupOrder,
  type Provider,
  providerOf,
  realNamespace,
  tableNamespace,
} from "../../src/routes/provider.ts";
import { RULES, type Rules } from "../../src/routes/rules.ts";
import { newTable } from "../support/defaults.ts";
import {
  informerScripts,
  interleavings,
  pushesOf,
  type Step,
  type Violation,
  Witness,
} from "./support/explorer.ts";
import { HAPPENINGS, makeRoute, type Moment, observe, rv, timeline } from "./support/timeline.ts";

// docs/agent-sandbox.md#one-table: objects of two CRDs in one table, each CRD with an informer of its own.

const OTHER: Provider = "agents.x-k8s.io:";
const PROVIDERS = ["", OTHER] as const;
/** `k…` are of the other CRD. */
const namespaceOf = (name: string): string => (name.startsWith("k") ? tableNamespace(OTHER, "ns") : "ns");

const on = (namespace: string, name: string, version: number, fields: Parameters<typeof makeRoute>[2] = {}) =>
  observe(makeRoute(name, version, { namespace, uid: `${namespace}/${name}`, ...fields }));

function table() {
  const made = newTable({ scopes: PROVIDERS });
  for (const provider of PROVIDERS) made.relist(provider, rv(10), [], 0);
  return made;
}

describe("what the table calls a namespace", () => {
  test("it says the provider, and the namespace again", () => {
    expect(tableNamespace(OTHER, "team-a")).toBe("agents.x-k8s.io:team-a");
    expect(tableNamespace("", "team-a")).toBe("team-a");
    for (const namespace of ["team-a", "agents.x-k8s.io:team-a"]) {
      expect(tableNamespace(providerOf(namespace), realNamespace(namespace))).toBe(namespace);
    }
    expect(inLookupOrder(["", OTHER, ""])).toEqual([OTHER, ""]);
  });

  test("a scope of all namespaces of one CRD stands beside those of another, and alone among its own", () => {
    expect(() => newTable({ scopes: ["", OTHER] })).not.toThrow();
    expect(() => newTable({ scopes: ["ns", OTHER] })).not.toThrow();
    expect(() => newTable({ scopes: ["ns", `${OTHER}ns`] })).not.toThrow();
    expect(() => newTable({ scopes: [OTHER, `${OTHER}ns`] })).toThrow(/stands alone/);
    expect(() => newTable({ scopes: ["", "ns"] })).toThrow(/stands alone/);
  });
});

describe("one namespace and name in two CRDs", () => {
  const OBJECT = { id: "ns--box" };

  test("a list of one CRD says nothing of the other's objects", () => {
    const t = table();
    t.observe("", on("ns", "box", 11, { id: "first" }), 0);
    t.observe(OTHER, on(`${OTHER}ns`, "box", 12, { id: "second", ip: "10.0.0.2" }), 0);
    expect(t.relist(OTHER, rv(20), [], 0)).toBe("applied");
    expect(t.lookup("first").kind).toBe("found");
    expect(t.lookup("second").kind).toBe("unknown");
    t.startOver(OTHER, rv(3), [], 0);
    expect(t.lookup("first").kind).toBe("found");
  });

  test("the watermark of one CRD does not make the other's events, or pushes, old", () => {
    const t = table();
    t.bookmark(OTHER, rv(1000), 0);
    expect(t.observe("", on("ns", "box", 11), 0)).toBe("applied");
    expect(t.pushUpdate(makeRoute("pushed", 12, { ip: "10.0.0.2" }), 0)).toBe("applied");
    expect(t.relist("", rv(20), [], 0)).toBe("applied");
  });

  test("an ID that both claim is served for neither, by whatever name, and both are told", () => {
    const t = table();
    t.observe("", on("ns", "box", 11, OBJECT), 0);
    t.observe(OTHER, on(`${OTHER}ns`, "box", 12, { ...OBJECT, ip: "10.0.0.2" }), 0);
    const conflict = { kind: "id_conflict", keys: ["agents.x-k8s.io:ns/box", "ns/box"] };
    expect(t.lookup("ns--box")).toEqual(conflict);
    expect(t.lookupObject("ns", "box")).toEqual(conflict);
  });

  test("a request that names an object gets the other CRD's first, else the only one that lives, else what is left", () => {
    const t = table();
    t.observe("", on("ns", "box", 11, { id: "first" }), 0);
    expect(t.lookupObject("ns", "box")).toMatchObject({ route: { id: "first" } });
    t.observe(OTHER, on(`${OTHER}ns`, "box", 12, { id: "second", ip: "10.0.0.2" }), 0);
    expect(t.lookupObject("ns", "box")).toMatchObject({ route: { id: "second" } });
    t.observe(OTHER, on(`${OTHER}ns`, "box", 13, { id: "second", ip: "", state: "dead" }), 0);
    expect(t.lookupObject("ns", "box")).toMatchObject({ route: { id: "first" } });
    t.remove("", "ns", "box", "", rv(14), 0);
    expect(t.lookupObject("ns", "box")).toMatchObject({ route: { id: "second" }, state: "dead" });
    t.remove(OTHER, `${OTHER}ns`, "box", "", rv(15), 0);
    expect(t.lookupObject("ns", "box")).toEqual({ kind: "unknown" });
  });

  test("no push names an object of the other CRD", () => {
    const t = table();
    t.observe(OTHER, on(`${OTHER}ns`, "box", 12, OBJECT), 0);
    expect(t.pushUpdate(makeRoute("box", 30, { namespace: `${OTHER}ns` }), 0)).toBe("invalid_key");
    expect(t.pushDelete({ namespace: `${OTHER}ns`, name: "box", resourceVersion: rv(30) }, 0)).toBe(
      "invalid_key",
    );
    expect(t.pushDelete({ namespace: "ns", name: "box", resourceVersion: rv(30) }, 0)).toBe("applied");
    expect(t.lookupObject("ns", "box")).toMatchObject({ state: "running" });
  });

  test("with the other CRD alone, a push has no scope", () => {
    const t = newTable({ scopes: [OTHER] });
    t.relist(OTHER, rv(10), [on(`${OTHER}ns`, "box", 5, OBJECT)], 0);
    expect(t.pushUpdate(makeRoute("box", 30), 0)).toBe("ignored_out_of_scope");
    expect(t.lookupObject("ns", "box")).toMatchObject({ state: "running" });
  });
});

describe("one pod IP in two CRDs: versions do not tell who was later", () => {
  test("neither is served until one lets go", () => {
    for (const letsGo of PROVIDERS) {
      const t = table();
      t.observe("", on("ns", "old", 11), 0);
      t.observe(OTHER, on(`${OTHER}ns`, "new", 12, { id: "new" }), 0);
      const served = () => [...t.keys()].filter((key) => t.inspect(key)?.inEffect?.incarnation);
      expect(served()).toEqual([]);
      expect(t.stats().ipConflicts).toBe(1);
      if (letsGo === "") t.remove("", "ns", "old", "", rv(13), 0);
      else t.observe(OTHER, on(`${OTHER}ns`, "new", 13, { id: "new", ip: "", state: "paused" }), 0);
      expect(served()).toEqual([letsGo === "" ? `${OTHER}ns/new` : "ns/old"]);
    }
  });
});

describe("a CRD that is not installed", () => {
  test("the table does not wait for it when another is listed, and takes its list when it comes", () => {
    const t = newTable({ scopes: PROVIDERS });
    t.setMissing(OTHER, 0);
    expect(t.synced).toBe(false);
    t.relist("", rv(10), [], 0);
    expect(t.synced).toBe(true);
    t.relist(OTHER, rv(11), [on(`${OTHER}ns`, "box", 9)], 0);
    expect(t.lookupObject("ns", "box").kind).toBe("found");
    expect(t.stats().scopes.map(({ missing }) => missing)).toEqual([false, false]);
  });

  test("with none of them installed the table is not synced", () => {
    const t = newTable({ scopes: PROVIDERS });
    for (const provider of PROVIDERS) t.setMissing(provider, 0);
    expect(t.synced).toBe(false);
  });
});

/** All scripts of an informer but those with a restart of the router, which would have to be one for both. */
function scriptsOf(moments: readonly Moment[], provider: Provider): Step[][] {
  return informerScripts(moments, provider).filter(
    (script) => !script.some(({ kind }) => kind === "restart"),
  );
}

/** Tells a table timelines in every seventh merging of every way of the two informers (all of them take a minute). */
function exploreBoth(rules: Rules = RULES): { histories: number; violation: Violation | undefined } {
  let merging = 0;
  let histories = 0;
  for (const a of HAPPENINGS)
    for (const k of HAPPENINGS)
      for (const first of ["a", "k"]) {
        const runs = [["a", "run-x"] as const, ["k", "run-x"] as const];
        const steps = [...(first === "a" ? runs : runs.toReversed()), ["a", a] as const, ["k", k] as const];
        const moments = timeline(steps, namespaceOf);
        const [ours, theirs] = [scriptsOf(moments, ""), scriptsOf(moments, OTHER)];
        for (const script of ours)
          for (const other of theirs)
            // The last step of each, which brings the watermark to the end, comes last.
            for (const order of interleavings(script.slice(0, -1), other.slice(0, -1))) {
              if (merging++ % 7 > 0) continue;
              histories++;
              const witness = new Witness(moments, rules, PROVIDERS);
              for (const step of [...order, ...script.slice(-1), ...other.slice(-1)]) {
                const violation = witness.take(step);
                if (violation) return { histories, violation };
              }
              const violation = witness.notConverged();
              if (violation) return { histories, violation };
            }
      }
  return { histories, violation: undefined };
}

describe("mergings of two informers' ways, one sandbox of each CRD with one ID and one IP", () => {
  test("no resurrection, never two served, full convergence", () => {
    const { histories, violation } = exploreBoth();
    expect(violation).toBeUndefined();
    expect(histories).toBeGreaterThan(3_000);
  });

  for (const [what, change] of Object.entries({
    "the first of two that hold an ID is served": { idHolder: (living) => (living > 0 ? 0 : undefined) },
    "any of two that hold an IP is served": { areComparable: () => true, tookIpLater: () => true },
    "what a list lacks stays": { isGone: () => false },
  } satisfies Record<string, Partial<Rules>>)) {
    test(`it finds the bug when ${what}`, () => {
      expect(exploreBoth({ ...RULES, ...change }).violation?.what).toBeTypeOf("string");
    });
  }
});

test("long random histories of four sandboxes of two CRDs, with pushes of the first's", () => {
  const step = fc.tuple(fc.constantFrom("a", "b", "k", "kk"), fc.constantFrom(...HAPPENINGS));
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 4, maxLength: 24 }),
      fc.tuple(fc.nat(), fc.nat()),
      fc.array(fc.boolean(), { minLength: 80, maxLength: 80 }),
      fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 30 }),
      (steps, scriptPicks, turns, pushPicks) => {
        const moments = timeline(steps, namespaceOf);
        const pushes = pushesOf(moments);
        const ways = PROVIDERS.map((provider, index) => {
          const scripts = scriptsOf(moments, provider);
          return scripts[(scriptPicks[index] ?? 0) % scripts.length] as Step[];
        });
        const lasts = ways.map((way) => way.at(-1) as Step);
        const rests = ways.map((way) => way.slice(0, -1));
        const order: Step[] = [];
        for (const turn of turns) {
          const next = rests[Number(turn)]?.shift() ?? rests[Number(!turn)]?.shift();
          if (next) order.push(next);
        }
        order.push(...rests.flat());
        if (pushes.length > 0) {
          for (const [push, at] of pushPicks)
            order.splice(at % (order.length + 1), 0, pushes[push % pushes.length] as Step);
        }
        const witness = new Witness(moments, RULES, PROVIDERS);
        for (const told of [...order, ...lasts]) expect(witness.take(told)).toBeUndefined();
        expect(witness.notConverged()).toBeUndefined();
      },
    ),
    { numRuns: 2_000 },
  );
});
