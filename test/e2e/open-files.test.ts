import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { Agent, createServer, request } from "node:http";
import type { Server } from "node:http";
import { connect } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";

import { eventually } from "../support/eventually.ts";
import { metricOf, type RouterProcess, startRouterProcess } from "../support/router-process.ts";

// A router that may open 128 files only: more clients, and more connections to pods, than it has files for.

const OPEN_FILES = 128;
const SANDBOXES = 120;
/** Hundredths of a second of CPU that a router may use while nothing happens: a busy loop uses 100 in each second. */
const IDLE_CPU = 60;

let router: RouterProcess;
let pod: Server;
let clients: Socket[];

beforeEach(async () => {
  clients = [];
  pod = createServer((_request, response) => void response.end("ok"));
  pod.keepAliveTimeout = 60_000;
  // One server is all pods: each sandbox has an address of its own, as a router insists.
  pod.listen(0, "0.0.0.0");
  await once(pod, "listening");
  const flags = ["--source", "none", "--access-log", "off", "--drain-delay-ms", "0"];
  router = await startRouterProcess([...flags, "--client-max-connections", "20000"], {
    openFiles: OPEN_FILES,
  });
  for (let i = 0; i < SANDBOXES; i++) {
    const route = { id: `box${i}`, namespace: "ns", name: `box${i}`, uid: `uid-${i}`, owner: "" };
    const { status } = await fetch(`http://${router.peers}/refresh`, {
      method: "POST",
      body: JSON.stringify({ ...route, ip: `127.0.1.${i + 1}`, state: "running", resourceVersion: "1" }),
    });
    expect(status).toBe(204);
  }
});

afterEach(async () => {
  for (const client of clients) client.destroy();
  router.kill("SIGKILL");
  await router.exited;
  pod.closeAllConnections();
  pod.close();
});

test("more clients than files: told 503 or closed, one line a second, no busy loop, and all is well when they leave", async () => {
  expect(router.stderr.join("\n")).toMatch(
    /"warn".*at most 30 client connections.*may open 128 files.*ulimit -n/,
  );
  const startedMs = performance.now();
  const heard = new Map<Socket, string>();
  for (let wave = 0; wave < 10; wave++) {
    const opened = Array.from({ length: 100 }, () => open((socket, text) => heard.set(socket, text)));
    await Promise.all(opened);
  }
  await eventually(() => clients.filter(({ closed }) => !closed).length <= 30, { timeoutMs: 15_000 });

  const answers = [...heard.values()];
  expect(answers.some((text) => text.includes("x-lychgate-reason: overloaded"))).toBe(true);
  expect(answers.every((text) => text.startsWith("HTTP/1.1 503 "))).toBe(true);

  // Those that were taken are served, with a connection to a pod each.
  const taken = clients.filter(({ closed }) => !closed);
  expect(taken.length).toBeGreaterThan(20);
  heard.clear();
  for (const [i, client] of taken.entries()) client.write(`GET / HTTP/1.1\r\nHost: ${hostOf(i)}\r\n\r\n`);
  await eventually(() => taken.every((client) => heard.get(client)?.startsWith("HTTP/1.1 200 OK\r\n")));

  // Peers and admin have files of their own.
  expect((await fetch(`http://${router.peers}/readyz`)).status).toBe(200);
  const metrics = await metricsOf();
  expect(metricOf(metrics, "lychgate_client_connections_open")).toBe(taken.length);
  expect(
    metricOf(metrics, "lychgate_client_connections_refused_total", 'reason="total"'),
  ).toBeGreaterThanOrEqual(1000 - 30);
  const lines = router.stderr.filter((line) => line.includes("connection refused"));
  expect(lines.length).toBeGreaterThan(0);
  expect(lines.length).toBeLessThanOrEqual(2 + (performance.now() - startedMs) / 1000);

  await expectIdle();
  for (const client of clients) client.destroy();
  await eventually(async () => (await statusOf(0)) === 200);
  await eventually(async () => metricOf(await metricsOf(), "lychgate_client_connections_open") === 0);
});

test("kept connections to pods use up all files: 503 for a moment, then they make room; admin answers", async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const statuses: number[] = [];
  let most = 0;
  for (let i = 0; i < SANDBOXES; i++) {
    statuses.push(await statusOf(i, agent));
    most = Math.max(most, openFilesNow());
  }
  agent.destroy();
  // All of it was needed, and the process lives.
  expect(most).toBeGreaterThan(OPEN_FILES - 10);
  expect(statuses.filter((status) => status === 503)).not.toHaveLength(0);
  expect(statuses.filter((status) => status === 200).length).toBeGreaterThanOrEqual(SANDBOXES - 3);
  expect(statuses.at(-1)).toBe(200);
  expect(await metricsOf()).toContain('lychgate_upstream_connects_total{result="overloaded"}');
  await expectIdle();
});

/** Connects a client that waits; `told` gets what it hears. */
function open(told: (socket: Socket, text: string) => void): Promise<void> {
  const { hostname, port } = new URL(`http://${router.traffic}`);
  const socket = connect({ host: hostname, port: Number(port) }).setEncoding("latin1");
  clients.push(socket);
  let text = "";
  socket.on("data", (piece) => told(socket, (text += String(piece)))).on("error", () => {});
  return new Promise((resolve) => {
    socket.once("connect", resolve).once("close", resolve);
  });
}

function hostOf(sandbox: number): string {
  return `${(pod.address() as AddressInfo).port}-box${sandbox}.example.com`;
}

function statusOf(sandbox: number, agent?: Agent): Promise<number> {
  return new Promise((resolve) => {
    request(
      `http://${router.traffic}/`,
      { agent: agent ?? false, headers: { host: hostOf(sandbox) } },
      (response) => {
        response.resume().once("end", () => resolve(response.statusCode ?? 0));
      },
    )
      .once("error", () => resolve(0))
      .end();
  });
}

async function metricsOf(): Promise<string> {
  const response = await fetch(`http://${router.admin}/metrics`);
  expect(response.status).toBe(200);
  return response.text();
}

function openFilesNow(): number {
  return readdirSync(`/proc/${router.process.pid}/fd`).length;
}

/** CPU time so far in hundredths of a second: fields 14 and 15 of proc(5) stat. */
function cpuNow(): number {
  const fields = readFileSync(`/proc/${router.process.pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return Number(fields[11]) + Number(fields[12]);
}

async function expectIdle(): Promise<void> {
  const before = cpuNow();
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  expect(cpuNow() - before).toBeLessThan(IDLE_CPU);
}
