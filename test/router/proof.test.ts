import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { request } from "undici";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type DevCluster, startDevCluster } from "../../lab/devcluster/cluster.ts";
import { routeToPush } from "../../lab/devcluster/pushed-route.ts";
import type { StoredSandbox } from "../../lab/devcluster/sandbox.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { signedHeaders } from "../../src/peers/proof/hmac.ts";
import type { Log } from "../../src/system/log.ts";
import { eventually } from "../support/eventually.ts";
import { metricOf } from "../support/router-process.ts";
import { startTestRouter, type TestRouter, pushedRoute } from "./support.ts";

// Peers that prove who they are by a signature, in a whole router. What a signature is: test/peers/proof/hmac.test.ts.

const KEY = "a-key-of-this-test-and-no-other-1";
const WRONG = "a-key-that-the-router-doesnt-know";
let directory: string;
let keyFile: string;
let router: TestRouter;
const lines: string[] = [];
const write = (message: string, fields?: object) => void lines.push(JSON.stringify([message, fields]));
const log: Log = { debug: write, info: write, warn: write, error: write };

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "lychgate-proof-"));
  keyFile = join(directory, "key");
  await writeFile(keyFile, `${KEY}\n`);
});
afterAll(() => rm(directory, { recursive: true }));
afterEach(() => router.router.stop());

const start = async (
  peers: ConfigInput["peers"],
  input: ConfigInput = { source: "none" },
  apiUrl?: string,
) => {
  lines.length = 0;
  router = await startTestRouter(
    { accessLog: "off", ...input, peers: { hmacKeyFiles: [keyFile], ...peers } },
    { log, ...(apiUrl !== undefined && { apiServer: new URL(apiUrl) }) },
  );
};

const pushed = (version: number) => ({ ...pushedRoute(version), accessToken: "a-token-of-a-sandbox" });

async function send(body: string, headers: Record<string, string>) {
  const reply = await request(`${router.peersUrl}/refresh`, { method: "POST", body, headers });
  return { status: reply.statusCode, text: await reply.body.text(), headers: reply.headers };
}

const signed = (route: object, key: string) => {
  const body = JSON.stringify(route);
  const head = { method: "POST", target: "/refresh", body: Buffer.from(body) };
  return send(body, signedHeaders(key, head, Date.now()));
};

const counted = async (name: string, labels: string) => metricOf(await router.metrics(), name, labels);

describe("peers.require: hmac", () => {
  test("a right signature is taken; none, a wrong one and a replay get 401 and change nothing", async () => {
    await start({ require: "hmac" });
    const bare = await send(JSON.stringify(pushed(1)), {});
    expect(bare).toMatchObject({ status: 401, text: "who pushes routes must prove it\n" });
    expect(bare.headers).toMatchObject({ "www-authenticate": "Lychgate-HMAC-SHA256", connection: "close" });
    expect((await signed(pushed(1), WRONG)).status).toBe(401);
    expect(router.router.table.stats().entries).toBe(0);
    expect((await signed(pushed(1), KEY)).status).toBe(204);
    expect(router.router.table.lookup("x").kind).toBe("found");

    const body = JSON.stringify({ ...pushed(2), state: "dead" });
    const headers = signedHeaders(
      KEY,
      { method: "POST", target: "/refresh", body: Buffer.from(body) },
      Date.now(),
    );
    expect((await send(body.replace('"2"', '"3"'), headers)).status).toBe(401);
    expect((await send(body, headers)).status).toBe(204);
    expect((await send(body, headers)).status).toBe(401);

    expect(await counted("lychgate_peer_pushes_total", 'result="unproven"')).toBe(4);
    expect(await counted("lychgate_peer_proofs_total", 'method="hmac",result="missing"')).toBe(1);
    expect(await counted("lychgate_peer_proofs_total", 'method="hmac",result="wrong"')).toBe(2);
    expect(await counted("lychgate_peer_proofs_total", 'method="hmac",result="replayed"')).toBe(1);
    expect(await counted("lychgate_peer_proofs_total", 'method="hmac",result="proven"')).toBe(2);
  });

  test("refusals are counted by sender, logged with their reason once a minute, and never with a secret", async () => {
    await start({ require: "hmac" });
    const headers = { "x-lychgate-time": "1700000000", "x-lychgate-nonce": "n".repeat(16) };
    for (let again = 0; again < 3; again++) {
      await send(JSON.stringify(pushed(1)), { ...headers, "x-lychgate-signature": "5".repeat(64) });
      await signed(pushed(1), WRONG);
    }
    const refusals = lines.filter((line) => line.includes("did not prove"));
    expect(refusals.map((line) => (JSON.parse(line) as [string, { why: string }])[1].why).sort()).toEqual([
      "out_of_time",
      "wrong",
    ]);
    expect(refusals.every((line) => line.includes("127.0.0.1"))).toBe(true);
    expect(lines.join("\n")).not.toMatch(/a-key-|55555|nnnnn|a-token/);
    expect(await (await request(`${router.adminUrl}/api/peers`)).body.json()).toMatchObject({
      pushers: [{ address: "127.0.0.1", refused: 6, pushes: 0 }],
    });
  });

  test("probes need no proof", async () => {
    await start({ require: "hmac" });
    for (const path of ["/healthz", "/readyz"]) {
      const { statusCode, body } = await request(router.peersUrl + path);
      await body.dump();
      expect(statusCode).toBe(200);
    }
  });

  test("an unread body of an unproven push is not waited for", async () => {
    await start({ require: "hmac" });
    const { exchange } = await import("../peers/peer-fixture.ts");
    const head = "POST /refresh HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n";
    expect(await exchange(Number(new URL(router.peersUrl).port), head)).toMatch(/^HTTP\/1\.1 401 /);
  });

  test("a key that its file no longer holds is taken no more, without a restart", async () => {
    const rotated = join(directory, "rotated");
    await writeFile(rotated, WRONG);
    await start({ require: "hmac", hmacKeyFiles: [rotated, keyFile] });
    expect((await signed(pushed(1), WRONG)).status).toBe(204);
    expect((await signed(pushed(2), KEY)).status).toBe(204);
    await writeFile(rotated, "a-third-key-that-is-long-enough-1");
    await eventually(async () => expect((await signed(pushed(3), WRONG)).status).toBe(401));
    expect((await signed(pushed(4), "a-third-key-that-is-long-enough-1")).status).toBe(204);
  });
});

test("a missing key file stops the start and is named", async () => {
  await expect(start({ require: "hmac", hmacKeyFiles: [join(directory, "nowhere")] })).rejects.toThrow(
    /peers\.hmacKeyFiles: .*nowhere can't be read: ENOENT/,
  );
  await start({});
});

describe("beside a cluster", () => {
  let cluster: DevCluster;
  let sandbox: StoredSandbox;
  beforeAll(async () => {
    cluster = await startDevCluster({
      pods: { firstIp: "127.0.77.1", ipCount: 8, ports: [3000] },
      pools: [{ namespace: "team-a", name: "code", size: 1 }],
      delays: { start: { minMs: 1, maxMs: 5 } },
    });
    sandbox = await cluster.claim({ id: "proof", owner: "ada" });
  });
  afterAll(() => cluster.stop());

  const ahead = (steps: number) => {
    const { namespace, name } = sandbox.metadata;
    const route = routeToPush(cluster.store.get(namespace, name) as StoredSandbox, Date.now());
    return { ...route, state: "paused", resourceVersion: String(Number(route.resourceVersion) + steps) };
  };
  const outcomes = async () => {
    const metrics = await router.metrics();
    const of = (outcome: string) =>
      metricOf(metrics, "lychgate_route_mutations_total", `source="peer",outcome="${outcome}"`);
    return { applied: of("applied"), unsettled: of("unsettled") };
  };

  test("require: none: a right signature is served at once; a wrong one and none are settled by a read", async () => {
    await start({}, {}, cluster.apiUrl);
    await router.router.synced();
    await eventually(async () => expect((await router.ask("proof")).status).toBe(200));
    for (const key of [WRONG, undefined]) {
      const reply =
        key === undefined ? await send(JSON.stringify(ahead(900)), {}) : await signed(ahead(900), key);
      expect(reply.status).toBe(204);
      expect(await router.ask("proof")).toMatchObject({ status: 200 });
    }
    expect((await signed(ahead(1_000), KEY)).status).toBe(204);
    expect(await router.ask("proof")).toMatchObject({ reason: "sandbox_paused" });
    await eventually(async () => expect(await outcomes()).toEqual({ applied: 1, unsettled: 2 }));
  });

  test("trustProven: verify: a right signature opens the door, and the read decides", async () => {
    await start({ require: "hmac", trustProven: "verify" }, {}, cluster.apiUrl);
    await router.router.synced();
    await eventually(async () => expect((await router.ask("proof")).status).toBe(200));
    expect((await signed(ahead(1_000), KEY)).status).toBe(204);
    expect(await router.ask("proof")).toMatchObject({ status: 200 });
    await eventually(async () => expect(await outcomes()).toEqual({ applied: 0, unsettled: 1 }));
  });
});
