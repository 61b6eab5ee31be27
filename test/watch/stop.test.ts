import { expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import type { Fault } from "./support/faulty-api-server.ts";
import { watching, type Watching } from "./support/watching.ts";

interface Moment {
  readonly name: string;
  readonly list?: Fault;
  readonly watch?: Fault;
  readonly reached: (w: Watching) => boolean;
}

const MOMENTS: readonly Moment[] = [
  {
    name: "listing, before the answer",
    list: { kind: "silent" },
    reached: (w) => w.server.count("list") === 1,
  },
  { name: "listing, within the body", list: { kind: "stall" }, reached: (w) => w.server.count("list") === 1 },
  { name: "opening a watch", watch: { kind: "silent" }, reached: (w) => w.server.count("watch") === 1 },
  { name: "watching", reached: (w) => w.observer.count("connected true") === 1 },
  {
    name: "backing off",
    list: { kind: "status", code: 429, headers: { "retry-after": "60" } },
    reached: (w) => w.informer.status().scopes[0]?.state === "backing_off",
  },
];

test.each(MOMENTS)(
  "stop while $name is prompt, closes every socket, and silences the sink",
  async (moment) => {
    await using w = await watching({
      settings: { firstByteTimeoutMs: 60_000, listIdleTimeoutMs: 60_000 },
      before: (_, server) => {
        if (moment.list) server.faults.list.push(moment.list);
        if (moment.watch) server.faults.watch.push(moment.watch);
      },
    });
    await eventually(() => moment.reached(w));
    const startedMs = performance.now();
    await w.informer.stop();
    w.sink.closed = true;
    expect(performance.now() - startedMs).toBeLessThan(30_000);
    expect(w.sink.live).toBe(false);
    expect(w.informer.status().scopes[0]?.state).toBe("stopped");
    await eventually(() => w.server.sockets.size === 0);
    const asked = w.server.requests.length;
    w.store.put("ns", "late");
    w.informer.start();
    await new Promise((resolve) => void setTimeout(resolve, 30));
    expect(w.server.requests.length).toBe(asked);
    expect(w.sink.violations).toEqual([]);
  },
);

test("stop before start, and twice, does nothing; who waits for the first list is told", async () => {
  await using w = await watching({ before: (_, server) => void server.faults.list.push({ kind: "silent" }) });
  const waiting = w.informer.waitForSync();
  await Promise.all([w.informer.stop(), w.informer.stop()]);
  await expect(waiting).rejects.toThrow("the reflector of all namespaces was stopped before its first list");
});
