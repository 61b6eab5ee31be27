import type { Clock, Milliseconds } from "../system/clock.ts";
import type { Log } from "../system/log.ts";
import type { Observation } from "../routes/observation.ts";
import { createApiClient } from "./api-client.ts";
import type { ApiCredentials } from "./api-credentials.ts";
import { ObjectWaker } from "./object-waker.ts";
import { ObjectReader } from "./object-reader.ts";
import type { ObservationSink } from "./observation-sink.ts";
import { Reflector } from "./reflector.ts";
import type { ReflectorStatus } from "./reflector-status.ts";
import { type ReflectorObserver, silentObserver } from "./reflector-observer.ts";
import { reflectorSettings, type ReflectorSettings, type WatchSettings } from "./reflector-settings.ts";
import { openKruiseSandbox } from "./sandbox-projection.ts";
import type { WatchedObject } from "./watched-object.ts";
import type { WatchedResource } from "./watched-resource.ts";

/** Options of {@link createInformerOf}. */
export interface InformerOptions<T extends WatchedObject = Observation> {
  readonly credentials: ApiCredentials;
  /** Namespaces to watch, each with a reflector of its own; empty for all namespaces with one. */
  readonly namespaces: readonly string[];
  /** A label selector, in Kubernetes' syntax. The server judges it. */
  readonly selector?: string | undefined;
  /** A field selector, such as `spec.nodeName=node-1`. */
  readonly fieldSelector?: string | undefined;
  readonly sink: ObservationSink<T>;
  /** `connected` is told for all scopes together: true while every watch is open. */
  readonly observer?: ReflectorObserver;
  readonly log: Log;
  readonly clock: Clock;
  /** In [0, 1); spreads delays. Default `Math.random`. */
  readonly random?: () => number;
  /** What is watched. */
  readonly resource: WatchedResource<T>;
  /** Longest wait for a TCP and TLS handshake. Default 10 s. */
  readonly connectTimeoutMs?: Milliseconds;
  /** The section `watch` of the configuration. */
  readonly settings: WatchSettings;
  /** What is no setting, or a setting otherwise, for tests. */
  readonly tuning?: Partial<ReflectorSettings>;
}

/** A snapshot of an informer, for the status page. */
export interface InformerStatus {
  /** The API server's URL, without credentials. */
  readonly server: string;
  readonly synced: boolean;
  readonly scopes: readonly ReflectorStatus[];
}

/** Tells a sink of every object, from `start` to `stop`. */
export interface Informer<T extends WatchedObject = Observation> {
  /** Begins; at once, and once. */
  start(): void;
  /** True once every scope's first list was taken; it stays true. */
  readonly synced: boolean;
  /** Resolves when {@link synced}; rejects when stopped before. */
  waitForSync(): Promise<void>;
  /** Ends at once. When it resolves, no socket is open and the sink is not called again. Once is enough. */
  stop(): Promise<void>;
  status(): InformerStatus;
  /** Reads objects as they are at this moment, beside what the watches tell. */
  readonly reader: ObjectReader<T>;
  /** Wakes objects that sleep. Needs the right to patch them. */
  readonly waker: ObjectWaker<T>;
}

/** Options of {@link createInformer}. */
export type SandboxInformerOptions = Omit<InformerOptions, "resource">;

/** Whoever waits for a read has waited too long by then: it is tried again on another connection. */
const READ_TIMEOUT_MS = 3_000;

/**
 * An informer of Sandboxes of OpenKruise Agents.
 *
 * @example
 * ```ts
 * import { configFrom } from "../config/load.ts";
 * import { systemClock } from "../system/clock.ts";
 * import { silentLog } from "../system/log.ts";
 * import { anonymousCredentials } from "./api-credentials.ts";
 * import { createInformer } from "./informer.ts";
 *
 * const informer = createInformer({
 *   // What `kubectl proxy` listens on.
 *   credentials: anonymousCredentials(new URL("http://127.0.0.1:8001")),
 *   namespaces: ["team-a"],
 *   sink: {
 *     relist: (_scope, version, observations) => {
 *       console.log(`${observations.length} sandboxes at ${version}`);
 *       return "applied";
 *     },
 *     startOver() {},
 *     observe: (_scope, { name, route }) => console.log(name, route?.state),
 *     remove() {},
 *     bookmark() {},
 *     setLive() {},
 *   },
 *   clock: systemClock,
 *   log: silentLog,
 *   settings: configFrom().watch,
 * });
 * informer.start();
 * console.log(informer.synced);
 * // false
 * await informer.stop();
 * ```
 */
export function createInformer(options: SandboxInformerOptions): Informer {
  return createInformerOf({ ...options, resource: openKruiseSandbox });
}

/** An informer over one API client: one reflector per scope, one pool of connections for all. */
export function createInformerOf<T extends WatchedObject>(options: InformerOptions<T>): Informer<T> {
  const { credentials, clock, log, random = Math.random, observer = silentObserver } = options;
  const api = createApiClient({
    credentials,
    clock,
    ...(options.connectTimeoutMs === undefined ? {} : { connectTimeoutMs: options.connectTimeoutMs }),
  });
  const scopes = options.namespaces.length === 0 ? [""] : [...new Set(options.namespaces)];
  const settings: ReflectorSettings = { ...reflectorSettings(options.settings), ...options.tuning };
  const connectedOf = connectedTogether(observer, scopes.length);
  const reflectors = scopes.map(
    (scope) =>
      new Reflector({
        target: {
          resource: options.resource,
          scope,
          selector: options.selector,
          fieldSelector: options.fieldSelector,
        },
        api,
        sink: options.sink,
        observer: scopedObserver(observer, connectedOf(), log),
        log,
        clock,
        random,
        settings,
      }),
  );
  const { pageSize, maxPageBytes } = settings;
  const { resource, selector, fieldSelector } = options;
  const single = {
    target: { resource, selector, fieldSelector },
    api,
    maxPageBytes,
    timeoutMs: READ_TIMEOUT_MS,
  };
  const reader = new ObjectReader({ ...single, pageSize });
  const waker = new ObjectWaker({ ...single, clock });
  const isSynced = (): boolean => reflectors.every((reflector) => reflector.synced);

  return {
    start() {
      for (const reflector of reflectors) reflector.start();
    },
    get synced() {
      return isSynced();
    },
    async waitForSync() {
      await Promise.all(reflectors.map((reflector) => reflector.waitForSync()));
    },
    reader,
    waker,
    async stop() {
      reader.stop();
      waker.stop();
      await Promise.all(reflectors.map((reflector) => reflector.stop()));
      await api.close();
    },
    status() {
      const { origin, pathname } = credentials.server;
      const server = pathname === "/" ? origin : origin + pathname;
      return { server, synced: isSynced(), scopes: reflectors.map((reflector) => reflector.status()) };
    },
  };
}

/** Makes, for each scope, a `connected` that tells `observer` when all are connected, and when no longer all. */
function connectedTogether(
  observer: ReflectorObserver,
  scopes: number,
): () => ReflectorObserver["connected"] {
  let open = 0;
  return () => (connected) => {
    const before = open === scopes;
    open += connected ? 1 : -1;
    if ((open === scopes) !== before) observer.connected(open === scopes);
  };
}

/** `observer` for one scope: with a `connected` of its own, and unable to stop the loop. */
function scopedObserver(
  observer: ReflectorObserver,
  connected: ReflectorObserver["connected"],
  log: Log,
): ReflectorObserver {
  const safely = (tell: () => void): void => {
    try {
      tell();
    } catch (error) {
      log.error("the reflector's observer threw, which is a bug", { message: String(error) });
    }
  };
  return {
    listed: (reason, count, tookMs, way) => safely(() => observer.listed(reason, count, tookMs, way)),
    relisted: (reason) => safely(() => observer.relisted(reason)),
    watchRestarted: (reason) => safely(() => observer.watchRestarted(reason)),
    invalidObject: (reason) => safely(() => observer.invalidObject(reason)),
    event: () => safely(() => observer.event()),
    connected: (isConnected) => safely(() => connected(isConnected)),
    versionChecked: (result) => safely(() => observer.versionChecked(result)),
    sinkFailed: () => safely(() => observer.sinkFailed()),
  };
}
