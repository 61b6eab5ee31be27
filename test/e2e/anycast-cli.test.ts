import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join, resolve } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { runLychgate } from "../cli/run-lychgate.ts";
import type { AnycastStatus } from "../../src/node/anycast/command.ts";
import { AnycastNode, NODE_NAME, V4, V6 } from "../node/anycast/support/anycast-node.ts";
import { NO_BIRD, scratch } from "../node/anycast/support/bird.ts";
import { eventually } from "../support/eventually.ts";
import { FaultyApiServer } from "../watch/support/faulty-api-server.ts";
import { kubeconfig } from "../watch/support/kubeconfig.ts";

// `lychgate node anycast` as an operator runs it.

const title = `lychgate node anycast${NO_BIRD ? ` (${NO_BIRD})` : ""}`;
const BIN = resolve(import.meta.dirname, "../../bin/lychgate.mjs");

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

describe.skipIf(NO_BIRD)(title, () => {
  test("without CAP_NET_ADMIN it says so, and what to do", async () => {
    const node = new AnycastNode();
    const pod = node.addPod();
    await node.bird.start();
    const folder = scratch("cli");
    const backends = join(folder, "backends.yaml");
    writeFileSync(
      backends,
      JSON.stringify({ backends: [{ name: "one", addresses: [V4], nexthops: [pod.v4] }] }),
    );
    const spec = join(folder, "anycast.yaml");
    const bird = { controlSocket: node.bird.socket, includeFile: node.includeFile };
    writeFileSync(
      spec,
      JSON.stringify({ addresses: [V4], backendsFile: backends, bird, listen: "127.0.0.1:0" }),
    );
    const run = ["node", "anycast", "run", "--spec", spec, "--netns", node.node.name];
    const daemon = spawn("setpriv", ["--bounding-set=-net_admin", process.execPath, BIN, ...run], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    onTestFinished(() => void daemon.kill("SIGKILL"));
    let log = "";
    daemon.stderr.on("data", (chunk: Buffer) => (log += chunk.toString()));
    await eventually(() => expect(log).toMatch(/Operation not permitted; run it with CAP_NET_ADMIN/), {
      timeoutMs: 10_000,
    });
    // What can't be installed is not announced.
    expect(node.bird.routes()).toEqual([]);
  });

  test("run, status with and without the daemon, and the end", async () => {
    const node = new AnycastNode();
    const [one, two] = [node.addPod(), node.addPod()];
    node.tell(one);
    node.tell(two, { ready: false });
    await node.bird.start();
    const api = await FaultyApiServer.start(node.store);
    onTestFinished(() => api.stop());
    const folder = scratch("cli");
    writeFileSync(join(folder, "kubeconfig"), kubeconfig({ server: api.url.href }));
    const spec = join(folder, "anycast.yaml");
    writeFileSync(
      spec,
      JSON.stringify({
        addresses: [V4, V6],
        pods: { node: NODE_NAME, kubeconfig: join(folder, "kubeconfig") },
        bird: { controlSocket: node.bird.socket, includeFile: node.includeFile },
        listen: `127.0.0.1:${await freePort()}`,
      }),
    );
    const args = ["--spec", spec, "--netns", node.node.name];
    const daemon = spawn(process.execPath, [BIN, "node", "anycast", "run", ...args], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    onTestFinished(() => void daemon.kill("SIGKILL"));
    let log = "";
    daemon.stderr.on("data", (chunk: Buffer) => (log += chunk.toString()));
    await eventually(() => expect(node.bird.routes()).toEqual([V4, V6]), { timeoutMs: 15_000 });
    await eventually(() => expect(log).toContain('"msg":"announced"'));

    const table = await runLychgate(["node", "anycast", "status", ...args]);
    expect(table.stdout.split("\n").map((line) => line.replace(/ +/g, " "))).toEqual([
      "ADDRESS STATE BACKENDS WHY",
      `${V4} announced pod edge/pod-1@${one.link} -`,
      `${V6} announced pod edge/pod-1@${one.link} -`,
      "",
    ]);
    expect(table).toMatchObject({ code: 0, stderr: expect.stringContaining("as the daemon says") });

    const { stdout } = await runLychgate(["node", "anycast", "status", "--json", ...args]);
    const status = JSON.parse(stdout) as AnycastStatus;
    expect(status).toMatchObject({
      from: "daemon",
      synced: true,
      bird: "",
      lastPass: { ok: true },
      backends: [{ state: "eligible" }, { state: "not_ready" }],
    });

    const ended = new Promise((done) => void daemon.once("exit", done));
    daemon.kill("SIGTERM");
    expect(await ended).toBe(0);
    // Kept for the next run, as `onExit` says by default.
    expect(node.bird.routes()).toEqual([V4, V6]);
    const alone = await runLychgate(["node", "anycast", "status", ...args]);
    expect(alone.stdout.split("\n")[1]?.replace(/ +/g, " ")).toBe(`${V4} announced ${one.v4}@${one.link} -`);
    expect(alone).toMatchObject({ code: 0, stderr: expect.stringContaining("no daemon answered") });
    await node.bird.stop();
    expect(await runLychgate(["node", "anycast", "status", ...args])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("is BIRD running"),
    });
  });
});
