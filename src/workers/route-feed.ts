import type { Clock } from "../system/clock.ts";
import type { EndReason, Incarnation } from "../routes/lookup.ts";
import type { ObjectKey } from "../routes/route.ts";
import type { RouteBatch } from "./route-batch.ts";
import { type RouteSource, Subscription, type SubscriptionLimits } from "./subscription.ts";

/**
 * The primary's side of the stream of routes: listens to the table and tells each subscribed worker what it does not know
 * yet.
 *
 * It is level-triggered: of a key that changed, the latest state is sent when the worker can take it, however often it
 * changed meanwhile. So a slow worker costs the primary one small record for each key that changed, and no more than the
 * worker and the table know together.
 *
 * **The invariant.** Every batch is made at one moment between two mutations and tells all ends up to then, of incarnations
 * that the worker can know, with the table's reasons; they hold before anything else of the batch does. So no newer state,
 * of the same key or of another, overtakes an end: when key A has lost a pod IP and key B has it, a worker has closed A's
 * connections to it before it sends B's first request there. A batch that is `current` completes everything: after it the
 * worker answers exactly as the table did when it was made. Very many changes are told in parts, which take effect as they
 * come; until the `current` batch that completes them some routes are older than others, but all ends are told.
 */
export class RouteFeed {
  readonly #source: RouteSource;
  readonly #clock: Clock;
  readonly #subscriptions = new Set<Subscription>();
  /** Keys with a route in effect: tells a worker's news that a key is gone from keys it has never heard of. */
  readonly #present = new Set<ObjectKey>();
  readonly #removeListener: () => void;
  #flushing = false;

  constructor(source: RouteSource, clock: Clock) {
    this.#source = source;
    this.#clock = clock;
    for (const key of source.keys()) if (source.inspect(key)?.inEffect) this.#present.add(key);
    this.#removeListener = source.addListener({
      routeChanged: (key, route) => this.#routeChanged(key, route !== undefined),
      incarnationEnded: (incarnation, reason) => this.#ended("ended", incarnation, reason),
      pauseEnded: (incarnation, reason) => this.#ended("pauseEnded", incarnation, reason),
      doubtChanged: (key) => this.#doubtChanged(key),
    });
  }

  /**
   * Sends a snapshot to a new worker, in parts, then every change. `send` must keep the order and must not throw; it may
   * be called before this returns.
   */
  subscribe(send: (batch: RouteBatch) => void, limits?: Partial<SubscriptionLimits>): Subscription {
    const subscription = new Subscription(this.#source, this.#present, this.#clock, send, limits);
    this.#subscriptions.add(subscription);
    subscription.pump();
    return subscription;
  }

  unsubscribe(subscription: Subscription): void {
    this.#subscriptions.delete(subscription);
  }

  /** To be called when {@link RouteSource.synced} may have changed: the table tells nobody of that. */
  look(): void {
    this.#schedule();
  }

  /** Stops listening to the table. */
  close(): void {
    this.#removeListener();
    this.#subscriptions.clear();
  }

  #routeChanged(key: ObjectKey, inEffect: boolean): void {
    const known = this.#present.has(key);
    if (inEffect) this.#present.add(key);
    else this.#present.delete(key);
    if (!inEffect && !known) return;
    for (const subscription of this.#subscriptions) subscription.routeChanged(key, inEffect, known);
    this.#schedule();
  }

  #ended(kind: "ended" | "pauseEnded", incarnation: Incarnation, reason: EndReason): void {
    for (const subscription of this.#subscriptions) {
      subscription.incarnationEnded(kind, incarnation.key, incarnation.number, reason);
    }
    this.#schedule();
  }

  #doubtChanged(key: ObjectKey): void {
    for (const subscription of this.#subscriptions) subscription.doubtChanged(key);
    this.#schedule();
  }

  /** What one turn of the event loop brings is sent together, and never from within a mutation. */
  #schedule(): void {
    if (this.#flushing || this.#subscriptions.size === 0) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      for (const subscription of this.#subscriptions) subscription.pump();
    });
  }
}
