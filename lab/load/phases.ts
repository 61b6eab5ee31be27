import type { Milliseconds } from "../../src/system/clock.ts";

/** What the cluster does while the load runs. */
export type PhaseKind = "warm-up" | "calm" | "churn" | "lag" | "outage" | "recovery";

/** A stretch of a run. */
export interface Phase {
  readonly kind: PhaseKind;
  /** For people. */
  readonly title: string;
  readonly durationMs: Milliseconds;
}

/** Title of each kind, and what happens in it. */
export const PHASE_TEXTS: Readonly<Record<PhaseKind, { readonly title: string; readonly what: string }>> = {
  "warm-up": { title: "warm-up", what: "nothing changes; counted, but for no comparison" },
  calm: { title: "calm", what: "nothing changes" },
  churn: {
    title: "churn",
    what: "claims, pauses, resumes, deletions, address reuse; pushes are lost, late, doubled, reordered and stale",
  },
  lag: {
    title: "lagging informer",
    what: "the same, and the API tells of every change late; ends are pushed on time, all other pushes badly",
  },
  outage: {
    title: "API outage",
    what: "the router's API server is away and the cluster goes on; ends are pushed on time, all other pushes badly",
  },
  recovery: { title: "recovery", what: "the API server is back; churn as before" },
};

/** Phases of a run against the embedded cluster, and their shares of the time. */
const SHARES: readonly (readonly [PhaseKind, number])[] = [
  ["calm", 0.2],
  ["churn", 0.3],
  ["lag", 0.2],
  ["outage", 0.14],
  ["recovery", 0.16],
];

/** A tenth of the run, at most: for compilers and caches. */
const WARM_UP_MS = 3_000;

/** The phases of a run of `durationMs` against the embedded cluster. */
export function planPhases(durationMs: Milliseconds): Phase[] {
  const warmUpMs = Math.min(WARM_UP_MS, Math.round(durationMs / 10));
  const rest = SHARES.map(([kind, share]) => phaseOf(kind, Math.round((durationMs - warmUpMs) * share)));
  return [phaseOf("warm-up", warmUpMs), ...rest];
}

/** The phases of a run against a router that was given: only what may be done to it. */
export function planGivenPhases(durationMs: Milliseconds, churn: boolean): Phase[] {
  if (!churn) return [phaseOf("calm", durationMs)];
  const warmUpMs = Math.min(WARM_UP_MS, Math.round(durationMs / 10));
  const calmMs = Math.round((durationMs - warmUpMs) * 0.35);
  return [
    phaseOf("warm-up", warmUpMs),
    phaseOf("calm", calmMs),
    phaseOf("churn", durationMs - warmUpMs - calmMs),
  ];
}

function phaseOf(kind: PhaseKind, durationMs: Milliseconds): Phase {
  return { kind, title: PHASE_TEXTS[kind].title, durationMs };
}
