import { networkInterfaces } from "node:os";
import type { Clock, Milliseconds, TimerHandle } from "../system/clock.ts";
import type { Log } from "../system/log.ts";

/** Interfaces come and go with the node's network; reading them costs well under a millisecond. */
const INTERVAL_MS: Milliseconds = 10_000;

/** What {@link InterfaceAddresses} works with. */
export interface InterfaceAddressesOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Reads all addresses of this host's network namespace. Defaults to the system's. */
  readonly read?: () => readonly string[];
}

/** The addresses of this host's interfaces, read at once and then every 10 s. */
export class InterfaceAddresses {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #read: () => readonly string[];
  #timer: TimerHandle | undefined;
  #hasFailed = false;
  /** The addresses as they were last read, without duplicates, in order. */
  current: readonly string[] = [];

  constructor({ clock, log, read = readAddresses }: InterfaceAddressesOptions) {
    this.#clock = clock;
    this.#log = log;
    this.#read = read;
    this.#update();
  }

  /** Reads again and again from now on; calls `changed` after each time that the addresses are not the same. */
  start(changed: () => void): void {
    this.#timer = this.#clock.setTimeout(() => {
      if (this.#update()) changed();
      this.start(changed);
    }, INTERVAL_MS);
  }

  stop(): void {
    this.#timer?.clear();
    this.#timer = undefined;
  }

  /** Whether they have changed. */
  #update(): boolean {
    try {
      const read = [...new Set(this.#read())].sort();
      this.#hasFailed = false;
      if (read.join() === this.current.join()) return false;
      this.current = read;
      return true;
    } catch (error) {
      // What was read last stands. Said once: the cause is the system, and it lasts.
      if (!this.#hasFailed) this.#log.warn("reading this host's own addresses failed", { error });
      this.#hasFailed = true;
      return false;
    }
  }
}

function readAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((addresses = []) =>
    addresses.map(({ address }) => address.replace(/%.*/, "")),
  );
}
