import type { Milliseconds } from "../system/clock.ts";
import type { EndReason, Incarnation, RouteInEffect } from "./lookup.ts";
import type { AheadFact, DropReason, Guard, Outcome, Source } from "./outcome.ts";
import type { ObjectKey } from "./route.ts";

/**
 * Told of what happens in the table, synchronously and in order, after each mutation is complete. Must not throw and
 * must not mutate the table. Every method is optional.
 */
export interface TableListener {
  /** A writer said something; `resurrection` is the guard that stopped an attempt at one. */
  mutated?(source: Source, outcome: Outcome, key: ObjectKey, resurrection: Guard | undefined): void;
  /** The route in effect for `key` is another one now, or there is none. */
  routeChanged?(key: ObjectKey, route: RouteInEffect | undefined): void;
  incarnationEnded?(incarnation: Incarnation, reason: EndReason): void;
  /** See `IncarnationListener.pauseEnded`. */
  pauseEnded?(incarnation: Incarnation, reason: EndReason): void;
  /** The route in effect is not served, whatever its state, since no pod can have the IP that `source` gave it. */
  podIpRefused?(source: Source, key: ObjectKey, ip: string): void;
  /** A fact that `from` pushed, or that a read has shown, was given up without the informer confirming it. */
  factDropped?(fact: AheadFact, reason: DropReason, key: ObjectKey, from: string): void;
  /** The informer confirmed a claim, `lagMs` after the push had arrived. */
  claimConfirmed?(lagMs: Milliseconds): void;
  /** A push of `key` waits for a read of the API server that begins after now (rule 12). */
  doubted?(key: ObjectKey): void;
  /** Requests for `key`, or for what was pushed of it, are held from now on, or are not any more. */
  doubtChanged?(key: ObjectKey): void;
}

/** Collects what happens during a mutation and passes it on when the table is consistent again. */
export class News {
  #listeners: readonly TableListener[] = [];
  #items: ((listener: TableListener) => void)[] = [];
  /** Whether anybody hears of the two commonest news: what nobody hears need not be made. */
  hearsMutated = false;
  hearsRouteChanged = false;

  /** Calls `listener` from now on; returns what stops that. */
  addListener(listener: TableListener): () => void {
    this.#setListeners([...this.#listeners, listener]);
    return () => this.#setListeners(this.#listeners.filter((other) => other !== listener));
  }

  /** Keeps an item for {@link News.deliver}. */
  add(item: (listener: TableListener) => void): void {
    if (this.#listeners.length > 0) this.#items.push(item);
  }

  /** Tells every listener everything since the last call. */
  deliver(): void {
    if (this.#items.length === 0) return;
    const items = this.#items;
    this.#items = [];
    for (const item of items) for (const listener of this.#listeners) item(listener);
  }

  /** Tells of a mutation that is complete, after everything that was kept; it is not kept itself, being the commonest. */
  mutated(source: Source, outcome: Outcome, key: ObjectKey, resurrection: Guard | undefined): void {
    this.deliver();
    for (const listener of this.#listeners) listener.mutated?.(source, outcome, key, resurrection);
  }

  #setListeners(listeners: readonly TableListener[]): void {
    this.#listeners = listeners;
    this.hearsMutated = listeners.some((listener) => listener.mutated !== undefined);
    this.hearsRouteChanged = listeners.some((listener) => listener.routeChanged !== undefined);
  }
}
