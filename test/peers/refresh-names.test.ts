import { expect, onTestFinished, test } from "vitest";
import type { Route } from "../../src/routes/route.ts";
import { pushOf, startPeerServer } from "./peer-fixture.ts";
import { newTable } from "../support/defaults.ts";

// What no Kubernetes object can be called gets the known 400, byte for byte, and leaves no trace; all that managers send
// is answered as before.

async function start() {
  const table = newTable({ scopes: "none" });
  const fixture = await startPeerServer({
    sink: {
      pushUpdate: (route) => table.pushUpdate(route, 0),
      pushDelete: (push) => table.pushDelete(push, 0),
    },
  });
  onTestFinished(() => fixture[Symbol.asyncDispose]());
  return { table, fixture };
}

const REFUSED = { status: 400, text: "invalid route refresh payload\n" };

test.each<[field: keyof Route, value: string]>([
  ["namespace", "ns\n2"],
  ["name", "c\r\nd"],
  ["id", "\u001b[31m\u202e"],
  ["state", "<svg onload=alert(1)>"],
  ["uid", "u\r\nX-Injected: 1"],
  ["owner", "<script>"],
  ["namespace", "n".repeat(64)],
  ["name", "x".repeat(254)],
  ["name", "Sandbox"],
])("an update whose %s is %j", async (field, value) => {
  const { table, fixture } = await start();
  expect(await fixture.push(pushOf({ [field]: value }))).toMatchObject(REFUSED);
  expect([...table.keys()]).toEqual([]);
  expect(fixture.results.map(({ result }) => result)).toEqual(["invalid"]);
});

test.each([
  ["namespace", "ns 2"],
  ["name", "a\u0000"],
])("a deletion whose %s is %j", async (field, value) => {
  const { table, fixture } = await start();
  const body = { namespace: "ns", name: "sandbox", state: "dead", resourceVersion: "2", [field]: value };
  expect(await fixture.push(body)).toMatchObject(REFUSED);
  expect([...table.keys()]).toEqual([]);
});

test("a deletion needs key and version only, whatever else stands in it", async () => {
  const { fixture } = await start();
  expect(await fixture.push(pushOf({ state: "dead", id: "", uid: "\u0007", owner: "<b>" }))).toMatchObject({
    status: 204,
  });
});

test("an ID alone is taken as before, and changes nothing", async () => {
  const { table, fixture } = await start();
  expect(await fixture.push({ id: "<b>\n", state: "running" })).toMatchObject({ status: 204 });
  expect([...table.keys()]).toEqual([]);
});

test("what a real manager sent is taken: claim, pause, resume, delete", async () => {
  const { table, fixture } = await start();
  // As OpenKruise's sandbox-manager sent them.
  const route = {
    ip: "10.60.0.1",
    id: "default--pool-66626",
    namespace: "default",
    name: "pool-66626",
    uid: "735ad8c4-96a5-4d0b-8a2b-3f6f3b1f0a55",
    owner: "550e8400-e29b-41d4-a716-446655440000",
  };
  for (const [index, state] of ["running", "paused", "running", "dead"].entries()) {
    const body = { ...route, state, resourceVersion: String(6_687 + index) };
    expect(await fixture.push(body)).toMatchObject({ status: 204, text: "" });
    expect(table.lookup("default--pool-66626")).toMatchObject(
      state === "dead" ? { kind: "unknown" } : { kind: "found", state },
    );
  }
});
