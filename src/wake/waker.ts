import type { RouteInEffect } from "../routes/lookup.ts";
import { compareResourceVersions, type ResourceVersion } from "../routes/resource-version.ts";
import { type ObjectKey, namespaceAndName } from "../routes/route.ts";
import type { Clock, Milliseconds, TimerHandle } from "../system/clock.ts";
import { messageOf } from "../system/error-text.ts";
import type { Log } from "../system/log.ts";
import { PacedLog } from "../system/paced-log.ts";

/** Why a sandbox was not woken. `unavailable`: the API server does not answer, so that nobody can say. */
export type WakeFailure = "failed" | "unavailable";

/** What an attempt at an object came to; versions are the object's. Rejects with an error that has a `code` of `ApiFault`. */
export interface WakeApi {
  wake(
    namespace: string,
    name: string,
    uid: string,
  ): Promise<
    | { readonly kind: "patched" | "awake"; readonly version: ResourceVersion }
    | { readonly kind: "not_allowed" | "replaced" }
  >;
}

/** What asking the API server came to. A closed list: these words are metric labels. */
export const WAKE_ATTEMPTS = [
  "patched",
  "awake",
  "not_allowed",
  "replaced",
  "forbidden",
  "failed",
  "unavailable",
] as const;

/** One of {@link WAKE_ATTEMPTS}. */
export type WakeAttempt = (typeof WAKE_ATTEMPTS)[number];

/** How waking a sandbox ended. A closed list: these words are metric labels. */
export const WAKE_ENDS = ["woken", "failed", "timeout", "unavailable", "replaced", "paused_again"] as const;

/** One of {@link WAKE_ENDS}. */
export type WakeEnd = (typeof WAKE_ENDS)[number];

/** Told of each attempt, and of each end with the time since the request that began it. */
export interface WakeObserver {
  attempted(result: WakeAttempt): void;
  ended(how: WakeEnd, tookMs: Milliseconds): void;
}

/** Options of {@link Waker}. */
export interface WakerOptions {
  readonly api: WakeApi;
  /** How long a sandbox may take from the first request until it runs (`wake.timeoutMs`). */
  readonly timeoutMs: Milliseconds;
  /** Attempts under way at a time; others wait for their turn (`wake.maxAttempts`). */
  readonly maxAttempts: number;
  /** Told when a sandbox that somebody asked for was not woken. Must not throw. */
  readonly failed: (key: ObjectKey, uid: string, failure: WakeFailure) => void;
  readonly observer: WakeObserver;
  readonly clock: Clock;
  /** In [0, 1), as `Math.random`. */
  readonly random?: () => number;
  readonly log: Log;
}

/** Where the waking of one sandbox stands (docs/wake.md#stages). */
type Stage =
  /** It waits for its turn, or the API server is asked. */
  | { readonly kind: "asking" }
  /** Its object tells it to run since `version`: until it does, or until `deadline`. */
  | { readonly kind: "waiting"; readonly version: ResourceVersion }
  /** It is not tried again before `untilMs` of the monotonic clock. */
  | { readonly kind: "failed"; readonly failure: WakeFailure; readonly untilMs: Milliseconds };

interface Waking {
  readonly key: ObjectKey;
  readonly uid: string;
  stage: Stage;
  sinceMs: Milliseconds;
  /** Failures in a row. */
  failures: number;
  timer: TimerHandle | undefined;
}

/** Waits after a failure: of the sandbox's own, and where the API server is away and may be back soon. */
const BACKOFF = {
  failed: { baseMs: 5_000, maxMs: 300_000 },
  unavailable: { baseMs: 1_000, maxMs: 10_000 },
} as const;
const LOG_EVERY_MS: Milliseconds = 60_000;

/** The API server was not reached, or could not answer: codes of `ApiFault`. */
const AWAY: ReadonlySet<string> = new Set([
  "unreachable",
  "unavailable",
  "throttled",
  "stalled",
  "reset",
  "credentials",
  "unauthorized",
  "closed",
]);

/**
 * Wakes sandboxes, each once however many ask: it asks the API server, waits until the table says that the sandbox runs, and
 * after a failure leaves it alone for a time that grows. It listens to the table and never writes to it, so that nothing which it
 * does brings a dead route back.
 */
export class Waker {
  readonly #options: WakerOptions;
  readonly #random: () => number;
  readonly #log: PacedLog;
  readonly #wakings = new Map<ObjectKey, Waking>();
  readonly #queue: Waking[] = [];
  #attempts = 0;
  #stopped = false;

  constructor(options: WakerOptions) {
    this.#options = options;
    this.#random = options.random ?? Math.random;
    this.#log = new PacedLog(options.log, options.clock, LOG_EVERY_MS);
  }

  /** Sandboxes that are being woken at this moment. */
  get size(): number {
    let size = 0;
    for (const { stage } of this.#wakings.values()) if (stage.kind !== "failed") size += 1;
    return size;
  }

  /**
   * Wakes the sandbox whose object has this UID. When that fails, `failed` is told, never before this returns; when it succeeds,
   * the table tells.
   */
  wake(key: ObjectKey, uid: string): void {
    const known = this.#wakings.get(key);
    if (known !== undefined && known.uid === uid) {
      const { stage } = known;
      if (stage.kind !== "failed") return;
      if (stage.untilMs > this.#options.clock.monotonicMs()) {
        this.#tell(key, uid, stage.failure);
        return;
      }
    } else if (known !== undefined) {
      // Another object has the name now.
      this.#end(known, "replaced");
    }
    if (this.#stopped) this.#tell(key, uid, "unavailable");
    else this.#begin(key, uid, known?.uid === uid ? known.failures : 0);
  }

  /** See `TableListener.routeChanged`. */
  routeChanged(key: ObjectKey, route: RouteInEffect | undefined): void {
    const waking = this.#wakings.get(key);
    if (waking === undefined) return;
    if (route === undefined || route.route.uid !== waking.uid) this.#end(waking, "replaced");
    else if (route.incarnation !== undefined) this.#end(waking, "woken");
    else if (
      waking.stage.kind === "waiting" &&
      route.route.wake === "asleep" &&
      compareResourceVersions(route.route.resourceVersion, waking.stage.version) > 0
    )
      this.#end(waking, "paused_again");
  }

  /** Nothing is woken any more; what waits fails as `unavailable`. */
  stop(): void {
    this.#stopped = true;
    this.#queue.length = 0;
    for (const waking of this.#wakings.values()) {
      waking.timer?.clear();
      if (waking.stage.kind !== "failed") this.#tell(waking.key, waking.uid, "unavailable");
    }
    this.#wakings.clear();
  }

  #begin(key: ObjectKey, uid: string, failures: number): void {
    const { clock, timeoutMs } = this.#options;
    this.#wakings.get(key)?.timer?.clear();
    const waking: Waking = {
      key,
      uid,
      stage: { kind: "asking" },
      sinceMs: clock.monotonicMs(),
      failures,
      timer: undefined,
    };
    waking.timer = clock.setTimeout(() => this.#end(waking, "timeout"), timeoutMs);
    this.#wakings.set(key, waking);
    this.#queue.push(waking);
    this.#next();
  }

  #next(): void {
    while (this.#attempts < this.#options.maxAttempts) {
      const waking = this.#queue.shift();
      if (waking === undefined) return;
      if (this.#isCurrent(waking, "asking")) void this.#ask(waking);
    }
  }

  async #ask(waking: Waking): Promise<void> {
    const { api, observer, log } = this.#options;
    const sandbox = waking.key;
    const [namespace, name] = namespaceAndName(sandbox);
    this.#attempts += 1;
    try {
      const result = await api.wake(namespace, name, waking.uid);
      observer.attempted(result.kind);
      if (!this.#isCurrent(waking, "asking")) return;
      if (result.kind === "patched") log.info("woke a sandbox for a request", { sandbox });
      if (result.kind === "patched" || result.kind === "awake")
        waking.stage = { kind: "waiting", version: result.version };
      else this.#end(waking, result.kind === "replaced" ? "replaced" : "failed");
    } catch (error) {
      const code = error instanceof Error && "code" in error ? String(error.code) : "";
      const attempt = code === "forbidden" ? "forbidden" : AWAY.has(code) ? "unavailable" : "failed";
      observer.attempted(attempt);
      const fix = attempt === "forbidden" && {
        fix: "the ServiceAccount needs `patch` on the Sandboxes: see deploy/components/wake",
      };
      this.#log.tell(
        "warn",
        "a sandbox could not be woken",
        () => ({ sandbox, error: messageOf(error), ...fix }),
        attempt,
      );
      if (this.#isCurrent(waking, "asking"))
        this.#end(waking, attempt === "unavailable" ? "unavailable" : "failed");
    } finally {
      this.#attempts -= 1;
      this.#next();
    }
  }

  #isCurrent(waking: Waking, kind: Stage["kind"]): boolean {
    return this.#wakings.get(waking.key) === waking && waking.stage.kind === kind;
  }

  #end(waking: Waking, how: WakeEnd): void {
    const { clock, observer } = this.#options;
    waking.timer?.clear();
    if (waking.stage.kind === "failed") {
      // It has run since, or has gone: the next time is a first time.
      this.#wakings.delete(waking.key);
      return;
    }
    observer.ended(how, clock.monotonicMs() - waking.sinceMs);
    if (how === "woken") {
      this.#wakings.delete(waking.key);
      return;
    }
    const failure = how === "unavailable" ? "unavailable" : "failed";
    if (how === "replaced" || how === "paused_again") {
      this.#wakings.delete(waking.key);
    } else {
      this.#leaveAlone(waking, failure);
    }
    this.#tell(waking.key, waking.uid, failure);
  }

  /** Not to be tried again for a while; forgotten when that is long over. */
  #leaveAlone(waking: Waking, failure: WakeFailure): void {
    const { clock } = this.#options;
    const { baseMs, maxMs } = BACKOFF[failure];
    const ceilingMs = Math.min(maxMs, baseMs * 2 ** waking.failures);
    const waitMs = ceilingMs * (0.5 + this.#random() / 2);
    waking.failures += 1;
    waking.stage = { kind: "failed", failure, untilMs: clock.monotonicMs() + waitMs };
    waking.timer = clock.setTimeout(() => this.#wakings.delete(waking.key), waitMs + maxMs);
  }

  #tell(key: ObjectKey, uid: string, failure: WakeFailure): void {
    queueMicrotask(() => this.#options.failed(key, uid, failure));
  }
}
