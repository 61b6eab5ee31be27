import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { request } from "undici";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type DevCluster, startDevCluster } from "../../lab/devcluster/cluster.ts";
import type { Explanation, PreviewLink } from "../../src/admin/api-types.ts";
import { runInProcess } from "../cli/run-lychgate.ts";
import { eventually } from "../support/eventually.ts";
import { startTestRouter, type TestRouter } from "./support.ts";

// docs/access.md#preview-links from the command line to the pod, with an API server.

const ADMIN = "admin-token";
const HOST = "3000-box.example.com";
let folder: string;
let cluster: DevCluster;
let router: TestRouter;
let name: string;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "lychgate-preview-"));
  writeFileSync(join(folder, "key"), "k".repeat(40));
  cluster = await startDevCluster({
    pods: { firstIp: "127.0.75.1", ipCount: 4, ports: [3000] },
    pools: [{ namespace: "team-a", name: "code", size: 1 }],
    delays: {
      start: { minMs: 5, maxMs: 10 },
      pause: { minMs: 1, maxMs: 5 },
      end: { minMs: 1, maxMs: 5 },
      notice: { minMs: 1, maxMs: 2 },
    },
  });
  ({ name } = (await cluster.claim({ id: "box", owner: "ada" })).metadata);
});
afterEach(async () => {
  await router.router.stop();
  await cluster.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function start(workers: number): Promise<void> {
  router = await startTestRouter(
    {
      workers,
      accessLog: "off",
      logLevel: "error",
      admin: { token: ADMIN },
      access: { default: "private", previewKeyFiles: [join(folder, "key")] },
    },
    { apiServer: new URL(cluster.apiUrl), accessLog: () => {} },
  );
  await router.router.synced();
  await eventually(async () => expect((await router.ask("box")).reason).toBe("sandbox_private"));
}

async function annotate(annotations: Readonly<Record<string, string>>): Promise<void> {
  const path = `/apis/agents.kruise.io/v1alpha1/namespaces/team-a/sandboxes/${name}`;
  const { statusCode, body } = await request(new URL(path, cluster.apiUrl), {
    method: "PATCH",
    headers: { "content-type": "application/merge-patch+json" },
    body: JSON.stringify({ metadata: { annotations } }),
  });
  await body.dump();
  expect(statusCode).toBe(200);
}

async function mint(input: object, token = ADMIN): Promise<{ status: number; body: string }> {
  const { statusCode, body } = await request(`${router.adminUrl}/api/preview`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify(input),
  });
  return { status: statusCode, body: await body.text() };
}

const linkOf = async (input: object) => JSON.parse((await mint(input)).body) as PreviewLink;

describe.each([1, 2])("with %i process(es) that serve", (workers) => {
  test("a link from the command line lets a browser in until its sandbox's epoch changes", async () => {
    await start(workers);
    const argv = ["preview", "box.example.com", "--port", "3000", "--for", "2h", "--admin", router.adminUrl];
    const { code, stdout } = await runInProcess([...argv, "--json"], { LYCHGATE_ADMIN_TOKEN: ADMIN });
    expect(code).toBe(0);
    const link = JSON.parse(stdout) as PreviewLink;
    expect(link).toMatchObject({ header: "x-lychgate-token", sandbox: "box", port: 3000 });
    expect(link.url).toBe(`https://${HOST}/?lychgate_token=${link.token}`);
    expect(Date.parse(link.expiresAt) - Date.now()).toBeGreaterThan(7_000_000);

    const { pathname, search } = new URL(link.url);
    const visit = await request(`${router.trafficUrl}${pathname}${search}`, { headers: { host: HOST } });
    await visit.body.dump();
    expect([visit.statusCode, visit.headers["location"]]).toEqual([302, "/"]);
    const cookie = String(visit.headers["set-cookie"]).split(";")[0] ?? "";
    expect((await router.ask("box", "/", { cookie })).status).toBe(200);
    expect((await router.ask("box", "/", { "x-lychgate-token": link.token })).status).toBe(200);

    await annotate({ "lychgate.dev/preview-epoch": "2" });
    await eventually(async () =>
      expect((await router.ask("box", "/", { cookie })).reason).toBe("preview_token_invalid"),
    );
    // A link that is made now counts.
    const next = await linkOf({ host: HOST });
    expect((await router.ask("box", "/", { "x-lychgate-token": next.token })).status).toBe(200);
    // The owner opens it.
    await annotate({ "lychgate.dev/access": "open" });
    await eventually(async () => expect((await router.ask("box")).status).toBe(200));
    expect(await router.metrics().catch(() => "")).not.toContain(link.token);
  });
});

test("who may make links, and which", async () => {
  await start(1);
  const cases: [object, number, string][] = [
    [{ host: HOST, forSeconds: 10_000_000 }, 400, "access.previewMaxMs"],
    [{ host: HOST, pathPrefix: "/a/%2e%2e" }, 400, "plain path"],
    [{ host: HOST, methods: ["get"] }, 400, "methods"],
    [{ host: HOST, uid: "x" }, 400, "unknown field"],
    [{ host: "3000-nobody.example.com" }, 400, "no sandbox"],
    [{ host: "box.example.com" }, 400, "port"],
    [{ host: HOST, port: 49_983 }, 400, "49983"],
    [{ host: "" }, 400, "host"],
  ];
  for (const [input, status, words] of cases) {
    const answer = await mint(input);
    expect([answer.status, answer.body]).toEqual([status, expect.stringContaining(words)]);
  }
  expect((await mint({ host: HOST }, "wrong-token")).status).toBe(401);
  const got = await request(`${router.adminUrl}/api/preview`, {
    headers: { authorization: `Bearer ${ADMIN}` },
  });
  await got.body.dump();
  expect([got.statusCode, got.headers["allow"]]).toEqual([405, "POST"]);
  const { code, stderr } = await runInProcess(["preview", HOST, "--for", "soon", "--admin", router.adminUrl]);
  expect([code, stderr]).toEqual([2, expect.stringContaining("--for must be a time such as")]);
});

test("explain says what a port asks for", async () => {
  await start(1);
  const { body } = await request(`${router.adminUrl}/api/explain?host=${HOST}`, {
    headers: { authorization: `Bearer ${ADMIN}` },
  });
  const { steps, verdict } = (await body.json()) as Explanation;
  expect(steps).toContainEqual({ step: "access", result: "private: needs a token for port 3000" });
  expect(verdict).toMatchObject({ reason: "sandbox_private", status: 401 });
});

test("without a token of the admin port nobody makes links", async () => {
  router = await startTestRouter(
    { access: { previewKeyFiles: [join(folder, "key")] } },
    { apiServer: new URL(cluster.apiUrl), accessLog: () => {} },
  );
  expect(await mint({ host: HOST })).toMatchObject({ status: 403 });
});
