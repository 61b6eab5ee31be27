import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ApiServer } from "../../../lab/devcluster/api-server.ts";
import type { ObjectStore } from "../../../lab/devcluster/object-store.ts";
import { eventually } from "../../support/eventually.ts";
import { call, makeStore, manifest, openWatch, sandboxPath, SANDBOXES, startApi } from "./support.ts";

let store: ObjectStore;
let api: ApiServer;

beforeEach(async () => {
  store = makeStore({ historyLimit: 100 });
  api = await startApi(store, { bookmarkIntervalMs: 20, maxWatchBufferBytes: 256 * 1024 });
});
afterEach(() => api.stop());

const pause = (name: string, paused = true): void => {
  store.modify("ns", name, (draft) => {
    draft.spec.paused = paused;
  });
};

describe("watching sandboxes", () => {
  it("tells every change after the list's version, in order, and no other", async () => {
    store.create(manifest("before"));
    const { resourceVersion } = (await call(api, SANDBOXES)).body.metadata;
    store.create(manifest("between"));
    const watch = await openWatch(api, `resourceVersion=${resourceVersion}`);
    pause("before");
    store.delete("ns", "between");
    await watch.first(3);
    expect(watch.story).toEqual(["ADDED between", "MODIFIED before", "DELETED between"]);
    expect(watch.events.map(({ object }) => object.metadata.resourceVersion)).toEqual([
      "1002",
      "1003",
      "1004",
    ]);
  });

  it("resumes from any version that is remembered", async () => {
    for (let i = 0; i < 10; i++) store.create(manifest(`s${i}`));
    const watch = await openWatch(api, "resourceVersion=1007");
    await watch.first(3);
    expect(watch.story).toEqual(["ADDED s7", "ADDED s8", "ADDED s9"]);
  });

  it("waits for a version that has not come, and tells nothing up to it", async () => {
    const watch = await openWatch(api, "resourceVersion=1002");
    for (const name of ["a", "b", "c"]) store.create(manifest(name));
    await watch.first(1);
    expect(watch.story).toEqual(["ADDED c"]);
  });

  it("starts with everything there is when no version is given", async () => {
    store.create(manifest("a"));
    pause("a");
    const watch = await openWatch(api, "");
    store.create(manifest("b"));
    await watch.first(2);
    expect(watch.story).toEqual(["ADDED a", "ADDED b"]);
    expect(watch.events[0]?.object.metadata.resourceVersion).toBe("1002");
  });

  it("sends bookmarks when asked: the version moves although nothing happened here", async () => {
    const watch = await openWatch(api, "resourceVersion=1000&allowWatchBookmarks=true");
    store.advance(5n);
    await eventually(() => watch.story.includes("BOOKMARK 1005"));
    expect(watch.events.at(-1)?.object).toMatchObject({
      kind: "Sandbox",
      apiVersion: "agents.kruise.io/v1alpha1",
    });
  });

  it("tells a compacted version as an ERROR event", async () => {
    store.create(manifest("a"));
    store.compact();
    const watch = await openWatch(api, "resourceVersion=1000");
    await watch.first(1);
    expect(watch.status).toBe(200);
    expect(watch.events[0]).toMatchObject({
      type: "ERROR",
      object: { kind: "Status", code: 410, reason: "Expired" },
    });
    await eventually(() => watch.ended);
    const now = await openWatch(api, "resourceVersion=1001");
    store.create(manifest("b"));
    await now.first(1);
    expect(now.story).toEqual(["ADDED b"]);
  });

  it("tells a compacted version as HTTP 410 when it is set up so", async () => {
    const other = await startApi(store, { expiredAs: "status" });
    store.create(manifest("a"));
    store.compact();
    const { status, body } = await call(other, `${SANDBOXES}?watch=true&resourceVersion=1000`);
    expect([status, body.reason]).toEqual([410, "Expired"]);
    await other.stop();
  });

  it("forgets the oldest changes by itself", async () => {
    store.create(manifest("a"));
    for (let i = 0; i < 300; i++) pause("a", i % 2 === 0);
    const watch = await openWatch(api, "resourceVersion=1001");
    expect((await watch.first(1))[0]?.object.code).toBe(410);
  });

  it("shows an object that leaves the selector as DELETED, and one that enters as ADDED", async () => {
    store.create(manifest("a", { labels: { tier: "gold" } }));
    store.create(manifest("b"));
    const label = (name: string, tier: string): void => {
      store.modify("ns", name, (draft) => {
        draft.metadata.labels = { tier };
      });
    };
    const watch = await openWatch(api, "resourceVersion=1002&labelSelector=tier%3Dgold");
    label("a", "lead");
    label("b", "gold");
    pause("a");
    store.delete("ns", "a");
    store.delete("ns", "b");
    await watch.first(3);
    expect(watch.story).toEqual(["DELETED a", "ADDED b", "DELETED b"]);
    // As it last matched, but at the version at which it left.
    expect(watch.events[0]?.object.metadata).toMatchObject({
      labels: { tier: "gold" },
      resourceVersion: "1003",
    });
  });

  it("watches one namespace, one name, or a name as kubectl asks for it", async () => {
    const byNamespace = await openWatch(api, "resourceVersion=1000", {}, sandboxPath("other"));
    const byPath = await openWatch(api, "resourceVersion=1000", {}, sandboxPath("ns", "b"));
    const byField = await openWatch(api, "resourceVersion=1000&fieldSelector=metadata.name%3Db");
    store.create(manifest("a"));
    store.create(manifest("b"));
    store.create(manifest("c", { namespace: "other" }));
    await Promise.all([byNamespace.first(1), byPath.first(1), byField.first(1)]);
    expect([byNamespace.story, byPath.story, byField.story]).toEqual([["ADDED c"], ["ADDED b"], ["ADDED b"]]);
  });

  it("ends after timeoutSeconds", async () => {
    const watch = await openWatch(api, "resourceVersion=1000&timeoutSeconds=1");
    await eventually(() => watch.ended);
    expect(watch.broken).toBe(false);
    expect(api.watchCount).toBe(0);
  });

  const LIST = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan";

  it("begins with a list when asked, ends it by a bookmark, and goes on", async () => {
    store.create(manifest("a"));
    store.create(manifest("b"));
    store.delete("ns", "a");
    const watch = await openWatch(api, `${LIST}&allowWatchBookmarks=true`);
    await watch.first(2);
    pause("b");
    await eventually(() => watch.story.includes("MODIFIED b"));
    expect(watch.story.slice(0, 2)).toEqual(["ADDED b", "BOOKMARK 1003"]);
    const [, end, ...later] = watch.events;
    expect(end?.object.metadata).toMatchObject({
      resourceVersion: "1003",
      annotations: { "k8s.io/initial-events-end": "true" },
    });
    // No bookmark but that one ends a list.
    expect(later.filter(({ object }) => object.metadata.annotations !== undefined)).toEqual([]);
  });

  it("ends the list by no bookmark when bookmarks are not allowed", async () => {
    store.create(manifest("a"));
    const watch = await openWatch(api, LIST);
    await watch.first(1);
    pause("a");
    await watch.first(2);
    expect(watch.story).toEqual(["ADDED a", "MODIFIED a"]);
  });

  it("tells by an ERROR event that a list not older than the future can't be had", async () => {
    const watch = await openWatch(api, `${LIST}&allowWatchBookmarks=true&resourceVersion=9000`);
    await eventually(() => watch.ended);
    expect(watch.events.map(({ object }) => object.reason)).toEqual(["Timeout"]);
  });

  it.each([
    ["sendInitialEvents without resourceVersionMatch", "sendInitialEvents=true"],
    ["resourceVersionMatch without sendInitialEvents", "resourceVersionMatch=NotOlderThan"],
  ])("refuses %s", async (_, query) => {
    const { status, body } = await call(api, `${SANDBOXES}?watch=true&${query}`);
    expect([status, body.reason]).toEqual([422, "Invalid"]);
  });

  it("refuses sendInitialEvents where the feature is off", async () => {
    const older = await startApi(store, { watchList: false });
    try {
      const { status, body } = await call(older, `${SANDBOXES}?watch=true&${LIST}`);
      expect([status, body.reason]).toEqual([422, "Invalid"]);
    } finally {
      await older.stop();
    }
  });

  it("cuts a watcher that does not read", async () => {
    const watch = await openWatch(api, "resourceVersion=1000");
    api.setWatchDelayMs(60_000);
    for (let i = 0; i < 400; i++)
      store.create({ ...manifest(`s${i}`), spec: { template: { fill: "x".repeat(1000) } } });
    await eventually(() => watch.broken);
    expect(api.watchCount).toBe(0);
  });

  it("lags by the delay that is set, in order, bookmarks behind the events that they cover", async () => {
    const watch = await openWatch(api, "resourceVersion=1000&allowWatchBookmarks=true");
    api.setWatchDelayMs(60_000);
    const seen = watch.events.length;
    store.create(manifest("a"));
    pause("a");
    await eventually(async () => (await call(api, SANDBOXES)).body.items.length === 1);
    expect(watch.events.slice(seen)).toEqual([]);
    api.setWatchDelayMs(0);
    await eventually(() => watch.story.includes("BOOKMARK 1002"));
    const story = watch.story.slice(seen).filter((line) => !line.startsWith("BOOKMARK 1000"));
    expect(story.slice(0, 3)).toEqual(["ADDED a", "MODIFIED a", "BOOKMARK 1002"]);
  });

  it("frees what a client that leaves held", async () => {
    const watch = await openWatch(api, "resourceVersion=1000");
    expect(api.watchCount).toBe(1);
    watch.close();
    await eventually(() => api.watchCount === 0);
  });

  it("says nothing, not even a bookmark, to a watch from its future: so a restore is told by nothing", async () => {
    store.create(manifest("a"));
    const backup = store.save();
    store.create(manifest("b"));
    await api.setOutage("refuse");
    store.restore(backup);
    await api.setOutage("none");
    expect((await call(api, SANDBOXES)).body.items.map(({ metadata }) => metadata.name)).toEqual(["a"]);
    const future = await openWatch(api, "resourceVersion=1002&allowWatchBookmarks=true");
    const present = await openWatch(api, "resourceVersion=1001&allowWatchBookmarks=true");
    await present.first(3);
    store.create(manifest("c"));
    await eventually(() => present.story.includes("ADDED c"));
    // It has reached that version again.
    expect(future.story.filter((line) => line !== "BOOKMARK 1002")).toEqual([]);
    store.create(manifest("d"));
    await eventually(() => future.story.includes("ADDED d"));
    expect(future.story).not.toContain("ADDED c");
  });

  it("ends a watch from before a restore that bumped the revision", async () => {
    store.create(manifest("a"));
    store.restore(store.save(), { bumpRevision: 1_000_000n });
    const watch = await openWatch(api, "resourceVersion=1001");
    expect((await watch.first(1))[0]?.object.code).toBe(410);
    expect((await call(api, SANDBOXES)).body.metadata.resourceVersion).toBe("1001001");
  });
});
