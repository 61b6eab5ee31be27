import type { Milliseconds } from "../../src/system/clock.ts";
import type { Answer } from "./answer.ts";
import type { Batch } from "./batch.ts";
import { LatencyHistogram } from "./latency-histogram.ts";
import { type Judgement, type ViolationKind } from "./oracle.ts";
import type { Phase } from "./phases.ts";
import type { Counted, Figures, LoadResult, PhaseResult, Point, Violation } from "./result.ts";

const EXAMPLES_PER_VIOLATION = 20;

/** Judges the answers of a batch. */
export interface Judges {
  readonly pod: (answers: Batch["pods"][number]) => Judgement;
  readonly other: (answer: Answer) => Judgement;
}

/** Figures that grow. */
class Growing {
  readonly latency = new LatencyHistogram();
  requests = 0;
  right = 0;
  refused = 0;
  unexpected = 0;
  violations = 0;

  count(kind: Judgement["kind"], count: number): void {
    this.requests += count;
    if (kind === "right") this.right += count;
    else if (kind === "expected") this.refused += count;
    else if (kind === "unexpected") this.unexpected += count;
    else if (kind !== "unidentified") this.violations += count;
  }

  figures(): Figures {
    const { requests, right, refused, unexpected, violations, latency } = this;
    const [p50Ms, p99Ms] = [latency.quantileMs(0.5), latency.quantileMs(0.99)];
    return { requests, right, refused, unexpected, violations, p50Ms, p99Ms };
  }
}

/** One phase that has begun. */
interface PhaseSums {
  readonly phase: Phase;
  readonly fromMs: Milliseconds;
  readonly sums: Growing;
}

/** One step of the plots. */
interface Step {
  readonly sums: Growing;
  readonly statuses: Map<string, number>;
  stopped?: number;
}

const RIGHT_STATUS = "200 from the pod";

/** The sums of a run: in all, by phase, by step of time, by status. Times are since the load began. */
export class Tally {
  /** Length of a step of the plots. */
  readonly stepMs: Milliseconds;
  readonly #judges: Judges;
  readonly #total = new Growing();
  readonly #phases: PhaseSums[] = [];
  readonly #steps = new Map<number, Step>();
  readonly #statuses = new Map<string, number>();
  readonly #unexpected = new Map<string, { count: number; readonly example: string }>();
  readonly #violations: Violation[] = [];
  readonly #violationCounts: Record<ViolationKind, number> = { misroute: 0, "after-end": 0, revived: 0 };
  #unidentified = 0;
  #unjudged = 0;

  constructor(stepMs: Milliseconds, judges: Judges) {
    this.stepMs = stepMs;
    this.#judges = judges;
  }

  /** What comes from `atMs` on belongs to this phase. */
  begin(phase: Phase, atMs: Milliseconds): void {
    this.#phases.push({ phase, fromMs: atMs, sums: new Growing() });
  }

  /** Judges and adds what came in. */
  add(batch: Batch, atMs: Milliseconds): void {
    for (const answers of batch.pods) {
      const judgement = this.#judges.pod(answers);
      const status = `${answers.status} from the pod`;
      // Answers of one pod are judged by the last of them, and that one alone may have come too late.
      const isLast = judgement.kind === "after-end";
      this.#count(judgement, status, isLast ? 1 : answers.count, atMs);
      if (isLast && answers.count > 1) this.#count({ kind: "right" }, status, answers.count - 1, atMs);
    }
    for (const answer of batch.others) {
      this.#count(this.#judges.other(answer), labelOf(answer), 1, atMs);
    }
    this.#unjudged += batch.unjudged;
    for (const sums of this.#sumsAt(atMs)) sums.latency.merge(batch.latency);
  }

  /** So many resurrections has the router stopped since the load began. */
  stopped(count: number, atMs: Milliseconds): void {
    this.#stepAt(atMs).stopped = count;
  }

  /** The violations so far. */
  get violationCounts(): Readonly<Record<ViolationKind, number>> {
    return this.#violationCounts;
  }

  /** The sums so far. */
  get total(): Figures {
    return this.#total.figures();
  }

  /** The figures of the last whole step before `atMs`, if anything came in it. */
  lastStep(atMs: Milliseconds): Figures | undefined {
    return this.#steps.get(Math.floor(atMs / this.stepMs) - 1)?.sums.figures();
  }

  /** All of it; the load has ended at `untilMs`. */
  result(
    untilMs: Milliseconds,
  ): Pick<
    LoadResult,
    | "phases"
    | "points"
    | "total"
    | "violationCounts"
    | "violations"
    | "statuses"
    | "unexpected"
    | "unidentified"
    | "unjudged"
  > {
    return {
      phases: this.#phases.map(({ phase, fromMs, sums }, i): PhaseResult => {
        const { kind, title } = phase;
        const endMs = this.#phases[i + 1]?.fromMs ?? untilMs;
        return { kind, title, fromMs, untilMs: endMs, ...sums.figures() };
      }),
      points: this.#points(),
      total: this.#total.figures(),
      violationCounts: this.#violationCounts,
      violations: this.#violations,
      statuses: byCount([...this.#statuses].map(([label, count]) => ({ label, count }))),
      unexpected: byCount(
        [...this.#unexpected].map(([label, { count, example }]) => ({ label, count, example })),
      ),
      unidentified: this.#unidentified,
      unjudged: this.#unjudged,
    };
  }

  #count(judgement: Judgement, status: string, count: number, atMs: Milliseconds): void {
    for (const sums of this.#sumsAt(atMs)) sums.count(judgement.kind, count);
    addTo(this.#statuses, status, count);
    if (status !== RIGHT_STATUS) addTo(this.#stepAt(atMs).statuses, status, count);
    switch (judgement.kind) {
      case "right":
      case "expected":
        break;
      case "unidentified":
        this.#unidentified += count;
        break;
      case "unexpected": {
        const seen = this.#unexpected.get(judgement.label);
        if (seen) seen.count += count;
        else this.#unexpected.set(judgement.label, { count, example: judgement.detail });
        break;
      }
      case "misroute":
      case "after-end":
      case "revived": {
        const { kind, detail } = judgement;
        if (this.#violationCounts[kind] < EXAMPLES_PER_VIOLATION) {
          this.#violations.push({ kind, detail, atMs, phase: this.#phaseAt(atMs)?.phase.kind ?? "warm-up" });
        }
        this.#violationCounts[kind] += count;
        break;
      }
    }
  }

  #phaseAt(atMs: Milliseconds): PhaseSums | undefined {
    return this.#phases.findLast(({ fromMs }) => fromMs <= atMs);
  }

  #sumsAt(atMs: Milliseconds): Growing[] {
    const phase = this.#phaseAt(atMs);
    return [this.#total, ...(phase ? [phase.sums] : []), this.#stepAt(atMs).sums];
  }

  #stepAt(atMs: Milliseconds): Step {
    const index = Math.floor(atMs / this.stepMs);
    const step = this.#steps.get(index) ?? { sums: new Growing(), statuses: new Map() };
    this.#steps.set(index, step);
    return step;
  }

  #points(): Point[] {
    const { stepMs } = this;
    const points: Point[] = [];
    for (const [index, { sums, statuses, stopped }] of [...this.#steps].sort(([a], [b]) => a - b)) {
      points.push({
        atMs: (index + 0.5) * stepMs,
        stepMs,
        statuses: Object.fromEntries(statuses),
        ...sums.figures(),
        stopped: stopped ?? points.at(-1)?.stopped,
      });
    }
    return points;
  }
}

function labelOf({ outcome }: Answer): string {
  switch (outcome.kind) {
    case "pod":
      return `${outcome.status} from the pod`;
    case "router":
      return `${outcome.status} ${outcome.reason}`;
    case "foreign":
      return "the answer to another request";
    case "cut":
      return `connection: ${outcome.code}`;
    case "timeout":
      return "timeout";
  }
}

function addTo(counts: Map<string, number>, label: string, count: number): void {
  counts.set(label, (counts.get(label) ?? 0) + count);
}

function byCount(list: Counted[]): Counted[] {
  return list.sort((a, b) => b.count - a.count);
}
