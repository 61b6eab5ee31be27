import { expect, test } from "vitest";
import { PeerBook } from "../../src/history/peer-book.ts";
import { RouteHistory } from "../../src/history/route-history.ts";
import { recordFacts } from "../../src/history/fact-recorder.ts";
import type { Clock } from "../../src/system/clock.ts";
import type { ResourceVersion } from "../../src/routes/resource-version.ts";
import { tableSink } from "../../src/router/table-sink.ts";
import { observed, TOKEN } from "../admin/admin-fixture.ts";
import { newTable } from "../support/defaults.ts";

const version = (number: number): ResourceVersion => String(number) as ResourceVersion;

/** Writers of a table that watches all namespaces, at a time that stands still until `pass`. */
function scene(bounds = { maxFacts: 1_000, maxFactsPerRoute: 100 }) {
  let nowMs = 1_000;
  const clock: Clock = {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    setTimeout: () => ({ clear() {} }),
  };
  const table = newTable({ scopes: [""] });
  const history = new RouteHistory(bounds);
  const peers = new PeerBook();
  table.addListener(recordFacts({ history, peers, clock }));
  const writers = tableSink(table, clock);
  const all = (name: string): string[] =>
    history.of("ns", name).facts.map(({ writer, what, resourceVersion = "-", outcome, revival }) => {
      return `${writer} ${what} ${resourceVersion} ${outcome}${revival ? " revival" : ""}`;
    });
  /** What the table was told, without what followed from it. */
  const told = (name: string): string[] => all(name).filter((line) => !line.startsWith("table "));
  return { table, history, peers, writers, all, told, pass: (ms: number) => void (nowMs += ms) };
}

function push(name: string, at: number, changes = {}) {
  const { route } = observed(name, at, changes);
  if (!route) throw new Error("no route");
  return { ...route, resourceVersion: String(at) };
}

test("every fact in the order in which it was told, with writer, version and outcome; what followed from it comes after it", () => {
  const { writers, told, history, pass } = scene();
  writers.relist("", version(10), [observed("box", 5)]);
  writers.setLive("", true);
  pass(5);
  expect(writers.pushUpdate(push("box", 12, { ip: "10.0.0.77" }), "10.9.9.9")).toBe("applied");
  pass(5);
  writers.observe("", observed("box", 12, { ip: "10.0.0.77" }));
  writers.pushUpdate(push("box", 11), "10.9.9.9");
  writers.remove("", "ns", "box", "uid-box", version(20));
  writers.pushUpdate(push("box", 15), "10.9.9.8");
  writers.pushDelete({ namespace: "ns", name: "box", resourceVersion: "nonsense" }, "10.9.9.8");
  expect(told("box")).toEqual([
    "informer listed 5 applied",
    "peer update 12 applied",
    "informer observed 12 applied",
    "peer update 11 ignored_watermark",
    "informer deleted 20 applied",
    "peer update 15 ignored_watermark revival",
    "peer deletion nonsense invalid_resource_version",
  ]);
  const { facts } = history.of("ns", "box");
  expect(facts.find(({ writer }) => writer === "peer")).toEqual({
    atMs: 1_005,
    writer: "peer",
    from: "10.9.9.9",
    what: "update",
    resourceVersion: "12",
    state: "running",
    ip: "10.0.0.77",
    uid: "uid-box",
    outcome: "applied",
  });
  expect(JSON.stringify(facts)).not.toContain(TOKEN);
});

test("an incarnation's end and a hint that is given up stand after what made them", () => {
  const { writers, all, table, peers } = scene();
  writers.relist("", version(10), [observed("box", 5)]);
  writers.setLive("", true);
  // Somebody asked for it, so there is an incarnation that can end.
  expect(table.lookup("ns--box")).toMatchObject({ incarnation: { ip: "10.0.0.5" } });
  writers.pushUpdate(push("box", 12, { ip: "10.6.6.6" }), "10.9.9.9");
  // The informer passes version 12 without ever having seen such a change: the push was a lie.
  writers.observe("", observed("other", 13));
  expect(all("box")).toEqual([
    "informer listed 5 applied",
    "peer update 12 applied",
    "table incarnation_ended - ip_moved",
    "table hint_dropped - contradicted",
    "table incarnation_ended - ip_moved",
  ]);
  expect(peers.view()).toMatchObject([{ address: "10.9.9.9", pushes: 1, applied: 1, contradicted: 1 }]);
});

test("a later list tells of what changed and of what is missing, and of nothing else", () => {
  const { writers, told } = scene();
  writers.relist("", version(10), [observed("a", 5), observed("b", 6), observed("c", 7)]);
  writers.relist("", version(20), [observed("c", 15), observed("a", 5)]);
  expect(told("a")).toEqual(["informer listed 5 applied"]);
  expect(told("b")).toEqual(["informer listed 6 applied", "informer unlisted 20 applied"]);
  expect(told("c")).toEqual(["informer listed 7 applied", "informer listed 15 applied"]);
  expect(writers.relist("", version(15), [observed("a", 5)])).toBe("behind");
  expect(told("a").at(-1)).toBe("informer listed 5 ignored_watermark");
});

test("a restored cluster's list is history too", () => {
  const { writers, told } = scene();
  writers.relist("", version(100), [observed("a", 50), observed("b", 60)]);
  writers.startOver("", version(30), [observed("a", 20)]);
  expect(told("a")).toEqual(["informer listed 50 applied", "informer listed 20 applied"]);
  expect(told("b")).toEqual(["informer listed 60 applied", "informer unlisted 30 applied"]);
});

test("a sandbox's shutdownTime is told by the clock, and then that its connections ended", async () => {
  const { writers, all, table } = scene();
  writers.relist("", version(10), [observed("box", 5, { shutdownAtMs: 2_000 })]);
  table.lookup("ns--box");
  table.advance(2_500);
  await Promise.resolve();
  expect(all("box")).toEqual([
    "informer listed 5 applied",
    "clock shutdown - applied",
    "table incarnation_ended - dead",
  ]);
});

test("a busy route forgets its own oldest facts, not those of others", () => {
  const { writers, history, told } = scene({ maxFacts: 1_000, maxFactsPerRoute: 3 });
  writers.relist("", version(10), [observed("quiet", 5)]);
  for (let at = 11; at <= 20; at++) writers.observe("", observed("busy", at, { ip: "10.0.0.1" }));
  expect(told("busy")).toEqual([18, 19, 20].map((at) => `informer observed ${at} applied`));
  expect(history.of("ns", "busy").forgotten).toBe(7);
  expect(told("quiet")).toEqual(["informer listed 5 applied"]);
  expect(history.size).toEqual({ facts: 4, routes: 2 });
});

test("above the bound of all routes the oldest facts of all go, and routes without facts with them", () => {
  const { writers, history, told } = scene({ maxFacts: 10, maxFactsPerRoute: 5 });
  writers.relist("", version(10), []);
  for (let at = 11; at <= 40; at++) writers.observe("", observed(`box-${at}`, at));
  expect(history.size).toEqual({ facts: 10, routes: 10 });
  expect(told("box-30")).toEqual([]);
  expect(told("box-31")).toHaveLength(1);
  for (let at = 41; at <= 60; at++) writers.observe("", observed(`box-${35 + (at % 5)}`, at));
  expect(history.size.facts).toBe(10);
});

test("the two bounds hold whatever happens, and what is kept is the newest", () => {
  const { writers, history } = scene({ maxFacts: 40, maxFactsPerRoute: 7 });
  const model: { name: string; version: string }[] = [];
  let random = 7;
  for (let at = 1; at <= 2_000; at++) {
    random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0;
    // Few are busy, many are not.
    const name = `box-${Math.floor((random / 2 ** 32) ** 3 * 30)}`;
    writers.pushUpdate(push(name, at + 1_000), "10.9.9.9");
    model.push({ name, version: String(at + 1_000) });
    const ofName = model.filter((each) => each.name === name);
    if (ofName.length > 7) model.splice(model.indexOf(ofName[0]!), 1);
    if (model.length > 40) model.shift();
  }
  for (let box = 0; box < 30; box++) {
    const kept = history.of("ns", `box-${box}`).facts.map(({ resourceVersion }) => resourceVersion);
    const expected = model.filter(({ name }) => name === `box-${box}`).map(({ version }) => version);
    expect(kept).toEqual(expected);
  }
});

test("0 keeps nothing, and texts that a peer invents take no more memory than real ones", () => {
  const off = scene({ maxFacts: 0, maxFactsPerRoute: 5 });
  off.writers.observe("", observed("box", 5));
  expect(off.history.size).toEqual({ facts: 0, routes: 0 });
  const { writers, history } = scene();
  writers.pushUpdate(push("x".repeat(100_000), 5), "10.9.9.9");
  expect(history.size.facts).toBe(0);
  writers.pushUpdate({ ...push("box", 5), state: "s".repeat(9_000), uid: "u".repeat(9_000) }, "10.9.9.9");
  expect(JSON.stringify(history.of("ns", "box")).length).toBeLessThan(1_000);
});

test("of many addresses that push, the longest silent are forgotten", () => {
  const book = new PeerBook();
  for (let peer = 0; peer < 300; peer++) book.judged(`10.0.${peer >> 8}.${peer & 255}`, "applied", peer);
  const addresses = book.view().map(({ address }) => address);
  expect(addresses).toHaveLength(256);
  expect(addresses[0]).toBe("10.0.1.43");
  expect(addresses).not.toContain("10.0.0.43");
});

test("texts that no object can have are counted for their sender and written down nowhere", () => {
  const { writers, history, peers } = scene();
  const evil = "<svg onload=x>\u202e\n";
  for (const field of ["namespace", "name", "id", "uid", "state", "owner", "resourceVersion"]) {
    writers.pushUpdate({ ...push("box", 12), [field]: evil }, "10.9.9.9");
  }
  writers.pushDelete({ namespace: "ns", name: evil, resourceVersion: "13" }, "10.9.9.9");
  writers.pushDelete({ namespace: "ns", name: "box", resourceVersion: evil }, "10.9.9.9");
  expect(peers.view()).toMatchObject([{ address: "10.9.9.9", pushes: 9, invalid: 9 }]);
  expect(history.of("ns", evil).facts).toEqual([]);
  const { facts } = history.of("ns", "box");
  expect(facts.map(({ outcome }) => outcome)).toEqual([
    "invalid_id",
    "invalid_uid",
    "invalid_text",
    "invalid_text",
    "invalid_resource_version",
    "invalid_resource_version",
  ]);
  expect(JSON.stringify(facts)).not.toContain("svg");
});
