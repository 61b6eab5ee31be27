import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { AnycastStatus } from "../../../src/node/anycast/command.ts";
import { runInProcess } from "../../cli/run-lychgate.ts";

/** `lychgate node anycast status`, asked of a daemon that says this. */
async function statusOf(said: Partial<AnycastStatus>) {
  const status: AnycastStatus = {
    from: "daemon",
    synced: true,
    api: "",
    bird: "",
    lastPass: { at: "2026-01-01T00:00:00.000Z", ok: true, tookMs: 1, fault: "" },
    addresses: [{ address: "192.0.2.10", announced: true, members: [], why: "" }],
    backends: [],
    advice: [],
    ...said,
  };
  const server = createServer((_, response) => response.end(JSON.stringify(status))).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const folder = mkdtempSync(join(tmpdir(), "lychgate-status-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const spec = join(folder, "anycast.yaml");
  const { port } = server.address() as AddressInfo;
  writeFileSync(spec, JSON.stringify({ addresses: ["192.0.2.10"], pods: {}, listen: `127.0.0.1:${port}` }));
  return runInProcess(["node", "anycast", "status", "--spec", spec]);
}

test("all is well: 0", async () => {
  expect(await statusOf({})).toMatchObject({ code: 0 });
});

test("a fault of BIRD that the last pass ended with is told once", async () => {
  const fault = "BIRD refused its configuration: bird.conf:3:1 syntax error";
  const { code, stderr } = await statusOf({
    bird: fault,
    lastPass: { at: "2026-01-01T00:00:00.000Z", ok: false, tookMs: 1, fault },
  });
  expect(code).toBe(1);
  expect(stderr.split(fault)).toHaveLength(2);
});

test("an API server that is away is told, and makes it 1", async () => {
  const api = "the API server has not been heard since 2026-01-01T00:00:00.000Z";
  const { code, stderr } = await statusOf({ api });
  expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining(api) });
});
