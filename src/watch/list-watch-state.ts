import type { Milliseconds } from "../system/clock.ts";
import { type Backoff, DEFAULT_BACKOFF, nextDelayMs } from "./backoff.ts";
import type { FaultKind } from "./fault.ts";

/**
 * Why a list is read. `initial`: nothing is known yet. `expired`: the server no longer holds the events after the
 * watermark (410). `watch-failed`: the watch failed several times without progress. `behind`: the server speaks
 * of versions below the watermark. A closed list: these are metric labels.
 */
export const LIST_REASONS = ["initial", "expired", "watch-failed", "behind"] as const;

/** One of {@link LIST_REASONS}. */
export type ListReason = (typeof LIST_REASONS)[number];

/** What earlier tries left behind. */
export interface Tries {
  /** Failures since a watch was last healthy: the exponent of the backoff. */
  readonly failures: number;
  /** Watch failures without progress that a new list might cure. */
  readonly watchFaults: number;
  /** Consecutive lists below the watermark. */
  readonly behind: number;
  /** The last answer was 401: the next request re-reads the credentials first. */
  readonly unauthorized: boolean;
}

/**
 * | state | what the reflector does | left on |
 * |---|---|---|
 * | `idle` | nothing | `start` |
 * | `listing` | reads all pages | `listed` → watching; `failed` → backing-off, or listing at once after the first 401 |
 * | `watching` | delivers events, advances the watermark | `failed` → watching, listing or backing-off, by the fault |
 * | `backing-off` | waits `delayMs`, then does `next` | `waited` |
 * | `stopped` | nothing, for ever | – |
 */
export type ReflectorState =
  | { readonly t: "idle" }
  | { readonly t: "listing"; readonly reason: ListReason; readonly tries: Tries }
  | { readonly t: "watching"; readonly tries: Tries }
  | {
      readonly t: "backing-off";
      readonly next: ReflectorState & { readonly t: "listing" | "watching" };
      readonly fault: FaultKind;
      readonly delayMs: Milliseconds;
    }
  | { readonly t: "stopped" };

/** What happened to a reflector. */
export type ReflectorEvent =
  | { readonly t: "start" }
  /** The list was read and the sink took it. */
  | { readonly t: "listed" }
  /** The list or the watch ended, in whatever way. */
  | { readonly t: "failed"; readonly fault: FaultKind; readonly retryAfterMs?: Milliseconds | undefined }
  /** The same for a watch: how long it was open, and whether it advanced the watermark. */
  | {
      readonly t: "watch-ended";
      readonly fault: FaultKind;
      readonly retryAfterMs?: Milliseconds | undefined;
      readonly lastedMs: Milliseconds;
      readonly progressed: boolean;
    }
  | { readonly t: "waited" }
  | { readonly t: "stop" };

/** The numbers that decide. */
export interface RetryPolicy {
  readonly backoff: Backoff;
  /** A watch that ends sooner counts as failed even when it ends in good order. Default 1 s, as client-go. */
  readonly shortWatchMs: Milliseconds;
  /** A watch that lasted this long was healthy: the backoff starts over. Default 10 s. */
  readonly healthyAfterMs: Milliseconds;
  /** Watch failures without progress before a new list is read. Default 5. */
  readonly watchFaultsBeforeRelist: number;
  /** Lists below the watermark that are tried again before starting over from one. Default 3. */
  readonly behindRetries: number;
}

/** See {@link RetryPolicy}. */
export const DEFAULT_RETRY_POLICY: RetryPolicy = {
  backoff: DEFAULT_BACKOFF,
  shortWatchMs: 1_000,
  healthyAfterMs: 10_000,
  watchFaultsBeforeRelist: 5,
  behindRetries: 3,
};

const FRESH: Tries = { failures: 0, watchFaults: 0, behind: 0, unauthorized: false };

/** Where every reflector begins. */
export const IDLE: ReflectorState = { t: "idle" };

/**
 * The next state. Pure; `random` is in [0, 1) and only spreads delays. An event that a state does not know
 * changes nothing, and nothing leaves `stopped`.
 */
export function transition(
  state: ReflectorState,
  event: ReflectorEvent,
  policy: RetryPolicy,
  random: number,
): ReflectorState {
  if (event.t === "stop") return { t: "stopped" };
  switch (state.t) {
    case "idle":
      return event.t === "start" ? { t: "listing", reason: "initial", tries: FRESH } : state;
    case "listing":
      if (event.t === "listed") {
        // After a relist the failures still count: a server that answers every watch with 410 must not be
        // listed in a tight loop.
        const failures = state.reason === "initial" ? 0 : state.tries.failures;
        return { t: "watching", tries: { ...FRESH, failures } };
      }
      return event.t === "failed" ? afterListFailure(state, event, policy, random) : state;
    case "watching":
      return event.t === "watch-ended" ? afterWatch(state.tries, event, policy, random) : state;
    case "backing-off":
      return event.t === "waited" ? state.next : state;
    case "stopped":
      break;
  }
  return state;
}

/** True when a list that is below the watermark again must be believed: the cluster was restored. */
export function mustStartOver(tries: Tries, policy: RetryPolicy): boolean {
  return tries.behind >= policy.behindRetries;
}

type Busy = ReflectorState & { readonly t: "listing" | "watching" };
type WatchEnded = ReflectorEvent & { readonly t: "watch-ended" };
type Failed = ReflectorEvent & { readonly t: "failed" };

function afterListFailure(
  state: ReflectorState & { readonly t: "listing" },
  event: Failed,
  policy: RetryPolicy,
  random: number,
): ReflectorState {
  const tries: Tries = {
    failures: state.tries.failures + 1,
    watchFaults: 0,
    behind: state.tries.behind + (event.fault === "behind" ? 1 : 0),
    unauthorized: event.fault === "unauthorized",
  };
  const next: Busy = { t: "listing", reason: state.reason, tries };
  if (event.fault === "unauthorized" && !state.tries.unauthorized) return next;
  return backOff(next, state.tries.failures, event, policy, random);
}

function afterWatch(before: Tries, event: WatchEnded, policy: RetryPolicy, random: number): ReflectorState {
  const { fault, lastedMs, progressed } = event;
  const short = lastedMs < policy.shortWatchMs;
  const healthy = lastedMs >= policy.healthyAfterMs || (progressed && !short);
  const failuresBefore = healthy ? 0 : before.failures;
  const faultsBefore = progressed ? 0 : before.watchFaults;
  const tries: Tries = {
    failures: failuresBefore + 1,
    watchFaults: faultsBefore + (MIGHT_NEED_LIST.has(fault) ? 1 : 0),
    behind: 0,
    unauthorized: fault === "unauthorized",
  };
  const watch: Busy = { t: "watching", tries };

  // Neither can happen often, unless the watch was short.
  if ((fault === "closed" || fault === "stalled") && !short) {
    return { t: "watching", tries: { ...tries, failures: failuresBefore } };
  }
  if (fault === "expired" || fault === "behind") {
    const list: Busy = { t: "listing", reason: fault, tries };
    return failuresBefore === 0 ? list : backOff(list, failuresBefore, event, policy, random);
  }
  if (fault === "unauthorized" && !before.unauthorized) return watch;
  const next: Busy =
    tries.watchFaults >= policy.watchFaultsBeforeRelist
      ? { t: "listing", reason: "watch-failed", tries }
      : watch;
  return backOff(next, failuresBefore, event, policy, random);
}

/**
 * Failures that the server gave *to this watch*, so that a new list might cure them. An overloaded, absent or
 * refusing server is not helped by a list (client-go: no relist storm).
 */
const MIGHT_NEED_LIST: ReadonlySet<FaultKind> = new Set<FaultKind>([
  "server-error",
  "not-found",
  "bad-request",
  "reset",
  "protocol",
  "oversized",
  "internal",
]);

function backOff(
  next: Busy,
  attempt: number,
  event: Failed | WatchEnded,
  policy: RetryPolicy,
  random: number,
): ReflectorState {
  const ownDelayMs = nextDelayMs(attempt, random, policy.backoff);
  // Spread what the server asked for as well, or all routers come back in the same moment.
  const delayMs =
    event.retryAfterMs === undefined
      ? ownDelayMs
      : Math.max(ownDelayMs, event.retryAfterMs + random * policy.backoff.baseMs);
  return { t: "backing-off", next, fault: event.fault, delayMs };
}
