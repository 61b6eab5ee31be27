import type { Batch } from "./batch.ts";
import type { TargetChange } from "./target-picker.ts";

/** How the worker shoots: its `workerData`. */
export interface GunOptions {
  /** Base URL of the router. */
  readonly url: string;
  /** Connections, each with one request at a time. */
  readonly connections: number;
  /** Whom to ask at first; at least one. */
  readonly targets: readonly TargetChange[];
}

/** To the worker. */
export type GunOrder =
  | { readonly kind: "targets"; readonly changes: readonly TargetChange[] }
  /** Send what came so far at once: a phase begins. */
  | { readonly kind: "flush" }
  | { readonly kind: "stop" };

/** What autocannon itself counted. */
export interface AutocannonTotals {
  readonly sent: number;
  readonly answered: number;
  readonly errors: number;
  readonly timeouts: number;
  readonly bytes: number;
}

/** From the worker. */
export type GunReport =
  | { readonly kind: "batch"; readonly batch: Batch }
  | { readonly kind: "done"; readonly totals: AutocannonTotals };
