import type { Milliseconds } from "../system/clock.ts";
import { type Backoff, nextDelayMs } from "./backoff.ts";
import type { FaultKind } from "./fault.ts";

/**
 * Why a list is read. `initial`: nothing is known yet. `expired`: the server no longer holds the events after the
 * watermark (410). `watch_failed`: the watch failed several times without progress. `behind`: the server speaks
 * of versions below the watermark. A closed list: these are metric labels.
 */
export const LIST_REASONS = ["initial", "expired", "watch_failed", "behind"] as const;

/** One of {@link LIST_REASONS}. */
export type ListReason = (typeof LIST_REASONS)[number];

/** What earlier tries left behind. */
export interface Tries {
  /** Failures since a watch was last healthy: the exponent of the backoff. Those of {@link STEADY} are not counted. */
  readonly failures: number;
  /** Watch failures without progress that a new list might cure. */
  readonly watchFaults: number;
  /** Watches in a row that were refused with 410, or were behind, with none between that delivered something or was open for a while. */
  readonly watchesLost: number;
  /** Consecutive lists below the watermark. */
  readonly behind: number;
  /** The last answer was 401: the next request re-reads the credentials first. */
  readonly unauthorized: boolean;
}

/**
 * What the reflector does: `idle` and `stopped` nothing; `listing` reads all pages; `watching` delivers events and
 * advances the watermark; `backing_off` waits `delayMs`, then does `next`. Which event leads where, and when at once, stands
 * in docs/architecture.md#reflector, in a table that a test compares with {@link transition}.
 */
export type ReflectorState =
  | { readonly kind: "idle" }
  | { readonly kind: "listing"; readonly reason: ListReason; readonly tries: Tries }
  | { readonly kind: "watching"; readonly tries: Tries }
  | {
      readonly kind: "backing_off";
      readonly next: ReflectorState & { readonly kind: "listing" | "watching" };
      readonly fault: FaultKind;
      readonly delayMs: Milliseconds;
    }
  | { readonly kind: "stopped" };

/** What happened to a reflector. */
export type ReflectorEvent =
  | { readonly kind: "start" }
  /** The list was read and the sink took it. */
  | { readonly kind: "listed" }
  /** The list was not read whole, or the sink did not take it. */
  | { readonly kind: "failed"; readonly fault: FaultKind; readonly retryAfterMs?: Milliseconds | undefined }
  /** The watch ended, in whatever way: how long it was open, and whether it advanced the watermark. */
  | {
      readonly kind: "watch_ended";
      readonly fault: FaultKind;
      readonly retryAfterMs?: Milliseconds | undefined;
      readonly lastedMs: Milliseconds;
      readonly progressed: boolean;
    }
  | { readonly kind: "waited" }
  | { readonly kind: "stop" };

/** The numbers that decide. */
export interface RetryPolicy {
  readonly backoff: Backoff;
  /**
   * Longest wait after a fault of {@link STEADY}; the shortest is half of it. Default 1 s; `backoff.maxMs` bounds it too.
   */
  readonly steadyMs: Milliseconds;
  /** A watch that ends sooner counts as failed even when it ends in good order. Default 1 s, as client-go. */
  readonly shortWatchMs: Milliseconds;
  /** A watch that lasted this long was healthy: the backoff starts over. Default 10 s. */
  readonly healthyAfterMs: Milliseconds;
  /** Watch failures without progress before a new list is read. Default 5. */
  readonly watchFaultsBeforeRelist: number;
  /** Lists below the watermark that are tried again before starting over from one. Default 3. */
  readonly behindRetries: number;
}

/** What of a {@link RetryPolicy} is no setting. */
export const FIXED_RETRY: Omit<RetryPolicy, "backoff"> = {
  steadyMs: 1_000,
  shortWatchMs: 1_000,
  healthyAfterMs: 10_000,
  watchFaultsBeforeRelist: 5,
  behindRetries: 3,
};

const FRESH: Tries = { failures: 0, watchFaults: 0, watchesLost: 0, behind: 0, unauthorized: false };

/** Where every reflector begins. */
export const IDLE: ReflectorState = { kind: "idle" };

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
  if (event.kind === "stop") return { kind: "stopped" };
  switch (state.kind) {
    case "idle":
      return event.kind === "start" ? { kind: "listing", reason: "initial", tries: FRESH } : state;
    case "listing":
      if (event.kind === "listed") {
        // After a relist they still count: a server that answers every watch with 410 must not be listed in a tight loop.
        const { failures, watchesLost } = state.reason === "initial" ? FRESH : state.tries;
        return { kind: "watching", tries: { ...FRESH, failures, watchesLost } };
      }
      return event.kind === "failed" ? afterListFailure(state, event, policy, random) : state;
    case "watching":
      return event.kind === "watch_ended" ? afterWatch(state.tries, event, policy, random) : state;
    case "backing_off":
      return event.kind === "waited" ? state.next : state;
    case "stopped":
      break;
  }
  return state;
}

/** True when a list that is below the watermark again must be believed: the cluster was restored. */
export function mustStartOver(tries: Tries, policy: RetryPolicy): boolean {
  return tries.behind >= policy.behindRetries;
}

type Busy = ReflectorState & { readonly kind: "listing" | "watching" };
type WatchEnded = ReflectorEvent & { readonly kind: "watch_ended" };
type Failed = ReflectorEvent & { readonly kind: "failed" };

function afterListFailure(
  state: ReflectorState & { readonly kind: "listing" },
  event: Failed,
  policy: RetryPolicy,
  random: number,
): ReflectorState {
  const { fault } = event;
  // A few lists that are behind decide (RetryPolicy.behindRetries), so they need not be far apart.
  const steady = STEADY.has(fault) || fault === "behind";
  const tries: Tries = {
    ...state.tries,
    failures: state.tries.failures + (steady ? 0 : 1),
    watchFaults: 0,
    behind: state.tries.behind + (fault === "behind" ? 1 : 0),
    unauthorized: fault === "unauthorized",
  };
  const next: Busy = { kind: "listing", reason: state.reason, tries };
  if (fault === "unauthorized" && !state.tries.unauthorized) return next;
  return backOff(next, steady ? "steady" : state.tries.failures, event, policy, random);
}

function afterWatch(before: Tries, event: WatchEnded, policy: RetryPolicy, random: number): ReflectorState {
  const { fault, lastedMs, progressed } = event;
  const short = lastedMs < policy.shortWatchMs;
  const healthy = lastedMs >= policy.healthyAfterMs || (progressed && !short);
  const lost = fault === "expired" || fault === "behind";
  const failuresBefore = healthy ? 0 : before.failures;
  const lostBefore = healthy ? 0 : before.watchesLost;
  const faultsBefore = progressed ? 0 : before.watchFaults;
  const tries: Tries = {
    failures: failuresBefore + (STEADY.has(fault) || lost ? 0 : 1),
    watchFaults: faultsBefore + (MIGHT_NEED_LIST.has(fault) ? 1 : 0),
    // One that delivered something, or was open for a while, shows that the list helped; what ended it is another matter.
    watchesLost: lost ? lostBefore + 1 : short && !progressed ? lostBefore : 0,
    behind: 0,
    unauthorized: fault === "unauthorized",
  };
  const watch: Busy = { kind: "watching", tries };

  // Neither can happen often, unless the watch was short.
  if ((fault === "closed" || fault === "stalled") && !short) {
    return { kind: "watching", tries: { ...tries, failures: failuresBefore } };
  }
  if (fault === "expired" || fault === "behind") {
    const list: Busy = { kind: "listing", reason: fault, tries };
    // A server that says so is there and answers, whatever failed before: every API server's watch cache begins at its start.
    return lostBefore === 0 ? list : backOff(list, lostBefore, event, policy, random);
  }
  if (fault === "unauthorized" && !before.unauthorized) return watch;
  const next: Busy =
    tries.watchFaults >= policy.watchFaultsBeforeRelist
      ? { kind: "listing", reason: "watch_failed", tries }
      : watch;
  return backOff(next, STEADY.has(fault) ? "steady" : failuresBefore, event, policy, random);
}

/**
 * Faults of a server that is away, or that says it can't serve yet. The wait does not double: asking again costs such a
 * server next to nothing, and a long wait would go on after the server is well. Nor do they lengthen later waits.
 */
export const STEADY: ReadonlySet<FaultKind> = new Set<FaultKind>(["unreachable", "unavailable", "throttled"]);

/**
 * Failures that the server gave *to this watch*, so that a new list might cure them. An overloaded, absent or
 * refusing server is not helped by a list (client-go: no relist storm).
 */
const MIGHT_NEED_LIST: ReadonlySet<FaultKind> = new Set<FaultKind>([
  "server_error",
  "not_found",
  "bad_request",
  "reset",
  "protocol",
  "oversized",
  "internal",
]);

function backOff(
  next: Busy,
  attempt: number | "steady",
  event: Failed | WatchEnded,
  policy: RetryPolicy,
  random: number,
): ReflectorState {
  const { backoff, steadyMs } = policy;
  const ownDelayMs =
    attempt === "steady"
      ? nextDelayMs(0, random, { baseMs: steadyMs, maxMs: backoff.maxMs })
      : nextDelayMs(attempt, random, backoff);
  // Spread what the server asked for as well, or all routers come back in the same moment.
  const delayMs =
    event.retryAfterMs === undefined
      ? ownDelayMs
      : Math.max(ownDelayMs, event.retryAfterMs + random * backoff.baseMs);
  return { kind: "backing_off", next, fault: event.fault, delayMs };
}
