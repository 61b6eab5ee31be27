import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import type { Overview } from "../../src/admin/api-types.ts";
import { hasOpenssl } from "../support/certificates.ts";
import { eventually } from "../support/eventually.ts";
import { metricOf } from "../support/router-process.ts";

const LAUNCHER = fileURLToPath(new URL("../../bin/lychgate.mjs", import.meta.url));

/** What `curl -H 'Host: …' url` gets. */
async function curl(url: string, host: string): Promise<{ status: number | undefined; body: string }> {
  const [response] = await once(request(url, { headers: { host }, agent: false }).end(), "response");
  return { status: response.statusCode, body: await text(response) };
}

/** A demo in a process of its own, on free ports unless `flags` name others, in `folder`. */
function startDemo(folder: string, flags: readonly string[]) {
  const ports = ["--listen", "--peer-listen", "--admin-listen"].flatMap((flag) =>
    flags.includes(flag) ? [] : [flag, "127.0.0.1:0"],
  );
  const child = spawn(process.execPath, [LAUNCHER, "demo", ...ports, ...flags], {
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
  });
  // Not `finally`: a test that runs out of time never gets there, and a demo that hangs would stay.
  onTestFinished(() => void child.kill("SIGKILL"));
  const exited = once(child, "exit");
  let told = "";
  let faults = "";
  child.stdout.setEncoding("utf8").on("data", (some: string) => (told += some));
  child.stderr.setEncoding("utf8").on("data", (some: string) => (faults += some));
  return {
    child,
    exited,
    told: () => told,
    faults: () => faults,
    printed: (pattern: RegExp) =>
      eventually(
        () => {
          expect(child.exitCode, faults).toBeNull();
          expect(told).toMatch(pattern);
          return pattern.exec(told) ?? [];
        },
        { timeoutMs: 30_000 },
      ),
  };
}

function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "lychgate-demo-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test("demo: the printed curl line works, also when nobody reads on, and SIGTERM ends it with 0", async () => {
  const { child, exited, faults, printed } = startDemo(scratchFolder(), ["--churn-per-minute", "3000"]);
  const [, host = "", url = ""] = await printed(/ curl -H 'Host: ([^']+)' (\S+)/);
  expect(await curl(url, host)).toMatchObject({ status: 200, body: expect.stringContaining('"hello"') });

  // As `npm start | head` does: from here on it tells what happens to nobody.
  const [, metricsUrl = ""] = await printed(/ Metrics +(\S+)/);
  const version = async () => {
    const { watermarks } = (await (
      await fetch(new URL("/api/overview", metricsUrl), { signal: AbortSignal.timeout(2_000) })
    ).json()) as Overview;
    return Number(watermarks[""]);
  };
  child.stdout.destroy();
  const before = await version();
  await eventually(async () => expect(await version()).toBeGreaterThan(before + 10));
  expect((await curl(url, host)).status).toBe(200);

  child.kill("SIGTERM");
  expect(await exited, faults()).toEqual([0, null]);
});

test.skipIf(!hasOpenssl())("demo --tls: the printed curl line with --cacert works", async () => {
  const folder = scratchFolder();
  const { printed } = startDemo(folder, ["--churn-per-minute", "0", "--tls-port", "0"]);
  const [, line = ""] = await printed(/ curl (--cacert .*)/);
  const output = await new Promise<string>((resolve, reject) => {
    execFile("curl", ["-sSi", ...line.split(" ")], { cwd: folder }, (error, stdout) =>
      error ? reject(error) : resolve(stdout),
    );
  });
  expect(output).toMatch(/^HTTP\/(1\.1|2) 200 /);
  expect(output).toContain('"hello"');
});

test("a second demo leaves the first one's kubeconfig alone, and says what to type when ports are taken", async () => {
  const folder = scratchFolder();
  const first = startDemo(folder, ["--churn-per-minute", "0"]);
  const [, traffic = ""] = await first.printed(/ curl \S+ \S+ \S+ http:\/\/(127\.0\.0\.1:\d+)/);
  const [, admin = ""] = await first.printed(/ Status +http:\/\/(\S+)\//);
  const [, peers = ""] = await first.printed(/ Peers +http:\/\/(127\.0\.0\.1:\d+)/);
  const kubeconfig = join(folder, ".lychgate/kubeconfig");
  const before = readFileSync(kubeconfig, "utf8");

  const refused = startDemo(
    folder,
    `--listen ${traffic} --peer-listen ${peers} --admin-listen ${admin}`.split(" "),
  );
  expect(await refused.exited, refused.faults()).toEqual([1, null]);
  // All of them at once, and flags that work.
  for (const [flag, address] of [
    ["--listen", traffic],
    ["--peer-listen", peers],
    ["--admin-listen", admin],
  ]) {
    expect(refused.faults()).toMatch(new RegExp(`\\(${flag}\\): listen EADDRINUSE[^;]*${address}`));
    expect(refused.faults()).toContain(`${flag} 127.0.0.1:0`);
  }
  expect(readFileSync(kubeconfig, "utf8")).toBe(before);
  expect(readdirSync(join(folder, ".lychgate"))).toEqual(["kubeconfig"]);

  const second = startDemo(folder, ["--churn-per-minute", "0"]);
  await second.printed(/kubectl --kubeconfig \.lychgate\/kubeconfig-2 get/);
  expect(readFileSync(kubeconfig, "utf8")).toBe(before);
  expect((await fetch(`${serverOf(kubeconfig)}/version`)).status).toBe(200);
  expect(serverOf(`${kubeconfig}-2`)).not.toBe(serverOf(kubeconfig));

  // The next demo takes the name again when its owner is gone.
  first.child.kill("SIGTERM");
  await first.exited;
  const third = startDemo(folder, ["--churn-per-minute", "0"]);
  await third.printed(/kubectl --kubeconfig \.lychgate\/kubeconfig get/);
});

/** URL of the API server that a kubeconfig names. */
function serverOf(kubeconfig: string): string {
  return /server: (\S+)/.exec(readFileSync(kubeconfig, "utf8"))?.[1] ?? "";
}

test("the demo has traffic of its own, and hello comes back when it was deleted", async () => {
  const folder = scratchFolder();
  const flags = "--churn-per-minute 0 --requests-per-minute 6000 --access-log json";
  const demo = startDemo(folder, flags.split(" "));
  const [, host = "", url = ""] = await demo.printed(/ curl -H 'Host: ([^']+)' (\S+)/);
  const [, metricsUrl = ""] = await demo.printed(/ Metrics +(\S+)/);
  const [, name = ""] = await demo.printed(/ patch sandbox (\S+) /);
  expect(demo.told()).toContain("kubectl looks into the namespace team-a unless you say -n");
  await eventually(
    async () => {
      const metrics = await (await fetch(metricsUrl)).text();
      expect(
        metricOf(metrics, "lychgate_requests_total", 'method="GET",code="200",reason="ok"'),
      ).toBeGreaterThan(5);
    },
    { timeoutMs: 30_000 },
  );
  // In the log stands what others ask for.
  expect((await curl(url, host)).status).toBe(200);
  await eventually(() => demo.told().includes('"path":"/"'), { timeoutMs: 30_000 });
  expect(demo.told().match(/"path":"\/"/g)).toHaveLength(1);

  const api = serverOf(join(folder, ".lychgate/kubeconfig"));
  const path = `/apis/agents.kruise.io/v1alpha1/namespaces/team-a/sandboxes/${name}`;
  expect((await fetch(`${api}${path}`, { method: "DELETE" })).status).toBe(200);
  const [, next] = await demo.printed(/hello was deleted and is claimed again: it is team-a\/(\S+) now/);
  expect(next).not.toBe(name);
  await eventually(async () => expect((await curl(url, host)).status).toBe(200), { timeoutMs: 30_000 });
});
