import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Agent } from "node:http";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { startRouterProcess } from "../support/router-process.ts";
import { askAt, childrenOf, isAlive, startWorkers, type WorkersUnderTest } from "./support/processes.ts";

// `lychgate serve --workers 2` as a user runs it: real processes, real signals.

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

/** A connection that says nothing. */
async function openConnection(traffic: string): Promise<Socket> {
  const [host = "", port = ""] = traffic.split(":");
  const socket = connect(Number(port), host);
  sockets.push(socket);
  socket.on("error", () => {});
  await new Promise((resolve) => socket.once("connect", resolve));
  return socket;
}

/** Asks on `count` connections of their own. */
async function answersOf({ ask }: WorkersUnderTest, id: string, count: number): Promise<string[]> {
  const answers = await Promise.all(Array.from({ length: count }, () => ask(id)));
  return [...new Set(answers.map(({ status, reason }) => reason ?? String(status)))];
}

describe("a router of two workers", () => {
  // One for all tests, each with sandboxes of its own; the last one ends it.
  let workers: WorkersUnderTest;
  beforeAll(async () => {
    workers = await startWorkers(2);
  });
  afterAll(() => workers.stop());

  test("two workers share the port, and what is pushed to the primary takes effect in both", async () => {
    const { router, push, pids, metric } = workers;
    expect(pids().length).toBe(2);
    const openFiles = () =>
      Promise.all([0, 1].map((worker) => metric("process_open_fds", `worker="${worker}"`)));
    const before = await openFiles();
    for (let count = 0; count < 40; count++) await openConnection(router.traffic);
    await eventually(async () => {
      const [more0, more1] = (await openFiles()).map((files, worker) => files - (before[worker] ?? 0));
      expect(more0).toBeGreaterThan(5);
      expect(more1).toBeGreaterThan(5);
      expect(await metric("lychgate_client_connections_open")).toBe(40);
    });

    expect(await answersOf(workers, "box", 40)).toEqual(["sandbox_not_found"]);
    await push("box", 1);
    // A push is answered before the workers know of it; that takes a moment.
    await eventually(async () => expect(await answersOf(workers, "box", 40)).toEqual(["200"]));
    const accessToken = "sekrit-8c1f";
    await push("box", 2, { state: "paused", accessToken });
    await eventually(async () => expect(await answersOf(workers, "box", 40)).toEqual(["sandbox_paused"]));
    // Tokens go to the workers through their channel, and nowhere that others can look.
    for (const pid of pids()) {
      for (const file of ["cmdline", "environ"]) {
        expect(readFileSync(`/proc/${pid}/${file}`, "latin1")).not.toContain(accessToken);
      }
    }
    expect([...router.stdout, ...router.stderr].join("\n")).not.toContain(accessToken);
    await push("box", 3, { state: "dead" });
    await eventually(async () => expect(await answersOf(workers, "box", 40)).toEqual(["sandbox_not_found"]));
    const labels = 'method="GET",code="200",reason="ok"';
    await eventually(async () =>
      expect(await metric("lychgate_requests_total", labels)).toBeGreaterThanOrEqual(40),
    );
    expect(await metric("lychgate_worker_apply_seconds_count")).toBeGreaterThanOrEqual(6);
  });

  test("a request that one worker passes to the other is a loop at once", async () => {
    const { router, push, metric } = workers;
    const [, port = ""] = router.traffic.split(":");
    await push("itself", 1);
    const host = `${port}-itself.example.com`;
    // Until both workers know of it.
    await eventually(async () => {
      const answers = await Promise.all(Array.from({ length: 20 }, () => askAt(router.traffic, host)));
      expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => 508));
    });
    const counts = (reason: string) =>
      metric("lychgate_requests_total", `method="GET",code="508",reason="${reason}"`);
    // Each was passed on once, and refused once.
    await eventually(async () => expect(await counts("ok")).toBe(await counts("loop_detected")));
    // Its address is that of the others too.
    await push("itself", 2, { state: "dead" });
  });

  test("a port that another router's workers share is taken", async () => {
    const { router } = workers;
    const args = ["--workers", "2", "--source", "none", "--listen", router.traffic];
    await expect(startRouterProcess(args)).rejects.toThrow(/listen \(--listen\): .*EADDRINUSE/);
  });

  test("a worker that is stopped lags, says so, and takes over all that it missed when it goes on", async () => {
    const { push, pids, metric } = workers;
    await push("lagging", 1);
    const [first = 0] = pids();
    process.kill(first, "SIGSTOP"); // it is worker 0
    const lag = 'worker="0"';
    for (let version = 2; version < 500; version++) await push("lagging", version, { uid: `uid-${version}` });
    await push("lagging", 500, { state: "dead" });
    await eventually(async () =>
      expect(await metric("lychgate_worker_route_lag_seconds", lag)).toBeGreaterThan(1),
    );
    await eventually(async () => expect(await metric("lychgate_worker_lags_total", lag)).toBeGreaterThan(0));
    expect(await metric("lychgate_worker_metrics_missed_total")).toBeGreaterThan(0);
    await eventually(async () =>
      expect(await metric("lychgate_worker_route_lag_seconds", 'worker="1"')).toBeLessThan(1),
    );
    process.kill(first, "SIGCONT");
    await eventually(async () => expect(await metric("lychgate_worker_route_lag_seconds", lag)).toBe(0));
    expect(await answersOf(workers, "lagging", 40)).toEqual(["sandbox_not_found"]);
    expect(await metric("lychgate_worker_restarts_total", 'end="stuck"')).toBe(0);
  });

  test("a worker that is killed is replaced; the other one does not notice, and no route is dropped", async () => {
    const { router, push, pids, ask, metric } = workers;
    for (let index = 0; index < 100; index++) await push(`kept-${index}`, 1, { ip: `127.0.80.${index + 1}` });
    const agents = Array.from({ length: 30 }, () => new Agent({ keepAlive: true, maxSockets: 1 }));
    const askAll = () => Promise.allSettled(agents.map((agent) => ask("kept-7", "/", agent)));
    await eventually(async () => {
      for (const result of await askAll()) expect(result).toMatchObject({ value: { status: 200 } });
    });
    const [, victim = 0] = pids();
    process.kill(victim, "SIGKILL");
    // A connection to the victim breaks; every answer that there is comes from the pod.
    const outcomes = new Set<number | string>();
    await eventually(async () => {
      for (const result of await askAll())
        outcomes.add(result.status === "fulfilled" ? result.value.status : "broken");
      const others = pids().filter((pid) => pid !== victim);
      expect(others.length).toBe(2);
      expect(await metric("lychgate_worker_restarts_total", 'end="signalled"')).toBe(1);
      expect(await metric("lychgate_workers_ready")).toBe(2);
    });
    outcomes.delete("broken");
    expect([...outcomes]).toEqual([200]);
    expect(await answersOf(workers, "kept-99", 40)).toEqual(["200"]);
    expect(router.stderr.join("\n")).toContain("a worker ended and is replaced");
    for (const agent of agents) agent.destroy();
  });

  test("a drain waits for what the workers have under way, and leaves no process behind", async () => {
    const { router, push, pids, ask, podBusy } = workers;
    await push("slow", 1);
    await eventually(async () => expect((await ask("slow")).status).toBe(200));
    const before = pids();
    // A terminal and systemd signal every process of the group: the workers leave it to the primary.
    for (const pid of before) process.kill(pid, "SIGINT");
    for (const pid of before) process.kill(pid, "SIGTERM");
    const slow = Array.from({ length: 10 }, () => ask("slow", "/700"));
    await eventually(() => podBusy() === slow.length);
    router.kill("SIGTERM");
    for (const answer of await Promise.all(slow))
      expect(answer).toMatchObject({ status: 200, body: "from the pod" });
    expect(await router.exited).toBe(0);
    expect(before.filter(isAlive)).toEqual([]);
    await expect(ask("slow")).rejects.toThrow("ECONNREFUSED");
  });
});

test("when the primary is killed its workers finish what is under way and end", async () => {
  const workers = await startWorkers(2);
  const { router, push, pids, ask, podBusy } = workers;
  await push("box", 1);
  await eventually(async () => expect((await ask("box")).status).toBe(200));
  const before = pids();
  const slow = Array.from({ length: 10 }, () => ask("box", "/700"));
  await eventually(() => podBusy() === slow.length);
  router.kill("SIGKILL");
  for (const answer of await Promise.all(slow)) expect(answer).toMatchObject({ status: 200 });
  await eventually(() => expect(before.filter(isAlive)).toEqual([]));
  expect(router.stderr.join("\n")).toContain("the primary is gone");
  await workers.stop();
});

test("without the first list of sandboxes every worker answers 503 and the router is not ready", async () => {
  // An API server that takes connections and says nothing.
  const silent = createServer();
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const { port } = silent.address() as { port: number };
  const kubeconfig = JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "c", cluster: { server: `http://127.0.0.1:${port}` } }],
    users: [{ name: "u", user: {} }],
    contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
    "current-context": "x",
  });
  const directory = mkdtempSync(join(tmpdir(), "lychgate-"));
  const file = join(directory, "kubeconfig");
  writeFileSync(file, kubeconfig);
  const router = await startRouterProcess(["--workers", "2", "--kubeconfig", file, "--drain-delay-ms", "0"]);
  try {
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => askAt(router.traffic, "3000-box.example.com")),
    );
    expect(new Set(answers.map(({ status, reason }) => `${status} ${reason}`))).toEqual(
      new Set(["503 not_ready"]),
    );
    const ready = await fetch(`http://${router.peers}/readyz?verbose`);
    expect(ready.status).toBe(503);
    expect(await ready.text()).toContain("workers");
  } finally {
    const workers = childrenOf(router.process.pid ?? 0);
    router.kill("SIGKILL");
    await router.exited;
    await eventually(() => expect(workers.filter(isAlive)).toEqual([]));
    silent.close();
    rmSync(directory, { recursive: true });
  }
});
