import { expect, test } from "vitest";
import { anonymousCredentials } from "../../src/watch/api-credentials.ts";
import { eventually } from "../support/eventually.ts";
import { watching } from "./support/watching.ts";

test("a first list is consistent and paged, and its pages are one snapshot", async () => {
  await using w = await watching({
    before(store, server) {
      for (let i = 0; i < 8; i++) store.put("ns", `s${i}`);
      // A change between two pages belongs to the watch, not to the list.
      server.onRequest = (request) => {
        if (request.query.has("continue") && store.objects.size === 8) store.put("ns", "late");
      };
    },
  });
  await w.informer.waitForSync();
  await eventually(() => w.sink.contents.has("ns/late"));
  expect(w.server.requests.slice(0, 3).map((r) => r.query.toString())).toEqual([
    "limit=3",
    "limit=3&continue=token-1",
    "limit=3&continue=token-2",
  ]);
  expect(w.sink.calls[0]).toEqual({
    kind: "relist",
    version: "1008",
    keys: ["ns/s0", "ns/s1", "ns/s2", "ns/s3", "ns/s4", "ns/s5", "ns/s6", "ns/s7"],
  });
  expect(w.sink.contents).toEqual(w.store.contents());
  expect(w.sink.violations).toEqual([]);
});

test("a watch begins at the list's version and asks for bookmarks and a random end", async () => {
  await using w = await watching({ random: () => 0.5, before: (store) => void store.put("ns", "a") });
  await eventually(() => w.server.count("watch") === 1);
  const watch = w.server.requests.find((r) => r.kind === "watch");
  expect(watch?.path).toBe("/apis/agents.kruise.io/v1alpha1/sandboxes");
  expect(Object.fromEntries(watch?.query ?? [])).toEqual({
    watch: "true",
    allowWatchBookmarks: "true",
    timeoutSeconds: "450",
    resourceVersion: "1001",
  });
});

test("added, modified and deleted objects reach the sink in order, each once", async () => {
  await using w = await watching();
  await w.informer.waitForSync();
  w.store.put("ns", "a");
  w.store.put("ns", "b");
  w.store.put("ns", "a", { ip: "10.0.0.9" });
  w.store.delete("ns", "b");
  await eventually(() => w.sink.delivered().length === 4);
  expect(w.sink.delivered()).toEqual(["1001", "1002", "1003", "1004"]);
  expect(w.sink.contents).toEqual(new Map([["ns/a", "1003"]]));
  expect(w.sink.observations.get("ns/a")?.route?.ip).toBe("10.0.0.9");
  expect(w.observer.events).toBe(4);
  expect(w.informer.status().scopes[0]).toMatchObject({
    state: "watching",
    watermark: "1004",
    live: true,
    relists: 0,
  });
});

test("a watch that the server ends is opened again at the watermark, without a list and on a kept connection", async () => {
  await using w = await watching();
  await w.informer.waitForSync();
  w.store.put("ns", "a");
  await eventually(() => w.sink.delivered().length === 1);
  w.server.endWatches();
  await eventually(() => w.server.count("watch") === 2);
  w.store.put("ns", "b");
  await eventually(() => w.sink.delivered().length === 2);
  const watches = w.server.requests.filter((r) => r.kind === "watch");
  expect(watches.map((r) => r.query.get("resourceVersion"))).toEqual(["1000", "1001"]);
  expect(Math.max(...w.server.requests.map((r) => r.connection))).toBeLessThanOrEqual(2);
  expect(w.server.count("list")).toBe(1);
  expect(w.sink.violations).toEqual([]);
});

test("a bookmark moves the watermark, so that the next watch needs no old history", async () => {
  await using w = await watching({ namespaces: ["mine"], bookmarkEveryMs: 20 });
  await w.informer.waitForSync();
  w.store.put("other", "x");
  await eventually(() => w.sink.watermark === "1001");
  w.store.compact();
  w.server.endWatches();
  w.store.put("mine", "a");
  await eventually(() => w.sink.contents.has("mine/a"));
  expect(w.server.count("list")).toBe(1);
  expect(w.sink.contents).toEqual(w.store.contents("mine"));
  expect(w.sink.violations).toEqual([]);
});

test("a quiet watch is left alone for the stall limit, not for that of the first byte", async () => {
  await using w = await watching({
    namespaces: ["mine"],
    bookmarkEveryMs: 200,
    settings: { firstByteTimeoutMs: 60 },
  });
  await eventually(() => w.observer.count("connected true") === 1);
  // From its first byte on: how long the server takes for that is the machine's affair.
  const before = w.server.count("watch");
  w.store.put("other", "x");
  await eventually(() => w.sink.watermark === "1001");
  expect(w.server.count("watch")).toBe(before);
});

test("a server whose URL has a path is asked below that path", async () => {
  await using w = await watching({
    credentials: (server) => anonymousCredentials(new URL("/k8s/clusters/c-1/", server)),
  });
  await eventually(() => w.server.count("watch") === 1);
  for (const { path } of w.server.requests) {
    expect(path).toBe("/k8s/clusters/c-1/apis/agents.kruise.io/v1alpha1/sandboxes");
  }
  expect(w.informer.status().server).toBe(`${w.server.url.origin}/k8s/clusters/c-1/`);
});

test("a bookmark out of order never moves the watermark back", async () => {
  const old = JSON.stringify({ type: "BOOKMARK", object: { metadata: { resourceVersion: "7" } } });
  await using w = await watching({
    before: (_, server) => void server.faults.watch.push({ kind: "body", bytes: `${old}\n` }),
  });
  await w.informer.waitForSync();
  w.store.put("ns", "a");
  await eventually(() => w.sink.delivered().length === 1);
  expect(w.sink.count("bookmark")).toBe(0);
  expect(w.informer.status().scopes[0]?.watermark).toBe("1001");
  expect(w.sink.violations).toEqual([]);
});

test("an event out of order never moves the watermark back: the next watch goes on where this one was", async () => {
  const metadata = { namespace: "ns", name: "old", uid: "u", resourceVersion: "7" };
  const old = JSON.stringify({ type: "ADDED", object: { kind: "Sandbox", metadata } });
  await using w = await watching({
    before: (_, server) => void server.faults.watch.push({ kind: "body", bytes: `${old}\n`, end: true }),
  });
  await eventually(() => w.server.count("watch") === 2);
  expect(w.informer.status().scopes[0]?.watermark).toBe("1000");
  const watches = w.server.requests.filter((r) => r.kind === "watch");
  expect(watches.map((r) => r.query.get("resourceVersion"))).toEqual(["1000", "1000"]);
});

test("each namespace has a list, a watch and a watermark of its own, over one pool", async () => {
  const told: string[] = [];
  await using w = await watching({ namespaces: ["one", "two", "one"] });
  await eventually(() => w.server.count("watch") === 2);
  await w.informer.waitForSync();
  w.store.put("two", "a");
  await eventually(() => w.sink.contents.has("two/a"));
  told.push(...w.informer.status().scopes.map((scope) => `${scope.scope} ${scope.watermark}`));
  expect(told).toEqual(["one 1000", "two 1001"]);
  expect(w.server.requests.map((r) => r.path).toSorted()).toEqual([
    "/apis/agents.kruise.io/v1alpha1/namespaces/one/sandboxes",
    "/apis/agents.kruise.io/v1alpha1/namespaces/one/sandboxes",
    "/apis/agents.kruise.io/v1alpha1/namespaces/two/sandboxes",
    "/apis/agents.kruise.io/v1alpha1/namespaces/two/sandboxes",
  ]);
  // The observer is told of all scopes together.
  await eventually(() => w.observer.count("connected true") === 1);
});

test("a label selector goes with every list and watch", async () => {
  await using w = await watching({
    selector: "pool=code",
    before(store) {
      store.put("ns", "a", { labels: { pool: "code" } });
      store.put("ns", "b", { labels: { pool: "other" } });
    },
  });
  await eventually(() => w.server.count("watch") === 1);
  expect(w.server.requests.map((r) => r.query.get("labelSelector"))).toEqual(["pool=code", "pool=code"]);
  expect([...w.sink.contents.keys()]).toEqual(["ns/a"]);
});

test("an object that can't be read is counted and logged, its version passes, and what the sink has stays", async () => {
  await using w = await watching({ bookmarkEveryMs: 60_000, before: (store) => void store.put("ns", "a") });
  await w.informer.waitForSync();
  await eventually(() => w.observer.count("connected true") === 1);
  w.store.put("ns", "a", { metadata: { uid: "" } });
  await eventually(() => w.sink.watermark === "1002");
  expect(w.sink.contents).toEqual(new Map([["ns/a", "1001"]]));
  expect(w.observer.count("invalid no_uid")).toBe(1);
  expect(w.log.lines.filter((line) => line.level === "warn")).toMatchObject([
    { reason: "no_uid", message: "metadata.uid of ns/a must not be empty" },
  ]);
  expect(w.server.count("watch")).toBe(1);
});

test("events of an unknown type and objects of another namespace are counted and ignored", async () => {
  const pod = { type: "RENAMED", object: { metadata: { resourceVersion: "1001" } } };
  const metadata = { namespace: "other", name: "x", uid: "u", resourceVersion: "1002" };
  const foreign = [
    { type: "ADDED", object: { kind: "Sandbox", metadata } },
    { type: "DELETED", object: { metadata: { ...metadata, resourceVersion: "1003" } } },
  ];
  const bytes = [pod, ...foreign].map((event) => `${JSON.stringify(event)}\n`).join("");
  await using w = await watching({
    namespaces: ["mine"],
    before: (_, server) => void server.faults.watch.push({ kind: "body", bytes }),
  });
  await eventually(() => w.sink.watermark === "1003");
  expect(w.observer.notes.filter((note) => note.startsWith("invalid"))).toEqual([
    "invalid unknown_event_type",
    "invalid out_of_scope",
    "invalid out_of_scope",
  ]);
  expect(w.sink.delivered()).toEqual([]);
});

test("a sink that throws is logged and counted, and the loop goes on", async () => {
  await using w = await watching({ before: (store) => void store.put("ns", "a") });
  await w.informer.waitForSync();
  w.sink.throwOn.set("observe", 1);
  w.store.put("ns", "b");
  w.store.put("ns", "c");
  await eventually(() => w.sink.contents.has("ns/c"));
  expect(w.observer.count("sink failed")).toBe(1);
  expect(w.log.lines).toContainEqual(
    expect.objectContaining({ level: "error", text: "the sink threw, which is a bug", call: "observe" }),
  );
  expect(w.server.count("watch")).toBe(1);
});

test("an observer that throws is logged, and the loop goes on", async () => {
  await using w = await watching();
  w.observer.event = () => {
    throw new Error("made to fail");
  };
  await w.informer.waitForSync();
  w.store.put("ns", "a");
  w.store.put("ns", "b");
  await eventually(() => w.sink.contents.has("ns/b"));
  expect(w.log.lines).toContainEqual(
    expect.objectContaining({ level: "error", message: "Error: made to fail" }),
  );
  expect(w.server.count("watch")).toBe(1);
});

test("a sink that throws on a list is given the list again", async () => {
  await using w = await watching({
    before(store) {
      store.put("ns", "a");
    },
  });
  await w.informer.waitForSync();
  w.sink.throwOn.set("relist", 1);
  w.store.put("ns", "b");
  await eventually(() => w.sink.contents.has("ns/b"));
  w.server.faults.watch.push({ kind: "status", code: 410 });
  w.server.endWatches();
  await eventually(() => w.observer.count("listed expired 2") === 1);
  expect(w.observer.count("sink failed")).toBe(1);
  expect(w.observer.count("relisted expired")).toBe(1);
  expect(w.sink.contents).toEqual(w.store.contents());
});
