import { join } from "node:path";
import { Client } from "undici";
import { PUSHES_WITHOUT_LIMIT } from "./push-load.ts";
import { endChild, firstLine, spawnNode } from "./table-child.ts";

/** How soon a push is in effect in every worker. */
export interface WorkersFigures {
  readonly workers: number;
  readonly pushes: number;
  /** From sending the push until it was answered. */
  readonly answeredMs: Quantiles;
  /** From sending the push until a request on each connection, to whichever worker, met the new route. */
  readonly inEffectMs: Quantiles;
}

/** Milliseconds. */
export interface Quantiles {
  readonly p50: number;
  readonly p99: number;
}

const LYCHGATE = join(import.meta.dirname, "../../bin/lychgate.mjs");
/** Enough that the kernel, which picks a worker for each, leaves none out (one in 2^15 runs). */
const CONNECTIONS = 16;
const HOST = "3000-bench.example.com";

/**
 * Runs `lychgate serve --workers N`, fed by pushes alone, pushes over `POST /refresh` and asks on every connection until
 * the answer is the new one. The connections take turns, so a figure has in it up to one request on each.
 */
export async function measureWorkers(workers: number, pushes: number): Promise<WorkersFigures> {
  const ports = ["--listen", "127.0.0.1:0", "--peer-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
  const options = [
    "--source",
    "none",
    "--workers",
    String(workers),
    "--log-format",
    "json",
    "--access-log",
    "off",
    "--routes-pod-cidrs",
    "127.0.0.0/8",
    ...PUSHES_WITHOUT_LIMIT,
  ];
  const serve = spawnNode([LYCHGATE, "serve", ...options, ...ports]);
  const clients: Client[] = [];
  try {
    const line = await firstLine(serve, "stderr", (text) => text.includes("is listening"));
    const { peers, traffic } = JSON.parse(line) as { readonly peers: string; readonly traffic: string };
    for (let n = 0; n < CONNECTIONS; n++) clients.push(new Client(`http://${traffic}`));
    const peer = new Client(`http://${peers}`);
    clients.push(peer);
    const answered: number[] = [];
    const inEffect: number[] = [];
    for (let n = 1; n <= pushes; n++) {
      const state = n % 2 === 0 ? "paused" : "creating";
      const startedAt = performance.now();
      const push = pushRoute(peer, state, n).then(() => performance.now() - startedAt);
      for (const client of clients.slice(0, CONNECTIONS))
        await untilReason(client, `sandbox_${state}`, startedAt);
      const tookMs = performance.now() - startedAt;
      const answeredMs = await push;
      // The first pushes wait for connections and compilers.
      if (n <= Math.min(20, pushes / 2)) continue;
      answered.push(answeredMs);
      inEffect.push(tookMs);
    }
    return {
      workers,
      pushes: inEffect.length,
      answeredMs: quantiles(answered),
      inEffectMs: quantiles(inEffect),
    };
  } finally {
    await Promise.all(clients.map((client) => client.destroy()));
    await endChild(serve);
  }
}

async function pushRoute(peer: Client, state: string, version: number): Promise<void> {
  const route = {
    namespace: "bench",
    name: "bench",
    id: "bench",
    uid: "00000000-0000-4000-8000-000000000000",
    ip: "127.0.0.1",
    owner: "bench",
    state,
    resourceVersion: String(version),
  };
  const body = JSON.stringify(route);
  const headers = { "content-type": "application/json" };
  const response = await peer.request({ method: "POST", path: "/refresh", headers, body });
  await response.body.dump();
  if (response.statusCode >= 300) throw new Error(`a push was answered ${response.statusCode}`);
}

async function untilReason(client: Client, reason: string, startedAt: number): Promise<void> {
  for (;;) {
    const response = await client.request({ method: "GET", path: "/", headers: { host: HOST } });
    await response.body.dump();
    if (response.headers["x-lychgate-reason"] === reason) return;
    if (performance.now() - startedAt > 10_000) throw new Error(`no worker says ${reason} after 10 s`);
  }
}

function quantiles(values: number[]): Quantiles {
  values.sort((a, b) => a - b);
  const at = (share: number): number => values[Math.floor((values.length - 1) * share)] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99) };
}
