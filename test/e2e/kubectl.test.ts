import { execFile, spawn, spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { type DevCluster, startDevCluster } from "../../lab/devcluster/cluster.ts";
import { eventually } from "../support/eventually.ts";

const client = spawnSync("kubectl", ["version", "--client", "--output=json"], { encoding: "utf8" });
const hasKubectl = client.status === 0;
/**
 * Before 1.27 kubectl knows only OpenAPI v2, and that as protobuf, which the dev cluster does not speak: such a kubectl
 * (Debian's is 1.20) cannot `explain`, and creates with `--validate=false` only.
 */
const readsOpenApiV3 = hasKubectl && Number(/"minor": *"(\d+)/.exec(client.stdout)?.[1]) >= 27;
const validation = readsOpenApiV3 ? [] : ["--validate=false"];
const title = hasKubectl ? "kubectl" : "kubectl (skipped: it is not on the PATH)";

let folder: string;
let cluster: DevCluster;
let name: string;

/** kubectl with nothing of the person who runs the test. */
function command(args: readonly string[]): [string[], { env: NodeJS.ProcessEnv }] {
  const own = ["--kubeconfig", join(folder, "kubeconfig"), "--cache-dir", join(folder, "cache")];
  return [[...own, ...args], { env: { PATH: process.env["PATH"], HOME: folder } }];
}

async function kubectl(...args: string[]): Promise<{ out: string; err: string }> {
  const { stdout, stderr } = await promisify(execFile)("kubectl", ...command(args));
  return { out: stdout, err: stderr };
}

describe.skipIf(!hasKubectl)(title, () => {
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "lychgate-kubectl-"));
    const fast = { minMs: 10, maxMs: 50 };
    cluster = await startDevCluster({
      kubeconfigPath: join(folder, "kubeconfig"),
      pods: { firstIp: "127.71.5.1" },
      delays: { start: fast, pause: fast, end: fast },
      pools: [{ namespace: "team-a", name: "code", size: 2 }],
    });
    ({ name } = (await cluster.claim({ owner: "ada", id: "example" })).metadata);
    await eventually(() => cluster.pods.living.size === 3);
  });
  afterAll(async () => {
    await cluster?.stop();
    if (folder) await rm(folder, { recursive: true });
  });

  it("get sandboxes: a table", async () => {
    const { out, err } = await kubectl("get", "sandboxes");
    const [head, ...rows] = out.trim().split("\n");
    expect(head?.split(/ {2,}|(?<=OWNER) +/).map((column) => column.trim())).toEqual([
      "NAME",
      "ID",
      "STATUS",
      "POD IP",
      "CLAIMED",
      "OWNER",
      "AGE",
    ]);
    expect(rows).toHaveLength(3);
    expect(rows.find((row) => row.startsWith(name))).toMatch(
      / example +Running +127\.71\.5\.\d+ +true +ada +\d+s$/,
    );
    expect(err).toBe("");
  });

  it("get by short name, in pages, by label, as wide, as names, in all namespaces", async () => {
    expect((await kubectl("get", "sbx", "--chunk-size=1")).out.trim().split("\n")).toHaveLength(4);
    const claimed = await kubectl("get", "sbx", "-l", "agents.kruise.io/sandbox-claimed=true", "-o", "name");
    expect(claimed.out.trim()).toBe(`sandbox.agents.kruise.io/${name}`);
    expect((await kubectl("get", "sbx", "-A", "-o", "wide")).out).toMatch(/NAMESPACE.*POD UID/);
    expect((await kubectl("get", "namespaces")).out).toContain("team-a");
    expect((await kubectl("api-resources")).out).toMatch(
      /sandboxes +sbx +agents\.kruise\.io\/v1alpha1 +true +Sandbox/,
    );
  });

  it("get -o yaml, describe, explain", async () => {
    const sandbox = parse((await kubectl("get", "sandbox", name, "-o", "yaml")).out);
    expect(sandbox).toMatchObject({
      apiVersion: "agents.kruise.io/v1alpha1",
      metadata: { name, labels: { "agents.kruise.io/sandbox-id": "example" } },
      status: { phase: "Running" },
    });
    expect((await kubectl("describe", "sandbox", name)).out).toMatch(/Phase: +Running/);
    if (readsOpenApiV3) expect((await kubectl("explain", "sandbox.spec")).out).toContain("shutdownTime");
  });

  it("patch --type merge pauses and resumes, and get -w sees it", async () => {
    const watch = spawn("kubectl", ...command(["get", "sandboxes", "-w", "--no-headers"]));
    let seen = "";
    watch.stdout.setEncoding("utf8").on("data", (chunk) => (seen += chunk));
    try {
      await eventually(() => seen.split("\n").length > 3, { timeoutMs: 20_000 });
      await kubectl("patch", "sandbox", name, "--type", "merge", "-p", '{"spec":{"paused":true}}');
      await kubectl("wait", `sandbox/${name}`, "--for=condition=Paused", "--timeout=20s");
      expect(cluster.controller.podOf("team-a", name)).toBeUndefined();
      await kubectl(
        "patch",
        "sandbox",
        name,
        "--type",
        "json",
        "-p",
        '[{"op":"replace","path":"/spec/paused","value":false}]',
      );
      await kubectl("wait", `sandbox/${name}`, "--for=condition=Ready", "--timeout=20s");
      expect(cluster.controller.podOf("team-a", name)).toBeDefined();
      await eventually(() => /Paused[^]*Resuming[^]*Running/.test(seen), { timeoutMs: 20_000 });
    } finally {
      watch.kill();
    }
  });

  it("a strategic patch is refused in words that say what to use", async () => {
    await expect(kubectl("patch", "sandbox", name, "-p", '{"spec":{"paused":true}}')).rejects.toMatchObject({
      stderr: expect.stringContaining("application/merge-patch+json"),
    });
  });

  it("create, apply, label, delete", async () => {
    const file = join(folder, "sandbox.json");
    const own = {
      apiVersion: "agents.kruise.io/v1alpha1",
      kind: "Sandbox",
      metadata: { name: "own" },
      spec: {},
    };
    await writeFile(file, JSON.stringify(own));
    expect((await kubectl("create", ...validation, "--save-config", "-f", file)).out).toContain(
      "own created",
    );
    await kubectl("wait", "sandbox/own", "--for=condition=Ready", "--timeout=20s");
    expect((await kubectl("apply", ...validation, "-f", file)).out).toContain("own unchanged");
    await kubectl("label", "sandbox", "own", "tier=gold");
    expect((await kubectl("get", "sbx", "-l", "tier in (gold)", "-o", "name")).out).toContain("own");
    expect((await kubectl("delete", "sandbox", "own", "--timeout=20s")).out).toContain("deleted");
    expect(cluster.store.get("team-a", "own")).toBeUndefined();
    await expect(kubectl("get", "sandbox", "own")).rejects.toMatchObject({
      stderr: expect.stringContaining("NotFound"),
    });
  });

  it("delete waits until the sandbox is gone", async () => {
    expect((await kubectl("delete", "sandbox", name, "--timeout=20s")).out).toContain("deleted");
    expect(cluster.store.get("team-a", name)).toBeUndefined();
  });
});
