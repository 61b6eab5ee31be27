import type { Clock, Milliseconds, TimerHandle } from "../clock.ts";
import type { Log } from "../log.ts";
import type { Observation } from "../routes/observation.ts";
import {
  compareResourceVersions,
  newerResourceVersion,
  NOTHING_SEEN,
  type ResourceVersion,
} from "../routes/resource-version.ts";
import type { ApiClient } from "./api-client.ts";
import { listPath, type WatchTarget, watchPath } from "./api-paths.ts";
import { ApiFault, type FaultKind, faultFrom } from "./fault.ts";
import { adviceFor } from "./fault-advice.ts";
import { objectOrEmpty, stringOrEmpty } from "./json-fields.ts";
import { listPages } from "./list-pages.ts";
import {
  IDLE,
  mustStartOver,
  type ReflectorEvent,
  type ReflectorState,
  transition,
} from "./list-watch-state.ts";
import { Liveness } from "./liveness.ts";
import type { ObservationSink } from "./observation-sink.ts";
import type { ReflectorObserver, RejectedReason } from "./reflector-observer.ts";
import type { ReflectorSettings } from "./reflector-settings.ts";
import { parseWatchEvent, type WatchEvent } from "./watch-event.ts";
import { LineSplitter } from "./watch-lines.ts";

/** Options of {@link Reflector}. */
export interface ReflectorOptions {
  readonly target: WatchTarget;
  readonly api: ApiClient;
  readonly sink: ObservationSink;
  readonly observer: ReflectorObserver;
  readonly log: Log;
  readonly clock: Clock;
  /** In [0, 1), as `Math.random`. */
  readonly random: () => number;
  readonly settings: ReflectorSettings;
}

/** What a reflector can say of itself. */
export interface ReflectorStatus {
  /** The watched namespace; `""` is all. */
  readonly scope: string;
  readonly state: ReflectorState["t"];
  /** A first list was taken. */
  readonly synced: boolean;
  /** As last told to the sink ({@link ObservationSink.setLive}). */
  readonly live: boolean;
  /** Everything up to here was delivered; undefined before the first list. */
  readonly watermark: ResourceVersion | undefined;
  /** When the server was last heard on a watch or a list came in, in milliseconds since the epoch. */
  readonly lastHeardAtMs: Milliseconds | undefined;
  /** When the last object event was delivered, in milliseconds since the epoch. */
  readonly lastEventAtMs: Milliseconds | undefined;
  /** Lists begun for another reason than `initial`. */
  readonly relists: number;
  /** Watches that ended and were, or will be, followed by another. */
  readonly restarts: number;
  /** What went wrong last, as it was logged, while it has not been cured. */
  readonly lastFault: { readonly kind: FaultKind; readonly message: string } | undefined;
}

/**
 * Events or bookmarks in a row below the watermark that show a server which went back in time. One or two may
 * come from another API server of the cluster whose watch cache lags.
 */
const BEHIND_SIGNS = 3;

/** At most one log line in this time about objects that are left aside. */
const REJECTED_LOG_EVERY_MS: Milliseconds = 10_000;

/**
 * Keeps a sink equal to one scope of a Kubernetes API server: list, watch, and so on until `stop`, in the sense of
 * client-go's reflector (design.md 6). Whatever the server does, no event is lost between a list and its watch or
 * between two watches, and nothing but `stop` ends the loop. What is done about each fault stands in
 * {@link FaultKind} and {@link transition}; what the sink may rely on in {@link ObservationSink}.
 */
export class Reflector {
  readonly #options: ReflectorOptions;
  readonly #stopping = new AbortController();
  readonly #liveness: Liveness;
  #state: ReflectorState = IDLE;
  #running: Promise<void> | undefined;
  readonly #sync = Promise.withResolvers<void>();
  #synced = false;
  #watermark: ResourceVersion = NOTHING_SEEN;
  #behindSigns = 0;
  #relisting = false;
  #relists = 0;
  #restarts = 0;
  #lastHeardAtMs: Milliseconds | undefined;
  #lastEventAtMs: Milliseconds | undefined;
  #lastFault: ReflectorStatus["lastFault"];
  #rejectedUnlogged = 0;
  #rejectedLogAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: ReflectorOptions) {
    this.#options = options;
    this.#sync.promise.catch(() => {});
    this.#liveness = new Liveness(options.clock, options.settings.liveGraceMs, (live) => {
      this.#tell("setLive", (sink) => sink.setLive(this.#scope, live));
    });
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
    this.#advance({ t: "start" });
    this.#running = this.#run();
  }

  /**
   * Ends at once, whatever is going on. When it resolves, nothing of this reflector is open or waiting and the
   * sink, last told that it is not live, is not called again.
   */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    this.#advance({ t: "stop" });
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
      state: this.#state.t,
      synced: this.#synced,
      live: this.#liveness.live,
      watermark: this.#synced ? this.#watermark : undefined,
      lastHeardAtMs: this.#lastHeardAtMs,
      lastEventAtMs: this.#lastEventAtMs,
      relists: this.#relists,
      restarts: this.#restarts,
      lastFault: this.#lastFault,
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
    switch (state.t) {
      case "listing":
        return this.#list(state);
      case "watching":
        return this.#watch(state);
      case "backing-off":
        return this.#wait(state.delayMs);
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

  async #list(state: ReflectorState & { readonly t: "listing" }): Promise<ReflectorEvent> {
    const { clock, settings, observer, target } = this.#options;
    const { reason, tries } = state;
    // A list that is tried again is still the same relist.
    if (reason !== "initial" && !this.#relisting) {
      this.#relisting = true;
      this.#relists += 1;
      this.#note(() => observer.relisted(reason));
    }
    const startedMs = clock.monotonicMs();
    let observations: Observation[] = [];
    let reloadCredentials = tries.unauthorized;
    try {
      const version = await listPages({
        pageSize: settings.pageSize,
        maxPageBytes: settings.maxPageBytes,
        onRestart: () => void (observations = []),
        onObject: (object) => {
          const observation = this.#project(object);
          if (observation !== undefined) observations.push(observation);
        },
        getPage: async (limit, continueToken) => {
          const response = await this.#get(listPath(target, limit, continueToken), {
            idleTimeoutMs: settings.listIdleTimeoutMs,
            reloadCredentials,
          });
          reloadCredentials = false;
          return response.chunks;
        },
      });
      if (this.#stopped) return { t: "stop" };
      this.#replace(version, observations, mustStartOver(tries, settings.retry));
      this.#note(() => observer.listed(reason, observations.length, clock.monotonicMs() - startedMs));
      return { t: "listed" };
    } catch (error) {
      return this.#failed("list", faultFrom(error));
    }
  }

  #replace(version: ResourceVersion, observations: readonly Observation[], startOver: boolean): void {
    const { sink, log } = this.#options;
    const scope = this.#scope;
    try {
      if (sink.relist(scope, version, observations) === "behind") {
        if (!startOver) {
          throw new ApiFault("behind", `the list is at ${version}, below the watermark ${this.#watermark}`);
        }
        log.error(
          "the cluster went back in time, as after a restore from a backup; starting over from its list",
          {
            scope,
            version,
            watermark: this.#watermark,
          },
        );
        sink.startOver(scope, version, observations);
      }
    } catch (error) {
      if (!(error instanceof ApiFault)) this.#sinkFailed("relist", error);
      throw error;
    }
    this.#watermark = version;
    this.#behindSigns = 0;
    this.#heard();
    this.#liveness.listed();
    this.#relisting = false;
    if (!this.#synced) {
      this.#synced = true;
      this.#sync.resolve();
    }
    log.info("listed", { scope, version, objects: observations.length });
  }

  // ---- watching

  async #watch(state: ReflectorState & { readonly t: "watching" }): Promise<ReflectorEvent> {
    const { clock, observer } = this.#options;
    const startedMs = clock.monotonicMs();
    const from = this.#watermark;
    let fault: ApiFault;
    try {
      await this.#readWatch(from, state.tries.unauthorized);
      fault = new ApiFault("closed", "the API server ended the watch");
    } catch (error) {
      fault = faultFrom(error);
    }
    if (this.#liveness.connected) this.#note(() => observer.connected(false));
    if (this.#stopped) return { t: "stop" };
    if (fault.code === "stalled") this.#liveness.stalled();
    else this.#liveness.disconnected();

    const ended: ReflectorEvent = {
      t: "watch-ended",
      fault: fault.code,
      retryAfterMs: fault.retryAfterMs,
      lastedMs: clock.monotonicMs() - startedMs,
      progressed: compareResourceVersions(this.#watermark, from) > 0,
    };
    this.#restarts += 1;
    this.#note(() => observer.watchRestarted(fault.code));
    this.#complain("watch", fault);
    return ended;
  }

  async #readWatch(from: ResourceVersion, reloadCredentials: boolean): Promise<void> {
    const { settings, target, random, observer } = this.#options;
    const [minSeconds, maxSeconds] = settings.watchSeconds;
    const seconds = Math.floor(minSeconds + random() * (maxSeconds - minSeconds));
    const { chunks } = await this.#get(watchPath(target, from, seconds), {
      idleTimeoutMs: settings.stallTimeoutMs,
      reloadCredentials,
    });
    this.#liveness.answered();
    this.#note(() => observer.connected(true));
    const lines = new LineSplitter(settings.maxEventBytes);
    for await (const chunk of chunks) {
      for (const line of lines.push(chunk)) {
        if (this.#stopped) return;
        this.#deliver(parseWatchEvent(line));
      }
      this.#heard();
      this.#liveness.heard();
    }
    if (lines.pendingBytes > 0)
      throw new ApiFault("reset", "the API server's answer was cut within an event");
  }

  #deliver(event: WatchEvent): void {
    const { observer, clock } = this.#options;
    if (event.t === "unknown") {
      this.#reject("unknown-event-type", "an event of a type that this version does not know");
      return;
    }
    this.#checkTime(event.version);
    if (event.t === "bookmark") {
      this.#passed(event.version);
      return;
    }
    const delivered =
      event.t === "deleted" ? this.#remove(event.object, event.version) : this.#observe(event.object);
    // What could not be read has been delivered as well as it can be: the watermark must not wait for it.
    if (delivered) this.#watermark = newerResourceVersion(this.#watermark, event.version);
    else this.#passed(event.version);
    this.#lastEventAtMs = clock.nowMs();
    this.#note(() => observer.event());
  }

  #passed(version: ResourceVersion): void {
    if (compareResourceVersions(version, this.#watermark) <= 0) return;
    this.#tell("bookmark", (sink) => sink.bookmark(this.#scope, version));
    this.#watermark = version;
  }

  #observe(object: unknown): boolean {
    const observation = this.#project(object);
    if (observation === undefined) return false;
    this.#tell("observe", (sink) => sink.observe(this.#scope, observation));
    return true;
  }

  #remove(object: unknown, version: ResourceVersion): boolean {
    const metadata = objectOrEmpty(objectOrEmpty(object)["metadata"]);
    const namespace = stringOrEmpty(metadata["namespace"]);
    const name = stringOrEmpty(metadata["name"]);
    if (namespace === "" || name === "") {
      return this.#reject("no-key", "a DELETED event without metadata.namespace or metadata.name");
    }
    if (!this.#inScope(namespace)) return this.#rejectOutOfScope(namespace);
    const uid = stringOrEmpty(metadata["uid"]);
    this.#tell("remove", (sink) => sink.remove(this.#scope, namespace, name, uid, version));
    return true;
  }

  /** A server whose versions stay below the watermark was restored; only a list can tell. */
  #checkTime(version: ResourceVersion): void {
    this.#behindSigns = compareResourceVersions(version, this.#watermark) < 0 ? this.#behindSigns + 1 : 0;
    if (this.#behindSigns < BEHIND_SIGNS) return;
    this.#behindSigns = 0;
    throw new ApiFault(
      "behind",
      `the API server speaks of ${version}, below the watermark ${this.#watermark}`,
    );
  }

  // ---- both

  #get(path: string, options: { readonly idleTimeoutMs: Milliseconds; readonly reloadCredentials: boolean }) {
    return this.#options.api.get({
      path,
      firstByteTimeoutMs: this.#options.settings.firstByteTimeoutMs,
      signal: this.#stopping.signal,
      ...options,
    });
  }

  #project(object: unknown): Observation | undefined {
    const projection = this.#options.target.resource.project(object);
    if (projection.kind === "invalid") {
      this.#reject(projection.reason, projection.message);
      return undefined;
    }
    const { observation } = projection;
    if (this.#inScope(observation.namespace)) return observation;
    this.#rejectOutOfScope(observation.namespace);
    return undefined;
  }

  #inScope(namespace: string): boolean {
    return this.#scope === "" || this.#scope === namespace;
  }

  #rejectOutOfScope(namespace: string): false {
    return this.#reject("out-of-scope", `an object of namespace ${namespace}, which is not watched here`);
  }

  #reject(reason: RejectedReason, message: string): false {
    const { log, clock, observer } = this.#options;
    this.#note(() => observer.invalidObject(reason));
    this.#rejectedUnlogged += 1;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#rejectedLogAtMs >= REJECTED_LOG_EVERY_MS) {
      log.warn("left aside what the API server sent", {
        scope: this.#scope,
        reason,
        message,
        count: this.#rejectedUnlogged,
      });
      this.#rejectedLogAtMs = nowMs;
      this.#rejectedUnlogged = 0;
    }
    return false;
  }

  #heard(): void {
    this.#lastHeardAtMs = this.#options.clock.nowMs();
    this.#lastFault = undefined;
  }

  #failed(doing: "list", fault: ApiFault): ReflectorEvent {
    this.#complain(doing, fault);
    return { t: "failed", fault: fault.code, retryAfterMs: fault.retryAfterMs };
  }

  #complain(doing: "list" | "watch", fault: ApiFault): void {
    if (this.#stopped) return;
    const { log, target } = this.#options;
    const fields = { scope: this.#scope, reason: fault.code, message: fault.message };
    if (fault.code === "closed") {
      log.debug(`the ${doing} ended`, fields);
      return;
    }
    this.#lastFault = { kind: fault.code, message: fault.message };
    const advice = adviceFor(fault.code, target);
    if (advice === undefined) log.warn(`the ${doing} failed and is tried again`, fields);
    else log.error(`the ${doing} failed and is tried again`, { ...fields, advice });
  }

  #tell(call: string, tell: (sink: ObservationSink) => void): void {
    try {
      tell(this.#options.sink);
    } catch (error) {
      this.#sinkFailed(call, error);
    }
  }

  #sinkFailed(call: string, error: unknown): void {
    const { log, observer } = this.#options;
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    log.error("the sink threw, which is a bug", { scope: this.#scope, call, message });
    this.#note(() => observer.sinkFailed());
  }

  /** Metrics must not be able to stop the loop. */
  #note(note: () => void): void {
    try {
      note();
    } catch (error) {
      this.#options.log.error("the reflector's observer threw, which is a bug", {
        scope: this.#scope,
        message: String(error),
      });
    }
  }

  #wait(delayMs: Milliseconds): Promise<ReflectorEvent> {
    const { promise, resolve } = Promise.withResolvers<ReflectorEvent>();
    const { signal } = this.#stopping;
    const onAbort = (): void => resolve({ t: "stop" });
    const timer: TimerHandle = this.#options.clock.setTimeout(() => resolve({ t: "waited" }), delayMs);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    return promise.finally(() => {
      timer.clear();
      signal.removeEventListener("abort", onAbort);
    });
  }
}

function describeScope(scope: string): string {
  return scope === "" ? "all namespaces" : `namespace ${scope}`;
}
