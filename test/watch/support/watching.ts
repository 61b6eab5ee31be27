import { type Clock, systemClock } from "../../../src/system/clock.ts";
import type { Log, LogFields } from "../../../src/system/log.ts";
import { anonymousCredentials, type ApiCredentials } from "../../../src/watch/api-credentials.ts";
import { createInformer, type Informer, type SandboxInformerOptions } from "../../../src/watch/informer.ts";
import type { ReflectorObserver } from "../../../src/watch/reflector-observer.ts";
import type { ReflectorSettings } from "../../../src/watch/reflector-settings.ts";
import { DEFAULTS } from "../../support/defaults.ts";
import { FaultyApiServer } from "./faulty-api-server.ts";
import { RecordingSink } from "./recording-sink.ts";
import { SandboxStore } from "./sandbox-store.ts";

/** Fast enough for tests; the shapes are those of production. */
export const FAST: Partial<ReflectorSettings> = {
  list: "paged",
  pageSize: 3,
  firstByteTimeoutMs: 20_000,
  listIdleTimeoutMs: 20_000,
  stallTimeoutMs: 20_000,
  liveGraceMs: 2_000,
  retry: {
    backoff: { baseMs: 4, maxMs: 20 },
    steadyMs: 20,
    shortWatchMs: 5,
    healthyAfterMs: 50,
    watchFaultsBeforeRelist: 5,
    behindRetries: 3,
  },
};

export interface LogLine extends LogFields {
  readonly level: keyof Log;
  readonly text: string;
}

export class RecordingLog implements Log {
  readonly lines: LogLine[] = [];
  debug = this.#at("debug");
  info = this.#at("info");
  warn = this.#at("warn");
  error = this.#at("error");

  #at(level: keyof Log) {
    return (text: string, fields: LogFields = {}): void => void this.lines.push({ ...fields, level, text });
  }

  /** Everything that was written, as one text. */
  get text(): string {
    return JSON.stringify(this.lines);
  }
}

/** Notes each call as a word, e.g. `listed initial 2` or `restarted reset`. */
export class RecordingObserver implements ReflectorObserver {
  readonly notes: string[] = [];
  events = 0;
  listed = (reason: string, count: number, _tookMs: number, way: string): void =>
    void this.notes.push(`listed ${reason} ${count}`, `way ${way}`);
  relisted = (reason: string): void => void this.notes.push(`relisted ${reason}`);
  watchRestarted = (reason: string): void => void this.notes.push(`restarted ${reason}`);
  invalidObject = (reason: string): void => void this.notes.push(`invalid ${reason}`);
  event = (): void => void (this.events += 1);
  connected = (connected: boolean): void => void this.notes.push(`connected ${connected}`);
  versionChecked = (result: string): void => void this.notes.push(`checked ${result}`);
  sinkFailed = (): void => void this.notes.push("sink failed");

  count(note: string): number {
    return this.notes.filter((other) => other === note).length;
  }
}

export interface Watching extends AsyncDisposable {
  readonly store: SandboxStore;
  readonly server: FaultyApiServer;
  readonly sink: RecordingSink;
  readonly observer: RecordingObserver;
  readonly log: RecordingLog;
  readonly informer: Informer;
}

export interface WatchingOptions {
  readonly credentials?: (server: URL) => ApiCredentials;
  readonly namespaces?: readonly string[];
  readonly selector?: string;
  readonly settings?: Partial<ReflectorSettings>;
  readonly bookmarkEveryMs?: number;
  readonly streamsLists?: "yes" | "refused" | "ignored";
  readonly random?: () => number;
  readonly clock?: Clock;
  /** Puts objects and faults in place before anything runs. */
  readonly before?: (store: SandboxStore, server: FaultyApiServer) => void;
}

/** A store, a faulty server over it, and a started informer that feeds a recording sink. */
export async function watching(options: WatchingOptions = {}): Promise<Watching> {
  const store = new SandboxStore();
  const { bookmarkEveryMs, streamsLists } = options;
  const server = await FaultyApiServer.start(store, {
    ...(bookmarkEveryMs !== undefined && { bookmarkEveryMs }),
    ...(streamsLists !== undefined && { streamsLists }),
  });
  const namespaces = options.namespaces ?? [];
  const sink = new RecordingSink(namespaces[0] ?? "");
  const observer = new RecordingObserver();
  const log = new RecordingLog();
  options.before?.(store, server);
  const informerOptions: SandboxInformerOptions = {
    credentials: (options.credentials ?? anonymousCredentials)(server.url),
    namespaces,
    selector: options.selector,
    sink,
    observer,
    log,
    clock: options.clock ?? systemClock,
    settings: DEFAULTS.watch,
    tuning: { ...FAST, ...options.settings },
    ...(options.random === undefined ? {} : { random: options.random }),
  };
  const informer = createInformer(informerOptions);
  informer.start();
  return {
    store,
    server,
    sink,
    observer,
    log,
    informer,
    async [Symbol.asyncDispose]() {
      await informer.stop();
      sink.closed = true;
      await server.stop();
    },
  };
}
