import type { Milliseconds } from "../../src/system/clock.ts";
import type { ViolationKind } from "./oracle.ts";
import type { PhaseKind } from "./phases.ts";

/** Figures of a stretch of time. */
export interface Figures {
  /** Requests that have ended, however. */
  readonly requests: number;
  /** Answered by the pod that was asked for. */
  readonly right: number;
  /** Refused while the sandbox changed, or because it does not run. */
  readonly refused: number;
  readonly unexpected: number;
  /** Misroutes, answers after the end, revived routes. */
  readonly violations: number;
  /** Latency of pods' answers; absent when there was none. */
  readonly p50Ms?: Milliseconds | undefined;
  readonly p99Ms?: Milliseconds | undefined;
}

/** One phase as it was. */
export interface PhaseResult extends Figures {
  readonly kind: PhaseKind;
  readonly title: string;
  /** Since the load began. */
  readonly fromMs: Milliseconds;
  readonly untilMs: Milliseconds;
}

/** One step of the plots. */
export interface Point extends Figures {
  /** Since the load began: the middle of the step. */
  readonly atMs: Milliseconds;
  readonly stepMs: Milliseconds;
  /** What was not 200, by status and reason. */
  readonly statuses: Readonly<Record<string, number>>;
  /** Resurrections that the router has stopped since the load began; absent when it was not asked. */
  readonly stopped?: number | undefined;
}

/** What should not have happened. */
export interface Violation {
  readonly kind: ViolationKind;
  readonly phase: PhaseKind;
  readonly atMs: Milliseconds;
  readonly detail: string;
}

/** Something counted, with one example. */
export interface Counted {
  readonly label: string;
  readonly count: number;
  readonly example?: string | undefined;
}

/** Updates of sandboxes without a living route that the router refused. */
export interface StoppedResurrections {
  /** `peer` or `informer`. */
  readonly source: string;
  /** The rule that stopped them. */
  readonly guard: string;
  readonly count: number;
}

/** All that a run found: what `--json` prints and the report shows. Plain data. */
export interface LoadResult {
  readonly version: string;
  readonly node: string;
  readonly startedAt: string;
  /** What was under load, in words. */
  readonly subject: string;
  readonly options: Readonly<Record<string, string | number>>;
  readonly phases: readonly PhaseResult[];
  readonly points: readonly Point[];
  readonly total: Figures;
  /** By kind; the list may be cut, these counts never. */
  readonly violationCounts: Readonly<Record<ViolationKind, number>>;
  /** The first of each kind. */
  readonly violations: readonly Violation[];
  /** Every status with its reason. */
  readonly statuses: readonly Counted[];
  readonly unexpected: readonly Counted[];
  /** Pods' answers that do not say who answered. */
  readonly unidentified: number;
  /** Answers that came too fast to be judged. */
  readonly unjudged: number;
  /** Absent when the router's metrics were not to be had. */
  readonly stopped?: readonly StoppedResurrections[] | undefined;
  /** What happened in the cluster meanwhile. */
  readonly cluster: readonly Counted[];
  /** What autocannon itself counted, to compare. */
  readonly autocannon: Readonly<Record<string, number>>;
  /** The longest time that the thread of the embedded cluster stood still, and how long its pods take to die. */
  readonly stall?: { readonly longestMs: Milliseconds; readonly podEndMs: Milliseconds } | undefined;
  /** The run could not go on: why. */
  readonly broken?: string | undefined;
}
