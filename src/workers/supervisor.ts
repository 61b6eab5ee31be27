import type { ChildProcess } from "node:child_process";
import type { Clock, Milliseconds, TimerHandle } from "../system/clock.ts";
import type { ListenerAddress } from "../system/listener.ts";
import type { Log } from "../system/log.ts";
import type { ObjectKey } from "../routes/route.ts";
import type { WakeFailure, WorkerAddresses } from "./messages.ts";
import type { RouteFeed } from "./route-feed.ts";
import type { WorkerEnd, WorkerObserver } from "./worker-observer.ts";
import { WorkerProcess } from "./worker-process.ts";

/** Options of {@link Supervisor}. */
export interface SupervisorOptions {
  /** At least 1. */
  readonly workers: number;
  /** Makes the process of a worker, with an IPC channel of the `advanced` serialization. */
  readonly spawn: (worker: number) => ChildProcess;
  readonly feed: RouteFeed;
  /** `StartMessage.settings`. */
  readonly settings: unknown;
  /** Port 0 takes a free one, the same for all. */
  readonly listen: ListenerAddress;
  /** The same for the TLS listener. Absent: there is none. */
  readonly listenTls?: ListenerAddress | undefined;
  /** Requests wait in some worker for a sandbox that sleeps. Default: nobody wakes it. */
  readonly wake?: (key: ObjectKey, uid: string) => void;
  readonly observer: WorkerObserver;
  readonly clock: Clock;
  readonly log: Log;
}

/** What a worker says of itself. `id` is another one for each process. */
export interface WorkerMetrics {
  readonly worker: number;
  readonly id: number;
  /** Absent when it did not answer in time. */
  readonly metrics: unknown;
}

const TICK_MS: Milliseconds = 1_000;
const METRICS_TIMEOUT_MS: Milliseconds = 1_000;
/** A worker that lived for so long has shown that it can; its next end is no reason to wait. */
const PROVEN_AFTER_MS: Milliseconds = 10_000;
const BACKOFF = { baseMs: 100, maxMs: 10_000 } as const;
/** What a worker may need beyond the drain's own time, for its last log lines. */
const DRAIN_GRACE_MS: Milliseconds = 3_000;

/** A worker's place, whoever fills it. */
interface Place {
  process: WorkerProcess;
  bornAtMs: Milliseconds;
  /** Ends in a row that came too soon. */
  earlyEnds: number;
  retry: TimerHandle | undefined;
}

/**
 * Keeps `workers` processes alive, all on one port. One that ends is replaced at once, the first time, then with growing
 * waits; the others are not touched. One that does not answer for half a minute is killed and replaced.
 */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #places: Place[] = [];
  #listen: ListenerAddress;
  #listenTls: ListenerAddress | undefined;
  /** What processes are started with from now on. */
  #settings: unknown;
  #state: "new" | "starting" | "running" | "ending" = "new";
  #ticker: TimerHandle | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#listen = options.listen;
    this.#listenTls = options.listenTls;
    this.#settings = options.settings;
  }

  /** How many workers listen and know all routes. */
  get ready(): number {
    return this.#places.filter(({ process }) => process.ready).length;
  }

  /** Lag of each worker, see `Subscription.lagMs`. */
  get lags(): readonly { readonly worker: number; readonly lagMs: Milliseconds }[] {
    return this.#places.map(({ process: { worker, lagMs } }) => ({ worker, lagMs }));
  }

  /** Resolves when all workers listen. Rejects, with none left, when one of them can't. Call it once. */
  async start(): Promise<WorkerAddresses> {
    this.#state = "starting";
    for (let worker = 0; worker < this.#options.workers; worker++) this.#places.push(this.#newPlace(worker));
    try {
      // On port 0 the first one finds out which port it is.
      const isOpen = this.#listen.port === 0 || this.#listenTls?.port === 0;
      const alone = isOpen ? 1 : this.#places.length;
      const [addresses] = await this.#startAll(this.#places.slice(0, alone));
      if (!addresses) throw new Error("there are no workers");
      this.#listen = { ...this.#listen, port: addresses.plain.port };
      if (addresses.tls) this.#listenTls = { ...this.#listenTls, port: addresses.tls.port };
      await this.#startAll(this.#places.slice(alone));
      this.#state = "running";
      this.#tick();
      return addresses;
    } catch (error) {
      this.kill();
      await this.#allGone();
      throw error;
    }
  }

  /** Gives all workers, and those that will take their places, another configuration. */
  changeSettings(settings: unknown): void {
    this.#settings = settings;
    for (const { process } of this.#places) process.changeSettings(settings);
  }

  /** Tells all workers that a sandbox was not woken. */
  wakeFailed(key: ObjectKey, uid: string, failure: WakeFailure): void {
    for (const { process } of this.#places) process.wakeFailed(key, uid, failure);
  }

  /** Asks all workers that listen for the named metrics, or for all; waits a second at most. */
  metrics(names?: readonly string[]): Promise<WorkerMetrics[]> {
    return Promise.all(
      this.#listening.map(async (process) => {
        const metrics = await process.metrics(METRICS_TIMEOUT_MS, names);
        if (metrics === undefined) this.#options.observer.metricsMissed?.();
        return { worker: process.worker, id: process.pid ?? 0, metrics };
      }),
    );
  }

  /** Tells all workers to drain and waits until they are gone; kills what is left some seconds after `timeoutMs`. */
  async drain(timeoutMs: Milliseconds): Promise<void> {
    this.#end();
    for (const { process } of this.#places) process.drain(timeoutMs);
    const deadline = this.#options.clock.setTimeout(() => this.kill(), timeoutMs + DRAIN_GRACE_MS);
    await this.#allGone();
    deadline.clear();
  }

  /** Ends all workers at once, without waiting. */
  kill(): void {
    this.#end();
    for (const { process } of this.#places) process.kill();
  }

  #end(): void {
    this.#state = "ending";
    this.#ticker?.clear();
    for (const { retry } of this.#places) retry?.clear();
  }

  get #listening(): WorkerProcess[] {
    return this.#places.map(({ process }) => process).filter(({ isListening }) => isListening);
  }

  async #allGone(): Promise<void> {
    await Promise.all(this.#places.map(({ process }) => process.gone));
  }

  #startAll(places: readonly Place[]): Promise<WorkerAddresses[]> {
    return Promise.all(
      places.map(({ process }) => {
        this.#startProcess(process);
        return process.listening;
      }),
    );
  }

  #startProcess(process: WorkerProcess): void {
    process.start({ settings: this.#settings, listen: this.#listen, listenTls: this.#listenTls });
  }

  #newPlace(worker: number): Place {
    const place: Place = {
      process: this.#newProcess(worker, (end, how) => this.#onGone(place, end, how)),
      bornAtMs: this.#options.clock.monotonicMs(),
      earlyEnds: 0,
      retry: undefined,
    };
    return place;
  }

  #newProcess(worker: number, onGone: (end: WorkerEnd, how: string) => void): WorkerProcess {
    const { spawn, feed, clock, observer, wake = () => {} } = this.#options;
    return new WorkerProcess({ worker, child: spawn(worker), feed, clock, observer, wake, onGone });
  }

  #onGone(place: Place, end: WorkerEnd, how: string): void {
    if (this.#state !== "running") return;
    const { observer, clock, log } = this.#options;
    const { worker } = place.process;
    const proven = clock.monotonicMs() - place.bornAtMs >= PROVEN_AFTER_MS;
    place.earlyEnds = proven ? 0 : place.earlyEnds + 1;
    const delayMs =
      place.earlyEnds <= 1 ? 0 : Math.min(BACKOFF.baseMs * 2 ** (place.earlyEnds - 2), BACKOFF.maxMs);
    log.error("a worker ended and is replaced", { worker, end, how, delayMs });
    observer.replaced?.(end);
    place.retry = clock.setTimeout(() => this.#replace(place), delayMs);
  }

  #replace(place: Place): void {
    const { clock, log } = this.#options;
    const { worker } = place.process;
    place.retry = undefined;
    place.bornAtMs = clock.monotonicMs();
    const process = this.#newProcess(worker, (end, how) => this.#onGone(place, end, how));
    place.process = process;
    this.#startProcess(process);
    process.listening.then(
      () => log.info("a worker listens again", { worker, pid: process.pid }),
      (error: unknown) => log.error("a worker could not start", { worker, error }),
    );
  }

  #tick(): void {
    this.#ticker = this.#options.clock.setTimeout(() => {
      for (const { process } of this.#places) process.tick();
      if (this.#state === "running") this.#tick();
    }, TICK_MS);
  }
}
