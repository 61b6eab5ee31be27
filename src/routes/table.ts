import type { Milliseconds } from "../clock.ts";
import { asRouteInEffect, Entry } from "./entry.ts";
import { holdAfter } from "./ip-hold.ts";
import type { Lookup, RouteLookup } from "./lookup.ts";
import { News, type TableListener } from "./news.ts";
import type { Observation } from "./observation.ts";
import type { DropReason, Outcome, PushedFact, Source } from "./outcome.ts";
import {
  compareResourceVersions,
  newerResourceVersion,
  NOTHING_SEEN,
  parseResourceVersion,
  type ResourceVersion,
} from "./resource-version.ts";
import { objectKey, type ObjectKey, type Route, routingId } from "./route.ts";
import { RoutesInEffect } from "./routes-in-effect.ts";
import { RULES, type Rules } from "./rules.ts";
import { Scope } from "./scope.ts";
import { type EntryView, type TableStats, viewOf } from "./table-view.ts";

/** How a table is set up. */
export interface RouteTableOptions {
  /**
   * The namespaces that an informer watches, `[""]` for all of them; `"none"` for a table that only peers write
   * (`source: none`): a last-writer-wins map by version (rule 7).
   */
  readonly scopes: readonly string[] | "none";
  /** How long a live informer may take to confirm a claim. Default 60,000. */
  readonly claimTtlMs?: Milliseconds;
  /** The most claims kept; the oldest goes first and is counted. Default 200,000. */
  readonly maxClaims?: number;
  /** How long a tombstone lasts that the informer does not confirm. Default 600,000. */
  readonly tombstoneTtlMs?: Milliseconds;
  /** The most tombstones kept; evicting one early reopens the window that its TTL closed. Default 100,000. */
  readonly maxTombstones?: number;
  /** Rule 10. Switch it off for pods on the host network, which share an IP by right. Default true. */
  readonly onePodPerIp?: boolean;
  /** For the explorer, which shows that each rule is needed. Default {@link RULES}. */
  readonly rules?: Rules;
}

/** A push as it was decoded: nothing in it is validated yet. */
export type PushedRoute = Omit<Route, "resourceVersion"> & { readonly resourceVersion: string };

/** A delete push: it needs the object and a version only. */
export interface PushedDeletion {
  readonly namespace: string;
  readonly name: string;
  readonly resourceVersion: string;
}

/**
 * The route table (design.md 3): facts from an informer that lags and from peers whose pushes come late, twice or in
 * the wrong order, and the one route that is in effect for each object. Nothing that died comes back through it.
 *
 * Pure and synchronous. It has no clock: each mutation is given the time (`nowMs`, since the epoch), and
 * {@link RouteTable.advance} is to be called at {@link RouteTable.nextDeadlineMs}. Time that runs backwards is taken as
 * standing still.
 */
export class RouteTable implements RouteLookup {
  readonly #rules: Rules;
  readonly #claimTtlMs: Milliseconds;
  readonly #maxClaims: number;
  readonly #tombstoneTtlMs: Milliseconds;
  readonly #maxTombstones: number;

  readonly #scopes: ReadonlyMap<string, Scope<Entry>>;
  readonly #everyNamespace: Scope<Entry> | undefined;
  readonly #entries = new Map<ObjectKey, Entry>();
  /** Whose pushed facts there are, over all scopes, the oldest first. */
  readonly #pushed: Readonly<Record<PushedFact, Set<Entry>>> = { claim: new Set(), tombstone: new Set() };
  readonly #news = new News();
  readonly #effects: RoutesInEffect;
  #nowMs: Milliseconds = 0;

  constructor(options: RouteTableOptions) {
    this.#rules = options.rules ?? RULES;
    this.#claimTtlMs = options.claimTtlMs ?? 60_000;
    this.#maxClaims = options.maxClaims ?? 200_000;
    this.#tombstoneTtlMs = options.tombstoneTtlMs ?? 600_000;
    this.#maxTombstones = options.maxTombstones ?? 100_000;
    const scopes =
      options.scopes === "none"
        ? [new Scope<Entry>("", false, 0)]
        : options.scopes.map((name) => new Scope<Entry>(name, true, this.#claimTtlMs / 2));
    this.#scopes = new Map(scopes.map((scope) => [scope.name, scope]));
    this.#everyNamespace = this.#scopes.get("");
    this.#effects = new RoutesInEffect(this.#rules, this.#news, options.onePodPerIp ?? true);
  }

  // ---- what the proxy sees

  get synced(): boolean {
    for (const scope of this.#scopes.values()) if (!scope.synced) return false;
    return true;
  }

  lookup(id: string): Lookup {
    return this.#effects.lookup(id);
  }

  lookupObject(namespace: string, name: string): Lookup {
    const entry = this.#entries.get(objectKey(namespace, name));
    if (entry?.inEffect === undefined) return { kind: "unknown" };
    // An object whose ID is disputed is served under no name.
    const byId = this.#effects.lookup(entry.inEffect.id);
    return byId.kind === "id-conflict" && byId.keys.includes(entry.key) ? byId : asRouteInEffect(entry);
  }

  /** Calls `listener` from now on; returns what stops that. */
  addListener(listener: TableListener): () => void {
    return this.#news.addListener(listener);
  }

  // ---- what the informer says

  /**
   * A consistent snapshot of a scope at `version` (rule 5): what it lists is confirmed, what it lacks is gone.
   * Returns `behind`, and changes nothing, when the scope has seen a newer version already.
   */
  relist(
    scopeName: string,
    version: ResourceVersion,
    observations: readonly Observation[],
    nowMs: Milliseconds,
  ): "applied" | "behind" {
    const scope = this.#begin(scopeName, nowMs);
    const behind = this.#rules.listIsBehind(version, scope.watermark);
    if (behind) for (const observation of observations) this.#reportSeen(observation, "ignored/watermark");
    else this.#takeList(scope, version, observations);
    this.#expire(scope);
    this.#news.deliver();
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
    const height = newerResourceVersion(scope.watermark, scope.barredUntil ?? NOTHING_SEEN);
    scope.watermark = NOTHING_SEEN;
    scope.barredUntil = height;
    for (const entry of this.#entries.values()) {
      if (entry.scope !== scope) continue;
      entry.confirmed = undefined;
      entry.hold = undefined;
      this.#drop("claim", entry, "restored");
      this.#drop("tombstone", entry, "restored");
    }
    this.#takeList(scope, version, observations);
    this.#news.deliver();
  }

  /** ADDED or MODIFIED. */
  observe(scopeName: string, observation: Observation, nowMs: Milliseconds): Outcome {
    const scope = this.#begin(scopeName, nowMs);
    const { namespace, name, resourceVersion } = observation;
    let outcome: Outcome = "ignored/watermark";
    if (!this.#rules.eventIsSeen(resourceVersion, scope.watermark)) {
      const before = scope.watermark;
      scope.watermark = resourceVersion;
      const entry = this.#entry(objectKey(namespace, name), scope);
      const known = entry.confirmed?.resourceVersion;
      const isOlder = known !== undefined && this.#rules.eventIsOlder(resourceVersion, known);
      if (!isOlder) this.#confirm(entry, observation, before, false);
      this.#passWatermark(scope, true);
      this.#refresh(entry);
      outcome = isOlder ? "ignored/stale" : entry.tombstone === undefined ? "applied" : "ignored/tombstone";
    }
    this.#expire(scope);
    this.#reportSeen(observation, outcome);
    this.#news.deliver();
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
    const key = objectKey(namespace, name);
    let outcome: Outcome = "ignored/watermark";
    if (!this.#rules.eventIsSeen(version, scope.watermark)) {
      scope.watermark = version;
      const entry = this.#entries.get(key);
      const known = entry?.confirmed?.resourceVersion;
      const isOlder = known !== undefined && this.#rules.eventIsOlder(version, known);
      // The server may leave the UID out; then it is that of the object which was there.
      if (entry && !isOlder) this.#unconfirm(entry, uid || entry.confirmed?.uid);
      this.#passWatermark(scope, true);
      outcome = isOlder ? "ignored/stale" : "applied";
    }
    this.#expire(scope);
    this.#report("informer", outcome, key);
    this.#news.deliver();
    return outcome;
  }

  /** BOOKMARK: everything up to `version` has been delivered. */
  bookmark(scopeName: string, version: ResourceVersion, nowMs: Milliseconds): void {
    const scope = this.#begin(scopeName, nowMs);
    if (!this.#rules.eventIsSeen(version, scope.watermark)) {
      scope.watermark = version;
      this.#passWatermark(scope, true);
    }
    this.#expire(scope);
    this.#news.deliver();
  }

  /**
   * Whether the informer of a scope hears the API server. Nothing expires but when it is heard, and the time for which
   * it was not live does not count (rule 6).
   */
  setLive(scopeName: string, live: boolean, nowMs: Milliseconds): void {
    this.#tick(nowMs);
    this.#watchedScope(scopeName).setLive(live, this.#nowMs);
  }

  // ---- what peers say

  /** Any push but a deletion (rule 1). A terminal state makes it one (rule 3). */
  pushUpdate(push: PushedRoute, nowMs: Milliseconds): Outcome {
    if (this.#rules.isTerminal(push.state)) return this.pushDelete(push, nowMs);
    this.#tick(nowMs);
    const { namespace, name, uid } = push;
    const key = objectKey(namespace, name);
    const resourceVersion = parseResourceVersion(push.resourceVersion);
    const scope = this.#scopeOf(namespace);
    let outcome: Outcome;
    if (!isKey(namespace, name)) outcome = "invalid/key";
    else if (!push.id) outcome = "invalid/id";
    else if (!uid) outcome = "invalid/uid";
    else if (!resourceVersion) outcome = "invalid/resource-version";
    else if (sizeOf(push) > MAX_PUSH_CHARACTERS) outcome = "invalid/size";
    else if (!scope) outcome = "ignored/out-of-scope";
    else {
      this.#expire(scope);
      const known = this.#entries.get(key) ?? new Entry(key, scope);
      outcome = this.#rules.judgeUpdate(known, { resourceVersion, uid }, scope);
      if (outcome === "applied") {
        const claim = { ...push, id: routingId(namespace, name, push.id), resourceVersion };
        this.#claim(this.#entry(key, scope), claim);
      }
    }
    this.#report("peer", outcome, key, !this.#isLiving(key));
    this.#news.deliver();
    return outcome;
  }

  /** A push that ends a sandbox (rule 2). */
  pushDelete(push: PushedDeletion, nowMs: Milliseconds): Outcome {
    this.#tick(nowMs);
    const { namespace, name } = push;
    const key = objectKey(namespace, name);
    const version = parseResourceVersion(push.resourceVersion);
    const scope = this.#scopeOf(namespace);
    let outcome: Outcome;
    if (!isKey(namespace, name)) outcome = "invalid/key";
    else if (!version) outcome = "invalid/resource-version";
    else if (key.length + version.length > MAX_PUSH_CHARACTERS) outcome = "invalid/size";
    else if (!scope) outcome = "ignored/out-of-scope";
    else {
      this.#expire(scope);
      const known = this.#entries.get(key) ?? new Entry(key, scope);
      outcome = this.#rules.judgeDelete(known, version, scope);
      if (outcome === "applied") this.#bury(this.#entry(key, scope), version);
    }
    this.#report("peer", outcome, key);
    this.#news.deliver();
    return outcome;
  }

  // ---- time

  /** Lets time pass: sandboxes reach their shutdownTime (rule 8); without an informer tombstones run out (rule 7). */
  advance(nowMs: Milliseconds): void {
    this.#tick(nowMs);
    for (const scope of this.#scopes.values()) this.#expire(scope);
    for (const { key } of this.#effects.shutDown(this.#nowMs)) this.#report("clock", "applied", key);
    this.#news.deliver();
  }

  /** When {@link RouteTable.advance} has something to do next, in milliseconds since the epoch. */
  nextDeadlineMs(): Milliseconds | undefined {
    let next = this.#effects.nextShutdownMs() ?? Number.POSITIVE_INFINITY;
    for (const scope of this.#scopes.values()) {
      next = Math.min(next, scope.nextExpiryMs() ?? Number.POSITIVE_INFINITY);
    }
    return next === Number.POSITIVE_INFINITY ? undefined : next;
  }

  // ---- for people

  /** Everything that is known of one object. */
  inspect(key: ObjectKey): EntryView | undefined {
    const entry = this.#entries.get(key);
    return entry && viewOf(entry, this.#effects);
  }

  /** The keys of all objects that anything is known of, in no particular order. */
  keys(): MapIterator<ObjectKey> {
    return this.#entries.keys();
  }

  stats(): TableStats {
    return {
      states: this.#effects.states,
      entries: this.#entries.size,
      servable: this.#effects.incarnations,
      claims: this.#pushed.claim.size,
      tombstones: this.#pushed.tombstone.size,
      idConflicts: this.#effects.idConflicts,
      ipConflicts: this.#effects.ipConflicts,
      scopes: [...this.#scopes.values()].map(({ name, watermark, synced, live, barredUntil }) => {
        return { name, watermark, synced, live, barredUntil };
      }),
    };
  }

  // ---- confirmed facts

  #takeList(scope: Scope<Entry>, version: ResourceVersion, observations: readonly Observation[]): void {
    const before = scope.watermark;
    const listed = new Set(observations.map(({ namespace, name }) => objectKey(namespace, name)));
    scope.watermark = version;
    // The gone leave first, so that what they held is free for the living.
    for (const entry of this.#entries.values()) {
      if (entry.scope !== scope || !this.#rules.isGone(listed.has(entry.key))) continue;
      if (entry.confirmed) this.#unconfirm(entry, entry.confirmed.uid);
      else this.#refresh(entry);
    }
    for (const observation of observations) {
      const entry = this.#entry(objectKey(observation.namespace, observation.name), scope);
      if (isUnchanged(entry, observation)) continue;
      // Whatever its version: what a list shows is so (a cluster may have been restored while nobody looked).
      this.#confirm(entry, observation, before, true);
      this.#refresh(entry);
      this.#reportSeen(observation, entry.tombstone === undefined ? "applied" : "ignored/tombstone");
    }
    scope.synced = true;
    this.#passWatermark(scope, false);
  }

  /** Takes over what the informer says; the object was as it had been `until` then, but for a `gap`. */
  #confirm(entry: Entry, observation: Observation, until: ResourceVersion, gap: boolean): void {
    entry.hold = holdAfter({ hold: entry.hold, route: entry.confirmed?.route, until, gap }, observation);
    entry.confirmed = observation;
    this.#compareClaim(entry, observation);
    if (this.#tombstoneIsDone(entry)) this.#drop("tombstone", entry);
  }

  #unconfirm(entry: Entry, uid: string | undefined): void {
    entry.confirmed = undefined;
    entry.hold = undefined;
    // No UID lives again, so a claim of a later life of this one is wrong.
    if (entry.claim && entry.claim.uid === uid) {
      const reached = this.#rules.claimIsReached(entry.claim.resourceVersion, entry.scope.watermark);
      this.#drop("claim", entry, reached ? undefined : "contradicted");
    }
    if (this.#tombstoneIsDone(entry)) this.#drop("tombstone", entry);
    this.#refresh(entry);
  }

  /** Compares a claim with what the informer just said of the same object. */
  #compareClaim(entry: Entry, { resourceVersion, uid, route }: Observation): void {
    const { claim, scope } = entry;
    if (!claim) return;
    if (route === undefined && claim.uid === uid) {
      this.#drop("claim", entry, "contradicted");
    } else if (
      claim.resourceVersion === resourceVersion &&
      this.#rules.claimIsReached(resourceVersion, scope.watermark)
    ) {
      const same = claim.uid === uid && claim.ip === route?.ip && claim.state === route.state;
      this.#drop("claim", entry, same ? undefined : "contradicted");
      const lagMs = this.#nowMs - entry.claimArrivedAtMs;
      if (same) this.#news.add((listener) => listener.claimConfirmed?.(lagMs));
    }
  }

  /**
   * Lets go of the pushed facts that the watermark has reached. With `everyEvent`, the informer has delivered each
   * event up to there, so a claim at a version that it never mentioned was wrong.
   */
  #passWatermark(scope: Scope<Entry>, everyEvent: boolean): void {
    if (scope.barredUntil !== undefined && compareResourceVersions(scope.watermark, scope.barredUntil) > 0) {
      scope.barredUntil = undefined;
    }
    for (let entry = scope.takeReached(); entry; entry = scope.takeReached()) {
      if (entry.claim && this.#rules.claimIsReached(entry.claim.resourceVersion, scope.watermark)) {
        this.#drop("claim", entry, everyEvent ? "contradicted" : undefined);
      }
      if (this.#tombstoneIsDone(entry)) this.#drop("tombstone", entry);
      this.#refresh(entry);
    }
    this.#effects.watermarkMoved(scope);
  }

  // ---- pushed facts

  #claim(entry: Entry, claim: Route): void {
    const { scope } = entry;
    entry.claim = claim;
    entry.claimArrivedAtMs = this.#nowMs;
    this.#enqueue("claim", entry, this.#claimTtlMs);
    scope.awaitWatermark(claim.resourceVersion, entry);
    this.#refresh(entry);
    if (this.#pushed.claim.size > this.#maxClaims) this.#evictOldest("claim");
  }

  #bury(entry: Entry, version: ResourceVersion): void {
    const { scope, claim } = entry;
    // The same deletion told again does not last longer for it.
    if (entry.tombstone === version) return;
    entry.tombstone = version;
    if (claim && compareResourceVersions(claim.resourceVersion, version) <= 0) this.#drop("claim", entry);
    this.#enqueue("tombstone", entry, this.#tombstoneTtlMs);
    scope.awaitWatermark(version, entry);
    this.#refresh(entry);
    if (this.#pushed.tombstone.size > this.#maxTombstones) this.#evictOldest("tombstone");
  }

  #tombstoneIsDone({ tombstone, confirmed, scope }: Entry): boolean {
    return (
      tombstone !== undefined &&
      scope.watched &&
      this.#rules.tombstoneIsDone(tombstone, confirmed?.resourceVersion, scope.watermark)
    );
  }

  #expire(scope: Scope<Entry>): void {
    const liveMs = scope.liveMs(this.#nowMs);
    if (scope.watched) this.#expireKind("claim", scope.claims, liveMs);
    this.#expireKind("tombstone", scope.tombstones, liveMs);
  }

  #expireKind(fact: PushedFact, queue: ReadonlyMap<Entry, Milliseconds>, liveMs: Milliseconds): void {
    for (const [entry, deadline] of queue) {
      if (!this.#rules.isOverdue(deadline, liveMs)) break;
      this.#drop(fact, entry, "expired");
      this.#refresh(entry);
    }
  }

  #evictOldest(fact: PushedFact): void {
    const [oldest] = this.#pushed[fact];
    if (!oldest) return;
    this.#drop(fact, oldest, "evicted");
    this.#refresh(oldest);
  }

  /** A newer fact takes the older one's place at the end: each queue has one TTL, so its order is that of deadlines. */
  #enqueue(fact: PushedFact, entry: Entry, ttlMs: Milliseconds): void {
    const { scope } = entry;
    const queue = fact === "claim" ? scope.claims : scope.tombstones;
    queue.delete(entry);
    queue.set(entry, scope.liveMs(this.#nowMs) + ttlMs);
    this.#pushed[fact].delete(entry);
    this.#pushed[fact].add(entry);
  }

  /** Gives up a fact, if there is one; without a `reason` because the informer or a newer push took its place. */
  #drop(fact: PushedFact, entry: Entry, reason?: DropReason): void {
    entry[fact] = undefined;
    (fact === "claim" ? entry.scope.claims : entry.scope.tombstones).delete(entry);
    if (!this.#pushed[fact].delete(entry)) return;
    if (reason) this.#news.add((listener) => listener.factDropped?.(fact, reason, entry.key));
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

  #scopeOf(namespace: string): Scope<Entry> | undefined {
    return this.#everyNamespace ?? this.#scopes.get(namespace);
  }

  #entry(key: ObjectKey, scope: Scope<Entry>): Entry {
    let entry = this.#entries.get(key);
    if (!entry) {
      entry = new Entry(key, scope);
      this.#entries.set(key, entry);
    }
    return entry;
  }

  #refresh(entry: Entry): void {
    this.#effects.refresh(entry, this.#nowMs);
    // An entry may be let go while the watermark is still awaited for it; its key may have a new one by then.
    if (!entry.hasFacts && this.#entries.get(entry.key) === entry) this.#entries.delete(entry.key);
  }

  #isLiving(key: ObjectKey): boolean {
    const entry = this.#entries.get(key);
    return entry?.inEffect !== undefined && !this.#rules.isTerminal(entry.state);
  }

  #reportSeen({ namespace, name, route }: Observation, outcome: Outcome): void {
    const key = objectKey(namespace, name);
    const wouldLive = route !== undefined && !this.#rules.isTerminal(route.state);
    this.#report("informer", outcome, key, wouldLive && !this.#isLiving(key));
  }

  /** `wouldRevive`: had it been taken, a key without a living route would have one now. */
  #report(source: Source, outcome: Outcome, key: ObjectKey, wouldRevive = false): void {
    const guard = this.#rules.resurrection(outcome, !wouldRevive);
    this.#news.add((listener) => listener.mutated?.(source, outcome, key, guard));
  }
}

/** Most of a relist says what is known. It can bring nothing about, so it costs nothing either. */
function isUnchanged({ confirmed, claim, tombstone }: Entry, { uid, resourceVersion }: Observation): boolean {
  return (
    confirmed?.resourceVersion === resourceVersion &&
    confirmed.uid === uid &&
    claim === undefined &&
    tombstone === undefined
  );
}

/** Names of Kubernetes objects hold no `/`; one that did would be taken for another object's key. */
function isKey(namespace: string, name: string): boolean {
  return namespace !== "" && name !== "" && !namespace.includes("/") && !name.includes("/");
}

/** All that a claim keeps of what a peer wrote. Names are at most 253 characters long; tokens are what may be long. */
const MAX_PUSH_CHARACTERS = 16_384;

function sizeOf(push: PushedRoute): number {
  let size = 0;
  for (const value of Object.values(push)) if (typeof value === "string") size += value.length;
  return size;
}
