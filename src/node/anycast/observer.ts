import type { Milliseconds } from "../../system/clock.ts";
import type { BirdResult } from "./bird-announcer.ts";

/** A change that was made, in words: metric labels. */
export type AnycastChange = "announce" | "withdraw" | "grow" | "shrink" | "adopt" | "remove";

/** Told what the reconciler does, for metrics. Must not throw. */
export interface AnycastObserver {
  /** Committed addresses by what became of them. */
  addresses(counts: { readonly announced: number; readonly withdrawn: number }): void;
  backends(counts: {
    readonly eligible: number;
    readonly terminating: number;
    readonly not_ready: number;
  }): void;
  /** A pass ended. */
  reconciled(ok: boolean, tookMs: Milliseconds): void;
  changed(change: AnycastChange): void;
  /** Nothing was wanted otherwise, and the kernel or BIRD were not as they had been left. */
  drifted(): void;
  birdConfigured(result: BirdResult): void;
  /** An address was withdrawn, so long after its last eligible backend was heard to go. */
  withdrawn(tookMs: Milliseconds): void;
}
