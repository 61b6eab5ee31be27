import { request } from "undici";
import { afterEach, expect, test } from "vitest";
import { metricOf } from "../support/router-process.ts";
import { startTestRouter, type TestRouter } from "./support.ts";

// The settings `peers.allowFrom` and `peers.max…` in a whole router. What they do in detail: test/peers/push-budget.test.ts.

let router: TestRouter;
afterEach(() => router.router.stop());

const pushed = (version: number) => ({
  namespace: "ns",
  name: "x",
  id: "x",
  uid: "u",
  owner: "",
  state: "running",
  resourceVersion: String(version),
  ip: "10.0.0.9",
});

const refusedAs = async (result: string) =>
  metricOf(await router.metrics(), "lychgate_peer_pushes_total", `result="${result}"`);

test("peers.allowFrom: others may not push, and are counted; probes and traffic are open to all", async () => {
  router = await startTestRouter({ source: "none", peers: { allowFrom: ["10.0.0.0/8", "fd00::/8"] } });
  expect(await router.push(pushed(1))).toBe(403);
  expect(router.router.table.lookup("x").kind).toBe("unknown");
  for (const path of ["/healthz", "/readyz"]) {
    const { statusCode, body } = await request(router.peersUrl + path);
    await body.dump();
    expect(statusCode).toBe(200);
  }
  expect((await router.ask("x")).reason).toBe("sandbox_not_found");
  expect(await refusedAs("forbidden")).toBe(1);
});

test.each(["127.0.0.1", "127.0.0.0/8", "::ffff:127.0.0.0/104", "0.0.0.0/0"])(
  "peers.allowFrom %s lets loopback push, on a socket of both families too",
  async (cidr) => {
    router = await startTestRouter({ source: "none", peerListen: "[::]:0", peers: { allowFrom: [cidr] } });
    expect(await router.push(pushed(1))).toBe(204);
    expect(router.router.table.lookup("x").kind).toBe("found");
  },
);

test("peers.maxPushesPerSecond: 429 above it; 0 is no limit", async () => {
  router = await startTestRouter({ source: "none", peers: { maxPushesPerSecond: 1 } });
  // So many that they can't all be paid for by time, however busy the machine is.
  const versions = Array.from({ length: 100 }, (_, index) => index + 1);
  const statuses = await Promise.all(versions.map((version) => router.push(pushed(version))));
  expect(new Set(statuses)).toEqual(new Set([204, 429]));
  expect(await refusedAs("rate_limited")).toBe(statuses.filter((status) => status === 429).length);
  await router.router.stop();
  router = await startTestRouter({
    source: "none",
    peers: {
      maxPushesPerSecond: 0,
      maxPushBytesPerSecond: 0,
      maxTotalPushesPerSecond: 0,
      maxTotalPushBytesPerSecond: 0,
    },
  });
  for (let version = 1; version <= 20; version++) expect(await router.push(pushed(version))).toBe(204);
});
