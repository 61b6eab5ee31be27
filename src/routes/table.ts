import type { Milliseconds } from "../system/clock.ts";
import { AheadFacts } from "./ahead-facts.ts";
import type { DoubtNames } from "./doubts.ts";
import { asRouteInEffect, Entry } from "./entry.ts";
import { holdAfter } from "./ip-hold.ts";
import type { Lookup, RouteLookup } from "./lookup.ts";
import { News, type TableListener } from "./news.ts";
import type { Observation } from "./observation.ts";
import type { Guard, Outcome } from "./outcome.ts";
import { checkDeletion, checkUpdate, type PushedDeletion, type PushedRoute } from "./push.ts";
import {
  compareResourceVersions,
  newerResourceVersion,
  NOTHING_SEEN,
  type ResourceVersion,
} from "./resource-version.ts";
import { IncarnationNumbers } from "./incarnations.ts";
import type { ObjectFacts, PushedFactOf, TableSnapshot } from "./object-facts.ts";
import { ObjectIndex } from "./object-index.ts";
import { firstLiving, inLookupOrder, type Provider, providerOf, tableNamespace } from "./provider.ts";
import { objectKey, type ObjectKey, type Route } from "./route.ts";
import { RoutesInEffect } from "./routes-in-effect.ts";
import { type Facts, type ReadView, RULES, type Rules, type ScopeView, type Settlement } from "./rules.ts";
import { Scope } from "./scope.ts";
import { type Told, toldFact, toldObservation, toldRead, toldUpdate } from "./told.ts";
import { type EntryView, type TableStats, viewOf } from "./table-view.ts";
import { WatermarkPace } from "./watermark-pace.ts";

/** How a table is set up. What is a setting (docs/reference/configuration.md) has its default and its range there alone. */
export interface RouteTableOptions {
  /**
   * The namespaces that an informer watches, `[""]` for all of them; `"none"` for a table that only peers write
   * (`source: none`): a last-writer-wins map by version (rule 7). Those of another CRD begin with its {@link Provider}, which
   * by itself is all of them. Each at most once, and one that is all namespaces of its CRD alone among these: two watermarks
   * for one object would let the slower informer bring back what the other has seen end.
   */
  readonly scopes: readonly string[] | "none";
  /**
   * How long a live informer may take to confirm a hint (`peers.hintTtlMs`). Shorter than the informer's usual lag, good pushes
   * are dropped; longer, a wrong one lasts longer.
   */
  readonly hintTtlMs: Milliseconds;
  /** The most hints kept; the oldest goes first and is counted (`peers.maxHints`). About 1 KiB each. */
  readonly maxHints: number;
  /**
   * How long a tombstone lasts that the informer does not confirm (`tombstones.ttlMs`). Shorter than peers may be late, a late
   * push revives what was deleted.
   */
  readonly tombstoneTtlMs: Milliseconds;
  /** The most tombstones kept (`tombstones.max`); evicting one early reopens the window that its TTL closed. */
  readonly maxTombstones: number;
  /** Rule 10 (`routes.onePodPerIp`). Switch it off for pods on the host network, which share an IP by right. */
  readonly onePodPerIp: boolean;
  /**
   * What a push is worth whose sender has not proved who it is (rule 12). `serve`: it takes effect at once. `verify`: it is a
   * rumour that a read of the API server settles ({@link RouteTable.settle}); until then requests for the sandbox are held.
   * Without an informer always `serve` (`peers.trust`).
   */
  readonly trust: "serve" | "verify";
  /**
   * Whether the informer and {@link RouteTable.settle} see only objects that a selector lets through. Then an update of an
   * object that the informer does not know never takes effect before a read (rule 14, `selector`).
   */
  readonly selective: boolean;
  /**
   * Whether pushes of `key` from a sender are left aside, since reads refuted it too often; asked of pushes that wait for a read. Default
   * never.
   */
  readonly distrusts?: (from: string, key: ObjectKey) => boolean;
  /** How long requests are held for a sandbox of which a push is not settled (`peers.settleMs`). */
  readonly settleMs: Milliseconds;
  /**
   * What becomes of an update that is not settled within `settleMs`: it takes effect (`serve`), or waits on, and what it puts
   * in doubt is not served meanwhile (`hold`) (`peers.unsettled`).
   */
  readonly unsettled: "hold" | "serve";
  /**
   * A push further ahead of the watermark than it moves in so many hours is refused (rule 13); there is a floor for quiet
   * clusters. 0 believes any version (`peers.maxAheadHours`).
   */
  readonly maxAheadHours: number;
  /**
   * Whether a pod can have this IP; asked for whatever a writer gave as one. A route with another IP is kept, and is in
   * effect in the state `ip_not_allowed`: never served. Must be fast and must not throw. Default: every IP.
   */
  readonly isPodAddress?: (ip: string) => boolean;
  /** For the explorer, which shows that each rule is needed. Default {@link RULES}. */
  readonly rules?: Rules;
}

/** Called with an object whose facts may have changed. Must not throw and must not mutate the table. */
export type FactWatcher = (namespace: string, name: string) => void;

/** What a read of one object, begun at {@link RouteTable.pushSerial} `asOf`, says of it. */
export interface ObjectRead extends Omit<ReadView, "selective"> {
  readonly namespace: string;
  readonly name: string;
  readonly observation: Observation | undefined;
  readonly asOf: number;
}

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
  readonly #rules: Rules;
  readonly #trust: "serve" | "verify";
  readonly #distrusts: (from: string, key: ObjectKey) => boolean;
  readonly #scopes: ReadonlyMap<string, Scope<Entry>>;
  readonly #providers: readonly Provider[];
  readonly #entries = new ObjectIndex(new IncarnationNumbers());
  readonly #ahead: AheadFacts;
  readonly #news = new News();
  readonly #effects: RoutesInEffect;
  readonly #factWatchers = new Set<FactWatcher>();
  #nowMs: Milliseconds = 0;
  #synced = false;
  /** Of the mutation at hand: the entries whose facts changed, and the scopes whose watermark moved. */
  readonly #touched: Entry[] = [];
  readonly #moved: Scope<Entry>[] = [];

  /** @throws RangeError when two of `options.scopes` overlap. */
  constructor(options: RouteTableOptions) {
    this.#rules = options.rules ?? RULES;
    this.#trust = options.trust;
    this.#distrusts = options.distrusts ?? (() => false);
    const { hintTtlMs, maxAheadHours, selective } = options;
    const makeScope = (name: string, watched: boolean): Scope<Entry> =>
      new Scope({ name, watched, selective }, hintTtlMs / 2, new WatermarkPace(maxAheadHours));
    const scopes =
      options.scopes === "none"
        ? [makeScope("", false)]
        : disjoint(options.scopes).map((name) => makeScope(name, true));
    this.#scopes = new Map(scopes.map((scope) => [scope.name, scope]));
    this.#providers = inLookupOrder(scopes.map(({ provider }) => provider));
    this.#effects = new RoutesInEffect({
      rules: this.#rules,
      news: this.#news,
      onePodPerIp: options.onePodPerIp,
      isPodAddress: options.isPodAddress ?? (() => true),
      isIpDoubted: (ip, entry) => this.#ahead.isIpDoubted(ip, entry),
    });
    const limits = {
      hintTtlMs,
      maxHints: options.maxHints,
      tombstoneTtlMs: options.tombstoneTtlMs,
      maxTombstones: options.maxTombstones,
      settleMs: options.settleMs,
      servesUnsettled: options.unsettled === "serve",
    };
    const touch = (entry: Entry): void => void this.#touched.push(entry);
    const touchIp = (ip: string): void => void this.#touched.push(...this.#effects.holdersOf(ip));
    this.#ahead = new AheadFacts(limits, scopes, this.#rules, this.#news, touch, touchIp);
  }

  // ---- what the proxy sees

  get synced(): boolean {
    // Asked for each request, and never taken back.
    return (this.#synced ||= this.#hasSynced());
  }

  lookup(id: string): Lookup {
    return this.#effects.lookup(id);
  }

  lookupObject(namespace: string, name: string): Lookup {
    const entry = this.#object(namespace, name);
    if (entry?.inEffect === undefined) return UNKNOWN;
    // An object whose ID is disputed is served under no name.
    const byId = this.#effects.lookup(entry.inEffect.id);
    return byId.kind === "id_conflict" && byId.keys.includes(entry.key) ? byId : asRouteInEffect(entry);
  }

  get doubtful(): number {
    return this.#ahead.doubts.size;
  }

  isHeld(id: string): boolean {
    const { doubts } = this.#ahead;
    if (doubts.size === 0) return false;
    const found = this.#effects.lookup(id);
    const entry = found instanceof Entry ? found : undefined;
    return doubts.hold(id, entry, entry);
  }

  isObjectHeld(namespace: string, name: string): boolean {
    const { doubts } = this.#ahead;
    if (doubts.size === 0) return false;
    const entry = this.#object(namespace, name);
    if (entry === undefined) return false;
    return doubts.hold(entry.inEffect?.id ?? "", entry, entry.inEffect && asRouteInEffect(entry));
  }

  /** The sandboxes in doubt for which requests are held. */
  *doubtKeys(): Generator<ObjectKey, void, undefined> {
    for (const { key } of this.#ahead.doubts.keys()) yield key;
  }

  /** What requests are held for, of a sandbox in doubt; `undefined` when none are. */
  doubtOf(key: ObjectKey): DoubtNames | undefined {
    const entry = this.#entryOf(key);
    return entry && this.#ahead.doubts.namesOf(entry);
  }

  /** Calls `listener` from now on; returns what stops that. */
  addListener(listener: TableListener): () => void {
    return this.#news.addListener(listener);
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
    const scope = this.#begin(scopeName, nowMs);
    const isBehind = this.#rules.listIsBehind(version, scope.watermark);
    const behind = isBehind && scope.snapshotAtMs === undefined;
    if (behind) this.#tellListed(observations, "ignored_watermark");
    else if (isBehind) this.#startOver(scope, version, observations);
    else this.#takeList(scope, version, observations);
    this.#ahead.expire(scope, this.#nowMs);
    this.#complete();
    return behind ? "behind" : "applied";
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
    const scope = this.#begin(scopeName, nowMs);
    this.#startOver(scope, version, observations);
    this.#complete();
  }

  /** ADDED or MODIFIED. */
  observe(scopeName: string, observation: Observation, nowMs: Milliseconds): Outcome {
    const scope = this.#begin(scopeName, nowMs);
    const { namespace, name, resourceVersion } = observation;
    let outcome: Outcome = "ignored_watermark";
    if (!this.#rules.eventIsSeen(resourceVersion, scope.watermark)) {
      const before = scope.watermark;
      scope.watermark = resourceVersion;
      const entry = this.#entries.getOrAdd(namespace, name, scope);
      const old = this.#oldNews(entry, resourceVersion);
      if (!old) this.#confirm(entry, observation, before, false);
      else this.#touched.push(entry);
      this.#passWatermark(scope, true);
      outcome = old ?? (entry.facts.tombstone === undefined ? "applied" : "ignored_tombstone");
    }
    this.#ahead.expire(scope, this.#nowMs);
    this.#news.tell((tell) => tell(this.#observed(observation, "observed", outcome)));
    this.#complete();
    return outcome;
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
    const scope = this.#begin(scopeName, nowMs);
    let outcome: Outcome = "ignored_watermark";
    if (!this.#rules.eventIsSeen(version, scope.watermark)) {
      scope.watermark = version;
      const entry = this.#entries.get(namespace, name);
      const old = entry && this.#oldNews(entry, version);
      // The server may leave the UID out; then it is that of the object which was there.
      if (entry && !old) this.#unconfirm(entry, uid || entry.confirmedUid);
      this.#passWatermark(scope, true);
      outcome = old ?? "applied";
    }
    this.#ahead.expire(scope, this.#nowMs);
    this.#news.tell((tell) => {
      tell(
        toldFact("informer", "deleted", outcome, this.#nowMs, {
          namespace,
          name,
          resourceVersion: version,
          uid,
        }),
      );
    });
    this.#complete();
    return outcome;
  }

  /** BOOKMARK: everything up to `version` has been delivered. */
  bookmark(scopeName: string, version: ResourceVersion, nowMs: Milliseconds): void {
    const scope = this.#begin(scopeName, nowMs);
    if (!this.#rules.eventIsSeen(version, scope.watermark)) {
      scope.watermark = version;
      this.#passWatermark(scope, true);
    }
    this.#ahead.expire(scope, this.#nowMs);
    this.#complete();
  }

  /**
   * Whether the informer of a scope hears the API server. Nothing expires but when it is heard, and the time for which
   * it was not live does not count (rule 6).
   */
  setLive(scopeName: string, live: boolean, nowMs: Milliseconds): void {
    this.#tick(nowMs);
    this.#watchedScope(scopeName).setLive(live, this.#nowMs);
  }

  /**
   * The API server does not serve what a scope watches (404): its CRD is not installed. If another scope has its list, the table
   * does not wait for this one ({@link RouteTable.synced}). What is known of its objects stays, until a list says otherwise.
   */
  setMissing(scopeName: string, nowMs: Milliseconds): void {
    this.#tick(nowMs);
    this.#watchedScope(scopeName).missing = true;
  }

  // ---- what a snapshot says

  /**
   * Takes over what a table knew earlier, this router's own before it started again (docs/route-table.md#snapshots). Each
   * scope whose informer has not spoken yet is as it was then: the same facts, the same watermark, and pushes that were not
   * settled are still not. Its first list replaces all of it. Returns the scopes taken over; none is when the informers have
   * spoken already.
   */
  load(snapshot: TableSnapshot, nowMs: Milliseconds): readonly string[] {
    this.#tick(nowMs);
    const loaded = new Set<Scope<Entry>>();
    for (const { name, watermark, barredUntil } of snapshot.scopes) {
      const scope = this.#scopes.get(name);
      if (!scope?.watched || scope.watermark !== NOTHING_SEEN) continue;
      if (watermark === NOTHING_SEEN) {
        // Its CRD was not installed.
        scope.missing = true;
        continue;
      }
      scope.watermark = watermark;
      scope.barredUntil = barredUntil;
      scope.snapshotAtMs = snapshot.takenAtMs;
      loaded.add(scope);
    }
    const confirmed: Observation[] = [];
    for (const facts of loaded.size > 0 ? snapshot.objects : []) {
      const scope = this.#scopeOf(facts.namespace);
      if (scope === undefined || !loaded.has(scope)) continue;
      this.#loadObject(scope, facts, confirmed);
    }
    this.#news.tell((tell) => {
      for (const observation of confirmed)
        tell(toldObservation(observation, "loaded", "applied", undefined, this.#nowMs));
    });
    for (const scope of loaded) this.#passWatermark(scope, false);
    this.#complete();
    return Array.from(loaded, ({ name }) => name);
  }

  #loadObject(scope: Scope<Entry>, facts: ObjectFacts, confirmed: Observation[]): void {
    const { namespace, name, hint, tombstone, read } = facts;
    const entry = this.#entries.getOrAdd(namespace, name, scope);
    if (facts.confirmed) {
      const observation = { ...facts.confirmed, namespace, name };
      entry.confirm(observation, facts.hold);
      if (entry.ahead) this.#compareHint(entry, observation);
      if (this.#tombstoneIsDone(entry)) this.#ahead.drop("tombstone", entry);
      confirmed.push(observation);
    }
    this.#touched.push(entry);
    if (read !== undefined && compareResourceVersions(read, scope.watermark) > 0) {
      this.#ahead.keep("read", entry, { version: read, from: "", trusted: true }, this.#nowMs);
    }
    // Judged as if it were pushed now: peers may have pushed newer facts since this router started.
    if (tombstone) {
      const { version, from, trusted } = tombstone;
      const outcome = this.#rules.judgeDelete(entry.trustedFacts, version, this.#viewFor(entry, scope));
      if (outcome === "applied") this.#keep("tombstone", entry, { version, from, trusted, isRelayed: true });
    }
    if (hint) {
      const { route, from, trusted } = hint;
      const outcome = this.#rules.judgeUpdate(entry.trustedFacts, route, this.#viewFor(entry, scope));
      const version = route.resourceVersion;
      if (outcome === "applied")
        this.#keep("hint", entry, { version, route, from, trusted, isRelayed: true });
    }
    // Where pushes are believed, nothing is in doubt.
    if (facts.doubt && this.#trust === "verify") {
      const { isPartlyKept, ...names } = facts.doubt;
      this.#ahead.doubtAgain(entry, names, isPartlyKept, this.#nowMs);
    }
  }

  // ---- what peers say

  /**
   * Any push but a deletion (rule 1). A terminal state makes it one (rule 3). `from`: who pushed, for people to read. `proven`:
   * the sender proved to be one that does not lie, so it is taken as with `trust: serve`. `isRelayed`: another replica passes it
   * on, and did not make the change.
   */
  pushUpdate(push: PushedRoute, nowMs: Milliseconds, from = "", proven = false, isRelayed = false): Outcome {
    if (this.#rules.isTerminal(push.state)) return this.pushDelete(push, nowMs, from, proven, isRelayed);
    this.#tick(nowMs);
    const { namespace, name } = push;
    const checked = checkUpdate(push);
    const scope = this.#scopeOf(namespace);
    let outcome: Outcome;
    if (checked.kind === "invalid") outcome = checked.outcome;
    else if (!scope) outcome = "ignored_out_of_scope";
    else if (!this.#believes(scope, proven) && this.#distrusts(from, objectKey(namespace, name)))
      outcome = "ignored_distrusted";
    else {
      this.#ahead.expire(scope, this.#nowMs);
      const known = this.#entries.get(namespace, name);
      const facts = known?.trustedFacts ?? NO_FACTS;
      outcome = this.#rules.judgeUpdate(facts, checked.push, this.#viewFor(known, scope));
      if (outcome === "applied") {
        const entry = this.#entries.getOrAdd(namespace, name, scope);
        const isShown = !scope.selective || this.#rules.isShown(facts.confirmed, checked.push);
        const trusted = this.#believes(scope, proven) && isShown;
        outcome = this.#keep("hint", entry, {
          version: checked.version,
          route: checked.push,
          from,
          trusted,
          isRelayed,
        });
      }
    }
    this.#news.tell((tell) => tell(this.#pushed(push, outcome, from)));
    this.#complete();
    return outcome;
  }

  /** A push that ends a sandbox (rule 2). `from`, `proven` and `isRelayed` as in {@link RouteTable.pushUpdate}. */
  pushDelete(
    push: PushedDeletion,
    nowMs: Milliseconds,
    from = "",
    proven = false,
    isRelayed = false,
  ): Outcome {
    this.#tick(nowMs);
    const { namespace, name } = push;
    const checked = checkDeletion(push);
    const scope = this.#scopeOf(namespace);
    let outcome: Outcome;
    if (checked.kind === "invalid") outcome = checked.outcome;
    else if (!scope) outcome = "ignored_out_of_scope";
    else if (!this.#believes(scope, proven) && this.#distrusts(from, objectKey(namespace, name)))
      outcome = "ignored_distrusted";
    else {
      this.#ahead.expire(scope, this.#nowMs);
      const known = this.#entries.get(namespace, name);
      const facts = known?.trustedFacts ?? NO_FACTS;
      outcome = this.#rules.judgeDelete(facts, checked.version, this.#viewFor(known, scope));
      if (outcome === "applied") {
        const entry = this.#entries.getOrAdd(namespace, name, scope);
        const trusted = this.#believes(scope, proven);
        outcome = this.#keep("tombstone", entry, { version: checked.version, from, trusted, isRelayed });
      }
    }
    const { resourceVersion } = push;
    this.#news.tell((tell) => {
      tell(
        toldFact("peer", "deletion", outcome, this.#nowMs, {
          namespace,
          name,
          resourceVersion,
          state: "dead",
          from,
        }),
      );
    });
    this.#complete();
    return outcome;
  }

  // ---- what a read says

  /** The serial of the last push: take it before a read is sent, and give it to {@link RouteTable.settle} with the answer. */
  get pushSerial(): number {
    return this.#ahead.lastSerial;
  }

  /** Whether a push of the object waits for a read. */
  isInDoubt(namespace: string, name: string): boolean {
    return this.#entries.get(namespace, name)?.doubt !== undefined;
  }

  /** How many objects of a namespace anything is known of. */
  objectsIn(namespace: string): number {
    return this.#entries.sizeOf(namespace);
  }

  /**
   * What a consistent read of one object says (rule 12): it is confirmed up to the read's version, ahead of the watermark,
   * and settles what peers pushed before the read began. Returns `open` when a push came meanwhile that it can't settle.
   * @throws Error when no informer watches the namespace.
   */
  settle(read: ObjectRead, nowMs: Milliseconds): "settled" | "open" {
    this.#tick(nowMs);
    const { namespace, name } = read;
    const scope = this.#scopeOf(namespace);
    if (!scope?.watched) throw new Error(`no informer watches the namespace ${JSON.stringify(namespace)}`);
    const known = this.#entries.get(namespace, name);
    const seen = newerResourceVersion(scope.watermark, known?.readVersion ?? NOTHING_SEEN);
    // The informer, or another read, may have gone on while the answer was under way. What they know is true at a later moment.
    const isPassed = this.#rules.listIsBehind(read.version, seen);
    const version = isPassed ? seen : read.version;
    const observation = isPassed ? known?.observation : read.observation;
    // Even of an object that nobody knows it is remembered that it is gone: the informer may have yet to tell of its life.
    const entry = known ?? this.#entries.getOrAdd(namespace, name, scope);
    this.#news.tell((tell) => tell(toldRead(read, this.#nowMs)));
    this.#settlePushes(entry, { version, observation, selective: scope.selective }, read.asOf);
    const { confirmedVersion } = entry;
    const isOlder =
      observation !== undefined &&
      confirmedVersion !== undefined &&
      this.#rules.eventIsOlder(observation.resourceVersion, confirmedVersion);
    if (observation && !isOlder) this.#confirm(entry, observation, seen, true);
    else if (!observation) this.#unconfirm(entry, entry.confirmedUid);
    if (compareResourceVersions(version, scope.watermark) > 0) {
      this.#ahead.keep("read", entry, { version, from: "", trusted: true }, this.#nowMs);
    }
    const result = this.#ahead.settleDoubt(entry, read.asOf, this.#nowMs);
    this.#complete();
    return result;
  }

  // ---- time

  /**
   * Lets time pass: sandboxes reach their shutdownTime (rule 8); without an informer tombstones run out (rule 7); requests
   * are held no longer for what no read has settled (rule 12).
   */
  advance(nowMs: Milliseconds): void {
    this.#tick(nowMs);
    for (const scope of this.#scopes.values()) this.#ahead.expire(scope, this.#nowMs);
    this.#ahead.passTime(this.#nowMs);
    const ended = this.#effects.shutDown(this.#nowMs);
    for (const {
      namespace: { name: namespace },
      name,
    } of ended) {
      this.#news.tell((tell) => {
        tell(toldFact("clock", "shutdown", "applied", this.#nowMs, { namespace, name, state: "dead" }));
      });
    }
    this.#complete();
  }

  /** To be called when `isPodAddress` answers otherwise than before: judges the IP of every route again. */
  podAddressesChanged(nowMs: Milliseconds): void {
    this.#tick(nowMs);
    for (const scope of this.#scopes.values()) {
      for (const entry of this.#entries.ofScope(scope)) this.#touched.push(entry);
    }
    this.#complete();
  }

  /** When {@link RouteTable.advance} has something to do next, in milliseconds since the epoch. */
  nextDeadlineMs(): Milliseconds | undefined {
    let next = Math.min(
      this.#effects.nextShutdownMs() ?? Number.POSITIVE_INFINITY,
      this.#ahead.nextOverdueMs ?? Number.POSITIVE_INFINITY,
    );
    for (const scope of this.#scopes.values()) {
      next = Math.min(next, scope.nextExpiryMs() ?? Number.POSITIVE_INFINITY);
    }
    return next === Number.POSITIVE_INFINITY ? undefined : next;
  }

  // ---- for people

  /** Everything that is known of one object. */
  inspect(key: ObjectKey): EntryView | undefined {
    const entry = this.#entryOf(key);
    return entry && viewOf(entry, this.#effects);
  }

  /** The same of the object that a request means by a namespace and a name ({@link RouteTable.lookupObject}). */
  inspectObject(namespace: string, name: string): EntryView | undefined {
    const inEffect = this.#object(namespace, name);
    if (inEffect) return viewOf(inEffect, this.#effects);
    for (const provider of this.#providers) {
      const entry = this.#entries.get(tableNamespace(provider, namespace), name);
      if (entry) return viewOf(entry, this.#effects);
    }
    return undefined;
  }

  /** Everything that is known of one object, with its tokens. */
  factsOf(key: ObjectKey): ObjectFacts | undefined {
    const entry = this.#entryOf(key);
    return entry && factsOf(entry, this.#ahead.doubts.namesOf(entry));
  }

  /**
   * Calls `watcher` with each object whose facts may have changed, at the end of the mutation, perhaps more than once; returns
   * what stops that. Costs nothing while nobody watches.
   */
  watchFacts(watcher: FactWatcher): () => void {
    this.#factWatchers.add(watcher);
    return () => void this.#factWatchers.delete(watcher);
  }

  /**
   * The keys of all objects that anything is known of, in no particular order. The table may change meanwhile: what comes or
   * goes then is perhaps among them.
   */
  keys(): Generator<ObjectKey, void, undefined> {
    return this.#entries.keys();
  }

  stats(): TableStats {
    return {
      states: this.#effects.states,
      entries: this.#entries.size,
      servable: this.#effects.incarnations,
      hints: this.#ahead.counts.hint,
      tombstones: this.#ahead.counts.tombstone,
      reads: this.#ahead.counts.read,
      doubtful: this.#ahead.doubts.size,
      idConflicts: this.#effects.idConflicts,
      ipConflicts: this.#effects.ipConflicts,
      scopes: Array.from(
        this.#scopes.values(),
        ({ name, watermark, synced, missing, live, barredUntil, snapshotAtMs }) => {
          return { name, watermark, synced, missing, live, barredUntil, snapshotAtMs };
        },
      ),
    };
  }

  // ---- confirmed facts

  #startOver(scope: Scope<Entry>, version: ResourceVersion, observations: readonly Observation[]): void {
    scope.restored(newerResourceVersion(scope.watermark, scope.barredUntil ?? NOTHING_SEEN));
    // A height that this cluster can't have had is another cluster's, or invented: it would keep pushes out for ever.
    if (scope.snapshotAtMs !== undefined) scope.liftImplausibleBar(version, this.#nowMs);
    const listed = new Set(observations.map(({ namespace, name }) => objectKey(namespace, name)));
    for (const entry of this.#entries.ofScope(scope)) {
      // Versions begin again, so nothing that was known of this one's moment counts. Those that the list lacks leave with it.
      if (listed.has(entry.key)) entry.unconfirm();
      this.#ahead.drop("hint", entry, "restored");
      this.#ahead.drop("tombstone", entry, "restored");
      this.#ahead.drop("read", entry);
      this.#touched.push(entry);
    }
    this.#news.add((listener) => listener.restored?.(scope.name));
    this.#takeList(scope, version, observations);
  }

  #takeList(scope: Scope<Entry>, version: ResourceVersion, observations: readonly Observation[]): void {
    const before = scope.watermark;
    const listed = new Set<Entry>();
    for (const { namespace, name } of observations) {
      const known = this.#entries.get(namespace, name);
      if (known) listed.add(known);
    }
    scope.watermark = version;
    for (const entry of this.#entries.ofScope(scope)) {
      if (entry.confirmedUid === undefined || !this.#rules.isGone(listed.has(entry))) continue;
      if (this.#isReadLater(entry, version)) continue;
      if (entry.hint && this.#rules.hintIsReached(entry.hint.resourceVersion, version))
        this.#dropListed(entry, entry.hint, undefined);
      this.#unconfirm(entry, entry.confirmedUid);
      const {
        name,
        namespace: { name: namespace },
      } = entry;
      this.#news.tell((tell) => {
        tell(
          toldFact("informer", "unlisted", "applied", this.#nowMs, {
            namespace,
            name,
            resourceVersion: version,
          }),
        );
      });
    }
    const applied: Observation[] = [];
    const buried: Observation[] = [];
    for (const observation of observations) {
      const entry = this.#entries.getOrAdd(observation.namespace, observation.name, scope);
      if (isUnchanged(entry, observation) || this.#isReadLater(entry, version)) continue;
      // Whatever its version: what a list shows is so (a cluster may have been restored while nobody looked).
      this.#confirm(entry, observation, before, true);
      if (entry.facts.tombstone === undefined) applied.push(observation);
      else buried.push(observation);
    }
    this.#tellListed(applied, "applied");
    this.#tellListed(buried, "ignored_tombstone");
    scope.synced = true;
    scope.missing = false;
    scope.snapshotAtMs = undefined;
    this.#passWatermark(scope, false);
  }

  /** Takes over what the informer says; the object was as it had been `until` then, but for a `gap`. */
  #confirm(entry: Entry, observation: Observation, until: ResourceVersion, gap: boolean): void {
    const known = { hold: entry.hold, route: entry.confirmedRoute, until, gap };
    entry.confirm(observation, holdAfter(known, observation.route));
    this.#touched.push(entry);
    if (!entry.ahead) return;
    this.#compareHint(entry, observation);
    if (this.#tombstoneIsDone(entry)) this.#ahead.drop("tombstone", entry);
  }

  #unconfirm(entry: Entry, uid: string | undefined): void {
    entry.unconfirm();
    // No UID lives again, so a hint of a later life of this one is wrong.
    if (entry.hint && entry.hint.uid === uid) {
      const reached = this.#rules.hintIsReached(entry.hint.resourceVersion, entry.scope.watermark);
      // With a selector it may live on out of sight.
      this.#ahead.close("hint", entry, reached || entry.scope.selective ? undefined : "contradicted");
    }
    if (this.#tombstoneIsDone(entry)) this.#ahead.drop("tombstone", entry);
    this.#touched.push(entry);
  }

  /** Compares a hint with what the informer just said of the same object. */
  #compareHint(entry: Entry, { resourceVersion, uid, route }: Observation): void {
    const { hint, scope, ahead } = entry;
    if (!hint) return;
    if (route === undefined && hint.uid === uid) {
      this.#ahead.close("hint", entry, "contradicted");
    } else if (
      hint.resourceVersion === resourceVersion &&
      this.#rules.hintIsReached(resourceVersion, scope.watermark)
    ) {
      const same = hint.uid === uid && hint.ip === route?.ip && hint.state === route.state;
      const lagMs = this.#nowMs - (ahead?.hint?.arrivedAtMs ?? this.#nowMs);
      this.#ahead.drop("hint", entry, same ? undefined : "contradicted");
      if (same) this.#news.add((listener) => listener.hintConfirmed?.(lagMs));
    }
  }

  /**
   * Lets go of the pushed facts that the watermark has reached. With `everyEvent`, the informer has delivered each
   * event up to there, so a hint at a version that it never mentioned was wrong.
   */
  #passWatermark(scope: Scope<Entry>, everyEvent: boolean): void {
    if (scope.barredUntil !== undefined && compareResourceVersions(scope.watermark, scope.barredUntil) > 0) {
      scope.barredUntil = undefined;
    }
    for (let reached = scope.takeReached(); reached; reached = scope.takeReached()) {
      const { entry } = reached;
      // From here on the informer says all that the read did.
      if (reached.fact === "read") this.#ahead.drop("read", entry);
      if (entry.hint && this.#rules.hintIsReached(entry.hint.resourceVersion, scope.watermark)) {
        const isShown = !scope.selective || this.#rules.isShown(entry.confirmed, entry.hint);
        if (!everyEvent) this.#dropListed(entry, entry.hint, entry.observation);
        else this.#ahead.drop("hint", entry, isShown ? "contradicted" : undefined);
      }
      if (this.#tombstoneIsDone(entry)) this.#ahead.drop("tombstone", entry);
      this.#touched.push(entry);
    }
    this.#moved.push(scope);
  }

  /**
   * Drops a hint that a list has passed; `observation` is the object as the list shows it. A push that waits for a read is judged
   * as by that read. One that counts is blamed only when the list shows that the object never had its version.
   */
  #dropListed(entry: Entry, hint: Route, observation: Observation | undefined): void {
    const { scope, ahead } = entry;
    const { hint: pending, tombstone } = ahead ?? {};
    const view = { version: scope.watermark, observation, selective: scope.selective };
    const settled = this.#rules.settleUpdate(hint, view, true, tombstone?.version);
    const isTrusted = pending?.trusted === true;
    if (settled !== "refuted") this.#ahead.drop("hint", entry);
    else if (isTrusted) this.#ahead.drop("hint", entry, observation ? "contradicted" : undefined);
    else {
      this.#news.tell((tell) => tell(this.#pushed(hint, "ignored_refuted", pending?.from ?? "")));
      this.#ahead.drop("hint", entry, "refuted");
    }
  }

  // ---- pushed facts

  /** Keeps a push: in effect at once, or until a read settles it. */
  #keep(
    fact: "hint" | "tombstone",
    entry: Entry,
    push: {
      readonly version: ResourceVersion;
      readonly route?: Route;
      readonly from: string;
      readonly trusted: boolean;
      readonly isRelayed: boolean;
    },
  ): "applied" | "unsettled" {
    if (!push.trusted) {
      this.#ahead.doubt(fact, entry, push, this.#nowMs);
      return "unsettled";
    }
    if (fact === "tombstone") {
      // A repeated deletion does not extend the tombstone's TTL.
      if (entry.trustedFacts.tombstone === push.version) return "applied";
      const { hint } = entry;
      if (hint && compareResourceVersions(hint.resourceVersion, push.version) <= 0)
        this.#ahead.drop("hint", entry);
    }
    this.#ahead.believe(fact, entry, push, this.#nowMs);
    return "applied";
  }

  /** Drops the pushes of an entry that a read has settled. */
  #settlePushes(entry: Entry, read: ReadView, asOf: number): void {
    const { hint, tombstone } = entry.ahead ?? {};
    if (hint?.route) {
      const { route, from } = hint;
      const settled = this.#rules.settleUpdate(route, read, hint.serial <= asOf, tombstone?.version);
      if (settled === "refuted" || settled === "unselected") {
        this.#news.tell((tell) => tell(this.#pushed(route, `ignored_${settled}`, from)));
      }
      this.#closePush("hint", entry, settled, hint.arrivedAtMs);
    }
    if (tombstone) {
      const isAfter = tombstone.serial <= asOf;
      const settled = this.#rules.settleDelete(tombstone.version, entry.confirmedUid, read, isAfter);
      this.#closePush("tombstone", entry, settled, tombstone.arrivedAtMs);
    }
  }

  #closePush(fact: "hint" | "tombstone", entry: Entry, settled: Settlement, arrivedAtMs: Milliseconds): void {
    if (settled === "open") return;
    this.#ahead.close(fact, entry, settled === "refuted" ? "refuted" : undefined);
    if (fact === "hint" && settled === "confirmed") {
      const lagMs = this.#nowMs - arrivedAtMs;
      this.#news.add((listener) => listener.hintConfirmed?.(lagMs));
    }
  }

  /** Whether a push takes effect without a read, as far as its sender decides that (rule 12). */
  #believes(scope: Scope<Entry>, proven: boolean): boolean {
    return proven || this.#trust === "serve" || !scope.watched;
  }

  /** What the informer, and reads, have shown of an object, up to which version. */
  #viewFor(entry: Entry | undefined, scope: Scope<Entry>): ScopeView {
    const { barredUntil } = scope;
    const watermark = newerResourceVersion(scope.watermark, entry?.readVersion ?? NOTHING_SEEN);
    return { watermark, barredUntil, ceiling: scope.ceiling(this.#nowMs) };
  }

  /** Why an event of the informer says nothing new of an object, if so. */
  #oldNews(entry: Entry, version: ResourceVersion): "ignored_stale" | "ignored_read" | undefined {
    const { confirmedVersion: known, readVersion: read } = entry;
    if (known === version) return undefined;
    if (read !== undefined && this.#rules.eventIsRead(version, read)) return "ignored_read";
    return known !== undefined && this.#rules.eventIsOlder(version, known) ? "ignored_stale" : undefined;
  }

  #isReadLater({ readVersion }: Entry, list: ResourceVersion): boolean {
    return readVersion !== undefined && !this.#rules.eventIsRead(readVersion, list);
  }

  #tombstoneIsDone({ tombstone, confirmedVersion, scope }: Entry): boolean {
    return (
      tombstone !== undefined &&
      scope.watched &&
      this.#rules.tombstoneIsDone(tombstone, confirmedVersion, scope.watermark)
    );
  }

  // ---- books

  /** The informer of a scope says something. */
  #begin(scopeName: string, nowMs: Milliseconds): Scope<Entry> {
    this.#tick(nowMs);
    const scope = this.#watchedScope(scopeName);
    scope.heard(this.#nowMs);
    return scope;
  }

  #watchedScope(name: string): Scope<Entry> {
    const scope = this.#scopes.get(name);
    if (!scope?.watched) throw new Error(`the table has no informer scope ${JSON.stringify(name)}`);
    return scope;
  }

  /** A clock that is set back must not bring a sandbox back whose shutdownTime has passed. */
  #tick(nowMs: Milliseconds): void {
    this.#nowMs = Math.max(this.#nowMs, nowMs);
  }

  #hasSynced(): boolean {
    const scopes = [...this.#scopes.values()];
    return scopes.some(isKnown) && scopes.every((scope) => isKnown(scope) || scope.missing);
  }

  /** The object that a request names, of whichever CRD. */
  #object(namespace: string, name: string): Entry | undefined {
    const [only] = this.#providers;
    if (only === "") return this.#entries.get(namespace, name);
    return firstLiving(this.#providers, (provider) => {
      const entry = this.#entries.get(tableNamespace(provider, namespace), name);
      return entry?.inEffect && entry;
    });
  }

  #entryOf(key: ObjectKey): Entry | undefined {
    const slash = key.indexOf("/");
    return this.#entries.get(key.slice(0, slash), key.slice(slash + 1));
  }

  #scopeOf(namespace: string): Scope<Entry> | undefined {
    return this.#scopes.get(providerOf(namespace)) ?? this.#scopes.get(namespace);
  }

  /**
   * Ends a mutation: works out what follows from the facts that changed, once for each entry and once for each pod IP, and
   * tells of it. Were it done fact by fact, an incarnation could end for what another sandbox was a moment ago.
   */
  #complete(): void {
    for (const entry of this.#touched) {
      this.#effects.refresh(entry, this.#nowMs);
      if (!entry.hasFacts) this.#entries.remove(entry);
    }
    if (this.#factWatchers.size > 0) this.#tellFactWatchers();
    this.#touched.length = 0;
    for (const scope of this.#moved) this.#effects.watermarkMoved(scope);
    this.#moved.length = 0;
    this.#effects.decide();
    this.#news.deliver();
  }

  #tellFactWatchers(): void {
    for (const { namespace, name } of this.#touched) {
      for (const watcher of this.#factWatchers) watcher(namespace.name, name);
    }
  }

  #isLiving(namespace: string, name: string): boolean {
    const entry = this.#entries.get(namespace, name);
    return entry?.inEffect !== undefined && !this.#rules.isTerminal(entry.state);
  }

  /** The guard that stopped a refused observation from bringing back a key that has no living route. */
  #guardOf({ namespace, name, route }: Observation, outcome: Outcome): Guard | undefined {
    if (outcome === "applied") return undefined;
    const wouldLive = route !== undefined && !this.#rules.isTerminal(route.state);
    return this.#rules.resurrection(outcome, !wouldLive || this.#isLiving(namespace, name));
  }

  // ---- what is told

  /** One piece of news for a whole list: a piece for each would take more memory than the routes at hand. */
  #tellListed(observations: readonly Observation[], outcome: Outcome): void {
    if (observations.length === 0) return;
    this.#news.tell((tell) => {
      for (const observation of observations) tell(this.#observed(observation, "listed", outcome));
    });
  }

  #observed(observation: Observation, how: "listed" | "observed", outcome: Outcome): Told {
    return toldObservation(observation, how, outcome, this.#guardOf(observation, outcome), this.#nowMs);
  }

  #pushed(push: PushedRoute, outcome: Outcome, from: string): Told {
    const isRefused = outcome !== "applied" && outcome !== "unsettled";
    const isLiving = isRefused && this.#isLiving(push.namespace, push.name);
    const guard = isRefused ? this.#rules.resurrection(outcome, isLiving) : undefined;
    return toldUpdate(push, outcome, guard, from, this.#nowMs);
  }
}

/** `names`: what requests are held for. */
function factsOf(
  { namespace, name, confirmed, hold, ahead }: Entry,
  names: DoubtNames | undefined,
): ObjectFacts {
  const { hint, tombstone, read, doubt } = ahead ?? {};
  return {
    namespace: namespace.name,
    name,
    confirmed,
    hold,
    hint: hint?.route && { route: hint.route, ...howPushed(hint) },
    tombstone: tombstone && { version: tombstone.version, ...howPushed(tombstone) },
    read: read?.version,
    doubt: doubt && { ...(names ?? { ids: [], ips: doubt.ips }), isPartlyKept: doubt.isPartlyKept },
  };
}

function howPushed({ from, trusted, isRelayed }: PushedFactOf<object>): PushedFactOf<object> {
  return { from, trusted, isRelayed };
}

/** Whether what a scope watches is known: by a list, or by a snapshot. */
function isKnown({ synced, snapshotAtMs }: Scope<Entry>): boolean {
  return synced || snapshotAtMs !== undefined;
}

const UNKNOWN: Lookup = { kind: "unknown" };

/** What is known of an object that nobody has told of. */
const NO_FACTS: Facts = { confirmed: undefined, hint: undefined, tombstone: undefined };

/**
 * Most of a relist says what is known. It can bring nothing about, so it costs nothing either. The version alone does not
 * tell: after a restore from a backup that nobody noticed, one version may have been given out twice.
 */
function isUnchanged(entry: Entry, { uid, resourceVersion, route }: Observation): boolean {
  return (
    entry.ahead === undefined &&
    entry.confirmedVersion === resourceVersion &&
    entry.confirmedUid === uid &&
    saysTheSame(entry.confirmedRoute, route)
  );
}

/** Compares two routes of one object at one version, field by field. */
function saysTheSame(a: Route | undefined, b: Route | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    a.state === b.state &&
    a.ip === b.ip &&
    a.id === b.id &&
    a.podUid === b.podUid &&
    a.shutdownAtMs === b.shutdownAtMs &&
    a.owner === b.owner &&
    a.accessToken === b.accessToken &&
    a.requireTrafficAuth === b.requireTrafficAuth &&
    a.wake === b.wake
  );
}

/** @throws RangeError when an object would lie in two of the scopes. */
function disjoint(scopes: readonly string[]): readonly string[] {
  const twice = scopes.find((name, index) => scopes.indexOf(name) !== index);
  if (twice !== undefined) throw new RangeError(`the scope ${JSON.stringify(twice)} is named twice`);
  const wide = scopes.find((name) => name !== providerOf(name) && scopes.includes(providerOf(name)));
  if (wide !== undefined) {
    const all = JSON.stringify(providerOf(wide));
    throw new RangeError(
      `the scope ${all} is all namespaces and stands alone, without ${JSON.stringify(wide)}`,
    );
  }
  return scopes;
}
