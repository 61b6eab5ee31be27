import type { Dispatcher } from "undici";
import type { Clock, Milliseconds } from "../system/clock.ts";
import { sleep } from "../system/clock.ts";
import { compareResourceVersions } from "../routes/resource-version.ts";
import { objectKey, type ObjectKey } from "../routes/route.ts";
import { type OutgoingRoute, refreshBody } from "./refresh-body.ts";

/**
 * What became of a push to one peer.
 *
 * | result | meaning |
 * |---|---|
 * | `taken` | the peer answered 204, or another 2xx |
 * | `refused` | it answered 4xx, and is not asked again |
 * | `failed` | it did not answer, or with 5xx, at each try |
 * | `superseded` | a newer version of the sandbox took its place before it was taken |
 * | `dropped` | too many waited for this peer: the oldest goes |
 */
export type SendResult = "taken" | "refused" | "failed" | "superseded" | "dropped";

/** Options of {@link RefreshSender}. */
export interface RefreshSenderOptions {
  /** Who is pushed to now: origins such as `http://10.0.0.7:7789`, without this router's own. */
  readonly origins: () => readonly string[];
  /** Keeps connections, so that pushes to one peer share them. */
  readonly dispatcher: Dispatcher;
  /** Longest wait for an answer. Managers wait 100 ms. */
  readonly timeoutMs: Milliseconds;
  /** Tries of one push, at least 1, and the wait between two. Managers try 10 times, 10 ms apart. */
  readonly tries: number;
  readonly retryMs: Milliseconds;
  /** Pushes that wait for one peer at a time, each of another sandbox. */
  readonly maxWaiting: number;
  /** Pushes to one peer that are under way at a time. */
  readonly maxUnderWay: number;
  /** Told of each push and peer, once. Must not throw. */
  readonly sent: (result: SendResult, origin: string) => void;
  readonly clock: Clock;
}

/** As OpenKruise's managers push. */
export const MANAGER_PACE = { timeoutMs: 100, tries: 10, retryMs: 10 } as const;

/**
 * Pushes what this router learns first to its peers: `POST /refresh`, as OpenKruise's managers do it (docs/peers.md#what-a-manager-sees).
 * Pushes of one sandbox coalesce for each peer: only the newest version waits, and an older one is not tried again. A push is
 * news, not a promise: what a peer does not take in time, its informer tells it.
 *
 * Never give it what a peer pushed: two routers that pass pushes on would echo them for ever.
 */
export class RefreshSender {
  readonly #options: RefreshSenderOptions;
  readonly #peers = new Map<string, Peer>();
  #isStopped = false;

  constructor(options: RefreshSenderOptions) {
    this.#options = options;
  }

  /** Pushes that wait or are under way, over all peers. */
  get pending(): number {
    let pending = 0;
    for (const { waiting, underWay } of this.#peers.values()) pending += waiting.size + underWay.size;
    return pending;
  }

  /** Pushes a route to every peer that there is now. Returns at once, and never throws. */
  send(route: OutgoingRoute): void {
    if (this.#isStopped) return;
    for (const origin of this.#options.origins()) {
      const peer = this.#peers.get(origin) ?? { origin, waiting: new Map(), underWay: new Map() };
      this.#peers.set(origin, peer);
      this.#enqueue(peer, route);
      this.#pump(peer);
    }
  }

  /** Gives up all that waits; what is under way ends at its next try. */
  stop(): void {
    this.#isStopped = true;
    for (const { waiting } of this.#peers.values()) waiting.clear();
  }

  #enqueue({ origin, waiting, underWay }: Peer, route: OutgoingRoute): void {
    const { sent, maxWaiting } = this.#options;
    const key = objectKey(route.namespace, route.name);
    const known = waiting.get(key) ?? underWay.get(key);
    if (known && !supersedes(route, known)) {
      sent("superseded", origin);
      return;
    }
    // One that waits leaves its place in the queue with its version: else a sandbox that changes often would never wait for long.
    if (waiting.delete(key)) sent("superseded", origin);
    waiting.set(key, route);
    if (waiting.size <= maxWaiting) return;
    const [oldest] = waiting.keys();
    if (oldest !== undefined && waiting.delete(oldest)) sent("dropped", origin);
  }

  #pump(peer: Peer): void {
    const { waiting, underWay } = peer;
    for (const [key, route] of waiting) {
      if (underWay.size >= this.#options.maxUnderWay) return;
      // Its older version is still being tried, and ends when it sees this one.
      if (underWay.has(key)) continue;
      waiting.delete(key);
      underWay.set(key, route);
      void this.#deliver(peer, key, route).then((result) => {
        underWay.delete(key);
        this.#options.sent(result, peer.origin);
        if (waiting.size > 0) this.#pump(peer);
        else if (underWay.size === 0) this.#peers.delete(peer.origin);
      });
    }
  }

  /** Never rejects. */
  async #deliver({ origin, waiting }: Peer, key: ObjectKey, route: OutgoingRoute): Promise<SendResult> {
    const { tries, retryMs, clock } = this.#options;
    const body = refreshBody(route);
    for (let attempt = 1; ; attempt++) {
      const status = await this.#post(origin, body);
      if (status !== undefined && status >= 200 && status < 300) return "taken";
      if (status !== undefined && status >= 400 && status < 500) return "refused";
      if (attempt < tries) await sleep(clock, retryMs);
      if (waiting.has(key)) return "superseded";
      if (attempt >= tries || this.#isStopped) return "failed";
    }
  }

  /** The status of the answer; undefined when there was none in time. */
  async #post(origin: string, body: string): Promise<number | undefined> {
    const { dispatcher, timeoutMs } = this.#options;
    try {
      const answer = await dispatcher.request({
        origin,
        path: "/refresh",
        method: "POST",
        body,
        signal: AbortSignal.timeout(timeoutMs),
      });
      await answer.body.dump();
      return answer.statusCode;
    } catch {
      return undefined;
    }
  }
}

interface Peer {
  readonly origin: string;
  /** The newest version of each sandbox that is to be sent, in the order in which they came. */
  readonly waiting: Map<ObjectKey, OutgoingRoute>;
  readonly underWay: Map<ObjectKey, OutgoingRoute>;
}

/** Whether a push says more than another of the same sandbox: death wins ties. */
function supersedes(route: OutgoingRoute, known: OutgoingRoute): boolean {
  const order = compareResourceVersions(route.resourceVersion, known.resourceVersion);
  return order > 0 || (order === 0 && route.state === "dead" && known.state !== "dead");
}
