import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import type { Overview } from "../../src/admin/api-types.ts";
import { eventually } from "../support/eventually.ts";

const LAUNCHER = fileURLToPath(new URL("../../bin/lychgate.mjs", import.meta.url));

/** What `curl -H 'Host: …' url` gets. */
async function curl(url: string, host: string): Promise<{ status: number | undefined; body: string }> {
  const [response] = await once(request(url, { headers: { host }, agent: false }).end(), "response");
  return { status: response.statusCode, body: await text(response) };
}

test("demo: the printed curl line works, also when nobody reads on, and SIGTERM ends it with 0", async () => {
  const folder = mkdtempSync(join(tmpdir(), "lychgate-demo-"));
  const anyPort = ["--listen", "--peer-listen", "--admin-listen"].flatMap((flag) => [flag, "127.0.0.1:0"]);
  const child = spawn(process.execPath, [LAUNCHER, "demo", ...anyPort, "--churn-per-minute", "3000"], {
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
  });
  // Not `finally`: a test that runs out of time never gets there, and a demo that hangs would stay.
  onTestFinished(() => {
    child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  });
  const exited = once(child, "exit");
  let told = "";
  let faults = "";
  child.stdout.setEncoding("utf8").on("data", (some: string) => (told += some));
  child.stderr.setEncoding("utf8").on("data", (some: string) => (faults += some));
  const printed = (pattern: RegExp) =>
    eventually(
      () => {
        expect(child.exitCode, faults).toBeNull();
        expect(told).toMatch(pattern);
        return pattern.exec(told) ?? [];
      },
      { timeoutMs: 15_000 },
    );
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
  await eventually(async () => expect(await version()).toBeGreaterThan(before + 10), { timeoutMs: 10_000 });
  expect((await curl(url, host)).status).toBe(200);

  child.kill("SIGTERM");
  expect(await exited, faults).toEqual([0, null]);
});
