import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { ListWay } from "../../src/watch/list-way.ts";
import { endChild, firstLine, spawnNode } from "./table-child.ts";
import type { ClusterLine } from "./table-cluster.ts";

/** What a first list costs a router. */
export interface SyncFigures {
  readonly sandboxes: number;
  readonly bytesPerSandbox: number;
  /** `watch.list` of the router. */
  readonly list: ListWay;
  /** From the start of the process until it is ready. */
  readonly secondsToReady: number;
  /** The time that the list itself took, as the router's own metric says. */
  readonly listSeconds: number;
  /** CPU seconds of the router until it was ready. */
  readonly cpuSeconds: number;
  /** Highest resident memory until then, and resident memory after. */
  readonly peakMiB: number;
  readonly residentMiB: number;
}

const LYCHGATE = join(import.meta.dirname, "../../bin/lychgate.mjs");

/** As the image starts it (Dockerfile). */
const IMAGE_FLAGS = ["--max-semi-space-size=4", "--v8-pool-size=1"];

/**
 * Starts the dev cluster's API in one process and `lychgate serve` with its kubeconfig in another, and measures the
 * second until it is ready.
 */
export async function measureSync(sandboxes: number, bytes: number, list: ListWay): Promise<SyncFigures> {
  const directory = await mkdtemp(join(tmpdir(), "lychgate-bench-"));
  const kubeconfig = join(directory, "kubeconfig");
  const script = join(import.meta.dirname, "table-cluster.ts");
  const cluster = spawnNode([script, String(sandboxes), String(bytes), kubeconfig]);
  try {
    const { bytesPerSandbox } = JSON.parse(await firstLine(cluster, "stdout", () => true)) as ClusterLine;
    return { sandboxes, bytesPerSandbox, list, ...(await measureServe(kubeconfig, sandboxes, list)) };
  } finally {
    await endChild(cluster);
    await rm(directory, { recursive: true });
  }
}

async function measureServe(
  kubeconfig: string,
  sandboxes: number,
  list: ListWay,
): Promise<Omit<SyncFigures, "sandboxes" | "bytesPerSandbox" | "list">> {
  const startedAt = performance.now();
  const listen = ["--listen", "127.0.0.1:0", "--peer-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
  const logs = ["--log-format", "json", "--access-log", "off"];
  const informer = ["--kubeconfig", kubeconfig, "--watch-list", list];
  const serve = spawnNode([...IMAGE_FLAGS, LYCHGATE, "serve", ...informer, ...listen, ...logs]);
  try {
    const text = await firstLine(serve, "stderr", (line) => line.includes("is listening"));
    const { peers, admin } = JSON.parse(text) as { readonly peers: string; readonly admin: string };
    while (!(await fetch(`http://${peers}/readyz`).catch(() => undefined))?.ok) {
      if (serve.exitCode !== null) throw new Error("lychgate serve has ended");
      await sleep(20);
    }
    const secondsToReady = (performance.now() - startedAt) / 1_000;
    const memory = memoryOf(serve.pid ?? 0);
    const metrics = await (await fetch(`http://${admin}/metrics`)).text();
    const metric = (name: string): number =>
      Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, "m").exec(metrics)?.[1]);
    if (metric(`lychgate_watch_lists_total\\{reason="initial",way="${list}"\\}`) !== 1) {
      throw new Error(`the list was not read so: ${list}`);
    }
    const running = metric('lychgate_routes\\{state="running"\\}');
    if (running !== sandboxes) throw new Error(`${running} routes run, not ${sandboxes}`);
    return {
      secondsToReady,
      listSeconds: metric("lychgate_watch_list_duration_seconds_sum"),
      cpuSeconds: metric("process_cpu_seconds_total"),
      ...memory,
    };
  } finally {
    await endChild(serve);
  }
}

/** What the kernel says of a process's memory. */
function memoryOf(pid: number): { readonly peakMiB: number; readonly residentMiB: number } {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const mebibytes = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(status)?.[1]) / 1_024;
  return { peakMiB: mebibytes("VmHWM"), residentMiB: mebibytes("VmRSS") };
}
