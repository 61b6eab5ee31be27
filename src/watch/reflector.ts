import type { Clock, Milliseconds } from "../system/clock.ts";
import type { Log } from "../system/log.ts";
import type { Observation } from "../routes/observation.ts";
import { compareResourceVersions } from "../routes/resource-version.ts";
import type { ApiClient } from "./api-client.ts";
import type { WatchTarget } from "./api-paths.ts";
import type { EventStream } from "./event-stream.ts";
import { ApiFault, faultFrom } from "./fault.ts";
import { FaultReports } from "./fault-reports.ts";
import type { WholeList } from "./initial-events.ts";
import { ListWays } from "./list-way.ts";
import {
  IDLE,
  mustStartOver,
  type ReflectorEvent,
  type ReflectorState,
  transition,
} from "./list-watch-state.ts";
import { Liveness } from "./liveness.ts";
import type { ObservationSink } from "./observation-sink.ts";
import type { ReflectorObserver } from "./reflector-observer.ts";
import type { ReflectorSettings } from "./reflector-settings.ts";
import type { ReflectorStatus } from "./reflector-status.ts";
import { ScopeFeed } from "./scope-feed.ts";
import { ScopeRequests } from "./scope-requests.ts";
import { becomesReady } from "./server-readiness.ts";
import { checkVersions, waitFor } from "./version-check.ts";
import type { WatchedObject } from "./watched-object.ts";

/** Options of {@link Reflector}. */
export interface ReflectorOptions<T extends WatchedObject = Observation> {
  readonly target: WatchTarget<T>;
  readonly api: Pick<ApiClient, "get">;
  readonly sink: ObservationSink<T>;
  /** Must not throw; `createInformer` sees to that. */
  readonly observer: ReflectorObserver;
  readonly log: Log;
  readonly clock: Clock;
  /** In [0, 1), as `Math.random`. */
  readonly random: () => number;
  readonly settings: ReflectorSettings;
}

/** Ends a request, and what runs beside it, when told or when the reflector is stopped. */
interface Ending {
  readonly over: AbortController;
  /** Ends it, and leaves nothing on the signal of the reflector. */
  readonly end: () => void;
}

/** A watch whose list was read, and whose events after it were not. */
interface OpenWatch extends Ending {
  readonly events: EventStream;
}

/**
 * Keeps a sink equal to one scope of a Kubernetes API server: list, watch, and so on until `stop`, in the sense of
 * client-go's reflector (docs/architecture.md#reflector). Whatever the server does, no event is lost between a list and its
 * watch or between two watches, and nothing but `stop` ends the loop. What is done about each fault stands in
 * `FaultKind` and {@link transition}; what the sink may rely on in {@link ObservationSink}.
 */
export class Reflector<T extends WatchedObject = Observation> {
  readonly #options: ReflectorOptions<T>;
  readonly #stopping = new AbortController();
  readonly #feed: ScopeFeed<T>;
  readonly #liveness: Liveness;
  #state: ReflectorState = IDLE;
  #running: Promise<void> | undefined;
  readonly #sync = Promise.withResolvers<void>();
  #synced = false;
  #relisting = false;
  /** A paged list came right before: the watch that follows needs no other proof that the server has not gone back in time. */
  #listedBefore = false;
  readonly #ways: ListWays;
  /** Where the list was streamed: what the next watch goes on with. */
  #opened: OpenWatch | undefined;
  readonly #requests: ScopeRequests<T>;
  readonly #faults: FaultReports<T>;
  #relists = 0;
  #restarts = 0;
  #lastHeard: { readonly atMs: Milliseconds; readonly monotonicMs: Milliseconds } | undefined;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.#feed = new ScopeFeed(options);
    this.#ways = new ListWays(options.settings.list);
    this.#requests = new ScopeRequests({ ...options, stopping: this.#stopping.signal });
    this.#faults = new FaultReports(options);
    this.#sync.promise.catch(() => {});
    this.#liveness = new Liveness(options.clock, options.settings.liveGraceMs, (live) =>
      this.#feed.setLive(live),
    );
  }

  get #scope(): string {
    return this.#options.target.scope;
  }

  get #stopped(): boolean {
    return this.#stopping.signal.aborted;
  }

  /** Begins. Once: later calls and calls after `stop` do nothing. */
  start(): void {
    if (this.#running !== undefined || this.#stopped) return;
    this.#advance({ kind: "start" });
    this.#running = this.#run();
  }

  /**
   * Ends at once, whatever is going on. When it resolves, nothing of this reflector is open or waiting and the
   * sink, last told that it is not live, is not called again.
   */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    await this.#leaveOpened();
    this.#advance({ kind: "stop" });
    this.#liveness.stop();
    this.#sync.reject(
      new Error(`the reflector of ${describeScope(this.#scope)} was stopped before its first list`),
    );
  }

  /** True once a first list was taken. */
  get synced(): boolean {
    return this.#synced;
  }

  /** Resolves when {@link synced}; rejects when stopped before. */
  waitForSync(): Promise<void> {
    return this.#sync.promise;
  }

  /** The state with all that decides what comes next. */
  state(): ReflectorState {
    return this.#state;
  }

  /** A snapshot, for the status page. */
  status(): ReflectorStatus {
    return {
      scope: this.#scope,
      state: this.#state.kind,
      synced: this.#synced,
      live: this.#liveness.live,
      connected: this.#liveness.connected,
      watermark: this.#synced ? this.#feed.watermark : undefined,
      lastHeardAtMs: this.#lastHeard?.atMs,
      ageMs: this.#lastHeard && this.#options.clock.monotonicMs() - this.#lastHeard.monotonicMs,
      lastEventAtMs: this.#feed.lastEventAtMs,
      relists: this.#relists,
      restarts: this.#restarts,
      lastFault: this.#faults.last,
    };
  }

  async #run(): Promise<void> {
    for (;;) {
      const event = await this.#step(this.#state);
      if (this.#stopped || event === undefined) return;
      this.#advance(event);
    }
  }

  /** Does what the state asks for and says how it ended. Never throws. */
  #step(state: ReflectorState): Promise<ReflectorEvent> | undefined {
    switch (state.kind) {
      case "listing":
        return this.#list(state);
      case "watching":
        return this.#watch(state);
      case "backing_off":
        return this.#wait(state);
      case "idle":
      case "stopped":
        break;
    }
    return undefined;
  }

  #advance(event: ReflectorEvent): void {
    const { settings, random } = this.#options;
    this.#state = transition(this.#state, event, settings.retry, random());
  }

  // ---- listing

  async #list(state: ReflectorState & { readonly kind: "listing" }): Promise<ReflectorEvent> {
    const { clock, settings, observer } = this.#options;
    const { reason, tries } = state;
    // A list that is tried again is still the same relist.
    if (reason !== "initial" && !this.#relisting) {
      this.#relisting = true;
      this.#relists += 1;
      observer.relisted(reason);
    }
    const startedMs = clock.monotonicMs();
    let way = this.#ways.next;
    try {
      let list = way === "stream" ? await this.#streamList(tries.unauthorized) : undefined;
      if (list === undefined) {
        way = "paged";
        list = await this.#requests.readPages(this.#feed, tries.unauthorized);
      }
      this.#feed.replace(list.version, list.observations, mustStartOver(tries, settings.retry));
      this.#ways.taken();
      this.#heard();
      this.#relisting = false;
      // Asked at once after a stream: a router that may watch and not list says so now, and not in a minute.
      this.#listedBefore = way === "paged";
      this.#liveness.listed();
      if (!this.#synced) {
        this.#synced = true;
        this.#sync.resolve();
      }
      observer.listed(reason, list.observations.length, clock.monotonicMs() - startedMs, way);
      return { kind: "listed" };
    } catch (error) {
      await this.#leaveOpened();
      const fault = faultFrom(error);
      if (way === "stream") this.#ways.failed(fault.code);
      return this.#failed(fault);
    }
  }

  /**
   * Reads a list as the first events of a watch, which stays open ({@link OpenWatch}); `undefined` when the server can't do that. A
   * stream that breaks before its end is no list: nothing of it is used.
   */
  async #streamList(reloadCredentials: boolean): Promise<WholeList<T> | undefined> {
    const ending = this.#ending();
    try {
      const streamed = await this.#requests.streamList(this.#feed, reloadCredentials, ending.over.signal);
      if (!(streamed instanceof Error)) {
        this.#opened = { ...ending, events: streamed.events };
        return streamed.list;
      }
      ending.end();
      this.#ways.refused();
      this.#options.log.info("the API server streams no lists: they are read in pages", {
        scope: this.#scope || "all namespaces",
        message: streamed.message,
      });
      return undefined;
    } catch (error) {
      ending.end();
      throw error;
    }
  }

  async #leaveOpened(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    opened?.end();
    await opened?.events.close();
  }

  // ---- watching

  async #watch(state: ReflectorState & { readonly kind: "watching" }): Promise<ReflectorEvent> {
    const { clock, observer } = this.#options;
    const startedMs = clock.monotonicMs();
    const from = this.#feed.watermark;
    const opened = this.#opened;
    this.#opened = undefined;
    const { over, end } = opened ?? this.#ending();
    let fault: ApiFault;
    try {
      await this.#readWatch(opened?.events, state.tries.unauthorized, over);
      fault = new ApiFault("closed", "the API server ended the watch");
    } catch (error) {
      fault = faultFrom(over.signal.reason instanceof ApiFault ? over.signal.reason : error);
    } finally {
      end();
    }
    if (this.#liveness.connected) observer.connected(false);
    if (this.#stopped) return { kind: "stop" };
    if (fault.code === "stalled") this.#liveness.stalled();
    else this.#liveness.disconnected();

    const ended: ReflectorEvent = {
      kind: "watch_ended",
      fault: fault.code,
      retryAfterMs: fault.retryAfterMs,
      lastedMs: clock.monotonicMs() - startedMs,
      progressed: compareResourceVersions(this.#feed.watermark, from) > 0,
    };
    this.#restarts += 1;
    observer.watchRestarted(fault.code);
    this.#faults.report("watch", fault);
    return ended;
  }

  /** Reads `opened`, or else a watch from the watermark, to its end. */
  async #readWatch(
    opened: EventStream | undefined,
    reloadCredentials: boolean,
    over: AbortController,
  ): Promise<void> {
    const { settings, observer } = this.#options;
    const listedBefore = this.#listedBefore;
    this.#listedBefore = false;
    const events =
      opened ?? (await this.#requests.openWatch(this.#feed.watermark, reloadCredentials, over.signal));
    try {
      this.#liveness.answered();
      observer.connected(true);
      void this.#checkVersions(listedBefore ? settings.checkIntervalMs : 0, over);
      await events.read(
        (event) => {
          this.#feed.deliver(event);
          return false;
        },
        () => {
          this.#heard();
          this.#liveness.heard();
        },
      );
    } finally {
      await events.close();
    }
  }

  /** Ends the watch when the server is found to have gone back in time. Never rejects. */
  async #checkVersions(firstAfterMs: Milliseconds, over: AbortController): Promise<void> {
    const { clock, settings, observer } = this.#options;
    const behind = await checkVersions({
      ask: (reloadCredentials) => this.#requests.readVersion(reloadCredentials, over.signal),
      watermark: () => this.#feed.watermark,
      clock,
      firstAfterMs,
      intervalMs: settings.checkIntervalMs,
      retryMs: settings.retry.steadyMs,
      checked: (result, fault) => {
        observer.versionChecked(result);
        if (fault !== undefined && !this.#stopped) this.#faults.reportCheck(fault);
      },
      signal: over.signal,
    });
    if (behind) over.abort(behind);
  }

  // ---- both

  #ending(): Ending {
    const { signal } = this.#stopping;
    const over = new AbortController();
    const onStop = (): void => over.abort();
    signal.addEventListener("abort", onStop, { once: true });
    if (signal.aborted) onStop();
    return {
      over,
      end: () => {
        over.abort();
        signal.removeEventListener("abort", onStop);
      },
    };
  }

  #heard(): void {
    const { clock } = this.#options;
    this.#lastHeard = { atMs: clock.nowMs(), monotonicMs: clock.monotonicMs() };
    this.#faults.cured();
  }

  #failed(fault: ApiFault): ReflectorEvent {
    if (!this.#stopped) this.#faults.report("list", fault);
    if (fault.code === "not_found" && !this.#stopped) this.#feed.setMissing();
    return { kind: "failed", fault: fault.code, retryAfterMs: fault.retryAfterMs };
  }

  async #wait({
    fault,
    delayMs,
  }: ReflectorState & { readonly kind: "backing_off" }): Promise<ReflectorEvent> {
    const { clock, settings } = this.#options;
    const { over, end } = this.#ending();
    // Only its Retry-After makes it longer: a server that is starting may be ready long before.
    if (fault === "unavailable" && delayMs > settings.retry.steadyMs) {
      const ask = (): Promise<boolean> => this.#requests.isReady(over.signal);
      void becomesReady({ ask, clock, everyMs: settings.retry.steadyMs, signal: over.signal }).then(
        (ready) => void (ready && over.abort()),
      );
    }
    await waitFor(clock, delayMs, over.signal);
    end();
    return this.#stopped ? { kind: "stop" } : { kind: "waited" };
  }
}

function describeScope(scope: string): string {
  return scope === "" ? "all namespaces" : `namespace ${scope}`;
}
