import { messageWithCauseOf } from "../../system/error-text.ts";
import type { Clock, Milliseconds, TimerHandle } from "../../system/clock.ts";
import type { Log } from "../../system/log.ts";
import { PacedLog } from "../../system/paced-log.ts";
import type { Outcome } from "../../routes/outcome.ts";
import type { Difference } from "./compare-facts.ts";
import { Comparison, type Look, type RelaySink } from "./comparison.ts";
import type { LocalReplica } from "./local-replica.ts";
import type { Replica } from "./replica.ts";

/** What came of looking at another replica. A closed list: these words are metric labels. */
export const LOOK_RESULTS = ["equal", "different", "self", "incomparable", "failed"] as const;

/** One of {@link LOOK_RESULTS}. */
export type LookResult = (typeof LOOK_RESULTS)[number];

/** Told of what is compared. Must not throw. */
export interface AntiEntropyObserver {
  looked(result: LookResult): void;
  /** An object was different in two looks in a row. */
  differed(kind: Difference["kind"]): void;
  /** The table was given a fact of another replica. */
  repaired(outcome: Outcome): void;
}

/** Another replica's address. */
export interface ReplicaAddress {
  /** IP address; what it sends is told to the table as from there. */
  readonly host: string;
  readonly port: number;
}

/** Options of {@link AntiEntropy}. */
export interface AntiEntropyOptions {
  readonly local: LocalReplica;
  readonly sink: RelaySink;
  /** Which replicas there are now. This one may be among them. */
  readonly replicas: () => readonly ReplicaAddress[];
  readonly connect: (address: ReplicaAddress) => Replica;
  /** False while this table knows nothing yet: then there is nothing to compare. */
  readonly ready: () => boolean;
  readonly intervalMs: Milliseconds;
  readonly observer: AntiEntropyObserver;
  readonly clock: Clock;
  /** In [0, 1), as `Math.random`. */
  readonly random?: () => number;
  readonly log: Log;
}

/** Wait before a second look at what was new, or left over. */
const SOON_MS: Milliseconds = 1_000;
const LOG_EVERY_MS: Milliseconds = 10 * 60_000;
/** The most replicas that are compared with in one round, in the order given. */
const MAX_REPLICAS = 64;

/**
 * Compares this replica with each other, again and again, one at a time (docs/peers.md#anti-entropy). A difference counts when a
 * second look, a second later, still shows it. Replicas that do not answer are tried again in the next round.
 */
export class AntiEntropy {
  readonly #options: AntiEntropyOptions;
  readonly #log: PacedLog;
  readonly #comparisons = new Map<string, Comparison>();
  #timer: TimerHandle | undefined;
  #isStopped = true;
  #drift = 0;

  constructor(options: AntiEntropyOptions) {
    this.#options = options;
    this.#log = new PacedLog(options.log, options.clock, LOG_EVERY_MS);
  }

  /** Objects that stood different in the last round, over all replicas. */
  get drift(): number {
    return this.#drift;
  }

  /** Begins with the first round. Call it once. */
  start(): void {
    this.#isStopped = false;
    this.#wait(SOON_MS);
  }

  /** Begins nothing more; an answer that still comes is left aside. */
  stop(): void {
    this.#isStopped = true;
    this.#timer?.clear();
  }

  #wait(delayMs: Milliseconds): void {
    const { clock, random = Math.random } = this.#options;
    // Spread, so that replicas which start together do not ask together.
    this.#timer = clock.setTimeout(() => void this.#round(), delayMs * (0.75 + random() / 2));
  }

  async #round(): Promise<void> {
    const { replicas, ready, intervalMs } = this.#options;
    let isUnfinished = false;
    let drift = 0;
    const addresses = ready() ? replicas().slice(0, MAX_REPLICAS) : [];
    this.#forgetOthers(addresses);
    for (const address of addresses) {
      const look = await this.#look(address);
      if (this.#isStopped) return;
      if (look?.kind !== "different") continue;
      drift += look.standing.length;
      isUnfinished ||= look.isUnfinished;
    }
    this.#drift = drift;
    this.#wait(isUnfinished ? Math.min(SOON_MS, intervalMs) : intervalMs);
  }

  async #look(address: ReplicaAddress): Promise<Look | undefined> {
    const { observer, connect } = this.#options;
    try {
      const look = await this.#comparisonWith(address).look(connect(address));
      if (this.#isStopped) return undefined;
      observer.looked(look.kind);
      if (look.kind === "incomparable") {
        this.#log.tell(
          "warn",
          "another router watches other namespaces, or with another selector: the two are not compared",
          () => ({ ...address }),
        );
      }
      if (look.kind !== "different") return look;
      for (const kind of look.standing) observer.differed(kind);
      for (const outcome of look.outcomes) observer.repaired(outcome);
      if (look.outcomes.length > 0) {
        this.#log.tell("info", "repaired what another router knew and this one did not", () => ({
          ...address,
          facts: look.outcomes.length,
        }));
      }
      return look;
    } catch (error) {
      if (this.#isStopped) return undefined;
      observer.looked("failed");
      this.#log.tell("warn", "another router could not be compared with", () => ({
        ...address,
        message: messageWithCauseOf(error),
      }));
      return undefined;
    }
  }

  #comparisonWith(address: ReplicaAddress): Comparison {
    const { local, sink } = this.#options;
    const name = nameOf(address);
    let comparison = this.#comparisons.get(name);
    if (comparison === undefined) {
      comparison = new Comparison({ local, sink, from: `replica ${address.host}`, looks: 2 });
      this.#comparisons.set(name, comparison);
    }
    return comparison;
  }

  #forgetOthers(addresses: readonly ReplicaAddress[]): void {
    const names = new Set(addresses.map(nameOf));
    for (const name of this.#comparisons.keys()) if (!names.has(name)) this.#comparisons.delete(name);
  }
}

function nameOf({ host, port }: ReplicaAddress): string {
  return `${host} ${port}`;
}
