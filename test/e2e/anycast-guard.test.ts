import { type ChildProcess, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { runLychgate } from "../cli/run-lychgate.ts";
import { AnycastNode, V4, V6 } from "../node/anycast/support/anycast-node.ts";
import { NO_BIRD, scratch, TestBird } from "../node/anycast/support/bird.ts";
import { makeNamespace } from "../node/support/namespaces.ts";
import { eventually } from "../support/eventually.ts";
import { startRouterProcess } from "../support/router-process.ts";
import { FaultyApiServer } from "../watch/support/faulty-api-server.ts";
import { kubeconfig } from "../watch/support/kubeconfig.ts";
import { SandboxStore } from "../watch/support/sandbox-store.ts";

// Who is killed can't withdraw: the guard does, in a process of its own.

const title = `a daemon or router that is killed${NO_BIRD ? ` (${NO_BIRD})` : ""}`;
const BIN = resolve(import.meta.dirname, "../../bin/lychgate.mjs");
const LONG = { timeoutMs: 30_000 };

function run(...args: readonly string[]): ChildProcess & { log: () => string } {
  const child = spawn(process.execPath, [BIN, "node", "anycast", ...args], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let log = "";
  child.stderr?.on("data", (chunk: Buffer) => (log += chunk.toString()));
  return Object.assign(child, { log: () => log });
}

async function nodeWithSpec() {
  const node = new AnycastNode();
  const pod = node.addPod();
  await node.bird.start();
  const folder = scratch("guard");
  const backendsFile = join(folder, "backends.yaml");
  const entry = { name: "one", addresses: [V4, V6], nexthops: [pod.v4, pod.v6] };
  writeFileSync(backendsFile, JSON.stringify({ backends: [entry] }));
  const spec = join(folder, "anycast.yaml");
  const bird = { controlSocket: node.bird.socket, includeFile: node.includeFile };
  writeFileSync(spec, JSON.stringify({ addresses: [V4, V6], backendsFile, bird, listen: "127.0.0.1:0" }));
  const daemon = () => run("run", "--spec", spec, "--netns", node.node.name);
  return { node, spec, daemon };
}

describe.skipIf(NO_BIRD)(title, () => {
  test("the naive way: without a guard BIRD goes on announcing for one that was killed", async () => {
    const { node, daemon } = await nodeWithSpec();
    const killed = daemon();
    await eventually(() => expect(node.bird.routes()).toEqual([V4, V6]), LONG);
    const ended = new Promise((done) => void killed.once("exit", done));
    killed.kill("SIGKILL");
    await ended;
    // BIRD has no reason ever to change its mind.
    expect(node.bird.routes()).toEqual([V4, V6]);
  });

  test("SIGKILL: withdrawn, by its protocols and for BIRD's next start; its next run announces anew", async () => {
    const { node, spec, daemon } = await nodeWithSpec();
    const guard = run("guard", "--spec", spec);
    const killed = daemon();
    await eventually(() => expect(node.bird.routes()).toEqual([V4, V6]), LONG);
    await eventually(() => expect(guard.log()).toContain("guarding what is announced"), LONG);
    const startedMs = performance.now();
    killed.kill("SIGKILL");
    await eventually(() => expect(node.bird.routes()).toEqual([]), LONG);
    console.log("SIGKILL to withdrawal at BIRD, ms:", Math.round(performance.now() - startedMs));
    await eventually(() => expect(guard.log()).toContain("the daemon is gone or hangs"), LONG);
    await node.bird.stop();
    await node.bird.start();
    expect(node.bird.routes()).toEqual([]);
    daemon();
    await eventually(() => expect(node.bird.routes()).toEqual([V4, V6]), LONG);
  });

  test("SIGSTOP: one that hangs is withdrawn too, and announces anew when it goes on", async () => {
    const { node, spec, daemon } = await nodeWithSpec();
    run("guard", "--spec", spec);
    const hanging = daemon();
    await eventually(() => expect(node.bird.routes()).toEqual([V4, V6]), LONG);
    hanging.kill("SIGSTOP");
    await eventually(() => expect(node.bird.routes()).toEqual([]), LONG);
    hanging.kill("SIGCONT");
    await eventually(() => expect(node.bird.routes()).toEqual([V4, V6]), LONG);
  });

  test("withdraw: all at once, but not after a service that ended well", async () => {
    const { node, spec, daemon } = await nodeWithSpec();
    const killed = daemon();
    await eventually(() => expect(node.bird.routes()).toEqual([V4, V6]), LONG);
    const ended = new Promise((done) => void killed.once("exit", done));
    killed.kill("SIGKILL");
    await ended;
    const withdraw = (result: string) =>
      runLychgate(["node", "anycast", "withdraw", "--spec", spec, "--after-failure"], {
        SERVICE_RESULT: result,
      });
    expect(await withdraw("success")).toMatchObject({
      code: 0,
      stdout: "not needed: the service ended well\n",
    });
    expect(node.bird.routes()).toEqual([V4, V6]);
    expect(await withdraw("signal")).toMatchObject({ code: 0, stdout: "withdrawn\n" });
    expect(node.bird.routes()).toEqual([]);
  });

  test("a router's own address is withdrawn when the router is killed", async () => {
    const bird = new TestBird(
      (folder) => `router id 10.9.0.1;\nprotocol device {}\ninclude "${folder}/router*.conf";\n`,
      makeNamespace("bird").name,
    );
    await bird.start();
    const api = await FaultyApiServer.start(new SandboxStore());
    onTestFinished(() => api.stop());
    const file = join(bird.folder, "kubeconfig");
    writeFileSync(file, kubeconfig({ server: api.url.href }));
    const includeFile = join(bird.folder, "router.conf");
    const router = await startRouterProcess([
      "--kubeconfig",
      file,
      "--anycast-addresses",
      "192.0.2.20",
      "--anycast-bird-socket",
      bird.socket,
      "--anycast-include-file",
      includeFile,
    ]);
    onTestFinished(() => void router.process.kill("SIGKILL"));
    const spec = join(bird.folder, "spec.yaml");
    writeFileSync(
      spec,
      JSON.stringify({
        addresses: ["192.0.2.99"],
        pods: {},
        bird: { controlSocket: bird.socket, includeFile: join(bird.folder, "anycast.conf") },
      }),
    );
    run("guard", "--spec", spec, "--router-include-file", includeFile);
    await eventually(() => expect(bird.routes()).toEqual(["192.0.2.20"]), LONG);
    router.process.kill("SIGKILL");
    await eventually(() => expect(bird.routes()).toEqual([]), LONG);
  });
});
