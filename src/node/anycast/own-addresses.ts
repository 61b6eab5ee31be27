import type { Clock, Milliseconds, TimerHandle } from "../../system/clock.ts";
import type { Log } from "../../system/log.ts";
import { describeNodeToolError, NodeToolError } from "../node-tool-error.ts";
import { canonicalAddress } from "./backend.ts";
import { BirdAnnouncer, BirdError } from "./bird-announcer.ts";
import { Heartbeat, heartbeatPath } from "./heartbeat.ts";
import type { AnycastObserver } from "./observer.ts";

/** Options of {@link OwnAddresses}. */
export interface OwnAddressesOptions {
  /** Addresses that this process serves; the host has them already (on `lo`, say). */
  readonly addresses: readonly string[];
  readonly controlSocket: string;
  readonly includeFile: string;
  /** Whether this process would serve a request now. Asked several times a second. */
  readonly ready: () => boolean;
  readonly observer: Pick<
    AnycastObserver,
    "addresses" | "changed" | "drifted" | "birdConfigured" | "withdrawn"
  >;
  readonly clock: Clock;
  readonly log: Log;
}

/** Begins the names of a router's protocols; another than the daemon's, whose file is another too. */
export const ROUTER_PROTOCOLS = "lychgate_router";
const BIRD_TIMEOUT_MS: Milliseconds = 2000;
const LOOK_EVERY_MS: Milliseconds = 200;
/** Pause between looks at what BIRD really has, and before the next try after a failure. */
const ASK_EVERY_MS: Milliseconds = 1000;
const RETRY_MS: Milliseconds = 1000;

/**
 * A router's own anycast addresses: announced through BIRD 2 while it is ready, withdrawn as soon as it is not, and for good as
 * the first step of its drain (docs/architecture.md#drain). What an earlier run left announced is withdrawn at the start. While it runs it beats for the guard, which
 * withdraws for a router that was killed.
 */
export class OwnAddresses {
  readonly #options: OwnAddressesOptions;
  readonly #addresses: ReadonlySet<string>;
  readonly #bird: BirdAnnouncer;
  readonly #heartbeat: Heartbeat;
  /** As last taken by BIRD; undefined when that is not known. */
  #announced: ReadonlySet<string> | undefined;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #failedAtMs = Number.NEGATIVE_INFINITY;
  #fault = "";
  #withdrawn = false;
  #timer: TimerHandle | undefined;
  #turn: Promise<void> = Promise.resolve();

  /** Throws {@link NodeToolError} `invalid` when an address is none. */
  constructor(options: OwnAddressesOptions) {
    this.#options = options;
    this.#addresses = new Set(
      options.addresses.map((text) => {
        const address = canonicalAddress(text);
        if (address !== undefined) return address;
        throw new NodeToolError("invalid", `anycast.addresses: ${JSON.stringify(text)} is no IP address`);
      }),
    );
    const { controlSocket, includeFile, clock, log } = options;
    this.#heartbeat = new Heartbeat({ path: heartbeatPath(includeFile), clock, log });
    this.#bird = new BirdAnnouncer({
      controlSocket,
      includeFile,
      prefix: ROUTER_PROTOCOLS,
      timeoutMs: BIRD_TIMEOUT_MS,
    });
  }

  start(): void {
    this.#heartbeat.start();
    this.#look();
  }

  /**
   * Withdraws the addresses and ends. Resolves when BIRD has, or when it can't: that is logged, and must not keep anyone from
   * ending.
   */
  async withdraw(): Promise<void> {
    const { clock, observer, log } = this.#options;
    const startedMs = clock.monotonicMs();
    this.#withdrawn = true;
    this.#timer?.clear();
    await this.#turn;
    const had = (this.#announced?.size ?? 0) > 0;
    await this.#announce(new Set());
    await this.#heartbeat.stop();
    if (!had || this.#fault !== "") return;
    const tookMs = clock.monotonicMs() - startedMs;
    observer.withdrawn(tookMs);
    log.info("anycast addresses withdrawn", { tookMs: Math.round(tookMs * 10) / 10 });
  }

  #look(): void {
    this.#turn = this.#keep();
    void this.#turn.then(() => {
      if (!this.#withdrawn) this.#timer = this.#options.clock.setTimeout(() => this.#look(), LOOK_EVERY_MS);
    });
  }

  async #keep(): Promise<void> {
    const { clock, ready, observer } = this.#options;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#failedAtMs < RETRY_MS) return;
    const target = ready() ? this.#addresses : new Set<string>();
    if (this.#announced && nowMs - this.#askedAtMs >= ASK_EVERY_MS) {
      this.#askedAtMs = nowMs;
      const isUp = await this.#bird.isUp(this.#announced).catch(() => undefined);
      if (isUp === false) observer.drifted();
      if (isUp !== true) this.#announced = await this.#bird.announced().catch(() => undefined);
    }
    if (!this.#announced || !same(this.#announced, target)) await this.#announce(target);
  }

  /** Never rejects. */
  async #announce(target: ReadonlySet<string>): Promise<void> {
    const { clock, observer, log } = this.#options;
    const before = this.#announced;
    try {
      await this.#bird.announce(target);
      observer.birdConfigured("ok");
      this.#announced = target;
      this.#fault = "";
      if (before && !same(before, target)) {
        for (const _ of target.size > 0 ? target : before)
          observer.changed(target.size > 0 ? "announce" : "withdraw");
        if (target.size > 0) log.info("anycast addresses announced", { addresses: [...target] });
      }
      observer.addresses({ announced: target.size, withdrawn: this.#addresses.size - target.size });
    } catch (error) {
      observer.birdConfigured(error instanceof BirdError ? error.result : "unreachable");
      this.#announced = undefined;
      this.#failedAtMs = clock.monotonicMs();
      const fault = describeNodeToolError(error);
      if (fault !== this.#fault) log.error("anycast: BIRD did not take what it should announce", { fault });
      this.#fault = fault;
    }
  }
}

function same(one: ReadonlySet<string>, other: ReadonlySet<string>): boolean {
  return one.size === other.size && [...one].every((item) => other.has(item));
}
