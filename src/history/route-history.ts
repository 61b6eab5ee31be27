import type { FactWhat, HistoryFact, HistoryView } from "../admin/api-types.ts";

/** How much a {@link RouteHistory} keeps. */
export interface HistoryBounds {
  /** Facts of all routes together; 0 keeps none. Each takes up to about 400 bytes. */
  readonly maxFacts: number;
  /** Facts of one route, at least 1. */
  readonly maxFactsPerRoute: number;
}

/** What is told of a fact. Each names all fields: facts are made for each mutation, and objects of one shape cost least. */
export interface NewFact {
  readonly atMs: number;
  readonly writer: HistoryFact["writer"];
  readonly what: FactWhat;
  readonly outcome: string;
  readonly resourceVersion: string | undefined;
  readonly state: string | undefined;
  readonly ip: string | undefined;
  readonly uid: string | undefined;
  readonly from: string | undefined;
  readonly incarnation: number | undefined;
  readonly isRevival: boolean;
  /** The routing ID that the object had by this fact. Not shown: it serves {@link RouteHistory.lastOwnerOf}. */
  readonly id: string | undefined;
}

/** A fact with its places in the order of its route and in that of all facts. */
interface Kept {
  readonly fact: NewFact;
  readonly route: RouteFacts;
  newerOfRoute: Kept | undefined;
  newer: Kept | undefined;
  older: Kept | undefined;
}

interface RouteFacts {
  readonly namespace: string;
  readonly name: string;
  oldest: Kept | undefined;
  newest: Kept | undefined;
  count: number;
  forgotten: number;
}

/** How far {@link RouteHistory.lastOwnerOf} looks back: some milliseconds' work, whatever the bounds are. */
const MAX_LOOKED_AT = 200_000;

/** Longer names are no Kubernetes object's: what a peer invents must not take more memory than a real fact. */
const MAX_NAME_CHARACTERS = 253;

/**
 * What the table was told of each route, newest last, within two bounds: a busy route forgets its own oldest facts, not
 * those of others, and when there are too many in all the oldest of all go. Adding one costs two Map lookups.
 */
export class RouteHistory {
  #bounds: HistoryBounds;
  /** By namespace, then by name: both strings were looked up in the table just before, so their hashes are known. */
  readonly #namespaces = new Map<string, Map<string, RouteFacts>>();
  #oldest: Kept | undefined;
  #newest: Kept | undefined;
  #facts = 0;
  #routes = 0;

  constructor(bounds: HistoryBounds) {
    this.#bounds = bounds;
  }

  get bounds(): HistoryBounds {
    return this.#bounds;
  }

  /** Other bounds from now on. What is too much in all is forgotten at once; a route's own at its next fact. */
  setBounds(bounds: HistoryBounds): void {
    this.#bounds = bounds;
    while (this.#facts > bounds.maxFacts && this.#oldest) this.#forgetOldestOf(this.#oldest.route);
  }

  /** Facts and routes that are kept. */
  get size(): { readonly facts: number; readonly routes: number } {
    return { facts: this.#facts, routes: this.#routes };
  }

  add(namespace: string, name: string, fact: NewFact): void {
    if (this.#bounds.maxFacts === 0) return;
    if (namespace.length > MAX_NAME_CHARACTERS || name.length > MAX_NAME_CHARACTERS) return;
    const route = this.#routeOf(namespace, name);
    const kept: Kept = { fact, route, newerOfRoute: undefined, newer: undefined, older: this.#newest };
    if (this.#newest) this.#newest.newer = kept;
    else this.#oldest = kept;
    this.#newest = kept;
    if (route.newest) route.newest.newerOfRoute = kept;
    else route.oldest = kept;
    route.newest = kept;
    route.count++;
    this.#facts++;
    while (route.count > this.#bounds.maxFactsPerRoute) this.#forgetOldestOf(route);
    if (this.#facts > this.#bounds.maxFacts && this.#oldest) this.#forgetOldestOf(this.#oldest.route);
  }

  /** The facts of a route, oldest first. */
  of(namespace: string, name: string): HistoryView {
    const route = this.#namespaces.get(namespace)?.get(name);
    const facts: HistoryFact[] = [];
    for (let kept = route?.oldest; kept; kept = kept.newerOfRoute) facts.push(viewOf(kept.fact));
    return { facts, forgotten: route?.forgotten ?? 0 };
  }

  /**
   * The object that had a routing ID last, in any case of letters, of the facts that are kept (at most the latest 200,000).
   * Walks them: for people who ask, not for requests.
   */
  lastOwnerOf(id: string): { readonly namespace: string; readonly name: string } | undefined {
    const wanted = id.toLowerCase();
    let looked = 0;
    for (let kept = this.#newest; kept && looked < MAX_LOOKED_AT; kept = kept.older, looked++) {
      const { id: had } = kept.fact;
      if (had !== undefined && had.length === id.length && had.toLowerCase() === wanted) {
        const { namespace, name } = kept.route;
        return { namespace, name };
      }
    }
    return undefined;
  }

  #routeOf(namespace: string, name: string): RouteFacts {
    let names = this.#namespaces.get(namespace);
    if (!names) this.#namespaces.set(namespace, (names = new Map()));
    let route = names.get(name);
    if (!route) {
      route = { namespace, name, oldest: undefined, newest: undefined, count: 0, forgotten: 0 };
      names.set(name, route);
      this.#routes++;
    }
    return route;
  }

  /** The oldest fact of all is always the oldest of its route, too. */
  #forgetOldestOf(route: RouteFacts): void {
    const { oldest } = route;
    if (!oldest) return;
    if (oldest.older) oldest.older.newer = oldest.newer;
    else this.#oldest = oldest.newer;
    if (oldest.newer) oldest.newer.older = oldest.older;
    else this.#newest = oldest.older;
    route.oldest = oldest.newerOfRoute;
    route.count--;
    route.forgotten++;
    this.#facts--;
    if (route.oldest) return;
    const names = this.#namespaces.get(route.namespace);
    names?.delete(route.name);
    if (names?.size === 0) this.#namespaces.delete(route.namespace);
    this.#routes--;
  }
}

/** Without the fields that say nothing. */
function viewOf(fact: NewFact): HistoryFact {
  const { atMs, writer, what, outcome, resourceVersion, state, ip, uid, from, incarnation, isRevival } = fact;
  return {
    atMs,
    writer,
    ...(from !== undefined && { from }),
    what,
    ...(resourceVersion !== undefined && { resourceVersion }),
    ...(state !== undefined && { state }),
    ...(ip !== undefined && { ip }),
    ...(uid !== undefined && { uid }),
    ...(incarnation !== undefined && { incarnation }),
    outcome,
    ...(isRevival && { revival: true }),
  };
}
