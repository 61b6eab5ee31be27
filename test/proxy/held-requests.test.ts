import { describe, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { LANE } from "./support/lane.ts";
import type { RouterOptions } from "./support/router.ts";
import { Scene } from "./support/scene.ts";

// Rule 12: requests for a sandbox in doubt are held until what peers pushed of it is settled.

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const UPGRADE = ["Connection: Upgrade", "Upgrade: websocket"];

async function inDoubt(options: RouterOptions = {}): Promise<{ scene: Scene; settle(): void }> {
  const scene = await Scene.open(options);
  const { routes, held } = scene.router;
  routes.held.add("box");
  const settle = (): void => {
    routes.held.delete("box");
    held.doubtChanged();
  };
  return { scene, settle };
}

const waiting = (scene: Scene, count: number) =>
  eventually(() => expect(scene.router.held.size).toBe(count), { everyMs: 2 });

describe.each([
  { lane: LANE, lines: [] as string[] },
  { lane: "full", lines: ["Expect: 100-continue"] },
])("$lane lane", ({ lines }) => {
  test("a request waits, reaches the pod when the doubt is over, and its record counts the wait", async () => {
    const { scene, settle } = await inDoubt();
    const body = lines.length > 0 ? "hello" : "";
    const fields = lines.length > 0 ? [...lines, "Content-Length: 5"] : lines;
    const client = await scene.send(scene.head(lines.length > 0 ? "POST /" : "GET /", ...fields) + body);
    await waiting(scene, 1);
    const beforeMs = performance.now();
    await eventually(() => performance.now() - beforeMs > 20, { everyMs: 2 });
    expect([scene.pod.connections.length, client.received]).toEqual([0, ""]);
    settle();
    const inside = await scene.pod.connection(0);
    await inside.until("\r\n\r\n");
    inside.write(OK);
    await client.until("ok");
    const { status, durationMs } = await scene.router.record(0);
    expect(status).toBe(200);
    expect(durationMs).toBeGreaterThan(20);
    expect(scene.router.released).toEqual(["settled"]);
  });

  test("a sandbox that was found to be gone gets its ordinary reply", async () => {
    const { scene, settle } = await inDoubt();
    const client = await scene.send(scene.head("GET /", ...lines));
    await waiting(scene, 1);
    scene.end("dead");
    settle();
    expect(await client.until("sandbox not found")).toMatch(/^HTTP\/1\.1 502 /);
    expect(scene.pod.connections.length).toBe(0);
  });

  test("a doubt that lasts: after settleMs the request goes on by what is known", async () => {
    const { scene } = await inDoubt({ settleMs: 30 });
    const client = await scene.send(scene.head("GET /", ...lines));
    const inside = await scene.pod.connection(0);
    await inside.until("\r\n\r\n");
    inside.write(OK);
    await client.until("ok");
    expect(scene.router.released).toEqual(["timeout"]);
  });

  test("a client that leaves frees its place", async () => {
    const { scene, settle } = await inDoubt();
    const client = await scene.send(scene.head("GET /", ...lines));
    await waiting(scene, 1);
    client.reset();
    await waiting(scene, 0);
    settle();
    expect(scene.router.released).toEqual(["left"]);
    expect(scene.pod.connections.length).toBe(0);
  });

  test("above the limit: 503 overloaded, and nothing reaches the pod", async () => {
    const { scene } = await inDoubt({ maxHeld: 1 });
    await scene.send(scene.head("GET /", ...lines));
    await waiting(scene, 1);
    const second = await scene.send(scene.head("GET /", ...lines));
    expect(await second.until("\r\n\r\n")).toMatch(/^HTTP\/1\.1 503 [^]*x-lychgate-reason: overloaded/i);
    expect(scene.pod.connections.length).toBe(0);
  });

  test("other sandboxes are served meanwhile", async () => {
    const { scene } = await inDoubt();
    scene.router.routes.run("other");
    await scene.send(scene.head("GET /", ...lines));
    await waiting(scene, 1);
    const host = `Host: ${scene.pod.port}-other.example.com`;
    const client = await scene.send(["GET / HTTP/1.1", host, ...lines, "", ""].join("\r\n"));
    const inside = await scene.pod.connection(0);
    await inside.until("\r\n\r\n");
    inside.write(OK);
    await client.until("ok");
  });
});

test("an upgrade waits, and its tunnel opens when the doubt is over", async () => {
  const { scene, settle } = await inDoubt();
  const client = await scene.send(scene.head("GET /", ...UPGRADE));
  await waiting(scene, 1);
  expect(scene.pod.connections.length).toBe(0);
  settle();
  const inside = await scene.pod.connection(0);
  await inside.until("\r\n\r\n");
  inside.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi");
  await client.until("hi");
});

test("an upgrade whose client leaves frees its place", async () => {
  const { scene } = await inDoubt();
  const client = await scene.send(scene.head("GET /", ...UPGRADE));
  await waiting(scene, 1);
  client.reset();
  await waiting(scene, 0);
});

test("requests that are pipelined behind one that waits are answered after it, in order", async () => {
  const { scene, settle } = await inDoubt();
  const client = await scene.send(scene.head("GET /1") + scene.head("GET /2") + scene.head("GET /3"));
  await waiting(scene, 1);
  settle();
  const inside = await scene.pod.connection(0);
  for (const path of ["/1", "/2", "/3"]) {
    await inside.until(`GET ${path} HTTP/1.1`);
    inside.write(`HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nanswer ${path}`);
  }
  await client.until("answer /3");
  expect(client.received.match(/answer \/[123]/g)).toEqual(["answer /1", "answer /2", "answer /3"]);
});

test("a body that comes while its request waits is all there afterwards", async () => {
  const { scene, settle } = await inDoubt();
  const client = await scene.send(scene.head("POST /", "Content-Length: 10"));
  await waiting(scene, 1);
  client.write("01234");
  client.write("56789");
  settle();
  const inside = await scene.pod.connection(0);
  await inside.until("0123456789");
});

test("a router that drains answers what it holds", async () => {
  const { scene, settle } = await inDoubt();
  const client = await scene.send(scene.head("GET /"));
  await waiting(scene, 1);
  const drained = scene.router.server.drain(60_000);
  settle();
  const inside = await scene.pod.connection(0);
  await inside.until("\r\n\r\n");
  inside.write(OK);
  await client.until("ok");
  await drained;
});
