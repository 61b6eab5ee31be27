/*
 * What a push costs a router: `node lab/bench/pushes.ts [SECONDS] [PER_SECOND ...]`, by default 4 seconds each of 1,000 and of 10,000
 * pushes a second and of as many as it takes. A `lychgate serve --source none` with 10,000 routes is pushed to as a sandbox-manager
 * does it: Go's header fields, one push at a time on each of 16 connections. CPU time is that of all threads of the router.
 */
import { parseArgs } from "node:util";
import { join } from "node:path";
import { freePort } from "./free-port.ts";
import { processFigures } from "./process-figures.ts";
import { pushRoutes, PUSHES_WITHOUT_LIMIT, startPushLoad } from "./push-load.ts";
import { endChild, firstLine, spawnNode } from "./table-child.ts";

const LYCHGATE = join(import.meta.dirname, "../../bin/lychgate.mjs");
const WARMUP_MS = 3_000;
const AS_FAST_AS_IT_TAKES = 1_000_000;

const { positionals } = parseArgs({ allowPositionals: true });
const [seconds = 4, ...named] = positionals.map(Number);
const rates = named.length > 0 ? named : [1_000, 10_000, AS_FAST_AS_IT_TAKES];

const peerPort = await freePort();
const router = spawnNode([
  LYCHGATE,
  "serve",
  "--source=none",
  "--listen=127.0.0.1:0",
  `--peer-listen=127.0.0.1:${peerPort}`,
  "--admin-listen=127.0.0.1:0",
  "--routes-pod-cidrs=127.0.0.0/8",
  ...PUSHES_WITHOUT_LIMIT,
]);
try {
  await firstLine(router, "stderr", (line) => line.includes("is listening"));
  await pushRoutes(peerPort);
  await measure(AS_FAST_AS_IT_TAKES, WARMUP_MS);
  process.stdout.write(
    "| offered/s | pushes/s | CPU µs/push | share of a core | kernel |\n|--:|--:|--:|--:|--:|\n",
  );
  for (const rate of rates) {
    const { pushes, ms, cpuUs, kernelShare } = await measure(rate, seconds * 1_000);
    const offered = rate === AS_FAST_AS_IT_TAKES ? "no limit" : rate.toLocaleString("en");
    const columns = [
      offered,
      Math.round((pushes / ms) * 1_000).toLocaleString("en"),
      (cpuUs / pushes).toFixed(1),
      `${(cpuUs / ms / 10).toFixed(0)} %`,
      `${(kernelShare * 100).toFixed(0)} %`,
    ];
    process.stdout.write(`| ${columns.join(" | ")} |\n`);
  }
} finally {
  await endChild(router);
}

async function measure(
  perSecond: number,
  forMs: number,
): Promise<{ pushes: number; ms: number; cpuUs: number; kernelShare: number }> {
  const load = startPushLoad(peerPort, perSecond, (message) => {
    throw new Error(message);
  });
  const pid = router.pid ?? 0;
  const before = processFigures(pid);
  const startedMs = performance.now();
  await new Promise((done) => setTimeout(done, forMs));
  const pushes = load.answered;
  const ms = performance.now() - startedMs;
  const after = processFigures(pid);
  load.stop();
  const user = after.userTicks - before.userTicks;
  const kernel = after.kernelTicks - before.kernelTicks;
  return { pushes, ms, cpuUs: after.cpuUs - before.cpuUs, kernelShare: kernel / Math.max(1, user + kernel) };
}
