import { expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { watching } from "./support/watching.ts";

test("a list below the watermark is tried again, and believed when the server has caught up", async () => {
  await using w = await watching({ before: (store) => void store.put("ns", "a") });
  await w.informer.waitForSync();
  await eventually(() => w.server.count("watch") === 1);
  // Two answers of a server that lags.
  const stale = JSON.stringify({ metadata: { resourceVersion: "5" }, items: [] });
  w.server.faults.list.push({ kind: "body", bytes: stale }, { kind: "body", bytes: stale });
  w.server.faults.watch.push({ kind: "status", code: 410 });
  w.server.endWatches();
  await eventually(() => w.observer.count("listed expired 1") === 1);
  expect(w.sink.count("startOver")).toBe(0);
  expect(w.sink.contents).toEqual(w.store.contents());
  expect(w.observer.count("relisted expired")).toBe(1);
  expect(w.server.count("list")).toBe(4);
});

test("a list that stays below the watermark starts the scope over, and says so", async () => {
  await using w = await watching({ before: (store) => void store.put("ns", "a") });
  await w.informer.waitForSync();
  await eventually(() => w.server.count("watch") === 1);
  w.store.restore(10);
  w.store.put("ns", "older");
  w.server.faults.watch.push({ kind: "status", code: 410 });
  w.server.endWatches();
  await eventually(() => w.sink.count("startOver") === 1);
  expect(w.server.count("list")).toBe(1 + 4);
  w.store.put("ns", "next");
  await eventually(() => w.sink.contents.has("ns/next"));
  expect(w.sink.contents).toEqual(w.store.contents());
  expect(w.sink.violations).toEqual([]);
  expect(w.log.lines).toContainEqual(
    expect.objectContaining({
      level: "error",
      text: expect.stringContaining("went back in time"),
      watermark: "1001",
    }),
  );
});

test("a watch from the server's future is answered with silence; the version that is asked for after a reconnect tells", async () => {
  await using w = await watching({ before: (store) => void store.put("ns", "a") });
  await w.informer.waitForSync();
  await eventually(() => w.observer.count("connected true") === 1);
  expect(w.server.count("check")).toBe(0);
  w.store.restore(10);
  w.store.put("ns", "older");
  w.server.endWatches();
  await eventually(() => w.sink.count("startOver") === 1);
  expect([...w.sink.contents.keys()]).toEqual(["ns/older"]);
  expect(w.observer.notes).toContain("checked behind");
  expect(w.observer.count("relisted behind")).toBe(1);
  w.store.put("ns", "next");
  await eventually(() => w.sink.contents.has("ns/next"));
  expect(w.sink.contents).toEqual(w.store.contents());
  expect(w.sink.violations).toEqual([]);
});

test("a restore that breaks no connection is noticed at the next interval", async () => {
  await using w = await watching({
    settings: { checkIntervalMs: 20 },
    before: (store) => void store.put("ns", "a"),
  });
  await w.informer.waitForSync();
  await eventually(() => w.observer.count("checked passed") > 1);
  w.store.restore(10);
  w.store.put("ns", "older");
  await eventually(() => w.sink.count("startOver") === 1);
  expect([...w.sink.contents.keys()]).toEqual(["ns/older"]);
});

test.each([
  ["a stall", { kind: "stall" }],
  ["a refused watch", { kind: "status", code: 403 }],
  ["a watch that is cut", { kind: "cut", afterBytes: 0 }],
] as const)("the version is asked for after %s", async (_, fault) => {
  await using w = await watching({
    settings: { stallTimeoutMs: 300 },
    bookmarkEveryMs: 50,
    before: (_store, server) => void server.faults.watch.push(fault),
  });
  await eventually(() => w.observer.count("checked passed") === 1);
  expect(w.server.count("list")).toBe(1);
});

test("a version check that fails does not end the watch, and is asked again", async () => {
  await using w = await watching({
    before: (_, server) => {
      server.faults.watch.push({ kind: "end" });
      server.faults.check.push(
        { kind: "status", code: 500 },
        { kind: "body", bytes: "{}" },
        { kind: "reset" },
      );
    },
  });
  await eventually(() => w.observer.count("checked passed") === 1);
  expect(w.observer.count("checked failed")).toBe(3);
  expect(w.server.count("watch")).toBe(2);
  w.store.put("ns", "a");
  await eventually(() => w.sink.contents.has("ns/a"));
});
