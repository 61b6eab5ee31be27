import { describe, expect, test } from "vitest";
import type { ObjectFacts } from "../../../src/routes/object-facts.ts";
import { compareFacts, type Difference } from "../../../src/peers/anti-entropy/compare-facts.ts";
import { answerExchange } from "../../../src/peers/anti-entropy/exchange-answers.ts";
import {
  ExchangeFault,
  readDigest,
  readFacts,
  readLeaves,
} from "../../../src/peers/anti-entropy/exchange-json.ts";
import { LEAVES, RangeDigests } from "../../../src/peers/anti-entropy/range-digests.ts";
import type { ReplicaFact, ReplicaScope } from "../../../src/peers/anti-entropy/replica-fact.ts";
import type { RouteTable } from "../../../src/routes/table.ts";
import { makeRoute, observe, rv } from "../../routes/support/timeline.ts";
import { comparisonOf, testReplica } from "./support.ts";

const scope = (watermark: number, watched = true): ReplicaScope => ({
  name: "",
  watched,
  watermark: rv(watermark),
});
const route = (version: number, fields = {}): ReplicaFact => ({
  namespace: "ns",
  name: "a",
  kind: "route",
  route: makeRoute("a", version, fields),
});
const deletion = (version: number): ReplicaFact => ({
  namespace: "ns",
  name: "a",
  kind: "deletion",
  version: rv(version),
});

function factsOf(tell: (table: RouteTable) => void): ObjectFacts | undefined {
  const { table } = testReplica("one", { scopes: [""] });
  tell(table);
  return table.factsOf("ns/a");
}

const running = (version: number) =>
  factsOf((table) => void table.relist("", rv(version), [observe(makeRoute("a", version))], 0));
const deleted = (version: number) =>
  factsOf(
    (table) => void table.pushDelete({ namespace: "ns", name: "a", resourceVersion: String(version) }, 0),
  );

/** What is learned, in short. */
function learned(difference: Difference): string {
  if (difference.kind === "update") return `update ${difference.route.resourceVersion}`;
  return difference.kind === "deletion" ? `deletion ${difference.version}` : difference.kind;
}

describe("what one replica learns from another of an object", () => {
  test.each<[string, ObjectFacts | undefined, ReplicaScope, ReplicaFact | undefined, ReplicaScope, string]>([
    ["the same", running(40), scope(50), route(40), scope(50), "same"],
    ["a newer route above the watermark", running(40), scope(50), route(60), scope(60), "update 60"],
    ["a route that the informer here has passed", running(40), scope(50), route(45), scope(45), "ours"],
    ["a route of an object that is not known here", undefined, scope(50), route(60), scope(60), "update 60"],
    ["a route that the informer here has seen end", undefined, scope(50), route(40), scope(45), "ours"],
    [
      "one version, two contents",
      running(40),
      scope(50),
      route(40, { ip: "10.6.6.6" }),
      scope(50),
      "conflict",
    ],
    ["a deletion", running(40), scope(50), deletion(40), scope(50), "deletion 40"],
    ["a deletion of an older life", running(40), scope(50), deletion(30), scope(50), "ours"],
    ["a deletion of what is not known here", undefined, scope(50), deletion(60), scope(50), "deletion 60"],
    ["a deletion that the informer here has passed", undefined, scope(50), deletion(45), scope(45), "ours"],
    ["a deletion that is known", deleted(60), scope(50), deletion(60), scope(50), "same"],
    ["an update below a deletion that is known", deleted(60), scope(50), route(55), scope(50), "ours"],
    [
      "nothing, by a watermark that has passed the object",
      running(40),
      scope(50),
      undefined,
      scope(70),
      "deletion 70",
    ],
    ["nothing, by a watermark that has not", running(40), scope(50), undefined, scope(30), "ours"],
    ["nothing, where the informer here is further", running(40), scope(50), undefined, scope(45), "conflict"],
    ["nothing, by a router without an informer", running(40), scope(50), undefined, scope(70, false), "ours"],
    ["nothing of what is deleted here", deleted(60), scope(50), undefined, scope(50), "ours"],
    [
      "what it has from a replica itself",
      running(40),
      scope(50),
      { namespace: "ns", name: "a", kind: "hearsay" },
      scope(60),
      "hearsay",
    ],
  ])("%s", (_what, mine, here, theirs, there, result) => {
    expect(learned(compareFacts(mine, here, theirs, there))).toBe(result);
  });
});

describe("a comparison", () => {
  const pair = (options = {}) => [testReplica("one", options), testReplica("two", options)] as const;

  test("counts a difference when a second look shows it still: what a watch delivers a moment later is no drift", async () => {
    const [one, two] = pair();
    two.table.pushUpdate(makeRoute("a", 10), 0, "10.9.9.9");
    const comparison = comparisonOf(one, "10.0.0.2", { looks: 2 });
    expect(await comparison.look(two.remote)).toMatchObject({
      standing: [],
      outcomes: [],
      isUnfinished: true,
    });
    expect(one.table.stats().entries).toBe(0);
    expect(await comparison.look(two.remote)).toMatchObject({ standing: ["update"], outcomes: ["applied"] });
    expect(await comparison.look(two.remote)).toEqual({ kind: "equal" });
  });

  test("does not pass on what a replica has from another: a wrong push would live for ever", async () => {
    const [one, two] = pair({ scopes: [""] });
    for (const { table } of [one, two]) table.relist("", rv(5), [], 0);
    two.table.pushUpdate(makeRoute("a", 10), 0, "replica 10.0.0.3", false, true);
    const look = await comparisonOf(one, "10.0.0.2").look(two.remote);
    expect(look).toMatchObject({ standing: ["hearsay"], outcomes: [] });
    expect(one.table.stats().entries).toBe(0);
  });

  test("does not pass on a rumour that nothing has settled", async () => {
    const [one, two] = pair({ scopes: [""], trust: "verify" });
    for (const { table } of [one, two]) table.relist("", rv(5), [observe(makeRoute("a", 4))], 0);
    two.table.pushUpdate(makeRoute("a", 10, { ip: "10.6.6.6" }), 0, "10.9.9.9");
    two.table.pushDelete({ namespace: "ns", name: "b", resourceVersion: "9" }, 0, "10.9.9.9");
    two.table.advance(10_000);
    expect(await comparisonOf(one, "10.0.0.2").look(two.remote)).toEqual({ kind: "equal" });
  });

  test("a fact of a replica waits for a read with trust: verify, as every push does", async () => {
    const [one, two] = pair({ scopes: [""], trust: "verify" });
    one.table.relist("", rv(5), [], 0);
    two.table.relist("", rv(20), [observe(makeRoute("a", 10))], 0);
    expect(await comparisonOf(one, "10.0.0.2").look(two.remote)).toMatchObject({ outcomes: ["unsettled"] });
    expect(one.table.isInDoubt("ns", "a")).toBe(true);
  });

  test("leaves routers aside that watch otherwise, and knows itself", async () => {
    const one = testReplica("one", { scopes: ["ns"] });
    const other = testReplica("two", { scopes: [""] });
    expect(await comparisonOf(one, "x").look(other.remote)).toEqual({ kind: "incomparable" });
    expect(await comparisonOf(one, "x").look(one.remote)).toEqual({ kind: "self" });
  });

  test("does not compare objects of other CRDs: nobody pushes them, so an informer's word is all that there is", async () => {
    const scopes = ["", "agents.x-k8s.io:"];
    const [one, other] = [testReplica("one", { scopes }), testReplica("two", { scopes })];
    for (const { table } of [one, other]) table.relist("", rv(50), [], 0);
    const box = { ...makeRoute("a", 40), namespace: "agents.x-k8s.io:ns" };
    other.table.relist("agents.x-k8s.io:", rv(50), [observe(box)], 0);
    expect(other.table.factsOf("agents.x-k8s.io:ns/a")?.confirmed?.route).toBeDefined();
    expect(one.local.digest()).toMatchObject({ ...other.local.digest(), instance: "one" });
    expect(other.local.scopes.map(({ name }) => name)).toEqual([""]);
  });

  test("of 3,000 objects takes as many pages as it needs, and no more than differ are repaired", async () => {
    const [one, two] = pair();
    for (let index = 0; index < 3_000; index++) {
      const made = makeRoute(`s-${index}`, index + 1, {
        ip: "",
        state: "creating",
        accessToken: "t".repeat(2_000),
      });
      two.table.pushUpdate(made, 0, "10.9.9.9");
      if (index % 3 > 0) one.table.pushUpdate(made, 0, "10.9.9.9");
    }
    const comparison = comparisonOf(one, "10.0.0.2");
    let repaired = 0;
    for (let look = await comparison.look(two.remote); look.kind === "different";) {
      repaired += look.outcomes.length;
      look = await comparison.look(two.remote);
    }
    expect(repaired).toBe(1_000);
    expect(one.local.digest().root).toBe(two.local.digest().root);
    expect(one.table.lookup("ns--s-0")).toMatchObject({ route: { accessToken: "t".repeat(2_000) } });
  });

  test("ends when the other's pages do not go on", async () => {
    const [one, two] = pair();
    two.table.pushUpdate(makeRoute("a", 10), 0, "10.9.9.9");
    const stuck = {
      ...two.remote,
      facts: () => Promise.resolve({ scopes: two.local.scopes, facts: [], next: "b" }),
    };
    await expect(comparisonOf(one, "10.0.0.2").look(stuck)).rejects.toThrow("do not go on");
  });
});

describe("digests", () => {
  test("are those of the objects, whatever happened before", () => {
    const [a, b] = [new RangeDigests(), new RangeDigests()];
    for (let index = 0; index < 500; index++) a.set(`ns/s-${index}`, `text ${index}`);
    for (let index = 499; index >= 0; index--) {
      b.set(`ns/s-${index}`, "something else");
      b.set(`ns/gone-${index}`, "gone soon");
      b.set(`ns/s-${index}`, `text ${index}`);
      b.set(`ns/gone-${index}`, undefined);
    }
    expect(b.root).toBe(a.root);
    expect(b.branches).toEqual(a.branches);
    expect(b.size).toBe(500);
    // No leaf has many more than its share.
    const counts = Array.from({ length: LEAVES }, (_, leaf) => [...a.keysOf(leaf)].length);
    expect(Math.max(...counts)).toBeLessThan(8);
    b.set("ns/s-7", "text 8");
    expect(b.root).not.toBe(a.root);
    expect(b.branches.filter((digest, at) => digest !== a.branches[at])).toHaveLength(1);
  });
});

describe("what a hostile replica answers", () => {
  const good = JSON.parse(
    answerExchange(testReplica("one").local, "/anti-entropy/digest", "").body,
  ) as object;
  test.each<[string, string]>([
    ["no JSON", "{"],
    ["a list", "[]"],
    ["null", "null"],
    ["another format", JSON.stringify({ ...good, format: 99 })],
    ["too few ranges", JSON.stringify({ ...good, branches: [] })],
    ["no version", JSON.stringify({ ...good, scopes: [{ name: "", watched: true, watermark: "-1" }] })],
    ["no scopes", JSON.stringify({ ...good, scopes: 5 })],
  ])("as a digest is refused: %s", (_what, text) => {
    expect(() => readDigest(text)).toThrow(ExchangeFault);
  });

  test.each<[string, object]>([
    ["a fact of an unknown kind", { namespace: "ns", name: "a", kind: "curse" }],
    ["a route without fields", { namespace: "ns", name: "a", kind: "route", route: {} }],
    ["a deletion without a version", { namespace: "ns", name: "a", kind: "deletion" }],
    ["an object without a name", { namespace: "ns", kind: "deletion", version: "5" }],
  ])("as facts is refused: %s", (_what, fact) => {
    expect(() => readFacts(JSON.stringify({ scopes: [], facts: [fact] }))).toThrow(ExchangeFault);
    expect(() => readLeaves(JSON.stringify({ leaves: ["00"] }))).toThrow(ExchangeFault);
  });

  test("a name that no object has changes nothing, and an IP that is none is none", () => {
    const { table } = testReplica("one");
    const page = readFacts(
      JSON.stringify({
        scopes: [],
        facts: [
          { kind: "route", namespace: "ns", name: "<b>", route: makeRoute("<b>", 5) },
          { kind: "route", namespace: "ns", name: "a", route: makeRoute("a", 5, { ip: "evil.example.com" }) },
        ],
      }),
    );
    const outcomes = page.facts.map(
      (fact) => fact.kind === "route" && table.pushUpdate(fact.route, 0, "x", false, true),
    );
    expect(outcomes).toEqual(["invalid_key", "applied"]);
    expect(table.lookup("ns--a")).toMatchObject({ route: { ip: "" }, incarnation: undefined });
  });
});
