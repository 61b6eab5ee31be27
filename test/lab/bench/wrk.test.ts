import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { connect, createServer as createTcpServer } from "node:net";
import type { AddressInfo, Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { capturedHeads } from "../../../lab/bench/heads/heads.ts";
import type { LoadPlan, LoadResult } from "../../../lab/bench/load-plan.ts";
import { startPods } from "../../../lab/bench/pods.ts";
import type { Pods } from "../../../lab/bench/pods.ts";
import { podAddress } from "../../../lab/bench/sandboxes.ts";
import { STAGES } from "../../../lab/bench/workloads.ts";
import { measureWithWrk } from "../../../lab/bench/wrk/measure.ts";
import { findWrk } from "../../../lab/bench/wrk/program.ts";
import { wrkCanSend, wrkRequests, wrkScript } from "../../../lab/bench/wrk/script.ts";

const found = await findWrk();
const program = "program" in found ? found.program : undefined;
const heads = capturedHeads().map(({ name }) => name);
const request = { requestBytes: 0, responseBytes: 10, hosts: 1, clientCloses: false, podsClose: false };

describe("the requests that wrk is given", () => {
  it("each follow their length in bytes", () => {
    const text = wrkRequests({ ...request, requestBytes: 5, heads, hosts: 3 }, 8080).toString("latin1");
    let at = 0;
    let count = 0;
    while (at < text.length) {
      const line = text.indexOf("\n", at);
      const length = Number(text.slice(at, line));
      const one = text.slice(line + 1, line + 1 + length);
      expect(one).toMatch(/^POST \/r\/10 HTTP\/1\.1\r\n[^]*\r\n\r\ns0000$/);
      at = line + 1 + length;
      count += 1;
    }
    expect(count).toBe(heads.length * 3);
  });

  it("are HTTP as fast as it is answered; what goes by the clock or beside other traffic is left to the benchmark's own load", () => {
    const names = STAGES.flat()
      .filter(wrkCanSend)
      .map(({ name }) => name);
    expect(names).toEqual(
      expect.arrayContaining([
        "small-get",
        "head-e2b-js",
        "mixed-get",
        "mixed-post",
        "mixed-512",
        "response-64k",
      ]),
    );
    for (const name of [
      "websocket",
      "idle-clients",
      "paced-get",
      "churn",
      "pushes-alone",
      "tls-kept",
      "tls-new",
    ]) {
      expect(names).not.toContain(name);
    }
  });

  it("come from a path that may hold quotes", () => {
    expect(wrkScript('/tmp/a "b" \\c')).toContain(String.raw`io.open("/tmp/a \"b\" \\c", "rb")`);
  });
});

describe.runIf(program !== undefined)("a measurement by wrk", () => {
  let pods: Pods;
  let forwarder: Server;
  const directory = mkdtempSync(join(tmpdir(), "lychgate-wrk-"));

  beforeAll(async () => {
    pods = await startPods();
    forwarder = createTcpServer((client) => {
      const pod = connect({ host: podAddress(0), port: pods.port });
      client.pipe(pod).pipe(client);
      client.on("error", () => pod.destroy());
      pod.on("error", () => client.destroy());
    }).listen(0, "127.0.0.1");
    await once(forwarder, "listening");
  });

  afterAll(() => {
    forwarder.close();
    pods.close();
    rmSync(directory, { recursive: true, force: true });
  });

  function run(proxy: Server, plan: Partial<LoadPlan> = {}): Promise<LoadResult> {
    const plain: LoadPlan = {
      ...request,
      port: (proxy.address() as AddressInfo).port,
      pid: process.pid,
      core: 0,
      protocol: "http",
      connections: 4,
      idleConnections: 0,
      warmupMs: 50,
      measureMs: 500,
    };
    return measureWithWrk({ ...plain, ...plan }, { program: program ?? "", directory }, pods);
  }

  it.each<[string, Partial<LoadPlan>]>([
    ["GETs", {}],
    ["POSTs with the heads of real programs in turn", { requestBytes: 1024, heads }],
    ["uploads", { requestBytes: 65_536 }],
    ["long responses", { responseBytes: 65_536 }],
    ["connections that the client gives up", { clientCloses: true }],
  ])("sends %s, and each answer is right", async (_, plan) => {
    const result = await run(forwarder, plan);
    expect(result.firstError).toBeUndefined();
    expect(result.requests).toBeGreaterThan(0);
    expect(result.p999Us).toBeGreaterThanOrEqual(result.p50Us);
    expect(result.p50Us).toBeGreaterThan(0);
  });

  it.each([302, 404, 503])("counts answers of the proxy itself with status %i", async (status) => {
    const refuser = createServer((_, response) => response.writeHead(status).end("no"));
    refuser.listen(0, "127.0.0.1");
    await once(refuser, "listening");
    const { requests, errors, firstError } = await run(refuser, { measureMs: 100 });
    refuser.close();
    refuser.closeAllConnections();
    expect(requests).toBe(0);
    expect(errors).toBeGreaterThan(0);
    expect(firstError).toMatch(status < 400 ? /that no pod sent/ : /status of 400 or more/);
  });
});
