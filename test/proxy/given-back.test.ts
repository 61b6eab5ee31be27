import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";

import { expect, onTestFinished, test } from "vitest";

import { ConnectionLimits } from "../../src/proxy/limits/connection-limits.ts";
import type { Lessee } from "../../src/proxy/upstream/incarnation-pool.ts";
import { podConnections } from "../../src/proxy/full/pod-connection.ts";
import type { PodConnection } from "../../src/proxy/full/pod-connection.ts";
import { eventually } from "../support/eventually.ts";
import { incarnationAt } from "./support/fake-routes.ts";
import { OK, RawPod } from "./support/raw-peer.ts";
import { Scene } from "./support/scene.ts";
import { newUpstreams } from "../support/defaults.ts";

// Whatever was taken from a limit is given back to it; else it is used up one day, and nobody is served again.

const PATIENCE = { timeoutMs: 60_000 };

class Noting implements Lessee<PodConnection> {
  readonly client = "192.0.2.1";
  connection: PodConnection | undefined;
  error: Error | undefined;
  granted(connection: PodConnection): void {
    this.connection = connection;
  }
  refused(error: Error): void {
    this.error = error;
  }
  cut(): void {}
}

test.each(["kept", "tunnel"] as const)("a cancelled opening (%s) gives back its slot", async (want) => {
  const pod = await RawPod.listen();
  const upstreams = newUpstreams({
    maxConnectionsPerSandbox: 3,
    maxTunnelsPerSandbox: 3,
    maxWaitingPerSandbox: 0,
    clientSharePercent: 100,
  });
  onTestFinished(async () => {
    upstreams.close();
    await pod.close();
  });
  const incarnation = incarnationAt("127.0.0.1");
  const kind = podConnections({ keepAliveTimeoutMs: 60_000, maxResponseHeaderBytes: 65_536 });
  const lease = (lessee: Noting) => upstreams.lease(incarnation, { kind, port: pod.port, want }, lessee);
  // A pool that is empty is forgotten, with its count: one connection stays.
  const staying = new Noting();
  lease(staying);
  await eventually(() => staying.connection !== undefined, PATIENCE);
  for (let i = 0; i < 5; i++) {
    const cancels = [lease(new Noting()), lease(new Noting())];
    for (const cancel of cancels) cancel();
  }
  const [first, second, third] = [new Noting(), new Noting(), new Noting()];
  for (const lessee of [first, second, third]) lease(lessee);
  expect(third.error).toMatchObject({ code: "overloaded" });
  await eventually(() => first.connection !== undefined && second.connection !== undefined, PATIENCE);
});

test("a pool that was evicted under a request and is used again keeps its connections again", async () => {
  const scene = await Scene.open({ upstream: { maxPools: 1 } });
  const busy = await scene.begin("GET /busy");
  scene.router.routes.run("two");
  const two = await scene.send(`GET /two HTTP/1.1\r\nHost: ${scene.pod.port}-two.example.com\r\n\r\n`);
  const twoInside = await scene.pod.connection(1);
  await twoInside.until("GET /two");
  twoInside.write(OK);
  await two.until("\r\n\r\nok");
  // `box` is evicted, and its first request still runs: the next one finds the same pool.
  const again = await scene.begin("GET /again");
  for (const { client, inside } of [busy, again]) {
    inside.write(OK);
    await client.until("\r\n\r\nok");
  }
  await eventually(() => scene.router.upstreams.stats.idle === 2, PATIENCE);
  expect(busy.inside.ended || again.inside.ended).toBe(false);
  again.client.take();
  again.client.write(scene.head("GET /third"));
  await eventually(
    () => [busy, again].some(({ inside }) => inside.received.includes("GET /third")),
    PATIENCE,
  );
  expect(scene.pod.connections).toHaveLength(3);
});

test("an address without connections is forgotten", async () => {
  const limits = new ConnectionLimits({ maxConnections: 10, maxConnectionsPerAddress: 2 });
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket.on("error", () => {}));
    limits.admit(socket);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const from = (localAddress: string) => connect({ port, host: "127.0.0.1", localAddress });
  const clients = ["127.0.0.2", "127.0.0.3", "127.0.0.3"].map(from);
  await eventually(() => limits.open === 3, PATIENCE);
  expect(limits.addresses).toBe(2);
  clients[1]?.destroy();
  await eventually(() => limits.open === 2, PATIENCE);
  expect(limits.addresses).toBe(2);
  clients[2]?.destroy();
  await eventually(() => limits.open === 1, PATIENCE);
  expect(limits.addresses).toBe(1);
  clients[0]?.destroy();
  await eventually(() => limits.open === 0, PATIENCE);
  expect(limits.addresses).toBe(0);
});
