import type { IncarnationListener, RouteInEffect } from "../../routes/lookup.ts";
import type { ObjectKey } from "../../routes/route.ts";
import type { Sleeper } from "../../routes/sleeper.ts";
import type { Clock, Milliseconds, TimerHandle } from "../../system/clock.ts";
import { firstValue } from "../http1/request-head.ts";
import type { RequestHead } from "../http1/request-head.ts";
import type { RefusalReason } from "../reply/reasons.ts";

/** Who wakes sandboxes. */
export interface Wakes {
  /**
   * Wakes the sandbox whose object has this UID, once however often it is asked. When that fails, {@link WakingRequests.wakeFailed} is
   * called, never before this returns; when it succeeds, the routes tell.
   */
  wake(key: ObjectKey, uid: string): void;
}

/** How it ended that a request waited for its sandbox. A closed list: these words are metric labels. */
export const WAKE_RELEASES = ["woken", "failed", "unavailable", "timeout", "page", "left", "gone"] as const;

/** One of {@link WAKE_RELEASES}. */
export type WakeRelease = (typeof WAKE_RELEASES)[number];

/** Limits of {@link WakingRequests}. */
export interface WakingLimits {
  /** Requests that wait at a time (`wake.maxHeld`); more are refused. */
  readonly maxHeld: number;
  /** The same for one sandbox (`wake.maxHeldPerSandbox`). */
  readonly maxHeldPerSandbox: number;
  /** The same for one client address; 0: no limit (`wake.maxHeldPerAddress`). */
  readonly maxHeldPerAddress: number;
  /** Longest wait of one request (`wake.timeoutMs`). */
  readonly timeoutMs: Milliseconds;
  /** When a browser that opens a page gets one that asks again, in place of the wait; 0: it waits as others do (`wake.pageAfterMs`). */
  readonly pageAfterMs: Milliseconds;
}

/** Options of {@link WakingRequests}. */
export interface WakingRequestsOptions extends WakingLimits {
  readonly wakes: Wakes;
  readonly clock: Clock;
  readonly observer: { released(how: WakeRelease): void };
}

/** A request that would wait. */
export interface WakingRequest {
  readonly clientAddress: string;
  /** A browser opens a page by it. */
  readonly opensPage: boolean;
  /** It may be judged again; or it is to be refused for `reason`. Called once, not before `hold` returns, unless it was cancelled. */
  resume(reason: RefusalReason | undefined): void;
}

/** Whether a browser opens a page by the request (`Sec-Fetch-Mode`, Fetch Metadata Request Headers, W3C). */
export function opensPage({ method, rawHeaders }: RequestHead): boolean {
  return method === "GET" && firstValue(rawHeaders, "sec-fetch-mode") === "navigate";
}

/** What becomes of a request for a sandbox that sleeps. */
export type WakeHold =
  | { readonly kind: "held"; readonly cancel: () => void }
  /** Too many wait. */
  | { readonly kind: "full" }
  /** It does not wait: nobody wakes that sandbox. */
  | { readonly kind: "free" };

interface Waiting {
  readonly request: WakingRequest;
  timer: TimerHandle | undefined;
}

interface Group {
  readonly uid: string;
  readonly waiting: Set<Waiting>;
}

const FREE: WakeHold = { kind: "free" };
const FULL: WakeHold = { kind: "full" };

/**
 * The requests that wait until their sandboxes run (docs/wake.md). Of a request nothing is kept here but how to go on with it. Listens
 * to the routes.
 */
export class WakingRequests implements IncarnationListener {
  readonly #options: WakingRequestsOptions;
  readonly #groups = new Map<ObjectKey, Group>();
  readonly #byAddress = new Map<string, number>();
  #size = 0;

  constructor(options: WakingRequestsOptions) {
    this.#options = options;
  }

  /** Requests that wait at this moment. */
  get size(): number {
    return this.#size;
  }

  /** Has the sandbox woken, and keeps the request until that has come to an end. */
  hold(sleeper: Sleeper, request: WakingRequest): WakeHold {
    const { maxHeld, maxHeldPerSandbox, maxHeldPerAddress, timeoutMs, pageAfterMs, clock, wakes } =
      this.#options;
    const { key, uid, joinsOnly } = sleeper;
    let group = this.#groups.get(key);
    if (group !== undefined && group.uid !== uid) {
      this.#releaseAll(key, group, "gone", undefined);
      group = undefined;
    }
    if (joinsOnly && group === undefined) return FREE;
    const { clientAddress, opensPage } = request;
    const ofAddress = this.#byAddress.get(clientAddress) ?? 0;
    const isFull =
      this.#size >= maxHeld ||
      (group?.waiting.size ?? 0) >= maxHeldPerSandbox ||
      (maxHeldPerAddress > 0 && ofAddress >= maxHeldPerAddress);
    if (isFull) return FULL;
    const waiting: Waiting = { request, timer: undefined };
    const showsPage = opensPage && pageAfterMs > 0 && pageAfterMs < timeoutMs;
    waiting.timer = clock.setTimeout(
      () => {
        if (!this.#remove(key, waiting)) return;
        this.#release(waiting, showsPage ? "page" : "timeout", showsPage ? "sandbox_waking" : "wake_failed");
      },
      showsPage ? pageAfterMs : timeoutMs,
    );
    this.#size += 1;
    this.#byAddress.set(clientAddress, ofAddress + 1);
    if (group === undefined) {
      this.#groups.set(key, { uid, waiting: new Set([waiting]) });
      wakes.wake(key, uid);
    } else {
      group.waiting.add(waiting);
    }
    return {
      kind: "held",
      cancel: () => {
        if (!this.#remove(key, waiting)) return;
        waiting.timer?.clear();
        this.#options.observer.released("left");
      },
    };
  }

  /** The sandbox was not woken. `unavailable`: the API server does not answer. */
  wakeFailed(key: ObjectKey, uid: string, failure: "failed" | "unavailable"): void {
    const group = this.#groups.get(key);
    if (group?.uid !== uid) return;
    this.#releaseAll(key, group, failure, failure === "failed" ? "wake_failed" : "wake_unavailable");
  }

  incarnationEnded(): void {}

  /** Not from within the mutation that tells of it: what goes on asks the table, and opens connections. */
  routeChanged(key: ObjectKey, route: RouteInEffect | undefined): void {
    const group = this.#groups.get(key);
    if (group === undefined) return;
    const isGone = route === undefined || route.route.uid !== group.uid;
    if (!isGone && route.incarnation === undefined) return;
    queueMicrotask(() => {
      if (this.#groups.get(key) === group) this.#releaseAll(key, group, isGone ? "gone" : "woken", undefined);
    });
  }

  #releaseAll(key: ObjectKey, group: Group, how: WakeRelease, reason: RefusalReason | undefined): void {
    // Not those who begin to wait while the others are let go.
    const all = Array.from(group.waiting);
    for (const waiting of all) {
      // What was released before it may have made it leave.
      if (!this.#remove(key, waiting)) continue;
      waiting.timer?.clear();
      this.#release(waiting, how, reason);
    }
  }

  #release({ request }: Waiting, how: WakeRelease, reason: RefusalReason | undefined): void {
    this.#options.observer.released(how);
    request.resume(reason);
  }

  #remove(key: ObjectKey, waiting: Waiting): boolean {
    const group = this.#groups.get(key);
    if (!group?.waiting.delete(waiting)) return false;
    if (group.waiting.size === 0) this.#groups.delete(key);
    this.#size -= 1;
    const { clientAddress } = waiting.request;
    const left = (this.#byAddress.get(clientAddress) ?? 1) - 1;
    if (left === 0) this.#byAddress.delete(clientAddress);
    else this.#byAddress.set(clientAddress, left);
    return true;
  }
}
