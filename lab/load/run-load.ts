import { mkdir, writeFile } from "node:fs/promises";
import { dirname, relative, resolve } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { messageWithCauseOf } from "../../src/system/error-text.ts";
import { systemClock } from "../../src/system/clock.ts";
import { startEmbedded } from "./embedded.ts";
import { type GivenOptions, startGiven } from "./given.ts";
import { type Gun, startGun } from "./gun.ts";
import { monotonicMs } from "./monotonic.ts";
import { judge, judgePod } from "./oracle.ts";
import { Progress } from "./progress.ts";
import { reportHtml } from "./report.ts";
import type { LoadResult } from "./result.ts";
import { askStopped, stoppedSince } from "./router-metrics.ts";
import type { Subject } from "./subject.ts";
import { Tally } from "./tally.ts";
import { OUTCOME_WORDS, verdictLines, verdictOf } from "./verdict.ts";
import { handleSignals } from "../../src/system/process-signals.ts";
import { VERSION } from "../../src/system/version.ts";

/** A run. */
export interface LoadOptions {
  readonly durationMs: number;
  /** Connections, each with one request at a time. */
  readonly connections: number;
  readonly sandboxes: number;
  readonly churnPerSecond: number;
  readonly seed: number;
  readonly workers: number;
  /** Where the report goes. */
  readonly reportPath: string;
  /** Print the result as JSON. */
  readonly json: boolean;
  /** The router to load; absent: one of our own with the embedded cluster. */
  readonly given?: GivenOptions | undefined;
}

/** Where a run writes to. */
export interface LoadOutput {
  /** The result. */
  readonly stdout: Writable;
  /** Progress. */
  readonly stderr: Writable;
}

const TARGETS_EVERY_MS = 20;
const PROGRESS_EVERY_MS = 250;
const METRICS_EVERY_MS = 1_000;

/**
 * Loads a router while its cluster changes, and judges every answer. Resolves to the exit code: 0 when the verdict is
 * good; 1 on a misroute, an answer after the end, a revived route, too many unexpected statuses, a run that broke, or one
 * with too few right answers in a phase to prove anything.
 */
export async function runLoad(options: LoadOptions, { stdout, stderr }: LoadOutput): Promise<number> {
  const startedAt = new Date(systemClock.nowMs()).toISOString();
  const interrupted = Promise.withResolvers<never>();
  interrupted.promise.catch(() => {});
  const stopListening = handleSignals(
    {
      onFirst: (signal) => interrupted.reject(new Error(`the run was interrupted by ${signal}`)),
      onSecond: () => process.exit(1),
    },
    monotonicMs,
  );
  try {
    // Now, and not when the run is over, it should be seen that it can't be written.
    await writeReport(options.reportPath, "the run has not ended\n");
    const subject = options.given
      ? await startGiven(options.given, options, stderr)
      : await startEmbedded(options);
    stderr.write(`load on ${subject.text}, ${options.connections} connections\n`);
    let result: LoadResult;
    try {
      result = await shoot(subject, options, startedAt, stderr, interrupted.promise);
    } finally {
      await subject.stop();
    }
    await writeReport(options.reportPath, reportHtml(result));
    const verdict = verdictOf(result);
    stdout.write(
      options.json ? `${JSON.stringify({ verdict, ...result })}\n` : verdictText(result, options.reportPath),
    );
    return verdict.outcome === "passed" ? 0 : 1;
  } catch (error) {
    stderr.write(`lychgate load: ${messageWithCauseOf(error)}\n`);
    return 1;
  } finally {
    stopListening();
  }
}

async function shoot(
  subject: Subject,
  options: LoadOptions,
  startedAt: string,
  stderr: Writable,
  interrupted: Promise<never>,
): Promise<LoadResult> {
  const { book, hearing, phases } = subject;
  const ownerOf = (podUid: string) => book.ownerOf(podUid);
  const durationMs = phases.reduce((sum, phase) => sum + phase.durationMs, 0);
  // About a hundred steps, each of whole batches.
  const tally = new Tally(Math.max(200, Math.ceil(durationMs / 20_000) * 200), {
    pod: (answers) => judgePod(answers, book.target(answers.target), ownerOf),
    other: (answer) => judge(answer, book.target(answer.target), hearing, ownerOf),
  });
  const stoppedBefore = subject.adminUrl === undefined ? undefined : await askStopped(subject.adminUrl);
  const standstill = monitorEventLoopDelay({ resolution: 10 });
  standstill.enable();
  const startMs = monotonicMs();
  const sinceStart = (): number => monotonicMs() - startMs;
  const gun = startGun(
    { url: subject.trafficUrl, connections: options.connections, targets: book.takeChanges() },
    (batch) => {
      const atMs = sinceStart();
      if (subject.judgeAfterMs === 0) tally.add(batch, atMs);
      else setTimeout(() => tally.add(batch, atMs), subject.judgeAfterMs);
    },
  );
  const progress = new Progress(stderr);
  let phaseTitle = "";
  let stopped: LoadResult["stopped"];
  const askMetrics = async (): Promise<void> => {
    if (subject.adminUrl === undefined || !stoppedBefore) return;
    const now = await askStopped(subject.adminUrl);
    if (!now) return;
    stopped = stoppedSince(stoppedBefore, now);
    tally.stopped(sum(stopped), sinceStart());
  };
  const timers = [
    setInterval(() => gun.change(book.takeChanges()), TARGETS_EVERY_MS),
    setInterval(() => void askMetrics(), METRICS_EVERY_MS),
    setInterval(() => {
      const elapsedMs = sinceStart();
      const step = tally.lastStep(elapsedMs - subject.judgeAfterMs);
      progress.show({
        elapsedMs,
        durationMs,
        phase: phaseTitle,
        requestsPerSecond: ((step?.requests ?? 0) * 1000) / tally.stepMs,
        p99Ms: step?.p99Ms,
        misroutes: tally.violationCounts.misroute,
        unexpected: tally.total.unexpected,
        stopped: stopped && sum(stopped),
      });
    }, PROGRESS_EVERY_MS),
  ];
  const broken = await runPhases(subject, gun, interrupted, (phase) => {
    phaseTitle = phase.title;
    tally.begin(phase, sinceStart());
  });
  const untilMs = sinceStart();
  const autocannon = await gun.stop().catch(() => undefined);
  await askMetrics();
  // One more turn than the last batch's timer.
  if (subject.judgeAfterMs > 0) await sleep(subject.judgeAfterMs + 50);
  for (const timer of timers) clearInterval(timer);
  standstill.disable();
  progress.end();
  const { connections, sandboxes, churnPerSecond, seed, workers } = options;
  return {
    version: VERSION,
    node: process.version,
    startedAt,
    subject: subject.text,
    options: {
      durationS: durationMs / 1000,
      connections,
      ...(options.given ? {} : { sandboxes, churnPerSecond, seed, workers }),
    },
    ...tally.result(untilMs),
    stopped,
    cluster: subject.happened(),
    autocannon: { ...autocannon },
    stall:
      subject.podEndMs === undefined
        ? undefined
        : { longestMs: standstill.max / 1e6, podEndMs: subject.podEndMs },
    broken,
  };
}

/** Runs the phases one after the other; returns why it could not go on, if it could not. */
async function runPhases(
  subject: Subject,
  gun: Gun,
  interrupted: Promise<never>,
  begin: (phase: Subject["phases"][number]) => void,
): Promise<string | undefined> {
  const trouble = Promise.race([interrupted, subject.failed, gun.failed]);
  try {
    for (const phase of subject.phases) {
      gun.flush();
      begin(phase);
      await Promise.race([trouble, Promise.all([subject.enter(phase.kind), sleep(phase.durationMs)])]);
    }
    return undefined;
  } catch (error) {
    return messageWithCauseOf(error);
  }
}

async function writeReport(path: string, html: string): Promise<void> {
  try {
    await mkdir(dirname(resolve(path)), { recursive: true });
    await writeFile(path, html);
  } catch (error) {
    throw new Error(`writing the report ${path}`, { cause: error });
  }
}

function verdictText(result: LoadResult, reportPath: string): string {
  const { outcome, headline, failures } = verdictOf(result);
  return [
    "",
    ...verdictLines(result).map((line) => `  ${line}`),
    "",
    ...failures.map((failure) => `  ${failure}`),
    `${OUTCOME_WORDS[outcome].toUpperCase()}: ${headline}. Report: ${relative(process.cwd(), resolve(reportPath))}`,
    "",
  ].join("\n");
}

function sum(stopped: NonNullable<LoadResult["stopped"]>): number {
  return stopped.reduce((total, { count }) => total + count, 0);
}
