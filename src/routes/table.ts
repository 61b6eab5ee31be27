import type { Milliseconds } from "../system/clock.ts";
import { Books, type FactWatcher } from "./books.ts";
import { ConfirmedFacts } from "./confirmed-facts.ts";
import type { DoubtNames } from "./doubts.ts";
import { asRouteInEffect, Entry } from "./entry.ts";
import { InformerWriter } from "./informer-writer.ts";
import type { Lookup, RouteLookup } from "./lookup.ts";
import type { TableListener } from "./news.ts";
import { factsOf, type ObjectFacts, type TableSnapshot } from "./object-facts.ts";
import type { Observation } from "./observation.ts";
import type { RouteTableOptions } from "./options.ts";
import type { Outcome } from "./outcome.ts";
import { PeerWriter } from "./peer-writer.ts";
import { firstLiving, tableNamespace } from "./provider.ts";
import type { PushedDeletion, PushedRoute } from "./push.ts";
import { type ObjectRead, ReadWriter } from "./read-writer.ts";
import type { ResourceVersion } from "./resource-version.ts";
import type { ObjectKey } from "./route.ts";
import type { Scope } from "./scope.ts";
import { SnapshotLoader } from "./snapshot-loader.ts";
import { type EntryView, statsOf, type TableStats, viewOf } from "./table-view.ts";
import { toldFact } from "./told.ts";

export type { RouteTableOptions } from "./options.ts";

/**
 * The route table (docs/route-table.md): facts from an informer that lags and from peers whose pushes come late, twice or in
 * the wrong order, and the one route that is in effect for each object. Nothing that died comes back through it.
 *
 * Pure and synchronous. It has no clock: each mutation is given the time (`nowMs`, since the epoch), and
 * {@link RouteTable.advance} is to be called at {@link RouteTable.nextDeadlineMs}. Time that runs backwards is taken as
 * standing still.
 *
 * @example
 * ```ts
 * import { configFrom } from "../config/load.ts";
 * import { tableOptionsOf } from "../router/table-options.ts";
 * import { RouteTable } from "./table.ts";
 *
 * const table = new RouteTable(tableOptionsOf(configFrom({ source: "none" })));
 * const nowMs = 1_800_000_000_000;
 * const object = { namespace: "default", name: "box", uid: "u1", id: "box", owner: "ada" };
 * const route = { ...object, ip: "10.0.0.7", accessToken: "", requireTrafficAuth: false };
 * table.pushUpdate({ ...route, state: "running", resourceVersion: "20" }, nowMs);
 * table.pushDelete({ namespace: "default", name: "box", resourceVersion: "21" }, nowMs);
 * // A push that comes late does not revive it.
 * console.log(table.pushUpdate({ ...route, state: "running", resourceVersion: "20" }, nowMs));
 * // ignored_tombstone
 * ```
 */
export class RouteTable implements RouteLookup {
  readonly #books: Books;
  readonly #informer: InformerWriter;
  readonly #peers: PeerWriter;
  readonly #reads: ReadWriter;
  readonly #snapshots: SnapshotLoader;
  #synced = false;

  /** @throws RangeError when two of `options.scopes` overlap. */
  constructor(options: RouteTableOptions) {
    this.#books = new Books(options);
    const confirmed = new ConfirmedFacts(this.#books);
    this.#informer = new InformerWriter(this.#books, confirmed);
    this.#peers = new PeerWriter(this.#books, options.distrusts ?? (() => false));
    this.#reads = new ReadWriter(this.#books, confirmed);
    this.#snapshots = new SnapshotLoader(this.#books, confirmed, this.#peers);
  }

  // ---- what the proxy sees

  get synced(): boolean {
    // Asked for each request, and never taken back.
    return (this.#synced ||= this.#hasSynced());
  }

  lookup(id: string): Lookup {
    return this.#books.effects.lookup(id);
  }

  lookupObject(namespace: string, name: string): Lookup {
    const entry = this.#object(namespace, name);
    if (entry?.inEffect === undefined) return UNKNOWN;
    // An object whose ID is disputed is served under no name.
    const byId = this.#books.effects.lookup(entry.inEffect.id);
    return byId.kind === "id_conflict" && byId.keys.includes(entry.key) ? byId : asRouteInEffect(entry);
  }

  get doubtful(): number {
    return this.#books.ahead.doubts.size;
  }

  isHeld(id: string): boolean {
    const { doubts } = this.#books.ahead;
    if (doubts.size === 0) return false;
    const found = this.#books.effects.lookup(id);
    const entry = found instanceof Entry ? found : undefined;
    return doubts.hold(id, entry, entry);
  }

  isObjectHeld(namespace: string, name: string): boolean {
    const { doubts } = this.#books.ahead;
    if (doubts.size === 0) return false;
    const entry = this.#object(namespace, name);
    if (entry === undefined) return false;
    return doubts.hold(entry.inEffect?.id ?? "", entry, entry.inEffect && asRouteInEffect(entry));
  }

  /** The sandboxes in doubt for which requests are held. */
  *doubtKeys(): Generator<ObjectKey, void, undefined> {
    for (const { key } of this.#books.ahead.doubts.keys()) yield key;
  }

  /** What requests are held for, of a sandbox in doubt; `undefined` when none are. */
  doubtOf(key: ObjectKey): DoubtNames | undefined {
    const entry = this.#entryOf(key);
    return entry && this.#books.ahead.doubts.namesOf(entry);
  }

  /** Calls `listener` from now on; returns what stops that. */
  addListener(listener: TableListener): () => void {
    return this.#books.news.addListener(listener);
  }

  // ---- what the informer says

  /**
   * A consistent snapshot of a scope at `version` (rule 5): what it lists is confirmed, what it lacks is gone.
   * Returns `behind`, and changes nothing, when the scope has seen a newer version already. The first list after
   * {@link RouteTable.load} replaces the snapshot whole, even if it is older: the informer's word beats a file.
   */
  relist(
    scopeName: string,
    version: ResourceVersion,
    observations: readonly Observation[],
    nowMs: Milliseconds,
  ): "applied" | "behind" {
    return this.#informer.relist(scopeName, version, observations, nowMs);
  }

  /**
   * The snapshot of a cluster that was restored from a backup: its versions start again below what was seen. All
   * that peers pushed is forgotten, and no push is kept until the watermark has passed its old height.
   */
  startOver(
    scopeName: string,
    version: ResourceVersion,
    observations: readonly Observation[],
    nowMs: Milliseconds,
  ): void {
    this.#informer.startOver(scopeName, version, observations, nowMs);
  }

  /** ADDED or MODIFIED. */
  observe(scopeName: string, observation: Observation, nowMs: Milliseconds): Outcome {
    return this.#informer.observe(scopeName, observation, nowMs);
  }

  /** DELETED, at the version that the event carries. */
  remove(
    scopeName: string,
    namespace: string,
    name: string,
    uid: string,
    version: ResourceVersion,
    nowMs: Milliseconds,
  ): Outcome {
    return this.#informer.remove(scopeName, namespace, name, uid, version, nowMs);
  }

  /** BOOKMARK: everything up to `version` has been delivered. */
  bookmark(scopeName: string, version: ResourceVersion, nowMs: Milliseconds): void {
    this.#informer.bookmark(scopeName, version, nowMs);
  }

  /**
   * Whether the informer of a scope hears the API server. Nothing expires but when it is heard, and the time for which
   * it was not live does not count (rule 6).
   */
  setLive(scopeName: string, live: boolean, nowMs: Milliseconds): void {
    this.#books.tick(nowMs);
    this.#books.watchedScope(scopeName).setLive(live, this.#books.nowMs);
  }

  /**
   * The API server does not serve what a scope watches (404): its CRD is not installed. If another scope has its list, the table
   * does not wait for this one ({@link RouteTable.synced}). What is known of its objects stays, until a list says otherwise.
   */
  setMissing(scopeName: string, nowMs: Milliseconds): void {
    this.#books.tick(nowMs);
    this.#books.watchedScope(scopeName).missing = true;
  }

  // ---- what a snapshot says

  /**
   * Takes over what a table knew earlier, this router's own before it started again (docs/route-table.md#snapshots). Each
   * scope whose informer has not spoken yet is as it was then: the same facts, the same watermark, and pushes that were not
   * settled are still not. Its first list replaces all of it. Returns the scopes taken over; none is when the informers have
   * spoken already.
   */
  load(snapshot: TableSnapshot, nowMs: Milliseconds): readonly string[] {
    this.#books.tick(nowMs);
    return this.#snapshots.load(snapshot);
  }

  // ---- what peers say

  /**
   * Any push but a deletion (rule 1). A terminal state makes it one (rule 3). `from`: who pushed, for people to read. `proven`:
   * the sender proved to be one that does not lie, so it is taken as with `trust: serve`. `isRelayed`: another replica passes it
   * on, and did not make the change.
   */
  pushUpdate(push: PushedRoute, nowMs: Milliseconds, from = "", proven = false, isRelayed = false): Outcome {
    if (this.#books.rules.isTerminal(push.state))
      return this.pushDelete(push, nowMs, from, proven, isRelayed);
    this.#books.tick(nowMs);
    return this.#peers.update(push, { from, proven, isRelayed });
  }

  /** A push that ends a sandbox (rule 2). `from`, `proven` and `isRelayed` as in {@link RouteTable.pushUpdate}. */
  pushDelete(
    push: PushedDeletion,
    nowMs: Milliseconds,
    from = "",
    proven = false,
    isRelayed = false,
  ): Outcome {
    this.#books.tick(nowMs);
    return this.#peers.delete(push, { from, proven, isRelayed });
  }

  // ---- what a read says

  /** The serial of the last push: take it before a read is sent, and give it to {@link RouteTable.settle} with the answer. */
  get pushSerial(): number {
    return this.#books.ahead.lastSerial;
  }

  /** Whether a push of the object waits for a read. */
  isInDoubt(namespace: string, name: string): boolean {
    return this.#books.entries.get(namespace, name)?.doubt !== undefined;
  }

  /** How many objects of a namespace anything is known of. */
  objectsIn(namespace: string): number {
    return this.#books.entries.sizeOf(namespace);
  }

  /**
   * What a consistent read of one object says (rule 12): it is confirmed up to the read's version, ahead of the watermark,
   * and settles what peers pushed before the read began. Returns `open` when a push came meanwhile that it can't settle.
   * @throws Error when no informer watches the namespace.
   */
  settle(read: ObjectRead, nowMs: Milliseconds): "settled" | "open" {
    this.#books.tick(nowMs);
    return this.#reads.settle(read);
  }

  // ---- time

  /**
   * Lets time pass: sandboxes reach their shutdownTime (rule 8); without an informer tombstones run out (rule 7); requests
   * are held no longer for what no read has settled (rule 12).
   */
  advance(nowMs: Milliseconds): void {
    this.#books.tick(nowMs);
    for (const scope of this.#books.scopes.values()) this.#books.ahead.expire(scope, this.#books.nowMs);
    this.#books.ahead.passTime(this.#books.nowMs);
    const ended = this.#books.effects.shutDown(this.#books.nowMs);
    for (const {
      namespace: { name: namespace },
      name,
    } of ended) {
      this.#books.news.tell((tell) => {
        tell(toldFact("clock", "shutdown", "applied", this.#books.nowMs, { namespace, name, state: "dead" }));
      });
    }
    this.#books.complete();
  }

  /** To be called when `isPodAddress` answers otherwise than before: judges the IP of every route again. */
  podAddressesChanged(nowMs: Milliseconds): void {
    this.#books.tick(nowMs);
    for (const scope of this.#books.scopes.values()) {
      for (const entry of this.#books.entries.ofScope(scope)) this.#books.touched.push(entry);
    }
    this.#books.complete();
  }

  /** When {@link RouteTable.advance} has something to do next, in milliseconds since the epoch. */
  nextDeadlineMs(): Milliseconds | undefined {
    let next = Math.min(
      this.#books.effects.nextShutdownMs() ?? Number.POSITIVE_INFINITY,
      this.#books.ahead.nextOverdueMs ?? Number.POSITIVE_INFINITY,
    );
    for (const scope of this.#books.scopes.values()) {
      next = Math.min(next, scope.nextExpiryMs() ?? Number.POSITIVE_INFINITY);
    }
    return next === Number.POSITIVE_INFINITY ? undefined : next;
  }

  // ---- for people

  /** Everything that is known of one object. */
  inspect(key: ObjectKey): EntryView | undefined {
    const entry = this.#entryOf(key);
    return entry && viewOf(entry, this.#books.effects);
  }

  /** The same of the object that a request means by a namespace and a name ({@link RouteTable.lookupObject}). */
  inspectObject(namespace: string, name: string): EntryView | undefined {
    const inEffect = this.#object(namespace, name);
    if (inEffect) return viewOf(inEffect, this.#books.effects);
    for (const provider of this.#books.providers) {
      const entry = this.#books.entries.get(tableNamespace(provider, namespace), name);
      if (entry) return viewOf(entry, this.#books.effects);
    }
    return undefined;
  }

  /** Everything that is known of one object, with its tokens. */
  factsOf(key: ObjectKey): ObjectFacts | undefined {
    const entry = this.#entryOf(key);
    return entry && factsOf(entry, this.#books.ahead.doubts.namesOf(entry));
  }

  /**
   * Calls `watcher` with each object whose facts may have changed, at the end of the mutation, perhaps more than once; returns
   * what stops that. Costs nothing while nobody watches.
   */
  watchFacts(watcher: FactWatcher): () => void {
    this.#books.factWatchers.add(watcher);
    return () => void this.#books.factWatchers.delete(watcher);
  }

  /**
   * The keys of all objects that anything is known of, in no particular order. The table may change meanwhile: what comes or
   * goes then is perhaps among them.
   */
  keys(): Generator<ObjectKey, void, undefined> {
    return this.#books.entries.keys();
  }

  stats(): TableStats {
    return statsOf(this.#books);
  }

  // ---- books

  #hasSynced(): boolean {
    const scopes = [...this.#books.scopes.values()];
    return scopes.some(isKnown) && scopes.every((scope) => isKnown(scope) || scope.missing);
  }

  /** The object that a request names, of whichever CRD. */
  #object(namespace: string, name: string): Entry | undefined {
    const [only] = this.#books.providers;
    if (only === "") return this.#books.entries.get(namespace, name);
    return firstLiving(this.#books.providers, (provider) => {
      const entry = this.#books.entries.get(tableNamespace(provider, namespace), name);
      return entry?.inEffect && entry;
    });
  }

  #entryOf(key: ObjectKey): Entry | undefined {
    const slash = key.indexOf("/");
    return this.#books.entries.get(key.slice(0, slash), key.slice(slash + 1));
  }
}

/** Whether what a scope watches is known: by a list, or by a snapshot. */
function isKnown({ synced, snapshotAtMs }: Scope<Entry>): boolean {
  return synced || snapshotAtMs !== undefined;
}

const UNKNOWN: Lookup = { kind: "unknown" };
