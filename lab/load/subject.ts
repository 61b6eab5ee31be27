import type { Hearing } from "./hearing.ts";
import type { LifeBook } from "./life-book.ts";
import type { Phase, PhaseKind } from "./phases.ts";
import type { Counted } from "./result.ts";

/** What is under load: a router, and the cluster that it routes to. */
export interface Subject {
  /** In words, for the report. */
  readonly text: string;
  /** Where requests go. */
  readonly trafficUrl: string;
  /** Base URL of the router's admin port, when it is known. */
  readonly adminUrl: string | undefined;
  readonly phases: readonly Phase[];
  /** It holds everything that happened `judgeAfterMs` ago. */
  readonly book: LifeBook;
  readonly hearing: Hearing;
  /** How long the book may take to hear of something: answers are judged so much later. */
  readonly judgeAfterMs: number;
  /** How long pods take to die at least, when this very thread is the cluster: it must not stand still for longer. */
  readonly podEndMs: number | undefined;
  /** Makes the phase happen; resolves when it is set up, within the phase's time as a rule. */
  enter(kind: PhaseKind): Promise<void>;
  /** What has happened in the cluster since the first phase but the warm-up. */
  happened(): readonly Counted[];
  /** Rejects when the run can't go on. */
  readonly failed: Promise<never>;
  /** Ends everything that it started and removes everything that it made. */
  stop(): Promise<void>;
}
