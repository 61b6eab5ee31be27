import { mkdtempSync, rmSync } from "node:fs";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { request } from "undici";
import { afterEach, describe, expect, onTestFinished, test } from "vitest";
import { type Clock, systemClock } from "../../src/system/clock.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { startDevCluster } from "../../lab/devcluster/cluster.ts";
import { type LogFields, silentLog } from "../../src/system/log.ts";
import { eventually } from "../support/eventually.ts";
import { metricOf, startRouterProcess } from "../support/router-process.ts";
import { startTestRouter, type TestRouter } from "./support.ts";

// One push must not make the public port a way to the router's other ports, to the cloud's credentials or anywhere else
// that only the router's host may go. Real sockets, from the push to the answer.

let router: TestRouter | undefined;
afterEach(() => router?.router.stop());

const pushed = (ip: string, version = 1) => ({
  namespace: "ns",
  name: "x",
  id: "ns--x",
  uid: "u",
  owner: "mallory",
  state: "running",
  resourceVersion: String(version),
  ip,
});

async function start(input: ConfigInput, warnings: (LogFields | undefined)[] = []): Promise<TestRouter> {
  const log = { ...silentLog, warn: (_: string, fields?: LogFields) => void warnings.push(fields) };
  router = await startTestRouter({ source: "none", ...input }, { log });
  await router.router.synced();
  return router;
}

/** What a client of the public port sees. */
async function ask(
  to: TestRouter,
  path: string,
  host: string,
  method: "GET" | "POST" = "GET",
  body?: string,
) {
  const options = { method, headers: { host }, ...(body !== undefined && { body }) };
  const response = await request(`${to.trafficUrl}${path}`, options);
  return {
    status: response.statusCode,
    reason: response.headers["x-lychgate-reason"],
    body: await response.body.text(),
  };
}

const portOf = (url: string) => new URL(url).port;

const notAllowed = {
  status: 502,
  reason: "pod_ip_not_allowed",
  body: expect.stringContaining("healthy sandbox not found: ns--x") as string,
};

/** An address of this machine that is not loopback's, if it has one. */
const ownAddress = Object.values(networkInterfaces())
  .flat()
  .find((each) => each !== undefined && !each.internal && each.family === "IPv4")?.address;

describe("after a push of an address that is the router's", () => {
  const addresses = [
    "127.0.0.1",
    "127.0.0.2",
    "0.0.0.0",
    "::1",
    "::ffff:127.0.0.1",
    "::",
    "169.254.169.254",
    "224.0.0.1",
  ];

  test.each(addresses)(
    "%s: no request of the public port reaches the admin, peer or public port",
    async (ip) => {
      const to = await start({ routes: { podCidrs: [] } });
      expect(await to.push(pushed(ip))).toBe(204);
      const admin = portOf(to.adminUrl);
      expect(await ask(to, `/kruise/ns--x/${admin}/api/routes`, "localhost")).toEqual(notAllowed);
      expect(await ask(to, `/kruise/ns--x/${admin}/metrics`, "localhost")).toEqual(notAllowed);
      const forged = JSON.stringify(pushed("10.6.6.6", 2));
      const peers = `${portOf(to.peersUrl)}-ns--x.any.example`;
      expect(await ask(to, "/refresh", peers, "POST", forged)).toEqual(notAllowed);
      const itself = `${portOf(to.trafficUrl)}-ns--x.any.example`;
      expect(await ask(to, "/", itself)).toEqual(notAllowed);
      expect(to.router.table.lookup("ns--x")).toMatchObject({ route: { ip, resourceVersion: "1" } });
    },
  );

  test.skipIf(ownAddress === undefined)("the same with an address of its own interfaces", async () => {
    const input = { routes: { podCidrs: ["0.0.0.0/0"] }, listen: "0.0.0.0:0", adminListen: "0.0.0.0:0" };
    const to = await start(input);
    expect(await to.push(pushed(ownAddress ?? ""))).toBe(204);
    expect(await ask(to, `/kruise/ns--x/${portOf(to.adminUrl)}/api/routes`, "localhost")).toEqual(notAllowed);
  });

  test("the same with an anycast address of its own, before an interface has it", async () => {
    const directory = mkdtempSync(join(tmpdir(), "lychgate-own-"));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const anycast = {
      addresses: ["10.99.0.1"],
      birdSocket: join(directory, "bird.ctl"),
      includeFile: join(directory, "router.conf"),
    };
    const to = await start({ anycast });
    await to.push(pushed("10.99.0.1"));
    expect(await ask(to, "/", "80-ns--x.any.example")).toEqual(notAllowed);
  });

  test("an address that becomes the router's later ends what is served there; one that it gives up is a pod's again", async () => {
    let own: readonly string[] = [];
    // Each reading of the interfaces comes soon.
    const clock: Clock = {
      ...systemClock,
      setTimeout: (callback, delayMs) => systemClock.setTimeout(callback, delayMs === 10_000 ? 5 : delayMs),
    };
    router = await startTestRouter({ source: "none" }, { clock, readOwnAddresses: () => own });
    const to = router;
    await to.push(pushed("10.99.0.1"));
    const state = () => to.router.table.lookup("ns--x");
    expect(state()).toMatchObject({ state: "running" });
    own = ["10.99.0.1"];
    await eventually(() => expect(state()).toMatchObject({ state: "ip_not_allowed" }));
    own = [];
    await eventually(() => expect(state()).toMatchObject({ state: "running" }));
  });

  test("workers refuse it too", async () => {
    const to = await start({ routes: { podCidrs: [] }, workers: 2, accessLog: "off", logLevel: "error" });
    await to.push(pushed("127.0.0.1"));
    await eventually(
      async () =>
        expect(await ask(to, `/kruise/ns--x/${portOf(to.adminUrl)}/api/routes`, "localhost")).toEqual(
          notAllowed,
        ),
      { timeoutMs: 30_000, everyMs: 50 },
    );
  });

  test("it is counted, logged with who pushed it, and explained", async () => {
    const warnings: (LogFields | undefined)[] = [];
    const to = await start({ routes: { podCidrs: [] } }, warnings);
    for (let version = 1; version <= 5; version++) await to.push(pushed("127.0.0.1", version));
    const metrics = await to.metrics();
    expect(metricOf(metrics, "lychgate_pod_ips_refused_total", 'source="peer"')).toBe(5);
    expect(metricOf(metrics, "lychgate_pod_ips_refused_total", 'source="informer"')).toBe(0);
    expect(metricOf(metrics, "lychgate_routes", 'state="ip_not_allowed"')).toBe(1);
    expect(warnings).toEqual([
      { sandbox: "ns/x", ip: "127.0.0.1", why: "loopback", writer: "peer", from: "127.0.0.1" },
    ]);
    const explained = await request(`${to.adminUrl}/api/explain?host=3000-ns--x.example.com`);
    const said = JSON.stringify(await explained.body.json());
    expect(said).toContain("pod_ip_not_allowed");
    expect(said).toContain("outside routes.podCidrs");
    expect(await (await request(`${to.adminUrl}/api/routes`)).body.text()).toContain(
      "no pod can have its pod IP",
    );
  });

  test("podCidrs that names loopback opens the way: it is what stands between", async () => {
    const to = await start({ routes: { podCidrs: ["127.0.0.0/8"] } });
    await to.push(pushed("127.0.0.1"));
    const { status, body } = await ask(to, `/kruise/ns--x/${portOf(to.adminUrl)}/api/routes`, "localhost");
    expect({ status, body }).toEqual({ status: 200, body: expect.stringContaining("mallory") as string });
  });
});

test("the API server's word is judged alike: a Sandbox whose status says 127.0.0.1 is not served", async () => {
  const cluster = await startDevCluster({
    pods: { firstIp: "127.0.73.1", ipCount: 4, ports: [3000] },
    pools: [{ namespace: "team-a", name: "code", size: 1 }],
  });
  try {
    router = await startTestRouter({ routes: { podCidrs: [] } }, { apiServer: new URL(cluster.apiUrl) });
    const { ask: askFor, metrics } = router;
    await router.router.synced();
    await cluster.claim({ id: "local", owner: "ada" });
    await eventually(async () => expect((await askFor("local")).reason).toBe("pod_ip_not_allowed"), {
      timeoutMs: 30_000,
    });
    expect(metricOf(await metrics(), "lychgate_pod_ips_refused_total", 'source="informer"')).toBeGreaterThan(
      0,
    );
  } finally {
    await cluster.stop();
  }
});

describe("serve", () => {
  test("warns when routes.podCidrs allows special addresses, by name", async () => {
    const flags = ["--source", "none", "--drain-delay-ms", "0", "--access-log", "off"];
    const started = await startRouterProcess([
      ...flags,
      "--routes-pod-cidrs=127.0.0.0/8",
      "--routes-pod-cidrs=10.0.0.0/8",
    ]);
    started.kill("SIGTERM");
    await started.exited;
    expect(started.stderr.filter((line) => line.includes("routes.podCidrs"))).toEqual([
      expect.stringContaining('"allowed":["127.0.0.0/8"]'),
    ]);
  });

  test("does not warn of ordinary ones", async () => {
    const flags = ["--source", "none", "--drain-delay-ms", "0", "--access-log", "off"];
    const started = await startRouterProcess([...flags, "--routes-pod-cidrs=10.0.0.0/8"]);
    started.kill("SIGTERM");
    await started.exited;
    expect(started.stderr.filter((line) => line.includes("routes.podCidrs"))).toEqual([]);
  });
});
