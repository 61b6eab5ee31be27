import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Agent, request } from "undici";
import { afterEach, expect, onTestFinished, test } from "vitest";
import { ConfigError } from "../../src/config/config-error.ts";
import { configFrom } from "../../src/config/load.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { type DevCluster, startDevCluster } from "../../lab/devcluster/cluster.ts";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../e2e/support/free-port.ts";
import { startTestRouter, type TestRouter } from "./support.ts";

// Replicas that compare themselves over real sockets (docs/peers.md#anti-entropy).

const routers: TestRouter[] = [];
let cluster: DevCluster | undefined;

afterEach(async () => {
  for (const { router } of routers.splice(0)) await router.stop();
  await cluster?.stop();
  cluster = undefined;
});

const ALLOWED = { allowFrom: ["127.0.0.0/8"] };

/** Two routers that know each other's address. */
async function startPair(
  input: ConfigInput = { source: "none" },
  apiServer?: URL,
): Promise<[TestRouter, TestRouter]> {
  const ports = [await freePort(), await freePort()];
  const peers = ports.map((port) => `127.0.0.1:${port}`);
  const started: TestRouter[] = [];
  for (const port of ports) {
    const router = await startTestRouter(
      {
        ...input,
        peerListen: `127.0.0.1:${port}`,
        peers: { ...ALLOWED, ...input.peers },
        antiEntropy: { enabled: true, peers, intervalMs: 1_000 },
      },
      apiServer ? { apiServer } : {},
    );
    routers.push(router);
    started.push(router);
  }
  return started as [TestRouter, TestRouter];
}

const route = (name: string, resourceVersion: string, more: object = {}) => ({
  namespace: "team-a",
  name,
  id: name,
  uid: `${name}-uid`,
  ip: "127.0.0.9",
  state: "running",
  accessToken: `token-of-${name}`,
  resourceVersion,
  ...more,
});

const stateAt = ({ router }: TestRouter, id: string): string => {
  const found = router.table.lookup(id);
  return found.kind === "found" ? `${found.route.resourceVersion} ${found.state}` : found.kind;
};

test("a push that one replica missed, it learns from the other; so with a deletion", async () => {
  const [one, two] = await startPair();
  expect(await one.push(route("box", "5"))).toBe(204);
  await eventually(() => stateAt(two, "box") === "5 running");
  const learned = two.router.table.lookup("box");
  // With its token: requests must be asked for it.
  expect(learned.kind === "found" && learned.route.accessToken).toBe("token-of-box");
  expect(await two.push({ ...route("box", "7"), state: "dead" })).toBe(204);
  await eventually(() => stateAt(one, "box") === "unknown");
  // What comes late is stopped at both.
  expect(await one.push(route("box", "6"))).toBe(204);
  expect(stateAt(one, "box")).toBe("unknown");
  await eventually(async () =>
    /^lychgate_anti_entropy_comparisons_total\{result="equal"\} [1-9]/m.test(await one.metrics()),
  );
  const metrics = await two.metrics();
  expect(metrics).toContain('lychgate_anti_entropy_differences_total{kind="update"} 1');
  expect(metrics).toContain('lychgate_anti_entropy_repairs_total{outcome="applied"} 1');
  // Each finds itself among its peers, and leaves it at that.
  expect(metrics).toMatch(/^lychgate_anti_entropy_comparisons_total\{result="self"\} [1-9]/m);
});

test("what a replica passes on is a rumour as every push: the API server settles it", async () => {
  cluster = await startDevCluster({ pools: [{ namespace: "team-a", name: "code", size: 1 }] });
  const [one, two] = await startPair({ peers: { trust: "verify" } }, new URL(cluster.apiUrl));
  await Promise.all([one.router.synced(), two.router.synced()]);
  // A table that was lied to: no push of this would be believed.
  const forged = { ...route("ghost", "900000"), requireTrafficAuth: false, owner: "" };
  one.router.table.settle(
    {
      namespace: "team-a",
      name: "ghost",
      version: "900001" as never,
      observation: {
        namespace: "team-a",
        name: "ghost",
        uid: forged.uid,
        resourceVersion: "900000" as never,
        route: { ...forged, resourceVersion: "900000" as never },
      },
      asOf: 0,
    },
    Date.now(),
  );
  expect(stateAt(one, "ghost")).toBe("900000 running");
  await eventually(async () =>
    /push_reads_total\{of="object",result="settled"\} [1-9]/.test(await two.metrics()),
  );
  expect(stateAt(two, "ghost")).toBe("unknown");
  expect(await two.metrics()).toMatch(/^lychgate_anti_entropy_repairs_total\{outcome="unsettled"\} [1-9]/m);
});

test("a replica that starts while the API server is away serves another's snapshot, marked as old", async () => {
  cluster = await startDevCluster({ pools: [{ namespace: "team-a", name: "code", size: 1 }] });
  const ports = [await freePort(), await freePort()];
  const input = (port: number | undefined): ConfigInput => ({
    peerListen: `127.0.0.1:${port}`,
    peers: ALLOWED,
    snapshot: { loadAfterMs: 0 },
    antiEntropy: {
      enabled: true,
      takeSnapshots: true,
      peers: ports.map((one) => `127.0.0.1:${one}`),
      intervalMs: 1_000,
    },
  });
  const apiServer = new URL(cluster.apiUrl);
  const one = await startTestRouter(input(ports[0]), { apiServer });
  routers.push(one);
  await one.router.synced();
  await cluster.claim({ id: "box", owner: "ada", accessToken: "token-of-box" });
  await eventually(() => stateAt(one, "box").endsWith("running"));
  await cluster.api.setOutage("refuse");

  const two = await startTestRouter(input(ports[1]), { apiServer });
  routers.push(two);
  await eventually(() => stateAt(two, "box") === stateAt(one, "box"));
  const readyz = await request(`${two.peersUrl}/readyz`);
  expect(await readyz.body.text()).toContain("ok, but routes are those of a snapshot");
  expect(two.router.table.stats().scopes[0]).toMatchObject({ synced: false });
  // It gives on nothing that is not its own.
  const asked = await request(`${two.peersUrl}/anti-entropy/snapshot`);
  expect(asked.statusCode).toBe(503);
  await asked.body.dump();

  await cluster.api.setOutage("none");
  await eventually(() => two.router.table.stats().scopes[0]?.synced === true);
  await eventually(async () =>
    (await request(`${two.peersUrl}/readyz`)).body.text().then((text) => text === "ok\n"),
  );
});

test("only who may push may ask, and only by GET", async () => {
  const [one] = await startPair({ source: "none", peers: { allowFrom: ["127.0.0.1/32"] } });
  await one.push(route("box", "5"));
  const ask = async (path: string, options: object = {}) => {
    const { statusCode, headers, body } = await request(`${one.peersUrl}${path}`, options);
    return { statusCode, allow: headers["allow"], text: await body.text() };
  };
  expect((await ask("/anti-entropy/digest")).statusCode).toBe(200);
  expect(await ask("/anti-entropy/digest", { method: "POST" })).toMatchObject({
    statusCode: 405,
    allow: "GET",
  });
  expect((await ask("/anti-entropy/nothing")).statusCode).toBe(404);
  expect((await ask("/anti-entropy/leaves?branch=64")).statusCode).toBe(400);
  expect((await ask("/anti-entropy/facts?leaf=1,4096")).statusCode).toBe(400);
  expect((await ask("/anti-entropy/facts")).statusCode).toBe(400);
  // 127.0.0.2 is not allowed: no state and no token is told.
  const stranger = new Agent({ localAddress: "127.0.0.2" });
  onTestFinished(() => stranger.destroy());
  for (const path of ["/anti-entropy/digest", "/anti-entropy/facts?leaf=1"]) {
    const answer = await ask(path, { dispatcher: stranger });
    expect(answer).toMatchObject({ statusCode: 403, text: "not allowed to compare routes\n" });
  }
});

test("asking too often gets 429, and probes are answered all the same", async () => {
  const [one] = await startPair();
  const statuses = new Set<number>();
  await eventually(async () => {
    const asked = await Promise.all(
      Array.from({ length: 50 }, async () => {
        const { statusCode, body } = await request(`${one.peersUrl}/anti-entropy/digest`);
        await body.dump();
        return statusCode;
      }),
    );
    for (const status of asked) statuses.add(status);
    return statuses.has(429);
  });
  expect((await request(`${one.peersUrl}/readyz`)).statusCode).toBe(200);
});

test("off, nothing of it is answered", async () => {
  const router = await startTestRouter({ source: "none", peers: ALLOWED });
  routers.push(router);
  expect((await request(`${router.peersUrl}/anti-entropy/digest`)).statusCode).toBe(404);
});

test.each<[string, (path: string) => { status?: number; body: string | Buffer }]>([
  ["no JSON", () => ({ body: "<html>" })],
  ["an error", () => ({ status: 500, body: "oops" })],
  ["another format", () => ({ body: JSON.stringify({ format: 2 }) })],
  ["an endless answer", () => ({ body: Buffer.alloc(8 << 20, 32) })],
])("a replica that answers with %s is counted, and harms nobody", async (_what, answer) => {
  const server = createServer((asked, response) => {
    const { status = 200, body } = answer(asked.url ?? "");
    response.writeHead(status);
    response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const router = await startTestRouter({
    source: "none",
    peers: ALLOWED,
    antiEntropy: { enabled: true, peers: [`127.0.0.1:${port}`], intervalMs: 1_000 },
  });
  routers.push(router);
  await router.push(route("box", "5"));
  await eventually(async () =>
    /^lychgate_anti_entropy_comparisons_total\{result="failed"\} [1-9]/m.test(await router.metrics()),
  );
  expect(stateAt(router, "box")).toBe("5 running");
});

test("it needs to know who may ask, and whom to ask", () => {
  const faultOf = (input: ConfigInput): string => {
    try {
      configFrom(input);
      return "none";
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      return error.problems.map(({ message }) => message).join("; ");
    }
  };
  const antiEntropy = { enabled: true, peers: ["routers.example.com"] };
  expect(faultOf({ antiEntropy })).toContain("needs peers.allowFrom");
  expect(faultOf({ antiEntropy: { enabled: true }, peers: ALLOWED })).toContain("needs antiEntropy.peers");
  expect(faultOf({ antiEntropy, peers: ALLOWED })).toBe("none");
});
