import { setTimeout as sleep } from "node:timers/promises";
import { Agent, request } from "undici";
import type { Clock, Milliseconds, TimerHandle } from "../../src/system/clock.ts";
import { encodePush, type PushedRoute } from "./pushed-route.ts";
import { chance, pick, type Random, randomInteger } from "./random.ts";

/** What goes wrong with pushes, each with a probability from 0 (default) to 1. */
export interface PushFaults {
  /** Never sent. */
  readonly lost: number;
  /** Sent up to `lateMs` later. */
  readonly late: number;
  /** Sent a second time, up to `lateMs` later. */
  readonly twice: number;
  /** Held back until the next push has been sent. */
  readonly reordered: number;
  /** Followed by an older push of the same sandbox, up to `lateMs` later. */
  readonly stale: number;
  /** How late is late, at most. Default 2 s. */
  readonly lateMs: Milliseconds;
  /**
   * A push of a route that does not run (any more) is never lost, late or reordered, only doubled and followed by stale
   * ones. For an informer that lags or is away: what neither tells in time, no router can know. Default false.
   */
  readonly endsOnTime: boolean;
}

/** No fault at all. */
const NO_FAULTS: PushFaults = {
  lost: 0,
  late: 0,
  twice: 0,
  reordered: 0,
  stale: 0,
  lateMs: 2_000,
  endsOnTime: false,
};

/** How a delivery ended. */
export interface PushReport {
  readonly peer: string;
  readonly route: PushedRoute;
  /** Why it was sent: as it should be, or because of a fault. */
  readonly why: "on-time" | Exclude<keyof PushFaults, "lost" | "lateMs" | "endsOnTime">;
  /** The last HTTP status, or `undefined` when no attempt was answered. */
  readonly status: number | undefined;
  readonly attempts: number;
}

/** How a {@link Pusher} sends. */
export interface PusherOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Base URLs of the peers, such as `http://127.0.0.1:7789`. */
  readonly peers?: readonly string[];
  readonly faults?: Partial<PushFaults>;
  /** How long one attempt may take. Default 100 ms. */
  readonly timeoutMs?: Milliseconds;
  /** Default 10. */
  readonly attempts?: number;
  /** Pause between attempts. Default 10 ms. */
  readonly retryDelayMs?: Milliseconds;
  /** Told when a delivery has ended. Must not throw. */
  readonly onPushed?: (report: PushReport) => void;
}

const REMEMBERED_SANDBOXES = 1_000;
const REMEMBERED_PUSHES = 8;

/**
 * Pushes routes to peers as an OpenKruise sandbox-manager does: `POST /refresh` to all of them at once, 100 ms
 * for an answer, 10 attempts 10 ms apart, no second attempt after a 4xx, and nothing after that. On purpose it can
 * do it badly, too ({@link PushFaults}).
 */
export class Pusher {
  readonly #options: PusherOptions;
  readonly #agent = new Agent({ connections: 8 });
  readonly #stopping = new AbortController();
  readonly #underWay = new Set<Promise<void>>();
  readonly #timers = new Set<TimerHandle>();
  /** Pushes of the past, by object; the oldest object is forgotten first. */
  readonly #past = new Map<string, PushedRoute[]>();
  #heldBack: (() => void)[] = [];
  #peers: readonly string[];
  #faults: PushFaults;

  constructor(options: PusherOptions) {
    this.#options = options;
    this.#peers = options.peers ?? [];
    this.#faults = { ...NO_FAULTS, ...options.faults };
  }

  /** Replaces the peers. */
  setPeers(peers: readonly string[]): void {
    this.#peers = peers;
  }

  /** Changes some of the faults; what is late already stays late. */
  setFaults(faults: Partial<PushFaults>): void {
    this.#faults = { ...this.#faults, ...faults };
  }

  /** Sends a route to every peer, as well or badly as the faults say. Returns at once. */
  push(route: PushedRoute): void {
    if (this.#stopping.signal.aborted) return;
    const { random } = this.#options;
    const faults = this.#faults;
    const older = pick(random, this.#remember(route));
    const before = this.#heldBack;
    this.#heldBack = [];
    if (faults.endsOnTime && route.state !== "running") this.#send(route, "on-time");
    else if (chance(random, faults.reordered)) this.#heldBack.push(() => this.#send(route, "reordered"));
    else if (chance(random, faults.late)) this.#later(() => this.#send(route, "late"));
    else if (!chance(random, faults.lost)) this.#send(route, "on-time");
    if (chance(random, faults.twice)) this.#later(() => this.#send(route, "twice"));
    if (older && chance(random, faults.stale)) this.#later(() => this.#send(older, "stale"));
    for (const send of before) send();
  }

  /** Resolves when no delivery is under way and nothing is late any more. What is held back is sent first. */
  async settled(): Promise<void> {
    while (this.#underWay.size > 0 || this.#timers.size > 0 || this.#heldBack.length > 0) {
      for (const send of this.#heldBack.splice(0)) send();
      await Promise.allSettled(this.#underWay);
      if (this.#timers.size > 0) await sleep(5);
    }
  }

  /** Drops what has not been sent and closes the connections. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#heldBack = [];
    for (const timer of this.#timers) timer.clear();
    this.#timers.clear();
    await Promise.allSettled(this.#underWay);
    await this.#agent.destroy();
  }

  /** Keeps the route for later and returns the older ones of the same object. */
  #remember(route: PushedRoute): readonly PushedRoute[] {
    const key = `${route.namespace}/${route.name}`;
    const older = this.#past.get(key) ?? [];
    this.#past.delete(key);
    this.#past.set(key, [...older, route].slice(-REMEMBERED_PUSHES));
    const [oldest] = this.#past.keys();
    if (this.#past.size > REMEMBERED_SANDBOXES && oldest !== undefined) this.#past.delete(oldest);
    return older;
  }

  #later(send: () => void): void {
    const { clock, random } = this.#options;
    const timer = clock.setTimeout(
      () => {
        this.#timers.delete(timer);
        send();
      },
      randomInteger(random, 1, Math.max(1, this.#faults.lateMs)),
    );
    this.#timers.add(timer);
  }

  #send(route: PushedRoute, why: PushReport["why"]): void {
    const body = encodePush(route);
    for (const peer of this.#peers) {
      const delivery = this.#deliver(peer, body)
        .then(({ status, attempts }) => this.#options.onPushed?.({ peer, route, why, status, attempts }))
        .finally(() => this.#underWay.delete(delivery));
      this.#underWay.add(delivery);
    }
  }

  async #deliver(peer: string, body: string): Promise<{ status: number | undefined; attempts: number }> {
    const { attempts: maxAttempts = 10, retryDelayMs = 10, timeoutMs = 100 } = this.#options;
    let status: number | undefined;
    let attempts = 0;
    while (attempts < maxAttempts && !this.#stopping.signal.aborted) {
      attempts++;
      status = await this.#attempt(peer, body, timeoutMs);
      if (status !== undefined && status >= 200 && status < 300) break;
      if (status !== undefined && status >= 400 && status < 500) break;
      await sleep(retryDelayMs);
    }
    return { status, attempts };
  }

  async #attempt(peer: string, body: string, timeoutMs: Milliseconds): Promise<number | undefined> {
    const signal = AbortSignal.any([AbortSignal.timeout(timeoutMs), this.#stopping.signal]);
    try {
      const response = await request(new URL("/refresh", peer), {
        method: "POST",
        body,
        signal,
        dispatcher: this.#agent,
      });
      await response.body.dump();
      return response.statusCode;
    } catch {
      return undefined;
    }
  }
}
