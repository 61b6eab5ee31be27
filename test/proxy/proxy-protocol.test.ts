import { expect, test } from "vitest";

import { eventually } from "../support/eventually.ts";
import type { RawPeer } from "./support/raw-peer.ts";
import { Scene } from "./support/scene.ts";

const FROM_HERE = { server: { proxyProtocol: ["127.0.0.0/8"] } };
const HEADER = "PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n";

/** Sends pieces, each when the one before has left, and gives what the pod gets. */
async function headAtPod(scene: Scene, pieces: readonly string[]): Promise<string> {
  const client = await scene.router.client();
  for (const piece of pieces) {
    client.write(piece);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const inside = await scene.pod.connection(0);
  const head = await inside.until("\r\n\r\n");
  inside.write("HTTP/1.1 204 No Content\r\n\r\n");
  await client.until("204");
  return head;
}

test("the client that the header names is told to the pod and to the record", async () => {
  const scene = await Scene.open(FROM_HERE);
  const head = await headAtPod(scene, [HEADER + scene.head("GET /a")]);
  expect(head).toContain("X-Forwarded-For: 192.0.2.7\r\n");
  expect(await scene.router.record(0)).toMatchObject({ client: "192.0.2.7", status: 204 });
});

test("a header that comes in pieces is put together", async () => {
  const scene = await Scene.open(FROM_HERE);
  const text = HEADER + scene.head("POST /a", "Content-Length: 0", "Cookie: a=b");
  const pieces = [
    text.slice(0, 3),
    text.slice(3, 30),
    text.slice(30, HEADER.length + 9),
    text.slice(HEADER.length + 9),
  ];
  expect(await headAtPod(scene, pieces)).toContain("X-Forwarded-For: 192.0.2.7\r\n");
});

test("the full lane knows the client too", async () => {
  const scene = await Scene.open(FROM_HERE);
  const head = await headAtPod(scene, [HEADER + scene.head("GET /a", "Expect: nothing")]);
  expect(head).toMatch(/x-forwarded-for: 192\.0\.2\.7\r\n/i);
});

test("a connection of the proxy's own has the proxy's address", async () => {
  const scene = await Scene.open(FROM_HERE);
  const head = await headAtPod(scene, [`PROXY UNKNOWN\r\n${scene.head("GET /a")}`]);
  expect(head).toContain("X-Forwarded-For: 127.0.0.1\r\n");
});

test("a request without a header is refused where one is required", async () => {
  const scene = await Scene.open(FROM_HERE);
  const client = await scene.send(scene.head("GET /a"));
  const text = await client.until("client.proxyProtocol");
  expect(text).toMatch(/^HTTP\/1\.1 400 /);
  expect(text).toContain("x-lychgate-reason: proxy_protocol");
  await eventually(() => client.ended);
  expect(scene.pod.connections).toEqual([]);
});

test("a header from another address is refused", async () => {
  const scene = await Scene.open({ server: { proxyProtocol: ["192.0.2.0/24"] } });
  const client = await scene.send(HEADER + scene.head("GET /a"));
  expect(await client.until("client.proxyProtocol")).toContain("x-lychgate-reason: proxy_protocol");
  expect(await scene.router.record(0)).toMatchObject({ client: "127.0.0.1" });
  expect(scene.pod.connections).toEqual([]);
});

test("a proxy that sends no header in time is closed", async () => {
  const scene = await Scene.open({ server: { ...FROM_HERE.server, headerTimeoutMs: 100 } });
  const client = await scene.send("PROXY TCP4 ");
  await eventually(() => client.ended || client.closed);
  expect(client.received).toBe("");
});

test("limits per address are those of the client, not of its proxy", async () => {
  const scene = await Scene.open({ server: { ...FROM_HERE.server, maxConnectionsPerAddress: 1 } });
  const ask = async (address: string): Promise<RawPeer> => {
    const client = await scene.router.client();
    client.write(`PROXY TCP4 ${address} 192.0.2.1 1 80\r\nGET / HTTP/1.1\r\nHost: nobody\r\n\r\n`);
    await client.until("x-lychgate-reason");
    return client;
  };
  expect((await ask("192.0.2.7")).received).toContain("no_sandbox");
  expect((await ask("192.0.2.8")).received).toContain("no_sandbox");
  expect((await ask("192.0.2.7")).received).toContain("overloaded");
});
