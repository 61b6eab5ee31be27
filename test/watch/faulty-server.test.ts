import { expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import type { Fault } from "./support/faulty-api-server.ts";
import { watching, type Watching } from "./support/watching.ts";

/** Puts an object after the first list and waits until the sink has all there is. */
async function convergesAfter(
  w: Watching,
  change: () => void = () => void w.store.put("ns", "after"),
): Promise<void> {
  await w.informer.waitForSync();
  change();
  await eventually(() => {
    expect(w.sink.contents).toEqual(w.store.contents(w.sink.scope));
    return true;
  });
  expect(w.sink.violations).toEqual([]);
}

const WATCH_FAULTS: readonly (readonly [name: string, fault: Fault, restarted: string])[] = [
  ["429", { kind: "status", code: 429 }, "throttled"],
  ["503", { kind: "status", code: 503 }, "unavailable"],
  ["500", { kind: "status", code: 500 }, "server_error"],
  ["a redirect", { kind: "status", code: 302, headers: { location: "http://127.0.0.1:1/" } }, "server_error"],
  ["403", { kind: "status", code: 403 }, "forbidden"],
  ["404", { kind: "status", code: 404 }, "not_found"],
  ["RST before the answer", { kind: "reset" }, "unreachable"],
  ["an ERROR event with code 500", { kind: "error-event", code: 500 }, "server_error"],
  ["an ERROR event with code 429", { kind: "error-event", code: 429 }, "throttled"],
  ["a line that is not JSON", { kind: "body", bytes: '{"type":"ADDED",\n' }, "protocol"],
  ["a line that is not an event", { kind: "body", bytes: '["ADDED"]\n' }, "protocol"],
  [
    "an event without a version",
    { kind: "body", bytes: '{"type":"ADDED","object":{"metadata":{}}}\n' },
    "protocol",
  ],
  ["a line that is not UTF-8", { kind: "body", bytes: Buffer.from([0xff, 0xfe, 0x0a]) }, "protocol"],
  ["an end within a line", { kind: "body", bytes: '{"type":', end: true }, "reset"],
  ["an immediate end", { kind: "end" }, "closed"],
];

test.each(WATCH_FAULTS)(
  "after %s the watch is opened again at the watermark, without a list",
  async (_, fault, word) => {
    await using w = await watching({
      before: (store, server) => {
        store.put("ns", "before");
        server.faults.watch.push(fault);
      },
    });
    await convergesAfter(w);
    expect(w.server.count("list")).toBe(1);
    expect(w.observer.count(`restarted ${word}`)).toBe(1);
    expect(w.sink.delivered()).toEqual(["1002"]);
  },
);

test.each<readonly [string, Fault]>([
  ["FIN", { kind: "cut", afterBytes: 700, by: "fin" }],
  ["RST", { kind: "cut", afterBytes: 700, by: "rst" }],
])("a watch cut by %s in the middle of a line loses nothing and repeats nothing", async (_, fault) => {
  await using w = await watching({ before: (_store, server) => void server.faults.watch.push(fault) });
  await convergesAfter(w, () => {
    for (let i = 0; i < 5; i++) w.store.put("ns", `s${i}`, { note: "ünï→🙂".repeat(9) });
  });
  expect(w.observer.count("restarted reset")).toBe(1);
  expect(w.sink.delivered()).toEqual(["1001", "1002", "1003", "1004", "1005"]);
  expect(w.server.count("list")).toBe(1);
});

test("an event above the limit is not read into memory; after a few tries a list brings the object", async () => {
  await using w = await watching({ settings: { maxEventBytes: 2_000 } });
  await convergesAfter(w, () => void w.store.put("ns", "huge", { note: "x".repeat(3_000) }));
  expect(w.observer.count("restarted oversized")).toBe(5);
  expect(w.observer.notes.filter((note) => note.startsWith("relisted"))).toEqual(["relisted watch_failed"]);
});

test("a watch that only fails is listed again after a few tries", async () => {
  await using w = await watching({
    before: (_, server) =>
      void server.faults.watch.push(
        ...Array.from({ length: 5 }, (): Fault => ({ kind: "status", code: 500 })),
      ),
  });
  await convergesAfter(w);
  await eventually(() => w.server.requests.length >= 8);
  expect(w.server.requests.slice(0, 8).map((r) => r.kind)).toEqual([
    "list",
    "watch",
    "watch",
    "watch",
    "watch",
    "watch",
    "list",
    "watch",
  ]);
});

test("a server that is overloaded or away is not listed, however long that takes", async () => {
  await using w = await watching({
    before: (_, server) =>
      void server.faults.watch.push(
        ...Array.from({ length: 12 }, (_, i): Fault => ({ kind: "status", code: i % 2 ? 429 : 503 })),
      ),
  });
  await convergesAfter(w);
  expect(w.server.count("list")).toBe(1);
  expect(w.server.count("watch")).toBe(13);
});

test.each<readonly [string, Fault]>([
  ["the status 410", { kind: "status", code: 410 }],
  ["an ERROR event with code 410", { kind: "error-event", code: 410, reason: "Expired" }],
  ["an ERROR event with reason Expired", { kind: "error-event", code: 0, reason: "Expired" }],
])("%s leads to a list, which removes what is gone", async (_, fault) => {
  await using w = await watching({
    before: (store, server) => {
      store.put("ns", "gone");
      store.put("ns", "stays");
      server.faults.watch.push(fault);
      server.onRequest = (request) => {
        if (request.kind === "watch") store.delete("ns", "gone");
      };
    },
  });
  await eventually(() => w.observer.count("relisted expired") === 1);
  await convergesAfter(w);
  expect(w.server.count("list")).toBe(2);
  expect(w.informer.status().scopes[0]?.relists).toBe(1);
});

test("every relist is counted, and one that had to be tried again is counted once", async () => {
  await using w = await watching({
    before: (_, server) => {
      server.faults.watch.push({ kind: "status", code: 410 }, { kind: "status", code: 410 });
      let watches = 0;
      server.onRequest = ({ kind }) => {
        // The first list of the first relist fails.
        if (kind === "watch" && ++watches === 1) server.faults.list.push({ kind: "status", code: 500 });
      };
    },
  });
  await eventually(() => w.server.count("watch") === 3);
  expect(w.server.count("list")).toBe(4);
  expect(w.observer.count("relisted expired")).toBe(2);
  expect(w.informer.status().scopes[0]?.relists).toBe(2);
});

test("a server that answers every watch with 410 is not listed in a tight loop", async () => {
  await using w = await watching({
    settings: {
      retry: {
        backoff: { baseMs: 200, maxMs: 200 },
        steadyMs: 200,
        shortWatchMs: 5,
        healthyAfterMs: 60_000,
        watchFaultsBeforeRelist: 5,
        behindRetries: 3,
      },
    },
    before: (_, server) =>
      void (server.chooseFault = (r) => (r.kind === "watch" ? { kind: "status", code: 410 } : undefined)),
  });
  await eventually(() => w.server.count("list") === 3);
  const backoffs = w.informer.status().scopes[0]?.state;
  expect(w.server.count("watch")).toBeLessThanOrEqual(3);
  expect(["backing_off", "watching", "listing"]).toContain(backoffs);
  w.server.chooseFault = () => undefined;
  await convergesAfter(w);
});

test("Retry-After is honoured", async () => {
  await using w = await watching({
    before: (_, server) =>
      void server.faults.watch.push({ kind: "status", code: 429, headers: { "retry-after": "1" } }),
  });
  const startedMs = performance.now();
  await convergesAfter(w);
  expect(performance.now() - startedMs).toBeGreaterThan(900);
});

const LIST_FAULTS: readonly (readonly [string, Fault])[] = [
  ["500", { kind: "status", code: 500 }],
  ["429 with Retry-After", { kind: "status", code: 429, headers: { "retry-after": "0" } }],
  ["404", { kind: "status", code: 404 }],
  ["410 without a continue token", { kind: "status", code: 410 }],
  ["RST", { kind: "reset" }],
  ["a body that is cut by FIN", { kind: "cut", afterBytes: 30 }],
  ["a body that is cut by RST", { kind: "cut", afterBytes: 30, by: "rst" }],
  ["no JSON", { kind: "body", bytes: "<html>" }],
  ["no list", { kind: "body", bytes: "{}" }],
  ["a list without a version", { kind: "body", bytes: '{"metadata":{},"items":[]}' }],
];

test.each(LIST_FAULTS)("a list that fails with %s is tried again, on any page", async (_, fault) => {
  await using w = await watching({
    before: (store, server) => {
      for (let i = 0; i < 5; i++) store.put("ns", `s${i}`);
      server.faults.list.push(fault, ...(fault.kind === "status" && fault.code === 410 ? [] : [GOOD, fault]));
    },
  });
  await convergesAfter(w);
  expect(w.sink.count("relist")).toBe(1);
  expect(w.sink.count("live")).toBe(1);
});

/** Stands in a queue of faults for a request that is answered well. */
const GOOD: Fault = { kind: "slow", bytes: 1_000_000, everyMs: 1 };

test("a continue token that expires restarts the list; the third time everything is asked for at once", async () => {
  await using w = await watching({
    before: (store, server) => {
      for (let i = 0; i < 7; i++) store.put("ns", `s${i}`);
      server.chooseFault = (r) => (r.query.has("continue") ? { kind: "status", code: 410 } : undefined);
    },
  });
  await convergesAfter(w);
  expect(w.server.requests.filter((r) => r.kind === "list").map((r) => r.query.toString())).toEqual([
    "limit=3",
    "limit=3&continue=token-1",
    "limit=3",
    "limit=3&continue=token-2",
    "limit=3",
    "limit=3&continue=token-3",
    "",
  ]);
});

test("a page above the limit is asked for again with half the objects", async () => {
  await using w = await watching({
    settings: { pageSize: 8, maxPageBytes: 2_500 },
    before: (store) => {
      for (let i = 0; i < 8; i++) store.put("ns", `s${i}`, { note: "x".repeat(300) });
    },
  });
  await convergesAfter(w);
  expect(w.server.requests.filter((r) => r.kind === "list").map((r) => r.query.get("limit"))).toEqual([
    "8",
    "4",
    "2",
    "2",
    "2",
    "2",
  ]);
});

test("a slow list may take any time while bytes come", async () => {
  await using w = await watching({
    settings: { listIdleTimeoutMs: 2_000, firstByteTimeoutMs: 2_000 },
    before: (store, server) => {
      for (let i = 0; i < 3; i++) store.put("ns", `s${i}`);
      server.faults.list.push({ kind: "slow", bytes: 100, everyMs: 250 });
    },
  });
  await convergesAfter(w);
  expect(w.server.count("list")).toBe(1);
});

test.each<readonly [string, Fault]>([
  ["is not answered", { kind: "silent" }],
  ["stops in the middle", { kind: "stall" }],
])("a list that %s is given up and tried again", async (_, fault) => {
  await using w = await watching({
    settings: { listIdleTimeoutMs: 40, firstByteTimeoutMs: 40 },
    before: (store, server) => {
      store.put("ns", "a");
      server.faults.list.push(fault);
    },
  });
  await convergesAfter(w);
  // More of them on a machine that needs 40 ms for one.
  expect(w.server.count("list")).toBeGreaterThanOrEqual(2);
});

test.each<readonly [string, Fault]>([
  ["is not answered", { kind: "silent" }],
  ["falls silent", { kind: "stall" }],
])(
  "a watch that %s is stalled: not live until bytes come, and opened again at the watermark",
  async (_, fault) => {
    await using w = await watching({
      settings: { stallTimeoutMs: 60, firstByteTimeoutMs: 60 },
      before: (_store, server) => void server.faults.watch.push(fault, fault),
    });
    await w.informer.waitForSync();
    // On a machine that needs 60 ms for one there are several.
    const lists = w.server.count("list");
    await eventually(() => w.observer.count("restarted stalled") >= 2);
    // An answer alone is no proof after a stall, or a server that accepts and sends nothing would count as heard.
    expect(w.sink.calls.filter((call) => call.kind === "live")).toEqual([
      { kind: "live", live: true },
      { kind: "live", live: false },
    ]);
    await convergesAfter(w);
    expect(w.server.count("list")).toBe(lists);
    expect(w.sink.live).toBe(true);
  },
);

test("a half-open connection, whose peer is gone without a word, is noticed and left", async () => {
  await using w = await watching({ settings: { stallTimeoutMs: 80, firstByteTimeoutMs: 500 } });
  await w.informer.waitForSync();
  const lists = w.server.count("list");
  w.store.put("ns", "a");
  await eventually(() => w.sink.contents.has("ns/a"));
  const [socket] = w.server.sockets;
  for (const open of w.server.sockets) {
    // From here on nothing that the server writes reaches this connection.
    open.write = () => true;
  }
  w.store.put("ns", "b");
  await eventually(() => w.sink.contents.has("ns/b"));
  expect(w.observer.notes).toContain("restarted stalled");
  expect(w.server.count("list")).toBe(lists);
  await eventually(() => socket?.destroyed);
  expect(w.sink.violations).toEqual([]);
});

test("while no watch can be opened the sink is live for a grace only, and again when one is", async () => {
  await using w = await watching({ settings: { liveGraceMs: 30 } });
  await w.informer.waitForSync();
  await eventually(() => w.observer.count("connected true") === 1);
  expect(w.informer.status().scopes[0]?.connected).toBe(true);
  const { port } = w.server;
  await w.server.stop();
  await eventually(() => !w.sink.live);
  expect(w.informer.synced).toBe(true);
  expect(w.informer.status().scopes[0]?.connected).toBe(false);
  expect(w.informer.status().scopes[0]?.lastFault?.kind).toBe("unreachable");
  w.store.put("ns", "meanwhile");
  await w.server.listen(port);
  await eventually(() => w.sink.live && w.sink.contents.has("ns/meanwhile"));
  expect(w.server.count("list")).toBe(1);
  expect(w.sink.violations).toEqual([]);
});

test("within that grace the status does not say connected", async () => {
  await using w = await watching({ settings: { liveGraceMs: 20_000 } });
  await w.informer.waitForSync();
  await eventually(() => w.informer.status().scopes[0]?.connected);
  await w.server.stop();
  await eventually(() => w.observer.count("connected false") === 1);
  expect(w.informer.status().scopes[0]).toMatchObject({ live: true, connected: false });
});

test("a refusing server is told apart in the log, with what to do about it", async () => {
  await using w = await watching({
    selector: "bad selector",
    before: (_, server) =>
      void server.faults.list.push(
        { kind: "status", code: 400, message: 'unable to parse requirement:\n"bad selector"' },
        { kind: "status", code: 403 },
        { kind: "status", code: 404 },
      ),
  });
  await w.informer.waitForSync();
  expect(w.log.lines.filter((line) => line.level === "error")).toMatchObject([
    {
      reason: "bad_request",
      message: 'the API server answered 400: unable to parse requirement: "bad selector"',
      advice: 'check the label selector "bad selector"',
    },
    {
      reason: "forbidden",
      advice: expect.stringContaining("grant list and watch on sandboxes.agents.kruise.io in all"),
    },
    {
      reason: "not_found",
      advice: expect.stringContaining("the CRD sandboxes.agents.kruise.io is not installed"),
    },
  ]);
});

test("of an error's body only a short message is read and logged", async () => {
  await using w = await watching({
    before: (_, server) =>
      void server.faults.list.push(
        { kind: "status", code: 500, message: "x".repeat(1_000) },
        { kind: "status", code: 503, message: "x".repeat(100_000) },
      ),
  });
  await w.informer.waitForSync();
  expect(w.log.lines.filter((line) => line.level === "warn").map((line) => line["message"])).toEqual([
    `the API server answered 500: ${"x".repeat(300)}`,
    "the API server answered 503",
  ]);
});
