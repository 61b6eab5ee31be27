import type { Writable } from "node:stream";
import { ms } from "./verdict.ts";

/** What the line tells. */
export interface ProgressNow {
  readonly elapsedMs: number;
  readonly durationMs: number;
  readonly phase: string;
  readonly requestsPerSecond: number;
  readonly p99Ms: number | undefined;
  readonly misroutes: number;
  readonly unexpected: number;
  /** Resurrections stopped so far, when they are known. */
  readonly stopped: number | undefined;
}

/** Between lines where a line can't be written over. */
const LINE_EVERY_MS = 3_000;

/** Tells how far a run is: one line that is written over on a terminal, else a line every few seconds. */
export class Progress {
  readonly #out: Writable;
  readonly #isTerminal: boolean;
  #lastMs = -Infinity;
  #lastPhase = "";

  constructor(out: Writable) {
    this.#out = out;
    this.#isTerminal = "isTTY" in out && out.isTTY === true;
  }

  /** Call it often; it decides when to write. */
  show(now: ProgressNow): void {
    const line = progressLine(now);
    if (this.#isTerminal) {
      // Erases what was longer before.
      this.#out.write(`\r\u001B[2K${line}`);
      return;
    }
    if (now.elapsedMs - this.#lastMs < LINE_EVERY_MS && now.phase === this.#lastPhase) return;
    this.#lastMs = now.elapsedMs;
    this.#lastPhase = now.phase;
    this.#out.write(`${line}\n`);
  }

  /** Leaves the line. */
  end(): void {
    if (this.#isTerminal) this.#out.write("\r\u001B[2K");
  }
}

/** The line, within 100 columns. */
export function progressLine(now: ProgressNow): string {
  const { elapsedMs, durationMs, phase, requestsPerSecond, p99Ms, misroutes, unexpected, stopped } = now;
  const time = `${(elapsedMs / 1000).toFixed(0).padStart(3)}/${(durationMs / 1000).toFixed(0)} s`;
  return [
    time,
    phase.padEnd(16),
    `${Math.round(requestsPerSecond)} req/s`.padStart(11),
    `p99 ${ms(p99Ms)}`.padEnd(13),
    `${misroutes} misroutes`,
    ...(stopped === undefined ? [] : [`${stopped} stopped`]),
    `${unexpected} unexpected`,
  ].join("  ");
}
