import { startHttpLoad } from "./http-load.ts";
import type { Load } from "./http-load.ts";
import { openIdleClients } from "./idle-clients.ts";
import type { IdleClients } from "./idle-clients.ts";
import type { LoadPlan, LoadResult } from "./load-plan.ts";
import { LoadTally } from "./load-tally.ts";
import { coreBusyUs, processFigures } from "./process-figures.ts";
import { startPushLoad } from "./push-load.ts";
import { startWebSocketLoad } from "./websocket-load.ts";

/** With so many wrong answers a measurement is given up. */
const MAX_ERRORS = 1000;
const IDLE_SETTLE_MS = 500;

/** Runs one measurement in this process: warm-up, measured time, end. Takes little longer than the two together. */
export async function measure(plan: LoadPlan, podPort: number): Promise<LoadResult> {
  const tally = new LoadTally();
  const idle = plan.idleConnections > 0 ? await withIdleClients(plan, podPort) : undefined;
  const load = startLoad(plan, podPort, tally);
  const pushes =
    plan.pushes && startPushLoad(plan.pushes.port, plan.pushes.perSecond, (text) => tally.failed(text));

  await wait(plan.warmupMs, tally);
  tally.startMeasuring();
  const before = processFigures(plan.pid);
  const busyBefore = coreBusyUs(plan.core);
  const loadBefore = process.cpuUsage();
  const pushesBefore = pushes?.answered ?? 0;
  const startedMs = performance.now();

  await wait(plan.measureMs, tally);
  const after = processFigures(plan.pid);
  const busyUs = coreBusyUs(plan.core) - busyBefore;
  const measuredMs = performance.now() - startedMs;
  const loadCpu = process.cpuUsage(loadBefore);
  const requests = tally.latencies.count();
  const [p50Us, p99Us, p999Us] = [0.5, 0.99, 0.999].map((share) => tally.latencies.quantile(share));
  const answeredPushes = (pushes?.answered ?? 0) - pushesBefore;

  pushes?.stop();
  await load.stop();
  idle?.clients.close();
  const userTicks = after.userTicks - before.userTicks;
  const kernelTicks = after.kernelTicks - before.kernelTicks;
  return {
    requests,
    measuredMs,
    cpuUs: after.cpuUs - before.cpuUs,
    kernelShare: kernelTicks / Math.max(1, userTicks + kernelTicks),
    othersShare: Math.max(0, busyUs - (after.cpuUs - before.cpuUs)) / 1000 / measuredMs,
    loadCpuUs: loadCpu.user + loadCpu.system,
    residentBytes: after.residentBytes,
    ...(idle && { bytesPerIdleClient: idle.bytesPerClient }),
    p50Us: p50Us!,
    p99Us: p99Us!,
    p999Us: p999Us!,
    errors: tally.errors,
    ...(tally.firstError !== undefined && { firstError: tally.firstError }),
    pushes: answeredPushes,
  };
}

function startLoad(plan: LoadPlan, podPort: number, tally: LoadTally): Load {
  return plan.protocol === "websocket"
    ? startWebSocketLoad(plan, podPort, tally)
    : startHttpLoad(plan, podPort, tally);
}

/**
 * Opens the idle connections and says what memory each costs the proxy: all by which its memory grows, its allocator's
 * and collector's slack included. Some clients come and go first, for what a proxy allocates once. It takes a proxy
 * that was just started: one that has been under load has room to spare and would seem to need nothing.
 */
async function withIdleClients(
  plan: LoadPlan,
  podPort: number,
): Promise<{ clients: IdleClients; bytesPerClient: number }> {
  const first = await openIdleClients(plan.port, podPort, plan.connections);
  first.close();
  await pause(IDLE_SETTLE_MS);
  const before = processFigures(plan.pid).residentBytes;
  const clients = await openIdleClients(plan.port, podPort, plan.idleConnections);
  await pause(IDLE_SETTLE_MS);
  const after = processFigures(plan.pid).residentBytes;
  return { clients, bytesPerClient: (after - before) / plan.idleConnections };
}

function pause(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}

/** Waits `ms`, or less when the answers are wrong anyway. */
async function wait(ms: number, tally: LoadTally): Promise<void> {
  const endMs = performance.now() + ms;
  for (let leftMs = ms; leftMs > 0 && tally.errors < MAX_ERRORS; leftMs = endMs - performance.now()) {
    await pause(Math.min(leftMs, 100));
  }
}
