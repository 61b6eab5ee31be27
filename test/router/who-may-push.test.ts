import { request } from "undici";
import { afterEach, describe, expect, test } from "vitest";
import { configFrom } from "../../src/config/load.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { openPushesWarning } from "../../src/router/serve.ts";
import { metricOf } from "../support/router-process.ts";
import { startTestRouter, type TestRouter, pushedRoute } from "./support.ts";

// The settings `peers.allowFrom` and `peers.max…` in a whole router. What they do in detail: test/peers/push-budget.test.ts.

let router: TestRouter;
let started: TestRouter | undefined;
afterEach(async () => {
  await started?.router.stop();
  started = undefined;
});

const start = async (input: ConfigInput): Promise<void> => {
  started = router = await startTestRouter(input);
};

const refusedAs = async (result: string) =>
  metricOf(await router.metrics(), "lychgate_peer_pushes_total", `result="${result}"`);

test("peers.allowFrom: others may not push, and are counted; probes and traffic are open to all", async () => {
  await start({ source: "none", peers: { allowFrom: ["10.0.0.0/8", "fd00::/8"] } });
  expect(await router.push(pushedRoute(1))).toBe(403);
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
    await start({ source: "none", peerListen: "[::]:0", peers: { allowFrom: [cidr] } });
    expect(await router.push(pushedRoute(1))).toBe(204);
    expect(router.router.table.lookup("x").kind).toBe("found");
  },
);

test("peers.maxPushesPerSecond: 429 above it; 0 is no limit", async () => {
  await start({ source: "none", peers: { maxPushesPerSecond: 1 } });
  // So many that they can't all be paid for by time, however busy the machine is.
  const versions = Array.from({ length: 100 }, (_, index) => index + 1);
  const statuses = await Promise.all(versions.map((version) => router.push(pushedRoute(version))));
  expect(new Set(statuses)).toEqual(new Set([204, 429]));
  expect(await refusedAs("rate_limited")).toBe(statuses.filter((status) => status === 429).length);
  await router.router.stop();
  await start({
    source: "none",
    peers: {
      maxPushesPerSecond: 0,
      maxPushBytesPerSecond: 0,
      maxTotalPushesPerSecond: 0,
      maxTotalPushBytesPerSecond: 0,
    },
  });
  for (let version = 1; version <= 20; version++) expect(await router.push(pushedRoute(version))).toBe(204);
});

describe("the warning at the start, that whoever reaches the port may push", () => {
  const key = { hmacKeyFiles: ["/key"] };
  test.each<[string, ConfigInput, RegExp | undefined]>([
    ["by default", {}, /need not prove who it is.*costs a read/],
    ["with trust: serve", { peers: { trust: "serve" } }, /trust serve every push is believed/],
    ["without an informer", { source: "none" }, /source none every push is believed/],
    ["with keys that nobody must use", { peers: key }, /need not prove/],
    ["on all addresses", { peerListen: "0.0.0.0:7789" }, /need not prove/],
    ["on loopback", { peerListen: "127.0.0.1:7789" }, undefined],
    ["on loopback by name, without an informer", { peerListen: "localhost:7789", source: "none" }, undefined],
    ["with peers.allowFrom", { source: "none", peers: { allowFrom: ["10.0.0.0/8"] } }, undefined],
    ["with peers.require", { source: "none", peers: { require: "hmac", ...key } }, undefined],
  ])("%s", (_when, input, expected) => {
    const warning = openPushesWarning(configFrom(input));
    if (expected === undefined) expect(warning).toBeUndefined();
    else expect(warning).toMatch(expected);
  });
});

test.each<[ConfigInput["peers"], RegExp]>([
  [{ require: "hmac" }, /peers\.hmacKeyFiles.*must name a key/],
  [{ hmacKeyFiles: ["a", "b", "c"] }, /peers\.hmacKeyFiles.*at most 2/],
  [{ require: "mtls" }, /peers\.tlsCertFile.*peers\.require/],
  [{ tlsCertFile: "a" }, /peers\.tlsKeyFile.*must be given with peers\.tlsCertFile/],
  [{ tlsCertFile: "a", tlsKeyFile: "b", tlsCaFile: "c" }, /peers\.tlsNames.*must name who may push/],
  [{ tlsNames: ["a"] }, /peers\.tlsCertFile.*peers\.tlsNames/],
  [{ tlsCertFile: "a", tlsKeyFile: "b", tlsCaFile: "c", tlsNames: ["*.*.svc"] }, /peers\.tlsNames.*DNS name/],
  [
    { tlsCertFile: "a", tlsKeyFile: "b", tlsCaFile: "c", tlsNames: ["spiffe://*/a"] },
    /peers\.tlsNames.*SPIFFE/,
  ],
])("half a proof is an error that names the setting: %j", (peers, expected) => {
  expect(() => configFrom({ peers })).toThrow(expected);
});
