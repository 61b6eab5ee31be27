import { messageOf } from "../system/error-text.ts";
import type { Clock, Milliseconds, TimerHandle } from "../system/clock.ts";
import type { Log } from "../system/log.ts";
import { PacedLog } from "../system/paced-log.ts";
import type { Observation } from "../routes/observation.ts";
import type { ResourceVersion } from "../routes/resource-version.ts";

/** Reads of the API server: each shows what was true when it began, or later. */
export interface ObjectReads {
  /** Rejects when the API server does not answer. */
  readObject(
    namespace: string,
    name: string,
  ): Promise<{ readonly version: ResourceVersion; readonly observation: Observation | undefined }>;
  /** All objects of a namespace, by name. */
  readNamespace(
    namespace: string,
  ): Promise<{ readonly version: ResourceVersion; readonly observations: ReadonlyMap<string, Observation> }>;
}

/** What the settler needs of the route table. */
export interface SettleTable {
  /** The serial of the last push. */
  readonly pushSerial: number;
  /** Whether a push of the object waits for a read. */
  isInDoubt(namespace: string, name: string): boolean;
  /** How many objects of a namespace are known: what a list of it costs. */
  objectsIn(namespace: string): number;
  /** Takes what a read says; `open` when another is needed. */
  settle(read: {
    readonly namespace: string;
    readonly name: string;
    readonly version: ResourceVersion;
    readonly observation: Observation | undefined;
    readonly asOf: number;
  }): "settled" | "open";
}

/** What came of reads. A closed list: these words are metric labels. */
export const SETTLE_RESULTS = ["settled", "open", "failed"] as const;

/** One of {@link SETTLE_RESULTS}. */
export type SettleResult = (typeof SETTLE_RESULTS)[number];

/** Told of each read, of an object or of a namespace. */
export interface SettleObserver {
  read(of: "object" | "namespace", result: SettleResult, tookMs: Milliseconds): void;
}

/** Options of {@link PushSettler}. */
export interface PushSettlerOptions {
  readonly reads: ObjectReads;
  readonly table: SettleTable;
  readonly observer: SettleObserver;
  readonly clock: Clock;
  /** In [0, 1), as `Math.random`. */
  readonly random?: () => number;
  readonly log: Log;
  /** Reads under way at a time, at least 1 (`peers.maxReads`). More settle a flood sooner and cost the API server more. */
  readonly maxReads: number;
}

/** A list costs about as much as one read for each so many objects of the namespace. */
const OBJECTS_PER_READ = 20;
/** Fewer waiting objects are read one by one. */
const LIST_FROM = 32;
const RETRY_MIN_MS: Milliseconds = 100;
const RETRY_MAX_MS: Milliseconds = 5_000;
const LOG_EVERY_MS: Milliseconds = 60_000;

/**
 * Settles pushes by reads of the API server (docs/route-table.md#rule-12): for each sandbox in doubt one read at a time,
 * which begins after the push has come. Pushes that come meanwhile start one more at the most. When very many wait in one
 * namespace, one list takes the place of their reads. While the API server does not answer it is asked again and again, with
 * waits that grow to five seconds.
 */
export class PushSettler {
  readonly #options: PushSettlerOptions;
  readonly #maxReads: number;
  /** Names that wait for a read, by namespace. */
  readonly #waiting = new Map<string, Set<string>>();
  /** Keys whose read is under way. */
  readonly #reading = new Set<string>();
  #underWay = 0;
  #failures = 0;
  #retry: TimerHandle | undefined;
  readonly #log: PacedLog;
  #stopped = false;

  constructor(options: PushSettlerOptions) {
    this.#options = options;
    this.#maxReads = options.maxReads;
    this.#log = new PacedLog(options.log, options.clock, LOG_EVERY_MS);
  }

  /** Objects that wait for a read, or whose read is under way. */
  get pending(): number {
    let pending = this.#reading.size;
    for (const names of this.#waiting.values()) pending += names.size;
    return pending;
  }

  /** A push of the object waits for a read that begins from now on. */
  doubted(namespace: string, name: string): void {
    // What the read that is under way can't settle, the table says is still open.
    if (this.#stopped || this.#reading.has(keyOf(namespace, name))) return;
    this.#wait(namespace, name);
    this.#pump();
  }

  /** Begins no more reads; answers that still come are left aside. */
  stop(): void {
    this.#stopped = true;
    this.#retry?.clear();
    this.#waiting.clear();
  }

  #wait(namespace: string, name: string): void {
    const names = this.#waiting.get(namespace);
    if (names) names.add(name);
    else this.#waiting.set(namespace, new Set([name]));
  }

  #pump(): void {
    if (this.#retry !== undefined || this.#stopped) return;
    for (const [namespace, names] of this.#waiting) {
      if (this.#underWay >= this.#maxReads) return;
      const isMany =
        names.size >= LIST_FROM && names.size * OBJECTS_PER_READ >= this.#options.table.objectsIn(namespace);
      if (isMany) this.#readNamespace(namespace, names);
      else this.#readEach(namespace, names);
    }
  }

  #readEach(namespace: string, names: Set<string>): void {
    for (const name of names) {
      if (this.#underWay >= this.#maxReads) return;
      this.#leave(namespace, names, name);
      // The informer may have settled it meanwhile.
      if (!this.#options.table.isInDoubt(namespace, name)) continue;
      void this.#begin("object", namespace, [name], async () => {
        const { version, observation } = await this.#options.reads.readObject(namespace, name);
        return { version, observationOf: () => observation };
      });
    }
  }

  #readNamespace(namespace: string, waiting: Set<string>): void {
    const names = [...waiting].filter((name) => this.#options.table.isInDoubt(namespace, name));
    this.#waiting.delete(namespace);
    if (names.length === 0) return;
    void this.#begin("namespace", namespace, names, async () => {
      const { version, observations } = await this.#options.reads.readNamespace(namespace);
      return { version, observationOf: (name) => observations.get(name) };
    });
  }

  async #begin(
    of: "object" | "namespace",
    namespace: string,
    names: readonly string[],
    read: () => Promise<{
      readonly version: ResourceVersion;
      readonly observationOf: (name: string) => Observation | undefined;
    }>,
  ): Promise<void> {
    const { table, clock, observer } = this.#options;
    const asOf = table.pushSerial;
    const startedMs = clock.monotonicMs();
    this.#underWay += 1;
    for (const name of names) this.#reading.add(keyOf(namespace, name));
    let result: SettleResult = "settled";
    try {
      const { version, observationOf } = await read();
      for (const name of this.#stopped ? [] : names) {
        this.#reading.delete(keyOf(namespace, name));
        const settled = table.settle({ namespace, name, version, asOf, observation: observationOf(name) });
        if (settled === "settled") continue;
        this.#wait(namespace, name);
        result = "open";
      }
      this.#failures = 0;
    } catch (error) {
      result = "failed";
      for (const name of names) {
        this.#reading.delete(keyOf(namespace, name));
        if (!this.#stopped) this.#wait(namespace, name);
      }
      this.#failed(error);
    }
    this.#underWay -= 1;
    if (this.#stopped) return;
    observer.read(of, result, clock.monotonicMs() - startedMs);
    this.#pump();
  }

  #failed(error: unknown): void {
    if (this.#stopped || this.#retry !== undefined) return;
    const { clock, random = Math.random } = this.#options;
    const delayMs = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** this.#failures) * (0.5 + random() / 2);
    this.#failures += 1;
    this.#retry = clock.setTimeout(() => {
      this.#retry = undefined;
      this.#pump();
    }, delayMs);
    this.#log.tell(
      "warn",
      "pushes can't be settled: reading them from the API server failed, and is tried again",
      () => ({ message: messageOf(error), waiting: this.pending }),
    );
  }

  #leave(namespace: string, names: Set<string>, name: string): void {
    names.delete(name);
    if (names.size === 0) this.#waiting.delete(namespace);
  }
}

function keyOf(namespace: string, name: string): string {
  return `${namespace}/${name}`;
}
