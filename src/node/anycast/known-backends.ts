import type { Milliseconds } from "../../system/clock.ts";
import type { Backend } from "./backend.ts";
import { LingeringBackends } from "./lingering.ts";
import { addressesWithBackend } from "./plan.ts";

/** What {@link KnownBackends} needs. */
export interface KnownBackendsOptions {
  /** The committed addresses, canonical. */
  readonly addresses: readonly string[];
  /** Names of the sources that must have been heard before anything is done. */
  readonly sources: readonly string[];
  readonly lingerMs: Milliseconds;
}

/** What the sources say of backends, and since when an address has none. */
export class KnownBackends {
  readonly #options: KnownBackendsOptions;
  readonly #bySource = new Map<string, readonly Backend[]>();
  readonly #lingering: LingeringBackends;
  /** When an address was heard to lose its last eligible backend. */
  readonly #lostAtMs = new Map<string, Milliseconds>();

  constructor(options: KnownBackendsOptions) {
    this.#options = options;
    this.#lingering = new LingeringBackends(options.lingerMs);
  }

  /** All sources have been heard. */
  get synced(): boolean {
    return this.#options.sources.every((source) => this.#bySource.has(source));
  }

  /** A source's backends are these, all of them, since `nowMs`. */
  set(source: string, backends: readonly Backend[], nowMs: Milliseconds): void {
    const before = this.servedAddresses();
    const earlier = this.all();
    // What binds no committed address is none of ours: anyone may annotate a pod with anything.
    const committed = new Set(this.#options.addresses);
    this.#bySource.set(
      source,
      backends.filter(({ addresses }) => addresses.some((address) => committed.has(address))),
    );
    this.#lingering.changed(earlier, this.all(), nowMs);
    const after = this.servedAddresses();
    for (const address of before) if (!after.has(address)) this.#lostAtMs.set(address, nowMs);
    for (const address of after) this.#lostAtMs.delete(address);
  }

  /** Those of all sources. */
  all(): readonly Backend[] {
    return [...this.#bySource.values()].flat();
  }

  /** The addresses that have an eligible backend. */
  servedAddresses(): ReadonlySet<string> {
    return addressesWithBackend({ addresses: this.#options.addresses, backends: this.all() });
  }

  /** Keys of those that linger at `nowMs`. */
  lingering(nowMs: Milliseconds): ReadonlySet<string> {
    return this.#lingering.keys(nowMs);
  }

  /** How long until the next of them stops lingering; infinite when none does. */
  nextLingerEndMs(nowMs: Milliseconds): Milliseconds {
    return this.#lingering.nextEndMs(nowMs);
  }

  /** When an address lost its last eligible backend, told once. */
  takeLostAtMs(address: string): Milliseconds | undefined {
    const lostAtMs = this.#lostAtMs.get(address);
    this.#lostAtMs.delete(address);
    return lostAtMs;
  }
}
