import type { Milliseconds } from "../system/clock.ts";
import type { ListWay } from "./list-way.ts";
import { DEFAULT_RETRY_POLICY, type RetryPolicy } from "./list-watch-state.ts";

/** How a reflector works. Every field has a default in {@link DEFAULT_REFLECTOR_SETTINGS}. */
export interface ReflectorSettings {
  /** How lists are read. Default `stream`, which falls back to `paged` where the server can't. */
  readonly list: ListWay;
  /** Objects per page of a list, at least 1. Default 500, as client-go. Smaller pages need less memory. */
  readonly pageSize: number;
  /** Largest page, in bytes; above it pages are halved. Default 128 MiB. */
  readonly maxPageBytes: number;
  /** Largest event, in bytes. Default 8 MiB; etcd takes objects of about 1.5 MiB. */
  readonly maxEventBytes: number;
  /** Longest wait for the head of an answer, connecting included. Default 30 s. */
  readonly firstByteTimeoutMs: Milliseconds;
  /** Longest silence within a page, or before the end of a list that is streamed. Default 30 s. The list as a whole may take any time. */
  readonly listIdleTimeoutMs: Milliseconds;
  /**
   * Longest silence of a watch before it counts as stalled. Default 90 s. Servers send a bookmark about once a
   * minute; a shorter limit would take quiet for death.
   */
  readonly stallTimeoutMs: Milliseconds;
  /**
   * While a watch is open the server is asked for its present version this often, and once after each reconnect. Default
   * 60 s. It is how a cluster that was restored from a backup is noticed.
   */
  readonly checkIntervalMs: Milliseconds;
  /** How long the sink is left live while no watch is open. Default 5 s. */
  readonly liveGraceMs: Milliseconds;
  /** The server is asked to end a watch after a random time in this range, in seconds. Default [300, 600). */
  readonly watchSeconds: readonly [number, number];
  readonly retry: RetryPolicy;
}

/** See {@link ReflectorSettings}. */
export const DEFAULT_REFLECTOR_SETTINGS: ReflectorSettings = {
  list: "stream",
  pageSize: 500,
  maxPageBytes: 128 * 1024 * 1024,
  maxEventBytes: 8 * 1024 * 1024,
  firstByteTimeoutMs: 30_000,
  listIdleTimeoutMs: 30_000,
  stallTimeoutMs: 90_000,
  checkIntervalMs: 60_000,
  liveGraceMs: 5_000,
  watchSeconds: [300, 600],
  retry: DEFAULT_RETRY_POLICY,
};
