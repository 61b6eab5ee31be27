import type { ChildProcess } from "node:child_process";
import type { Clock, Milliseconds } from "../system/clock.ts";
import type { ObjectKey } from "../routes/route.ts";
import type { FromWorker, StartMessage, ToWorker, WakeFailure, WorkerAddresses } from "./messages.ts";
import type { RouteFeed } from "./route-feed.ts";
import type { Subscription } from "./subscription.ts";
import type { WorkerEnd, WorkerObserver } from "./worker-observer.ts";

/** A worker that could not start. `code` is the system's, `EADDRINUSE` for example. */
export class WorkerStartError extends Error {
  readonly code: string | undefined;

  constructor(message: string, code: string | undefined) {
    super(message);
    this.name = "WorkerStartError";
    this.code = code;
  }
}

export interface WorkerProcessOptions {
  readonly worker: number;
  readonly child: ChildProcess;
  readonly feed: RouteFeed;
  readonly clock: Clock;
  readonly observer: WorkerObserver;
  /** Requests wait there for a sandbox that sleeps. */
  readonly wake: (key: ObjectKey, uid: string) => void;
  /** Called once. `how` is for the log. */
  readonly onGone: (end: WorkerEnd, how: string) => void;
}

/** Ticks (of a second) without a sign of life after which a worker is killed. Ticks, so that a pause of both counts as one. */
const STUCK_AFTER_TICKS = 30;
/** What counts as lagging. */
const LAGGING_ABOVE_MS: Milliseconds = 1_000;

/** The primary's view of one worker's process, from its birth to its end. */
export class WorkerProcess {
  readonly worker: number;
  readonly #child: ChildProcess;
  readonly #feed: RouteFeed;
  readonly #clock: Clock;
  readonly #observer: WorkerObserver;
  readonly #wake: WorkerProcessOptions["wake"];
  readonly #onGone: WorkerProcessOptions["onGone"];
  readonly #listening = Promise.withResolvers<WorkerAddresses>();
  readonly #gone = Promise.withResolvers<void>();
  readonly #metricRequests = new Map<number, (metrics: unknown) => void>();
  #lastMetricRequest = 0;
  #subscription: Subscription | undefined;
  #state: "new" | "starting" | "listening" | "gone" = "new";
  #killedAs: WorkerEnd | undefined;
  #silentTicks = 0;
  #acknowledgedAtTick = 0;
  #lagging = false;

  constructor({ worker, child, feed, clock, observer, wake, onGone }: WorkerProcessOptions) {
    this.worker = worker;
    this.#child = child;
    this.#feed = feed;
    this.#clock = clock;
    this.#observer = observer;
    this.#wake = wake;
    this.#onGone = onGone;
    // It is looked at only by who waits for the start.
    this.#listening.promise.catch(() => {});
    child.on("message", (message) => this.#onMessage(message as FromWorker));
    child.once("exit", (code, signal) => {
      if (signal) this.#onEnd("signalled", signal);
      else this.#onEnd("exited", `exit code ${code}`);
    });
    child.on("error", (error) => {
      // Other errors of a child (a signal that could not be sent) are no end.
      if (child.pid === undefined) this.#onEnd("failed", error.message);
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** It accepts connections. */
  get isListening(): boolean {
    return this.#state === "listening";
  }

  /** It accepts connections and knows all routes. */
  get ready(): boolean {
    return this.#state === "listening" && this.#subscription?.synced === true;
  }

  /** See {@link Subscription.lagMs}; 0 before the start. */
  get lagMs(): Milliseconds {
    return this.#subscription?.lagMs ?? 0;
  }

  /** Resolves when it listens; rejects with a {@link WorkerStartError} when it ended before. */
  get listening(): Promise<WorkerAddresses> {
    return this.#listening.promise;
  }

  /** Resolves when the process is gone. */
  get gone(): Promise<void> {
    return this.#gone.promise;
  }

  start(message: Omit<StartMessage, "kind" | "worker">): void {
    if (this.#state !== "new") return;
    this.#state = "starting";
    this.#send({ kind: "start", worker: this.worker, ...message });
    this.#subscription = this.#feed.subscribe((batch) => {
      this.#observer.batchSent?.();
      this.#send({ kind: "routes", batch });
    });
  }

  /** See {@link ToWorker}. One that was not started yet will be with what it is started with. */
  changeSettings(settings: unknown): void {
    if (this.#state === "starting" || this.#state === "listening") this.#send({ kind: "settings", settings });
  }

  /** See {@link ToWorker}. */
  wakeFailed(key: ObjectKey, uid: string, failure: WakeFailure): void {
    if (this.#state === "listening") this.#send({ kind: "wake_failed", key, uid, failure });
  }

  /** Asks for its metrics, or the named ones; `undefined` when it does not answer in time. */
  metrics(timeoutMs: Milliseconds, names?: readonly string[]): Promise<unknown> {
    const request = ++this.#lastMetricRequest;
    return new Promise((resolve) => {
      const answer = (metrics: unknown): void => {
        this.#metricRequests.delete(request);
        timer.clear();
        resolve(metrics);
      };
      const timer = this.#clock.setTimeout(() => answer(undefined), timeoutMs);
      this.#metricRequests.set(request, answer);
      this.#send({ kind: "metrics", request, names });
    });
  }

  /** To be called every second: sees whether it answers, and kills it when it has not for long. */
  tick(): void {
    const subscription = this.#subscription;
    if (!subscription || this.#state === "gone") return;
    const { acknowledgedSequence, underWay } = subscription;
    const silent = underWay > 0 && acknowledgedSequence === this.#acknowledgedAtTick;
    this.#silentTicks = silent ? this.#silentTicks + 1 : 0;
    this.#acknowledgedAtTick = acknowledgedSequence;
    const lagging = subscription.lagMs > LAGGING_ABOVE_MS;
    if (lagging && !this.#lagging && this.#state === "listening") this.#observer.lagging?.(this.worker);
    this.#lagging = lagging;
    if (this.#silentTicks >= STUCK_AFTER_TICKS) this.kill("stuck");
    else subscription.probe();
  }

  /** See {@link ToWorker}. One that was never started is killed. */
  drain(timeoutMs: Milliseconds): void {
    if (this.#state === "new") this.kill();
    else this.#send({ kind: "drain", timeoutMs });
  }

  /** Ends it at once. `as` says why, when it is not for the signal's own sake. */
  kill(as?: WorkerEnd): void {
    this.#killedAs ??= as;
    this.#child.kill("SIGKILL");
  }

  #send(message: ToWorker): void {
    // A channel that is closed belongs to a process whose end is being told.
    if (this.#child.connected) this.#child.send(message, () => {});
  }

  #onMessage(message: FromWorker): void {
    switch (message.kind) {
      case "listening":
        this.#state = "listening";
        this.#listening.resolve(message.addresses);
        break;
      case "failed":
        this.#listening.reject(new WorkerStartError(message.message, message.code));
        this.kill("failed");
        break;
      case "applied": {
        const lagMs = this.#subscription?.acknowledged(message.sequence);
        if (lagMs !== undefined) this.#observer.applied?.(lagMs);
        break;
      }
      case "wake":
        this.#wake(message.key, message.uid);
        break;
      case "metrics":
        this.#metricRequests.get(message.request)?.(message.metrics);
    }
  }

  #onEnd(end: WorkerEnd, how: string): void {
    if (this.#state === "gone") return;
    this.#state = "gone";
    if (this.#subscription) this.#feed.unsubscribe(this.#subscription);
    for (const answer of this.#metricRequests.values()) answer(undefined);
    this.#listening.reject(
      new WorkerStartError(`worker ${this.worker} ended before it listened: ${how}`, undefined),
    );
    this.#gone.resolve();
    this.#onGone(this.#killedAs ?? end, how);
  }
}
