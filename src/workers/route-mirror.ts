import { Doubts } from "../routes/doubts.ts";
import type { EndReason, Incarnation, IncarnationListener, Lookup, RouteLookup } from "../routes/lookup.ts";
import { firstLiving, inLookupOrder, type Provider, providerOf, tableNamespace } from "../routes/provider.ts";
import { objectKey, type ObjectKey } from "../routes/route.ts";
import { MirroredRoute, MirrorIds } from "./mirror-ids.ts";
import { decodeRoute, type EndTuple, type RouteBatch, type RouteTuple } from "./route-batch.ts";

type News = readonly [kind: EndTuple[0], incarnation: Incarnation, reason: EndReason];

/**
 * The worker's side of the stream of routes: answers as the primary's table did when it made the last `current` batch that
 * was applied here; between parts each route is as it was then or later, and none is served that has ended. Not synced before the first snapshot is whole, nor after {@link RouteMirror.disconnected}.
 *
 * An incarnation is one object here as long as it is one there, so connections are kept and cut as they would be in
 * one process. Whatever a batch leaves unsaid, an incarnation never stays when its number is not in effect any more.
 */
export class RouteMirror implements RouteLookup {
  readonly #routes = new Map<ObjectKey, MirroredRoute>();
  readonly #ids = new MirrorIds();
  readonly #doubts = new Doubts<ObjectKey>();
  readonly #listeners = new Set<IncarnationListener>();
  /** Those of which a route was ever in effect, and the first. */
  #providers: readonly Provider[] = [""];
  #news: News[] = [];
  #current = false;
  #tableSynced = false;
  #disconnected = false;

  get synced(): boolean {
    return this.#current && this.#tableSynced && !this.#disconnected;
  }

  /** The first snapshot is whole, be the table synced or not. */
  get current(): boolean {
    return this.#current;
  }

  /** Routes in effect. */
  get size(): number {
    return this.#routes.size;
  }

  lookup(id: string): Lookup {
    return this.#ids.lookup(id);
  }

  lookupObject(namespace: string, name: string): Lookup {
    const found = this.#object(namespace, name);
    if (!found) return { kind: "unknown" };
    // An object whose ID is disputed is served under no name.
    const byId = this.#ids.lookup(found.route.id);
    return byId.kind === "id_conflict" && byId.keys.includes(found.key) ? byId : found;
  }

  get doubtful(): number {
    return this.#doubts.size;
  }

  isHeld(id: string): boolean {
    if (this.#doubts.size === 0) return false;
    const found = this.#ids.lookup(id);
    const route = found instanceof MirroredRoute ? found : undefined;
    return this.#doubts.hold(id, route?.key, route);
  }

  isObjectHeld(namespace: string, name: string): boolean {
    if (this.#doubts.size === 0) return false;
    const found = this.#object(namespace, name);
    return this.#doubts.hold(found?.route.id ?? "", found?.key ?? objectKey(namespace, name), found);
  }

  /** The object that a request names, of whichever CRD: the same as the table's. */
  #object(namespace: string, name: string): MirroredRoute | undefined {
    if (this.#providers.length === 1) return this.#routes.get(objectKey(namespace, name));
    return firstLiving(this.#providers, (provider) =>
      this.#routes.get(objectKey(tableNamespace(provider, namespace), name)),
    );
  }

  /** Calls `listener` from now on; returns what stops that. */
  addListener(listener: IncarnationListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Takes over a batch, ends first; then tells the listeners what ended. */
  apply({ ends, gone, routes, doubts, extent, synced }: RouteBatch): void {
    for (const end of ends) this.#end(end);
    for (const key of gone) this.#remove(key);
    for (const tuple of routes) this.#set(tuple);
    for (const [key, names] of doubts) {
      if (names) this.#doubts.set(key, names);
      else this.#doubts.end(key);
    }
    if (extent === "current") {
      this.#current = true;
      this.#tableSynced = synced;
    }
    const news = this.#news;
    this.#news = [];
    for (const [kind, incarnation, reason] of news) {
      for (const listener of this.#listeners) {
        if (kind === "ended") listener.incarnationEnded(incarnation, reason);
        else listener.pauseEnded?.(incarnation, reason);
      }
    }
    for (const [key] of doubts) for (const listener of this.#listeners) listener.doubtChanged?.(key);
    const hears = [...this.#listeners].some((listener) => listener.routeChanged !== undefined);
    if (!hears) return;
    for (const key of [...gone, ...routes.map(([namespace, name]) => objectKey(namespace, name))]) {
      for (const listener of this.#listeners) listener.routeChanged?.(key, this.#routes.get(key));
    }
  }

  /** The primary is gone: nobody would tell of an end any more, so nothing is served from now on. */
  disconnected(): void {
    this.#disconnected = true;
  }

  #end([kind, key, number, reason]: EndTuple): void {
    const entry = this.#routes.get(key);
    if (kind === "ended" && entry?.incarnation?.number === number) this.#endIncarnation(entry, reason);
    else if (kind === "pauseEnded" && entry?.resting?.number === number) this.#endPause(entry, reason);
  }

  #remove(key: ObjectKey): void {
    const entry = this.#routes.get(key);
    if (!entry) return;
    this.#endIncarnation(entry, "dead");
    this.#endPause(entry, "dead");
    this.#routes.delete(key);
    this.#ids.remove(entry);
  }

  #set(tuple: RouteTuple): void {
    const { route, state, incarnation, ipReassigned } = decodeRoute(tuple);
    const key = objectKey(route.namespace, route.name);
    let entry = this.#routes.get(key);
    if (!entry) {
      entry = new MirroredRoute(key, route);
      this.#routes.set(key, entry);
      const provider = providerOf(route.namespace);
      if (!this.#providers.includes(provider)) {
        this.#providers = inLookupOrder([...this.#providers, provider]);
      }
    } else if (entry.route.id !== route.id) {
      this.#ids.remove(entry);
    }
    entry.route = route;
    entry.state = state;
    entry.ipReassigned = ipReassigned;
    this.#ids.put(entry);
    if (entry.incarnation?.number !== incarnation) this.#endIncarnation(entry, "replaced");
    if (state !== "paused") this.#endPause(entry, "replaced");
    if (incarnation !== 0) {
      entry.incarnation ??= {
        number: incarnation,
        key,
        uid: route.uid,
        ip: route.ip,
        readyAtS: route.readyAtS,
      };
    }
  }

  #endIncarnation(entry: MirroredRoute, reason: EndReason): void {
    const { incarnation } = entry;
    if (!incarnation) return;
    entry.incarnation = undefined;
    if (reason === "paused") entry.resting = incarnation;
    this.#news.push(["ended", incarnation, reason]);
  }

  #endPause(entry: MirroredRoute, reason: EndReason): void {
    const { resting } = entry;
    if (!resting) return;
    entry.resting = undefined;
    this.#news.push(["pauseEnded", resting, reason]);
  }
}
