import { expect, test } from "vitest";
import type { Clock } from "../../src/system/clock.ts";
import type { ObservationSink } from "../../src/watch/observation-sink.ts";
import { openKruiseSandbox } from "../../src/watch/sandbox-projection.ts";
import { ScopeFeed } from "../../src/watch/scope-feed.ts";
import type { WatchEvent } from "../../src/watch/watch-event.ts";
import type { ResourceVersion } from "../../src/routes/resource-version.ts";
import { RecordingLog, RecordingObserver } from "./support/watching.ts";

// What one scope's sink is told of each thing that the server says.

const rv = (version: number) => String(version) as ResourceVersion;

function feeding({ scope = "", fails = new Set<string>(), lists = [] as ("applied" | "behind")[] } = {}) {
  let nowMs = 1_800_000_000_000;
  const clock: Clock = { nowMs: () => nowMs, monotonicMs: () => nowMs, setTimeout: () => ({ clear() {} }) };
  const told: string[] = [];
  const tell = (what: string) => {
    told.push(what);
    if (fails.delete(what.split(" ")[0] ?? "")) throw new Error("made to fail");
  };
  const sink: ObservationSink = {
    relist(of, version, observations) {
      tell(`relist ${of} ${version} ${observations.length}`);
      return lists.shift() ?? "applied";
    },
    startOver: (of, version, observations) => tell(`startOver ${of} ${version} ${observations.length}`),
    observe: (of, { name, resourceVersion }) => tell(`observe ${of} ${name} ${resourceVersion}`),
    remove: (of, namespace, name, uid, version) =>
      tell(`remove ${of} ${namespace} ${name} ${uid} ${version}`),
    bookmark: (of, version) => tell(`bookmark ${of} ${version}`),
    setLive: (of, live) => tell(`setLive ${of} ${live}`),
  };
  const log = new RecordingLog();
  const observer = new RecordingObserver();
  const target = { resource: openKruiseSandbox, scope, selector: undefined };
  const feed = new ScopeFeed({ target, sink, observer, log, clock });
  return {
    feed,
    log,
    observer,
    heard: () => told.splice(0),
    pass: (ms: number) => void (nowMs += ms),
    now: () => nowMs,
  };
}

const object = (version: number, namespace = "ns", uid = "u") => ({
  metadata: { namespace, name: "one", uid, resourceVersion: String(version) },
});
const changed = (version: number, what: unknown = object(version)): WatchEvent => ({
  kind: "changed",
  object: what,
  version: rv(version),
});
const deleted = (version: number, what: unknown = object(version)): WatchEvent => ({
  kind: "deleted",
  object: what,
  version: rv(version),
});
const bookmark = (version: number): WatchEvent => ({
  kind: "bookmark",
  version: rv(version),
  endsInitialEvents: false,
});

test("events and bookmarks are told once each, and move the watermark; when an event came is known", () => {
  const { feed, heard, observer, pass, now } = feeding();
  expect([feed.watermark, feed.lastEventAtMs]).toEqual(["0", undefined]);
  feed.replace(rv(10), [], false);
  feed.deliver(bookmark(11));
  expect([feed.watermark, feed.lastEventAtMs, observer.events]).toEqual(["11", undefined, 0]);
  pass(5);
  feed.deliver(changed(12));
  expect([feed.watermark, feed.lastEventAtMs]).toEqual(["12", now()]);
  feed.deliver(deleted(13));
  expect([feed.watermark, observer.events]).toEqual(["13", 2]);
  expect(heard()).toEqual(["relist  10 0", "bookmark  11", "observe  one 12", "remove  ns one u 13"]);
});

test("a bookmark that repeats the watermark is told, since the server speaks; one below it is not", () => {
  const { feed, heard } = feeding();
  feed.replace(rv(10), [], false);
  heard();
  feed.deliver(bookmark(10));
  feed.deliver(bookmark(9));
  expect([heard(), feed.watermark]).toEqual([["bookmark  10"], "10"]);
});

test("an event below the watermark is told and does not move it back", () => {
  const { feed, heard } = feeding();
  feed.replace(rv(10), [], false);
  heard();
  feed.deliver(changed(9));
  expect([heard(), feed.watermark]).toEqual([["observe  one 9"], "10"]);
});

test("three in a row below the watermark: the server went back in time; two and a newer one: it did not", () => {
  const { feed } = feeding();
  feed.replace(rv(10), [], false);
  for (let round = 0; round < 3; round++) {
    feed.deliver(bookmark(8));
    feed.deliver(changed(9));
    feed.deliver(bookmark(10));
  }
  feed.deliver(bookmark(8));
  feed.deliver(bookmark(9));
  expect(() => feed.deliver(bookmark(9))).toThrow(expect.objectContaining({ code: "behind" }));
  // The count begins again.
  feed.deliver(bookmark(9));
  feed.deliver(bookmark(9));
  // And a list begins it again.
  feed.replace(rv(11), [], false);
  feed.deliver(bookmark(9));
  feed.deliver(bookmark(9));
  expect(() => feed.deliver(bookmark(9))).toThrow("the API server speaks of 9, below the watermark 11");
});

test("what can't be read moves the watermark as a bookmark would", () => {
  const { feed, heard, observer } = feeding();
  feed.replace(rv(10), [], false);
  heard();
  feed.deliver(changed(11, object(11, "ns", "")));
  feed.deliver(deleted(12, { metadata: { namespace: "ns", resourceVersion: "12" } }));
  feed.deliver(deleted(13, { metadata: { name: "one", resourceVersion: "13" } }));
  feed.deliver(deleted(14, "no object"));
  expect(heard()).toEqual([11, 12, 13, 14].map((version) => `bookmark  ${version}`));
  expect([feed.watermark, observer.events]).toEqual(["14", 4]);
  expect(observer.notes).toEqual(["invalid no_uid", "invalid no_key", "invalid no_key", "invalid no_key"]);
});

test("of one namespace only its own objects count, in events, deletions and lists", () => {
  const { feed, heard, observer } = feeding({ scope: "mine" });
  feed.replace(rv(10), [], false);
  heard();
  feed.deliver(changed(11, object(11, "other")));
  feed.deliver(deleted(12, object(12, "other")));
  feed.deliver(changed(13, object(13, "mine")));
  feed.deliver(deleted(14, object(14, "mine")));
  expect(feed.project(object(15, "other"))).toBeUndefined();
  expect(feed.project(object(15, "mine"))).toMatchObject({ name: "one" });
  expect(heard()).toEqual([
    "bookmark mine 11",
    "bookmark mine 12",
    "observe mine one 13",
    "remove mine mine one u 14",
  ]);
  expect(observer.count("invalid out_of_scope")).toBe(3);
});

test("what is left aside is logged at once, and then in one line for each ten seconds, with how many were not told", () => {
  const { feed, log, pass } = feeding();
  const unknown: WatchEvent = { kind: "unknown" };
  const counts = () =>
    log.lines.filter(({ level }) => level === "warn").map((line) => [line["reason"], line["untoldBefore"]]);
  feed.deliver(unknown);
  expect(counts()).toEqual([["unknown_event_type", undefined]]);
  for (let index = 0; index < 4; index++) feed.deliver(unknown);
  pass(9_999);
  feed.deliver(unknown);
  expect(counts().length).toBe(1);
  pass(1);
  feed.deliver(unknown);
  expect(counts()).toEqual([
    ["unknown_event_type", undefined],
    ["unknown_event_type", 5],
  ]);
  pass(10_000);
  feed.deliver(unknown);
  expect(counts().at(-1)).toEqual(["unknown_event_type", undefined]);
});

test("a list that the sink finds behind is a fault, until it must be believed", () => {
  const { feed, heard, log } = feeding({ lists: ["applied", "behind", "behind"] });
  feed.replace(rv(10), [], false);
  expect(() => feed.replace(rv(5), [], false)).toThrow("the list is at 5, below the watermark 10");
  expect(feed.watermark).toBe("10");
  feed.replace(rv(6), [], true);
  expect([heard(), feed.watermark]).toEqual([
    ["relist  10 0", "relist  5 0", "relist  6 0", "startOver  6 0"],
    "6",
  ]);
  expect(log.lines.filter(({ level }) => level === "error")).toMatchObject([
    { text: expect.stringContaining("went back in time"), version: "6", watermark: "10" },
  ]);
  expect(log.lines.filter(({ text }) => text === "listed")).toMatchObject([
    { scope: "all namespaces", version: "10", objects: 0 },
    { scope: "all namespaces", version: "6", objects: 0 },
  ]);
});

test("what the sink throws is logged and counted; an event counts as delivered, a list does not", () => {
  const fails = new Set(["observe", "remove", "bookmark", "setLive", "relist"]);
  const { feed, log, observer } = feeding({ fails });
  expect(() => feed.replace(rv(10), [], false)).toThrow("made to fail");
  expect(feed.watermark).toBe("0");
  feed.replace(rv(10), [], false);
  feed.deliver(changed(11));
  feed.deliver(deleted(12));
  feed.deliver(bookmark(13));
  feed.setLive(true);
  expect([feed.watermark, observer.count("sink failed")]).toEqual(["13", 5]);
  expect(log.lines.filter(({ level }) => level === "error").map(({ call }) => call)).toEqual([
    "relist",
    "observe",
    "remove",
    "bookmark",
    "setLive",
  ]);
});

test("a list that is behind is no fault of the sink", () => {
  const { feed, observer } = feeding({ lists: ["behind"] });
  expect(() => feed.replace(rv(5), [], false)).toThrow(expect.objectContaining({ code: "behind" }));
  expect(observer.count("sink failed")).toBe(0);
});
