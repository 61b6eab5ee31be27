import { stackOf } from "../system/error-text.ts";
import type { Clock, Milliseconds } from "../system/clock.ts";
import type { Log } from "../system/log.ts";
import { PacedLog } from "../system/paced-log.ts";
import type { Observation } from "../routes/observation.ts";
import {
  compareResourceVersions,
  newerResourceVersion,
  NOTHING_SEEN,
  type ResourceVersion,
} from "../routes/resource-version.ts";
import type { WatchTarget } from "./api-paths.ts";
import { ApiFault } from "./fault.ts";
import { objectOrEmpty, stringOrEmpty } from "./json-fields.ts";
import type { ObservationSink } from "./observation-sink.ts";
import type { ReflectorObserver, RejectedReason } from "./reflector-observer.ts";
import type { WatchEvent } from "./watch-event.ts";
import type { WatchedObject } from "./watched-object.ts";

/** Options of {@link ScopeFeed}. */
export interface ScopeFeedOptions<T extends WatchedObject = Observation> {
  readonly target: WatchTarget<T>;
  readonly sink: ObservationSink<T>;
  readonly observer: ReflectorObserver;
  readonly log: Log;
  readonly clock: Clock;
}

/**
 * Events or bookmarks in a row below the watermark that show a server which went back in time. One or two may
 * come from another API server of the cluster whose watch cache lags.
 */
const BEHIND_SIGNS = 3;

/** At most one log line in this time about objects that are left aside. */
const REJECTED_LOG_EVERY_MS: Milliseconds = 10_000;

/**
 * What one scope's sink has been told: projects what the server sends, passes it on, and keeps the watermark. It
 * knows nothing of requests. What the sink throws is logged and counted here and goes no further, but for a list.
 */
export class ScopeFeed<T extends WatchedObject = Observation> {
  readonly #options: ScopeFeedOptions<T>;
  readonly #scope: string;
  #watermark: ResourceVersion = NOTHING_SEEN;
  #behindSigns = 0;
  #lastEventAtMs: Milliseconds | undefined;
  readonly #rejected: PacedLog;

  constructor(options: ScopeFeedOptions<T>) {
    this.#options = options;
    this.#scope = options.target.scope;
    this.#rejected = new PacedLog(options.log, options.clock, REJECTED_LOG_EVERY_MS);
  }

  /** Everything up to here was delivered. */
  get watermark(): ResourceVersion {
    return this.#watermark;
  }

  /** When the last object event was delivered, in milliseconds since the epoch. */
  get lastEventAtMs(): Milliseconds | undefined {
    return this.#lastEventAtMs;
  }

  /**
   * Gives the sink a whole list.
   * @throws {ApiFault} `behind` when the sink refuses it and `startOver` is false.
   * @throws what the sink throws.
   */
  replace(version: ResourceVersion, observations: readonly T[], startOver: boolean): void {
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
    log.info("listed", { scope: scope || "all namespaces", version, objects: observations.length });
  }

  /**
   * Passes on one event of a watch.
   * @throws {ApiFault} `behind` when the server has gone back in time.
   */
  deliver(event: WatchEvent): void {
    const { observer, clock } = this.#options;
    if (event.kind === "unknown") {
      this.#reject("unknown_event_type", "an event of a type that this version does not know");
      return;
    }
    this.#checkTime(event.version);
    if (event.kind === "bookmark") {
      this.#passed(event.version);
      return;
    }
    const delivered =
      event.kind === "deleted" ? this.#remove(event.object, event.version) : this.#observe(event.object);
    // What could not be read has been delivered as well as it can be: the watermark must not wait for it.
    if (delivered) this.#watermark = newerResourceVersion(this.#watermark, event.version);
    else this.#passed(event.version);
    this.#lastEventAtMs = clock.nowMs();
    observer.event();
  }

  #passed(version: ResourceVersion): void {
    // One that repeats the watermark still tells the sink that the server speaks.
    if (compareResourceVersions(version, this.#watermark) < 0) return;
    this.#tell("bookmark", (sink) => sink.bookmark(this.#scope, version));
    this.#watermark = version;
  }

  #observe(object: unknown): boolean {
    const observation = this.project(object);
    if (observation === undefined) return false;
    this.#tell("observe", (sink) => sink.observe(this.#scope, observation));
    return true;
  }

  #remove(object: unknown, version: ResourceVersion): boolean {
    const metadata = objectOrEmpty(objectOrEmpty(object)["metadata"]);
    const namespace = stringOrEmpty(metadata["namespace"]);
    const name = stringOrEmpty(metadata["name"]);
    if (namespace === "" || name === "") {
      return this.#reject("no_key", "a DELETED event without metadata.namespace or metadata.name");
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

  /** What the object means here, or undefined when it was left aside (and counted). */
  project(object: unknown): T | undefined {
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
    return this.#reject("out_of_scope", `an object of namespace ${namespace}, which is not watched here`);
  }

  #reject(reason: RejectedReason, message: string): false {
    this.#options.observer.invalidObject(reason);
    this.#rejected.tell("warn", "left aside what the API server sent", () => ({
      scope: this.#scope,
      reason,
      message,
    }));
    return false;
  }

  /** Tells the sink whether the server is heard. */
  setLive(live: boolean): void {
    this.#tell("setLive", (sink) => sink.setLive(this.#scope, live));
  }

  /** Tells the sink that the server does not know the resource. */
  setMissing(): void {
    this.#tell("setMissing", (sink) => sink.setMissing?.(this.#scope));
  }

  /** Calls the sink; what it throws is its bug, not ours. */
  #tell(call: string, tell: (sink: ObservationSink<T>) => void): void {
    try {
      tell(this.#options.sink);
    } catch (error) {
      this.#sinkFailed(call, error);
    }
  }

  #sinkFailed(call: string, error: unknown): void {
    const { log, observer } = this.#options;
    const message = stackOf(error);
    log.error("the sink threw, which is a bug", { scope: this.#scope, call, message });
    observer.sinkFailed();
  }
}
