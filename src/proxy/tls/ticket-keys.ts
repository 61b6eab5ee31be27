import type { Clock, Milliseconds, TimerHandle } from "../../system/clock.ts";

/** What session tickets are sealed with: 48 bytes, of which the first 16 are a name that each ticket begins with. */
export interface TicketKeys {
  /** New tickets are sealed with it. */
  readonly current: Buffer;
  /** The one before: its tickets are still taken. */
  readonly previous: Buffer;
  /** In seconds: no ticket is taken for longer. */
  readonly lifetimeS: number;
}

/** Bytes of a key's name. */
export const TICKET_NAME_BYTES = 16;
const KEY_BYTES = 48;

/** Options of {@link RotatingTicketKeys}. */
export interface TicketKeyOptions {
  /** How long a ticket is good, and how often the key is replaced: so each ticket can be read for as long as it lives. */
  readonly lifetimeMs: Milliseconds;
  readonly randomBytes: (size: number) => Buffer;
  /** Called with each new set. Must not throw. */
  readonly changed: (keys: TicketKeys) => void;
  readonly clock: Clock;
}

/**
 * Keys of session tickets, replaced in turn (RFC 5077 5.5): whoever gets hold of one can read what was said under it, so none
 * lives for longer than two lifetimes. They are in memory alone: after a restart clients shake hands in full once.
 */
export class RotatingTicketKeys {
  readonly #options: TicketKeyOptions;
  #keys: TicketKeys;
  #timer: TimerHandle | undefined;

  constructor(options: TicketKeyOptions) {
    this.#options = options;
    this.#keys = this.#keysAfter(undefined);
    this.#wait();
  }

  get current(): TicketKeys {
    return this.#keys;
  }

  /** Makes every ticket void: what was true when they were given out is not any more. */
  renewAll(): void {
    this.#replace(undefined);
  }

  stop(): void {
    this.#timer?.clear();
  }

  #keysAfter(previous: Buffer | undefined): TicketKeys {
    const { randomBytes, lifetimeMs } = this.#options;
    return {
      current: randomBytes(KEY_BYTES),
      previous: previous ?? randomBytes(KEY_BYTES),
      lifetimeS: Math.max(1, Math.floor(lifetimeMs / 1_000)),
    };
  }

  #replace(previous: Buffer | undefined): void {
    this.#keys = this.#keysAfter(previous);
    this.#options.changed(this.#keys);
  }

  #wait(): void {
    const { clock, lifetimeMs } = this.#options;
    this.#timer = clock.setTimeout(() => {
      this.#replace(this.#keys.current);
      this.#wait();
    }, lifetimeMs);
  }
}
