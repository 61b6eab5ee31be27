import { expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { watching } from "./support/watching.ts";

// A server that is starting asks for a long wait (Retry-After) and is ready long before it is over.

const REFUSED = { kind: "status", code: 503, headers: { "retry-after": "120" } } as const;
const NOT_READY = { kind: "status", code: 500 } as const;

test("a list that was refused with 503 is read when the server has become ready, before its Retry-After", async () => {
  await using w = await watching({
    before(_, server) {
      server.faults.list.push(REFUSED);
      server.faults.ready.push(NOT_READY, { kind: "reset" }, NOT_READY);
    },
  });
  await w.informer.waitForSync();
  expect([w.server.count("list"), w.server.count("ready")]).toEqual([2, 4]);
});

test("a watch likewise", async () => {
  await using w = await watching({
    before(_, server) {
      server.faults.watch.push(REFUSED);
      server.faults.ready.push(NOT_READY);
    },
  });
  await eventually(() => w.observer.count("connected true") === 1);
  expect([w.server.count("watch"), w.server.count("ready")]).toEqual([2, 2]);
});

test("a server that is ready all along refuses for another reason: its Retry-After stands", async () => {
  await using w = await watching({
    before: (_, server) => void server.faults.list.push({ ...REFUSED, headers: { "retry-after": "1" } }),
  });
  await w.informer.waitForSync();
  expect([w.server.count("list"), w.server.count("ready")]).toEqual([2, 1]);
});

test("stopping ends the wait and the question", async () => {
  await using w = await watching({
    before(_, server) {
      server.faults.list.push(REFUSED);
      server.faults.ready.push({ kind: "silent" });
    },
  });
  await eventually(() => w.server.count("ready") === 1);
  await w.informer.stop();
  expect(w.informer.status().scopes[0]?.state).toBe("stopped");
});
