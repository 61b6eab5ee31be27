import type { Milliseconds } from "../system/clock.ts";
import type { ListWay } from "./list-way.ts";
import { FIXED_RETRY, type RetryPolicy } from "./list-watch-state.ts";

/** How a reflector works: made by {@link reflectorSettings}. */
export interface ReflectorSettings {
  /** How lists are read: `watch.list`. `stream` falls back to `paged` where the server can't. */
  readonly list: ListWay;
  /** Objects per page of a list, at least 1: `watch.pageSize`. Smaller pages need less memory. */
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
   * Longest silence of a watch before it counts as stalled: `watch.stallTimeoutMs`. Servers send a bookmark about once a
   * minute; a shorter limit would take quiet for death.
   */
  readonly stallTimeoutMs: Milliseconds;
  /**
   * While a watch is open the server is asked for its present version this often, and once after each reconnect:
   * `watch.checkIntervalMs`. It is how a cluster that was restored from a backup is noticed.
   */
  readonly checkIntervalMs: Milliseconds;
  /** How long the sink is left live while no watch is open. Default 5 s. */
  readonly liveGraceMs: Milliseconds;
  /** The server is asked to end a watch after a random time in this range, in seconds. Default [300, 600). */
  readonly watchSeconds: readonly [number, number];
  readonly retry: RetryPolicy;
}

/** What the configuration says: its section `watch`, where the defaults stand. */
export interface WatchSettings extends Pick<
  ReflectorSettings,
  "list" | "pageSize" | "stallTimeoutMs" | "checkIntervalMs"
> {
  /** Longest wait after the first failure. */
  readonly backoffMinMs: Milliseconds;
  /** Longest wait of all between tries. */
  readonly backoffMaxMs: Milliseconds;
}

/** What of {@link ReflectorSettings} is no setting. */
const FIXED_SETTINGS: Omit<ReflectorSettings, keyof WatchSettings | "retry"> = {
  maxPageBytes: 128 * 1024 * 1024,
  maxEventBytes: 8 * 1024 * 1024,
  firstByteTimeoutMs: 30_000,
  listIdleTimeoutMs: 30_000,
  liveGraceMs: 5_000,
  watchSeconds: [300, 600],
};

/** How a reflector works by what the configuration says. */
export function reflectorSettings(settings: WatchSettings): ReflectorSettings {
  const { list, pageSize, stallTimeoutMs, checkIntervalMs, backoffMinMs, backoffMaxMs } = settings;
  const backoff = { baseMs: backoffMinMs, maxMs: backoffMaxMs };
  return {
    ...FIXED_SETTINGS,
    list,
    pageSize,
    stallTimeoutMs,
    checkIntervalMs,
    retry: { ...FIXED_RETRY, backoff },
  };
}
