import type { FaultKind } from "./fault.ts";
import type { ListWay } from "./list-way.ts";
import type { ListReason } from "./list-watch-state.ts";
import type { VersionCheckResult } from "./version-check.ts";
import type { InvalidReason } from "./watched-resource.ts";

/** Why something that came from the API server was not passed on. A closed list: these are metric labels. */
export type RejectedReason = InvalidReason | "out_of_scope" | "unknown_event_type";

/**
 * Told what a reflector does, for metrics. Called synchronously. An exception is a bug: it is
 * logged and stops nothing. No argument holds anything that a tenant controls.
 */
export interface ReflectorObserver {
  /** A whole list was read and taken: why and in which way it was read, how many objects it held, and how long it took. */
  listed(reason: ListReason, count: number, tookMs: number, way: ListWay): void;
  /** A list other than the first begins. */
  relisted(reason: Exclude<ListReason, "initial">): void;
  /** A watch ended, and another follows (after a list, if it `expired`). `closed` is ordinary rotation. */
  watchRestarted(reason: FaultKind): void;
  /** An object or event was counted and left aside; a record that the sink has stays as it is. */
  invalidObject(reason: RejectedReason): void;
  /** An object event (not a bookmark) was delivered. */
  event(): void;
  /** The watch is open and answered, or is not. */
  connected(connected: boolean): void;
  /** The API server was asked for its present version, and what came of it. */
  versionChecked(result: VersionCheckResult): void;
  /** The sink threw: a bug of the sink. */
  sinkFailed(): void;
}

/** Notes nothing. */
export const silentObserver: ReflectorObserver = {
  listed() {},
  relisted() {},
  watchRestarted() {},
  invalidObject() {},
  event() {},
  connected() {},
  versionChecked() {},
  sinkFailed() {},
};
