import type { Milliseconds } from "../system/clock.ts";
import type { EndReason, Incarnation, RouteInEffect } from "./lookup.ts";
import type { AheadFact, DropReason, Source } from "./outcome.ts";
import type { ObjectKey } from "./route.ts";
import type { Told } from "./told.ts";

/**
 * Told of what happens in the table, synchronously and in causal order, after each mutation is complete: first what a writer
 * told, with what came of it, then each effect. Must not throw and must not mutate the table. Every method is optional.
 */
export interface TableListener {
  /** A writer told something. */
  told?(fact: Told): void;
  /** The cluster was restored from a backup, and a scope starts over from its list (rule 5). */
  restored?(scope: string): void;
  /** The route in effect for `key` is another one now, or there is none. */
  routeChanged?(key: ObjectKey, route: RouteInEffect | undefined): void;
  incarnationEnded?(incarnation: Incarnation, reason: EndReason): void;
  /** See `IncarnationListener.pauseEnded`. */
  pauseEnded?(incarnation: Incarnation, reason: EndReason): void;
  /** The route in effect is not served, whatever its state, since no pod can have the IP that `source` gave it; `from` is the peer's address. */
  podIpRefused?(source: Source, key: ObjectKey, ip: string, from: string): void;
  /** A fact that `from` pushed, or that a read has shown, was given up without the informer confirming it. */
  factDropped?(fact: AheadFact, reason: DropReason, key: ObjectKey, from: string): void;
  /** The informer confirmed a hint, `lagMs` after the push had arrived. */
  hintConfirmed?(lagMs: Milliseconds): void;
  /** A push of `key` waits for a read of the API server that begins after now (rule 12). */
  doubted?(key: ObjectKey): void;
  /** Requests for `key`, or for what was pushed of it, are held from now on, or are not any more. */
  doubtChanged?(key: ObjectKey): void;
}

/** Collects what happens during a mutation and passes it on when the table is consistent again. */
export class News {
  #listeners: readonly TableListener[] = [];
  #facts: ((tell: (fact: Told) => void) => void)[] = [];
  #items: ((listener: TableListener) => void)[] = [];
  /** Whether anybody hears of the two commonest news: what nobody hears need not be made. */
  hearsTold = false;
  hearsRouteChanged = false;

  /** Calls `listener` from now on; returns what stops that. */
  addListener(listener: TableListener): () => void {
    this.#setListeners([...this.#listeners, listener]);
    return () => this.#setListeners(this.#listeners.filter((other) => other !== listener));
  }

  /** Keeps facts for {@link News.deliver}: `facts` is called then, when the mutation is complete, and told each by each. */
  tell(facts: (tell: (fact: Told) => void) => void): void {
    if (this.hearsTold) this.#facts.push(facts);
  }

  /** Keeps an effect for {@link News.deliver}. */
  add(item: (listener: TableListener) => void): void {
    if (this.#listeners.length > 0) this.#items.push(item);
  }

  /** Tells every listener everything since the last call: the facts, then their effects. */
  deliver(): void {
    if (this.#facts.length > 0) {
      const told = this.#facts;
      this.#facts = [];
      for (const facts of told) facts(this.#tellAll);
    }
    if (this.#items.length === 0) return;
    const items = this.#items;
    this.#items = [];
    for (const item of items) for (const listener of this.#listeners) item(listener);
  }

  readonly #tellAll = (fact: Told): void => {
    for (const listener of this.#listeners) listener.told?.(fact);
  };

  #setListeners(listeners: readonly TableListener[]): void {
    this.#listeners = listeners;
    this.hearsTold = listeners.some((listener) => listener.told !== undefined);
    this.hearsRouteChanged = listeners.some((listener) => listener.routeChanged !== undefined);
  }
}
