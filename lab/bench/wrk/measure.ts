import { execFile } from "node:child_process";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { LoadPlan, LoadResult, WrkProgram } from "../load-plan.ts";
import type { Pods } from "../pods.ts";
import { coreBusyUs, processFigures } from "../process-figures.ts";
import { parseWrkOutput, wrkFaults } from "./output.ts";
import { wrkRequests, wrkScript } from "./script.ts";

const START_TIMEOUT_MS = 10_000;
/** wrk goes on for at least so long after the measured time. */
const MARGIN_MS = 200;
/** An answer that takes longer is an error. */
const ANSWER_TIMEOUT_S = 10;

/**
 * One measurement with wrk as the load; the pods are those of this process. CPU time and requests are those of the
 * measured time: each answer of the pods is one. Latencies are wrk's, of its whole run. Rejects when wrk does not run.
 */
export async function measureWithWrk(
  plan: LoadPlan,
  { program, directory }: WrkProgram,
  pods: Pods,
): Promise<LoadResult> {
  const [script, requests] = [join(directory, "wrk.lua"), join(directory, "wrk-requests")];
  await writeFile(requests, wrkRequests(plan, pods.port));
  await writeFile(script, wrkScript(requests));
  const answersBefore = pods.answered();
  const wrk = runWrk(plan, program, script);
  try {
    await untilAnswered(pods, answersBefore, wrk.ended);
    await pause(plan.warmupMs);
    const before = processFigures(plan.pid);
    const busyBefore = coreBusyUs(plan.core);
    const loadBefore = process.cpuUsage();
    const wrkBefore = processFigures(wrk.pid).cpuUs;
    const countBefore = pods.answered();
    const startedMs = performance.now();

    await pause(plan.measureMs);
    const after = processFigures(plan.pid);
    const busyUs = coreBusyUs(plan.core) - busyBefore;
    const measuredMs = performance.now() - startedMs;
    const loadCpu = process.cpuUsage(loadBefore);
    const wrkUs = processFigures(wrk.pid).cpuUs - wrkBefore;
    const count = pods.answered() - countBefore;

    const output = await wrk.ended;
    const summary = parseWrkOutput(output);
    if (summary === undefined) throw new Error(`wrk printed no summary: ${output.slice(0, 500)}`);
    const userTicks = after.userTicks - before.userTicks;
    const kernelTicks = after.kernelTicks - before.kernelTicks;
    const { p50Us, p99Us, p999Us } = summary;
    return {
      requests: count,
      measuredMs,
      cpuUs: after.cpuUs - before.cpuUs,
      kernelShare: kernelTicks / Math.max(1, userTicks + kernelTicks),
      othersShare: Math.max(0, busyUs - (after.cpuUs - before.cpuUs)) / 1000 / measuredMs,
      loadCpuUs: loadCpu.user + loadCpu.system + wrkUs,
      residentBytes: after.residentBytes,
      p50Us,
      p99Us,
      p999Us,
      ...wrkFaults(summary, pods.answered() - answersBefore),
      pushes: 0,
    };
  } finally {
    wrk.kill();
    await wrk.ended.catch(() => {});
    await Promise.all([script, requests].map((each) => rm(each, { force: true })));
  }
}

interface RunningWrk {
  readonly pid: number;
  /** Its output; rejects when it failed. */
  readonly ended: Promise<string>;
  kill(): void;
}

/** Starts wrk on the cores of this process. */
function runWrk(
  { port, connections, warmupMs, measureMs }: LoadPlan,
  program: string,
  script: string,
): RunningWrk {
  const seconds = Math.ceil((warmupMs + measureMs + MARGIN_MS) / 1000);
  const args = [
    "-t1",
    `-c${connections}`,
    `-d${seconds}s`,
    "--timeout",
    `${ANSWER_TIMEOUT_S}s`,
    "-s",
    script,
  ];
  let child: ReturnType<typeof execFile> | undefined;
  const ended = new Promise<string>((done, fail) => {
    child = execFile(program, [...args, `http://127.0.0.1:${port}/`], (error, stdout, stderr) => {
      if (error === null) done(stdout);
      else fail(new Error(`wrk failed: ${stderr.slice(0, 500)}`, { cause: error }));
    });
  });
  // Who waits for it hears of the failure; nobody may be waiting yet.
  ended.catch(() => {});
  return { pid: child?.pid ?? 0, ended, kill: () => child?.kill("SIGKILL") };
}

async function untilAnswered(pods: Pods, before: number, ended: Promise<unknown>): Promise<void> {
  const giveUp = new AbortController();
  const end = (): void => giveUp.abort();
  const timer = setTimeout(end, START_TIMEOUT_MS);
  ended.then(end, end);
  while (pods.answered() === before && !giveUp.signal.aborted) await pause(5);
  clearTimeout(timer);
}

function pause(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
