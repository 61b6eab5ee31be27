import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { messageOf } from "../../../src/system/error-text.ts";
import { Children } from "../children.ts";
import { UsageError } from "../options.ts";
import { startPods } from "../pods.ts";
import { checkMachine, PreflightError } from "../preflight.ts";
import { allProxies } from "../proxies/all.ts";
import type { RunningProxy } from "../proxies/proxy.ts";
import { ROUTES } from "../push-load.ts";
import { machineText } from "../results.ts";
import { sandboxes } from "../sandboxes.ts";
import { startSoakLoad } from "./load.ts";
import type { SoakLoad } from "./load.ts";
import { parseSoakOptions, SOAK_HELP } from "./options.ts";
import type { SoakOptions } from "./options.ts";
import { soakSvg } from "./plot.ts";
import { findingLines, findingsOf, paceWarning, soakPasses } from "./verdict.ts";
import type { SoakSample } from "./verdict.ts";
import { Watch } from "./watch.ts";

/* `npm run bench:soak`: see README.md of the benchmark. The load and the pods are in this process. */

/** What a soak found out. */
interface SoakResult {
  readonly samples: readonly SoakSample[];
  readonly errors: number;
  readonly firstError: string | undefined;
  readonly totals: {
    readonly requests: number;
    readonly echoes: number;
    readonly lives: number;
    readonly pushes: number;
  };
}

/** A soak is given up after so many wrong answers. */
const MAX_ERRORS = 1000;
/** Samples that a soak aims at: enough for a trend, few enough to compare all pairs. */
const SAMPLES = 240;
const [MIN_INTERVAL_MS, MAX_INTERVAL_MS] = [1000, 60_000];
const WHOLE_MINUTES = 60;

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof UsageError || error instanceof PreflightError)) throw error;
  process.stderr.write(`soak: ${error.message}\n`);
  process.exitCode = 2;
}

async function main(args: readonly string[]): Promise<number> {
  const options = parseSoakOptions(args);
  if (options === "help") {
    process.stdout.write(SOAK_HELP);
    return 0;
  }
  checkMachine(options.cores);
  execFileSync("taskset", ["-acp", String(options.cores[1]), String(process.pid)], { stdio: "ignore" });
  const children = new Children();
  const directory = await mkdtemp(join(tmpdir(), "lychgate-soak-"));
  const asked = new AbortController();
  const interrupt = (): void => asked.abort();
  process.once("SIGINT", interrupt);
  process.once("SIGTERM", interrupt);
  process.once("exit", () => children.abandonAll());
  const startedAt = new Date();
  const pods = await startPods();
  try {
    const proxy = await startLychgate(children, options, directory, pods.port);
    const result = await soak(options, proxy, pods.port, asked.signal);
    return await report(options, result, startedAt);
  } finally {
    await children.endAll();
    pods.close();
    await rm(directory, { recursive: true, force: true });
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
  }
}

async function startLychgate(
  children: Children,
  { cores }: SoakOptions,
  directory: string,
  podPort: number,
): Promise<RunningProxy> {
  const lychgate = allProxies().find(({ name }) => name === "lychgate");
  if (lychgate === undefined) throw new Error("the benchmark has no set-up of the name lychgate");
  return lychgate.start({
    name: "lychgate",
    children,
    core: cores[0],
    directory,
    sandboxes: sandboxes(ROUTES, podPort),
    podPort,
  });
}

/** Runs the load and takes samples until the time is over, `signal` aborts, lychgate is gone or too much is wrong. */
async function soak(
  { minutes, ratePerSecond, livesPerSecond, cores }: SoakOptions,
  { pid, port, peerPort, adminPort }: RunningProxy,
  podPort: number,
  signal: AbortSignal,
): Promise<SoakResult> {
  if (peerPort === undefined || adminPort === undefined) throw new Error("lychgate told no ports");
  const load = startSoakLoad({ port, peerPort, podPort, ratePerSecond, livesPerSecond });
  const watch = new Watch({ pid, adminPort, core: cores[0], tally: load.requests });
  const startedMs = performance.now();
  const durationMs = minutes * 60_000;
  const intervalMs = Math.min(MAX_INTERVAL_MS, Math.max(MIN_INTERVAL_MS, durationMs / SAMPLES));
  const samples: SoakSample[] = [];
  let saidMs = 0;
  for (let dueMs = intervalMs; dueMs <= durationMs && !signal.aborted; dueMs += intervalMs) {
    await pause(startedMs + dueMs - performance.now(), signal);
    if (signal.aborted) break;
    try {
      samples.push(await watch.sample());
    } catch (error) {
      load.requests.failed(`lychgate's metrics: ${messageOf(error)}`);
    }
    if (dueMs - saidMs >= 60_000) {
      saidMs = dueMs;
      progress(progressLine(load, samples.at(-1)));
    }
    if (errorsOf(load) >= MAX_ERRORS) break;
  }
  await load.stop();
  return {
    samples,
    errors: errorsOf(load),
    firstError: load.requests.firstError ?? load.webSockets.firstError,
    totals: {
      requests: samples.reduce((sum, { requests }) => sum + requests, 0),
      echoes: load.webSockets.latencies.count(),
      lives: load.livesEnded(),
      pushes: load.pushes(),
    },
  };
}

function errorsOf({ requests, webSockets }: SoakLoad): number {
  return requests.errors + webSockets.errors;
}

function progressLine(load: SoakLoad, sample: SoakSample | undefined): string {
  if (sample === undefined) return "no sample yet";
  const { atMs, residentBytes, openFiles, lagP99Ms, p999Ms, othersShare } = sample;
  return `${Math.round(atMs / 60_000)} min: ${Math.round(residentBytes / 1e6)} MB, ${openFiles} descriptors, lag p99 ${lagP99Ms.toFixed(1)} ms, p99.9 ${p999Ms.toFixed(1)} ms, others took ${Math.round(othersShare * 100)} % of its core, ${errorsOf(load)} wrong answers`;
}

async function report(
  options: SoakOptions,
  { samples, errors, firstError, totals }: SoakResult,
  startedAt: Date,
): Promise<number> {
  const findings = findingsOf(samples);
  const passes = soakPasses(findings, errors);
  const count = (value: number): string => value.toLocaleString("en");
  const traffic = `${count(totals.requests)} requests, ${count(totals.echoes)} WebSocket echoes, ${count(totals.lives)} sandboxes created and ended, ${count(totals.pushes)} other pushes`;
  process.stdout.write(
    `${[
      `${machineText()}; ${startedAt.toISOString().slice(0, 16).replace("T", " ")} UTC; ${options.minutes} minutes.`,
      `${traffic}.`,
      ...findingLines(findings),
      ...[paceWarning(samples, options.ratePerSecond)].filter((line) => line !== undefined),
      errors === 0 ? "No answer was wrong." : `WRONG ANSWERS: ${errors}; the first: ${firstError ?? ""}`,
      passes ? "Passed." : "NOT PASSED.",
    ].join("\n")}\n`,
  );
  if (options.output !== undefined) {
    const name = options.minutes >= WHOLE_MINUTES ? "soak" : "soak-partial";
    const paths = ["json", "svg"].map((kind) => join(options.output ?? "", `${name}.${kind}`));
    await mkdir(options.output, { recursive: true });
    const { minutes, ratePerSecond, livesPerSecond, cores } = options;
    const json = {
      startedAt: startedAt.toISOString(),
      machine: machineText(),
      node: process.version,
      minutes,
      ratePerSecond,
      livesPerSecond,
      cores,
      passes,
      errors,
      firstError,
      totals,
      findings: findings.map(({ watched: { title, unit, allowance }, trend, verdict }) => ({
        title,
        unit,
        allowance,
        trend,
        verdict,
      })),
      samples,
    };
    await writeFile(paths[0]!, `${JSON.stringify(json, null, 1)}\n`);
    const svg = soakSvg(samples, findings, {
      title: "Lychgate under load for a long time",
      subtitle: `${traffic}; ${errors} wrong answers`,
    });
    await writeFile(paths[1]!, svg);
    progress(`wrote ${paths.join(", ")}`);
  }
  return passes ? 0 : 1;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      done();
    };
    const timer = setTimeout(end, Math.max(0, ms));
    signal.addEventListener("abort", end);
  });
}

function progress(line: string): void {
  process.stderr.write(`soak: ${line}\n`);
}
