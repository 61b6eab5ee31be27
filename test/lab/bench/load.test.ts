import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { capturedHeads } from "../../../lab/bench/heads/heads.ts";
import type { LoadPlan, LoadResult } from "../../../lab/bench/load-plan.ts";
import { measure } from "../../../lab/bench/measure.ts";
import { startPods } from "../../../lab/bench/pods.ts";
import type { Pods } from "../../../lab/bench/pods.ts";
import { podAddress } from "../../../lab/bench/sandboxes.ts";

/** Copies bytes between each client and the pod of sandbox `index`: a proxy that knows one route only. */
function startForwarder(index: number, podPort: number): Server {
  const server = createServer((client: Socket) => {
    const pod = connect({ host: podAddress(index), port: podPort });
    client.pipe(pod).pipe(client);
    for (const [one, other] of [
      [client, pod],
      [pod, client],
    ] as const) {
      one.on("error", () => other.destroy());
      one.on("close", () => other.destroy());
    }
  });
  return server.listen(0, "127.0.0.1");
}

describe("the benchmark's load and pods", () => {
  let pods: Pods;
  let right: Server;
  let wrong: Server;

  beforeAll(async () => {
    pods = await startPods();
    right = startForwarder(0, pods.port);
    wrong = startForwarder(1, pods.port);
    await Promise.all([once(right, "listening"), once(wrong, "listening")]);
  });

  afterAll(() => {
    right.close();
    wrong.close();
    pods.close();
  });

  function run(plan: Partial<LoadPlan> = {}, proxy: Server = right): Promise<LoadResult> {
    const plain: LoadPlan = {
      port: (proxy.address() as AddressInfo).port,
      pid: process.pid,
      core: 0,
      protocol: "http",
      requestBytes: 0,
      responseBytes: 1024,
      hosts: 1,
      connections: 4,
      clientCloses: false,
      podsClose: false,
      idleConnections: 0,
      warmupMs: 20,
      measureMs: 100,
    };
    return measure({ ...plain, ...plan }, pods.port);
  }

  /** As long as it takes to see something: a tenth of a second where nothing else runs. */
  async function runUntilAnswered(plan: Partial<LoadPlan>): Promise<LoadResult> {
    for (let measureMs = 100; ; measureMs *= 4) {
      const result = await run({ ...plan, measureMs });
      if (result.requests > 0 || result.errors > 0 || measureMs > 20_000) return result;
    }
  }

  it.each<[string, Partial<LoadPlan>]>([
    ["GETs", {}],
    ["small POSTs", { requestBytes: 1024 }],
    ["uploads", { requestBytes: 65_536 }],
    ["heads of real programs in turn", { heads: capturedHeads().map(({ name }) => name) }],
    ["the same with a body", { requestBytes: 1024, heads: capturedHeads().map(({ name }) => name) }],
    ["responses of several sizes", { responseSizes: [0, 10, 70_000] }],
    ["long responses", { responseBytes: 1024 * 1024 }],
    ["connections that the client gives up", { clientCloses: true }],
    ["connections that the pod gives up", { podsClose: true }],
    ["WebSockets", { protocol: "websocket" }],
    ["idle clients", { idleConnections: 20 }],
  ])("exchange %s without an error", async (_, plan) => {
    const result = await runUntilAnswered(plan);
    expect(result.firstError).toBeUndefined();
    expect(result.requests).toBeGreaterThan(0);
    expect(result.cpuUs).toBeGreaterThan(0);
    expect(result.p999Us).toBeGreaterThanOrEqual(result.p50Us);
  });

  it("send no more than the clock asks for", async () => {
    const startedMs = performance.now();
    const { requests, errors } = await run({ ratePerSecond: 200, measureMs: 500 });
    expect(errors).toBe(0);
    expect(requests).toBeGreaterThan(0);
    expect(requests).toBeLessThanOrEqual(((performance.now() - startedMs) / 1000) * 200 + 1);
  });

  it("find a response from another sandbox than the one asked for", async () => {
    const { errors, firstError } = await run({}, wrong);
    expect(errors).toBeGreaterThan(0);
    expect(firstError).toContain("s00001");
  });

  it("find that one of two hosts is routed to the other's pod", async () => {
    const { errors, firstError } = await run({ hosts: 2 });
    expect(errors).toBeGreaterThan(0);
    expect(firstError).toContain("s00000");
  });

  it("find an upload that came to another sandbox, and a WebSocket too", async () => {
    expect((await run({ requestBytes: 1024 }, wrong)).errors).toBeGreaterThan(0);
    expect((await run({ protocol: "websocket" }, wrong)).firstError).toContain("s00001");
  });

  it("count a proxy that nobody answers at as errors", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, "close");
    const { requests, errors, firstError } = await run({ port });
    expect(requests).toBe(0);
    expect(errors).toBeGreaterThan(0);
    expect(firstError).toContain("ECONNREFUSED");
  });
});
