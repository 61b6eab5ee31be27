import { expect, test } from "vitest";
import { type Clock, systemClock, type TimerHandle } from "../../src/system/clock.ts";
import { eventually } from "../support/eventually.ts";
import type { Fault, Request } from "./support/faulty-api-server.ts";
import { watching, type Watching, type WatchingOptions } from "./support/watching.ts";

// Lists that are streamed as the first events of a watch (WatchList), and what is done where that fails.

const streaming = (options: WatchingOptions = {}): Promise<Watching> =>
  watching({ ...options, settings: { list: "stream", ...options.settings } });

const kinds = (w: Watching): Request["kind"][] =>
  w.server.requests.map(({ kind }) => kind).filter((kind) => kind !== "check");

async function converges(w: Watching): Promise<void> {
  await eventually(() => expect(w.sink.contents).toEqual(w.store.contents(w.sink.scope)));
  expect(w.sink.violations).toEqual([]);
}

/** All objects, before the first byte was asked for. */
const filled = (store: Watching["store"]): void => {
  for (let i = 0; i < 6; i++) store.put("ns", `s${i}`);
};

test("the list comes as events, is told once and whole, and the same connection goes on as the watch", async () => {
  await using w = await streaming({ before: filled });
  await w.informer.waitForSync();
  expect(w.sink.calls.filter(({ kind }) => kind !== "live")).toEqual([
    {
      kind: "relist",
      version: "1006",
      keys: ["s0", "s1", "s2", "s3", "s4", "s5"].map((name) => `ns/${name}`),
    },
  ]);
  await eventually(() => w.observer.count("connected true") === 1);
  w.store.put("ns", "after");
  w.store.delete("ns", "s0");
  await converges(w);
  expect(w.sink.delivered()).toEqual(["1007", "1008"]);
  expect(kinds(w)).toEqual(["stream"]);
  expect(w.observer.count("way stream")).toBe(1);
  expect(w.observer.events).toBe(2);
  expect(w.informer.status().scopes[0]).toMatchObject({ connected: true, live: true, restarts: 0 });
});

test("what is asked for: a consistent list, with bookmarks and the selector", async () => {
  await using w = await streaming({ namespaces: ["ns"], selector: "tier=gold" });
  await w.informer.waitForSync();
  const [request] = w.server.requests;
  expect(request?.path).toBe("/apis/agents.kruise.io/v1alpha1/namespaces/ns/sandboxes");
  expect(Object.fromEntries(request?.query ?? [])).toEqual({
    watch: "true",
    allowWatchBookmarks: "true",
    sendInitialEvents: "true",
    resourceVersionMatch: "NotOlderThan",
    timeoutSeconds: expect.stringMatching(/^[345]\d\d$/),
    labelSelector: "tier=gold",
  });
});

test("an empty cluster is a list too", async () => {
  await using w = await streaming();
  await w.informer.waitForSync();
  expect(w.sink.calls[0]).toEqual({ kind: "relist", version: "1000", keys: [] });
});

test("changes that come before the end of the list are part of it", async () => {
  await using w = await streaming({
    before(store, server) {
      filled(store);
      const meanwhile = (): void => {
        store.put("ns", "s0", { ip: "10.0.0.9" });
        store.delete("ns", "s1");
        store.put("ns", "born");
        store.put("ns", "s2", { metadata: { uid: "" } });
      };
      server.faults.stream.push({ kind: "in-list", afterEvents: 6, meanwhile });
    },
  });
  await w.informer.waitForSync();
  expect(w.sink.observations.get("ns/s0")?.route?.ip).toBe("10.0.0.9");
  // One that can't be read any more is none of the list's, as in pages.
  expect([...w.sink.contents.keys()].sort()).toEqual(["ns/born", "ns/s0", "ns/s3", "ns/s4", "ns/s5"]);
  expect(w.sink.watermark).toBe("1010");
  expect(w.observer.count("invalid no_uid")).toBe(1);
  expect(w.observer.events).toBe(0);
});

const BROKEN: readonly (readonly [name: string, fault: Fault, reason: string])[] = [
  ["is cut by FIN", { kind: "cut", afterEvents: 3, by: "fin" }, "reset"],
  ["is cut by RST", { kind: "cut", afterEvents: 3, by: "rst" }, "reset"],
  ["is cut within an event", { kind: "cut", afterBytes: 1_000 }, "reset"],
  ["is ended by the server in good order", { kind: "in-list", afterEvents: 3, end: true }, "reset"],
  [
    "has an ERROR event",
    {
      kind: "in-list",
      afterEvents: 3,
      bytes: '{"type":"ERROR","object":{"kind":"Status","code":500}}\n',
      noEnd: true,
    },
    "server_error",
  ],
  [
    "has expired",
    {
      kind: "in-list",
      afterEvents: 3,
      bytes: '{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}\n',
      noEnd: true,
    },
    "expired",
  ],
  [
    "has a line that is no event",
    { kind: "in-list", afterEvents: 3, bytes: "nonsense\n", noEnd: true },
    "protocol",
  ],
  [
    "ends below a version that it has shown",
    {
      kind: "in-list",
      afterEvents: 3,
      bytes:
        '{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"1002","annotations":{"k8s.io/initial-events-end":"true"}}}}\n',
      noEnd: true,
    },
    "protocol",
  ],
];

test.each(BROKEN)(
  "a relist that %s changes nothing, and the next try asks for pages",
  async (_, fault, reason) => {
    await using w = await streaming({ before: filled });
    await w.informer.waitForSync();
    await eventually(() => w.observer.count("connected true") === 1);
    // What the broken list lacks would be gone, were it taken for one.
    w.server.faults.stream.push(fault);
    let toldBefore: unknown;
    w.server.onRequest = ({ kind }) => {
      if (kind === "list") toldBefore = [w.sink.count("relist"), w.sink.contents.size];
    };
    w.store.compact();
    w.server.faults.watch.push({ kind: "status", code: 410 });
    w.server.endWatches();
    await eventually(() => w.sink.count("relist") === 2);
    expect(toldBefore).toEqual([1, 6]);
    await converges(w);
    expect(w.observer.notes.filter((note) => note.startsWith("way "))).toEqual(["way stream", "way paged"]);
    expect(w.observer.count("relisted expired")).toBe(1);
    const failed = w.log.lines.filter(({ text }) => text === "the list failed and is tried again");
    expect(failed.map((line) => line["reason"])).toEqual([reason]);

    // A stream that broke once is no refusal: the next list is streamed again.
    w.server.faults.watch.push({ kind: "status", code: 410 });
    w.server.endWatches();
    await eventually(() => w.observer.count("way stream") === 2);
    await converges(w);
  },
);

test.each<readonly [string, Fault, string]>([
  ["503", { kind: "status", code: 503 }, "unavailable"],
  ["429", { kind: "status", code: 429 }, "throttled"],
  ["404", { kind: "status", code: 404 }, "not_found"],
  ["RST before the answer", { kind: "reset" }, "unreachable"],
])("%s says nothing of streams: the list is streamed when the server is well", async (_, fault, reason) => {
  await using w = await streaming({
    before(store, server) {
      filled(store);
      server.faults.stream.push(fault, fault);
    },
  });
  await w.informer.waitForSync();
  expect(kinds(w)).toEqual(["stream", "stream", "stream"]);
  expect(w.log.text).toContain(reason);
  await converges(w);
});

test("a server without the feature refuses: pages are read at once, and it is not asked again", async () => {
  await using w = await streaming({ before: filled, streamsLists: "refused" });
  await w.informer.waitForSync();
  expect(kinds(w).slice(0, 3)).toEqual(["stream", "list", "list"]);
  await eventually(() => w.observer.count("connected true") === 1);
  w.server.faults.watch.push({ kind: "status", code: 410 });
  w.server.endWatches();
  await eventually(() => w.sink.count("relist") === 2);
  await converges(w);
  expect(w.server.count("stream")).toBe(1);
  // That is no fault.
  const complaints = w.log.lines.filter(({ level }) => level === "warn" || level === "error");
  expect(complaints.map((line) => line["reason"])).toEqual(["expired"]);
  expect(w.log.lines.filter(({ text }) => text.includes("streams no lists")).length).toBe(1);
});

test("400, as of a proxy that does not know the parameter, is a refusal; of a bad selector it stays a fault", async () => {
  await using w = await streaming({
    before(store, server) {
      filled(store);
      server.faults.stream.push({ kind: "status", code: 400 });
      server.faults.list.push({ kind: "status", code: 400, message: "unable to parse" });
    },
  });
  await w.informer.waitForSync();
  expect(kinds(w).slice(0, 3)).toEqual(["stream", "list", "list"]);
  const failed = w.log.lines.filter(({ level }) => level === "error");
  expect(failed.map((line) => line["reason"])).toEqual(["bad_request"]);
});

test("an older server, which ignores the parameter, gives itself away by another bookmark", async () => {
  await using w = await streaming({ before: filled, streamsLists: "ignored", bookmarkEveryMs: 20 });
  await w.informer.waitForSync();
  expect(kinds(w).slice(0, 2)).toEqual(["stream", "list"]);
  await converges(w);
  expect(w.observer.count("way paged")).toBe(1);
});

test("no end of the list and silence: pages are read, and it is not asked again", async () => {
  await using w = await streaming({
    before: filled,
    streamsLists: "ignored",
    settings: { listIdleTimeoutMs: 200 },
  });
  await w.informer.waitForSync();
  expect(kinds(w).slice(0, 2)).toEqual(["stream", "list"]);
  await converges(w);
  w.server.faults.watch.push({ kind: "status", code: 410 });
  w.server.endWatches();
  await eventually(() => w.sink.count("relist") === 2);
  expect(w.server.count("stream")).toBe(1);
});

test("after the list the limit of silence is that of a watch", async () => {
  await using w = await streaming({
    before: filled,
    settings: { listIdleTimeoutMs: 200, stallTimeoutMs: 20_000 },
  });
  await w.informer.waitForSync();
  const { promise, resolve } = Promise.withResolvers<void>();
  setTimeout(resolve, 600);
  await promise;
  expect(w.observer.notes.filter((note) => note.startsWith("restarted"))).toEqual([]);
  w.store.put("ns", "after");
  await converges(w);
  expect(kinds(w)).toEqual(["stream"]);
});

test("a list below the watermark is behind, is streamed again, and is believed the fourth time", async () => {
  await using w = await streaming({ before: filled, settings: { stallTimeoutMs: 600_000 } });
  await w.informer.waitForSync();
  await eventually(() => w.observer.count("connected true") === 1);
  const height = w.sink.watermark;
  w.server.faults.watch.push({ kind: "status", code: 410 });
  w.store.restore(500);
  w.store.put("ns", "restored");
  w.server.endWatches();
  await eventually(() => w.sink.count("startOver") === 1);
  await converges(w);
  expect(BigInt(w.sink.watermark)).toBeLessThan(BigInt(height));
  expect([w.server.count("stream"), w.server.count("list")]).toEqual([5, 0]);
  // Each stream that was not taken is left: one watch is open, and what version checks and reads keep.
  await eventually(() => w.server.openWatches === 1);
});

test("a sink that refuses the list by an exception is given another, and nothing of the first stream", async () => {
  await using w = await streaming({ before: filled });
  await w.informer.waitForSync();
  await eventually(() => w.observer.count("connected true") === 1);
  w.sink.throwOn.set("relist", 1);
  w.server.faults.watch.push({ kind: "status", code: 410 });
  w.server.endWatches();
  await eventually(() => w.observer.count("way stream") === 2);
  w.store.put("ns", "after");
  await converges(w);
  expect(w.sink.delivered()).toEqual(["1007"]);
});

test("what comes in the same packet as the end of the list is delivered", async () => {
  const end = { metadata: { resourceVersion: "1006", annotations: { "k8s.io/initial-events-end": "true" } } };
  await using w = await streaming({
    before(store, server) {
      filled(store);
      const object = store.objects.get("ns/s0");
      const later = { ...object, metadata: { ...object?.metadata, resourceVersion: "1007" } };
      const lines = [
        { type: "BOOKMARK", object: end },
        { type: "DELETED", object: later },
      ];
      const bytes = lines.map((line) => `${JSON.stringify(line)}\n`).join("");
      server.faults.stream.push({ kind: "in-list", afterEvents: 6, bytes, noEnd: true });
    },
  });
  await eventually(() => w.sink.count("remove") === 1);
  expect(w.sink.delivered()).toEqual(["1007"]);
});

test("stopped by the one who hears of the list, no timer is left", async () => {
  const timers = new Set<TimerHandle>();
  const clock: Clock = {
    ...systemClock,
    setTimeout(callback, delayMs) {
      const timer = systemClock.setTimeout(() => {
        timers.delete(handle);
        callback();
      }, delayMs);
      const handle = {
        clear(): void {
          timers.delete(handle);
          timer.clear();
        },
      };
      timers.add(handle);
      return handle;
    },
  };
  await using w = await streaming({ before: filled, clock });
  const { promise, resolve } = Promise.withResolvers<void>();
  w.observer.listed = () => void w.informer.stop().then(resolve);
  await promise;
  expect([...timers]).toEqual([]);
  expect(w.sink.count("relist")).toBe(1);
});

test("stopped in the middle of a list, or right after it, nothing is left open", async () => {
  for (const fault of [{ kind: "in-list", afterEvents: 3, noEnd: true } as const, undefined]) {
    const w = await streaming({
      before(store, server) {
        filled(store);
        if (fault !== undefined) server.faults.stream.push(fault);
      },
    });
    if (fault === undefined) await w.informer.waitForSync();
    else await eventually(() => w.server.count("stream") === 1);
    await w.informer.stop();
    w.sink.closed = true;
    await eventually(() => w.server.sockets.size === 0);
    expect(w.sink.violations).toEqual([]);
    await w.server.stop();
  }
});

test("`paged` never asks for a stream", async () => {
  await using w = await watching({ before: filled, settings: { list: "paged" } });
  await w.informer.waitForSync();
  await converges(w);
  expect([w.server.count("stream"), w.server.count("list")]).toEqual([0, 2]);
});
