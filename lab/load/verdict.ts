import { VIOLATIONS, type ViolationKind } from "./oracle.ts";
import type { LoadResult, PhaseResult } from "./result.ts";

/** How a run ended. */
export interface Verdict {
  /** `inconclusive`: nothing wrong was seen, but too little was asked to say that all is well. */
  readonly outcome: "passed" | "failed" | "inconclusive";
  /** One sentence. */
  readonly headline: string;
  /** Why it failed, and what it did not prove; empty when it passed. */
  readonly failures: readonly string[];
}

/** What each outcome is called where people read it. */
export const OUTCOME_WORDS: Readonly<Record<Verdict["outcome"], string>> = {
  passed: "Passed",
  failed: "Failed",
  inconclusive: "Inconclusive",
};

/** Right answers that each phase but the warm-up must have had. With fewer, a phase shows nothing. */
export const MIN_RIGHT_PER_PHASE = 20;

/** Unexpected statuses up to this share of all requests do not fail a run: a busy machine makes some. */
export const UNEXPECTED_SHARE_ALLOWED = 0.001;

/** What each kind of violation is called, for one and for several. */
const VIOLATION_WORDS: Readonly<Record<ViolationKind, readonly [one: string, more: string]>> = {
  misroute: ["misroute", "misroutes"],
  "after-end": ["answer after the end of a sandbox", "answers after the end of a sandbox"],
  revived: ["answer that shows a revived route", "answers that show a revived route"],
};

/** Judges a run. Pure. */
export function verdictOf(result: LoadResult): Verdict {
  const { total, violationCounts, violations, unexpected } = result;
  const failures: string[] = [];
  if (result.broken !== undefined) failures.push(result.broken);
  for (const kind of VIOLATIONS) {
    const count = violationCounts[kind];
    if (count === 0) continue;
    const example = violations.find((violation) => violation.kind === kind)?.detail ?? "";
    failures.push(`${amount(count, VIOLATION_WORDS[kind])}, such as: ${example}`);
  }
  const { stall } = result;
  if (failures.length > 0 && stall && stall.longestMs > stall.podEndMs) {
    failures.push(
      `the embedded cluster itself stood still for up to ${stall.longestMs.toFixed(0)} ms, and its pods die ${stall.podEndMs} ms after the news: the router may not have been told in time. Run it again with fewer connections or on a machine with more cores`,
    );
  }
  if (total.unexpected > total.requests * UNEXPECTED_SHARE_ALLOWED) {
    const worst = unexpected[0];
    failures.push(
      `${amount(total.unexpected, ["unexpected status", "unexpected statuses"])} in ${total.requests} requests, above the ${UNEXPECTED_SHARE_ALLOWED * 100} % that are let pass; most often ${worst?.label}, such as: ${worst?.example}`,
    );
  }
  const unproven = unprovenOf(result);
  const all = [...failures, ...unproven];
  const first = all[0]?.split(/, such as:|;? ?[^;]*\n/)[0] ?? "";
  if (failures.length > 0) {
    const { misroute } = violationCounts;
    const headline = misroute > 0 ? amount(misroute, VIOLATION_WORDS.misroute) : first;
    return { outcome: "failed", headline, failures: all };
  }
  if (unproven.length > 0) return { outcome: "inconclusive", headline: first, failures: all };
  const headline = `0 misroutes in ${total.requests.toLocaleString("en")} requests`;
  return { outcome: "passed", headline, failures: [] };
}

/** What a run without a fault may still have left open. */
function unprovenOf({ total, phases, unjudged, unidentified }: LoadResult): string[] {
  const unproven: string[] = [];
  if (unjudged > 0) unproven.push(`${unjudged} answers came faster than they could be judged`);
  if (total.right === 0) {
    unproven.push(
      unidentified > 0
        ? "no pod said who it is: each must answer with JSON that has namespace and name, or with the header x-pod-uid"
        : "no request was answered by the pod that was asked for",
    );
    return unproven;
  }
  const empty = phases.filter(({ kind, right }) => kind !== "warm-up" && right < MIN_RIGHT_PER_PHASE);
  if (empty.length > 0) {
    const each = empty.map(({ title, right }) => `${title} (${right})`).join(", ");
    unproven.push(
      `fewer than ${MIN_RIGHT_PER_PHASE} right answers in ${each}: run it for longer, or on a machine with more time to spare`,
    );
  }
  return unproven;
}

/** The figures that a reader asks for first, a line each. */
export function verdictLines(result: LoadResult): string[] {
  const { total, violationCounts, stopped, phases } = result;
  const lines = [
    `requests    ${total.requests} in ${seconds(phases)} s: ${total.right} answered by the right pod, ${total.refused} refused as expected`,
    `misroutes   ${violationCounts.misroute}; answers after the end ${violationCounts["after-end"]}; revived routes ${violationCounts.revived}`,
    `stopped     ${stopped ? stoppedText(stopped) : "not known: the router's metrics were not asked"}`,
    `unexpected  ${total.unexpected}${unexpectedText(result)}`,
  ];
  const p99 = phases
    .filter(({ kind, p99Ms }) => kind !== "warm-up" && p99Ms !== undefined)
    .map(({ title, p99Ms }) => `${title} ${ms(p99Ms)}`);
  lines.push(`p99         ${p99.join(", ") || "nothing was answered"}`);
  return lines;
}

/** How the p99 of pods' answers with churn compares with that without: 1.2 is a fifth slower. */
export function churnRatio(phases: readonly PhaseResult[]): number | undefined {
  const p99 = (kind: string): number | undefined => phases.find((phase) => phase.kind === kind)?.p99Ms;
  const [calm, churn] = [p99("calm"), p99("churn")];
  return calm === undefined || churn === undefined ? undefined : churn / calm;
}

/** Milliseconds, to be read. */
export function ms(value: number | undefined): string {
  if (value === undefined) return "–";
  return `${value < 10 ? value.toFixed(2) : value.toFixed(1)} ms`;
}

function stoppedText(stopped: NonNullable<LoadResult["stopped"]>): string {
  const sum = stopped.reduce((total, { count }) => total + count, 0);
  const each = stopped.map(({ source, guard, count }) => `${guard} (${source}) ${count}`);
  return `${amount(sum, ["resurrection", "resurrections"])}${each.length > 0 ? `, by guard: ${each.join(", ")}` : ""}`;
}

function unexpectedText({ unexpected }: LoadResult): string {
  if (unexpected.length === 0) return "";
  return `: ${unexpected.map(({ label, count }) => `${label} ${count}`).join(", ")}`;
}

function seconds(phases: readonly PhaseResult[]): string {
  return ((phases.at(-1)?.untilMs ?? 0) / 1000).toFixed(1);
}

function amount(count: number, [one, more]: readonly [string, string]): string {
  return `${count} ${count === 1 ? one : more}`;
}
