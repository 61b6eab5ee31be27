import type { Clock, Milliseconds } from "../../system/clock.ts";
import type { Log } from "../../system/log.ts";
import { describeNodeToolError } from "../node-tool-error.ts";
import { BirdError } from "./bird-announcer.ts";
import type { AnycastObserver } from "./observer.ts";

/** BIRD's side; `BirdAnnouncer` is it. */
export interface BirdPort {
  announced(): Promise<ReadonlySet<string>>;
  isUp(target: ReadonlySet<string>): Promise<boolean>;
  inFile(): Promise<ReadonlySet<string>>;
  announce(target: ReadonlySet<string>): Promise<void>;
}

/** What {@link Announcements} needs. */
export interface AnnouncementsOptions {
  readonly bird: BirdPort;
  /** When an address lost its last eligible backend, told once. */
  readonly takeLostAtMs: (address: string) => Milliseconds | undefined;
  /** BIRD refused its configuration. */
  readonly refused: (fault: string) => void;
  readonly observer: AnycastObserver;
  readonly clock: Clock;
  readonly log: Log;
}

/** What BIRD announces as far as is known, and the way to change it. Faults are words, empty when there is none. */
export class Announcements {
  readonly #options: AnnouncementsOptions;
  #addresses: ReadonlySet<string> = new Set();
  #isKnown = false;
  #fault = "";

  constructor(options: AnnouncementsOptions) {
    this.#options = options;
  }

  /** The addresses that BIRD announces; while not {@link isKnown}, those that it announced last. */
  get addresses(): ReadonlySet<string> {
    return this.#addresses;
  }

  /** BIRD has said what it announces, and nothing went wrong since. */
  get isKnown(): boolean {
    return this.#isKnown;
  }

  /** What is wrong with BIRD. */
  get fault(): string {
    return this.#fault;
  }

  /** Before BIRD is asked for the first time, what its file says it may have: enough to know what to withdraw. */
  async readFile(): Promise<void> {
    if (!this.#isKnown && this.#addresses.size === 0) this.#addresses = await this.#options.bird.inFile();
  }

  /** What BIRD says that it announces, for {@link heard}, or the fault. */
  ask(): Promise<ReadonlySet<string> | string> {
    return this.#options.bird.announced().catch((error: unknown) => describeNodeToolError(error));
  }

  /** Takes what BIRD said, or the fault, which is returned. `isWell`: nothing else went wrong, so an earlier fault is over. */
  heard(inBird: ReadonlySet<string> | string, isWell: boolean): string {
    if (typeof inBird === "string") {
      this.#fault = inBird;
      this.#isKnown = false;
      return inBird;
    }
    this.#addresses = inBird;
    this.#isKnown = true;
    if (isWell) this.#fault = "";
    return "";
  }

  /** Whether BIRD and its file are as they were left; undefined when this side has changed them meanwhile. Never rejects. */
  async areAsLeft(): Promise<boolean | undefined> {
    const { bird } = this.#options;
    const left = this.#addresses;
    const areAsLeft = await Promise.all([bird.isUp(left), bird.inFile()]).then(
      ([isUp, inFile]) => isUp && sameSet(inFile, left),
      () => false,
    );
    return left === this.#addresses ? areAsLeft : undefined;
  }

  /** Has BIRD announce these, unless it and its file do. Resolves to the fault. */
  async settle(target: ReadonlySet<string>): Promise<string> {
    const isSettled = sameSet(target, this.#addresses) && sameSet(target, await this.#options.bird.inFile());
    return isSettled ? "" : this.set(target);
  }

  /** Has BIRD announce these and no other. Resolves to the fault. */
  async set(target: ReadonlySet<string>): Promise<string> {
    const { bird, observer } = this.#options;
    const before = this.#addresses;
    try {
      await bird.announce(target);
    } catch (error) {
      return await this.#failed(error, before);
    }
    observer.birdConfigured("ok");
    this.#fault = "";
    this.#addresses = target;
    this.#isKnown = true;
    this.#tell(before, target);
    return "";
  }

  async #failed(cause: unknown, before: ReadonlySet<string>): Promise<string> {
    const { bird, observer, refused } = this.#options;
    const result = cause instanceof BirdError ? cause.result : "unreachable";
    const fault = describeNodeToolError(cause);
    observer.birdConfigured(result);
    if (result === "refused") refused(fault);
    this.#fault = fault;
    // Refused or away: what was to be withdrawn is disabled, or not announced by a BIRD that isn't there.
    this.#addresses = result === "refused" ? await bird.announced().catch(() => before) : before;
    this.#isKnown = result === "refused";
    return fault;
  }

  #tell(before: ReadonlySet<string>, after: ReadonlySet<string>): void {
    const { takeLostAtMs, observer, clock, log } = this.#options;
    const nowMs = clock.monotonicMs();
    for (const address of before) {
      if (after.has(address)) continue;
      const lostAtMs = takeLostAtMs(address);
      const tookMs = lostAtMs === undefined ? undefined : nowMs - lostAtMs;
      if (tookMs !== undefined) observer.withdrawn(tookMs);
      observer.changed("withdraw");
      log.info("withdrawn", {
        address,
        ...(tookMs !== undefined && { tookMs: Math.round(tookMs * 10) / 10 }),
      });
    }
    for (const address of after) {
      if (before.has(address)) continue;
      observer.changed("announce");
      log.info("announced", { address });
    }
  }
}

function sameSet(one: ReadonlySet<string>, other: ReadonlySet<string>): boolean {
  return one.size === other.size && [...one].every((item) => other.has(item));
}
