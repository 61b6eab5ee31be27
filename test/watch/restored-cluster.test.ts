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

test("bookmarks that stay below the watermark betray a restored cluster, whose events never come", async () => {
  await using w = await watching({ bookmarkEveryMs: 15, before: (store) => void store.put("ns", "a") });
  await w.informer.waitForSync();
  await eventually(() => w.server.count("watch") === 1);
  w.store.restore(10);
  // Kubernetes filters out what is not above the version that the watch began at.
  w.store.put("ns", "older");
  await eventually(() => w.sink.count("startOver") === 1);
  expect(w.observer.notes).toContain("relisted behind");
  expect([...w.sink.contents.keys()]).toEqual(["ns/older"]);
});
