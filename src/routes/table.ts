import type { Milliseconds } from "../clock.ts";
import { asRouteInEffect, type Entry } from "./entry.ts";
import { holdAfter } from "./ip-hold.ts";
import type { Lookup, RouteLookup } from "./lookup.ts";
import { News, type TableListener } from "./news.ts";
import type { Observation } from "./observation.ts";
import type { DropReason, Guard, Outcome, PushedFact, Source } from "./outcome.ts";
import {
  compareResourceVersions,
  newerResourceVersion,
  NOTHING_SEEN,
  parseResourceVersion,
  type ResourceVersion,
} from "./resource-version.ts";
import { IncarnationNumbers } from "./incarnations.ts";
import { ObjectIndex } from "./object-index.ts";
import { Pending } from "./pending.ts";
import { objectKey, type ObjectKey, type Route, routingId } from "./route.ts";
import { RoutesInEffect } from "./routes-in-effect.ts";
import { type Facts, RULES, type Rules } from "./rules.ts";
import { Scope } from "./scope.ts";
import { type EntryView, type TableStats, viewOf } from "./table-view.ts";

/** How a table is set up. */
export interface RouteTableOptions {
  /**
   * The namespaces that an informer watches, `[""]` for all of them; `"none"` for a table that only peers write
   * (`source: none`): a last-writer-wins map by version (rule 7). Each at most once, and `""` alone: two watermarks for
   * one object would let the slower informer bring back what the other has seen end.
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
  readonly #entries = new ObjectIndex(new IncarnationNumbers());
  /** Pushed facts in force, over all scopes. */
  readonly #pushed: Record<PushedFact, number> = { claim: 0, tombstone: 0 };
  #lastSerial = 0;
  readonly #news = new News();
  readonly #effects: RoutesInEffect;
  #nowMs: Milliseconds = 0;
  #synced = false;
  /** Of the mutation at hand: the entries whose facts changed, and the scopes whose watermark moved. */
  readonly #touched: Entry[] = [];
  readonly #moved: Scope<Entry>[] = [];

  /** @throws RangeError when two of `options.scopes` overlap. */
  constructor(options: RouteTableOptions) {
    this.#rules = options.rules ?? RULES;
    this.#claimTtlMs = options.claimTtlMs ?? 60_000;
    this.#maxClaims = options.maxClaims ?? 200_000;
    this.#tombstoneTtlMs = options.tombstoneTtlMs ?? 600_000;
    this.#maxTombstones = options.maxTombstones ?? 100_000;
    const scopes =
      options.scopes === "none"
        ? [new Scope<Entry>("", false, 0)]
        : disjoint(options.scopes).map((name) => new Scope<Entry>(name, true, this.#claimTtlMs / 2));
    this.#scopes = new Map(scopes.map((scope) => [scope.name, scope]));
    this.#everyNamespace = this.#scopes.get("");
    this.#effects = new RoutesInEffect(this.#rules, this.#news, options.onePodPerIp ?? true);
  }

  // ---- what the proxy sees

  get synced(): boolean {
    // Asked for each request, and never taken back.
    return (this.#synced ||= [...this.#scopes.values()].every((scope) => scope.synced));
  }

  lookup(id: string): Lookup {
    return this.#effects.lookup(id);
  }

  lookupObject(namespace: string, name: string): Lookup {
    const entry = this.#entries.get(namespace, name);
    if (entry?.inEffect === undefined) return UNKNOWN;
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
    const height = newerResourceVersion(scope.watermark, scope.barredUntil ?? NOTHING_SEEN);
    scope.watermark = NOTHING_SEEN;
    scope.barredUntil = height;
    for (const entry of this.#entries.ofScope(scope)) {
      entry.unconfirm();
      this.#drop("claim", entry, "restored");
      this.#drop("tombstone", entry, "restored");
      this.#touched.push(entry);
    }
    this.#takeList(scope, version, observations);
    this.#complete();
  }

  /** ADDED or MODIFIED. */
  observe(scopeName: string, observation: Observation, nowMs: Milliseconds): Outcome {
    const scope = this.#begin(scopeName, nowMs);
    const { namespace, name, resourceVersion } = observation;
    let outcome: Outcome = "ignored/watermark";
    if (!this.#rules.eventIsSeen(resourceVersion, scope.watermark)) {
      const before = scope.watermark;
      scope.watermark = resourceVersion;
      const entry = this.#entries.getOrAdd(namespace, name, scope);
      const known = entry.confirmedVersion;
      const isOlder = known !== undefined && this.#rules.eventIsOlder(resourceVersion, known);
      if (!isOlder) this.#confirm(entry, observation, before, false);
      this.#passWatermark(scope, true);
      outcome = isOlder ? "ignored/stale" : entry.tombstone === undefined ? "applied" : "ignored/tombstone";
    }
    this.#expire(scope);
    this.#complete();
    this.#tell("informer", outcome, namespace, name, this.#guardOf(observation, outcome));
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
    let outcome: Outcome = "ignored/watermark";
    if (!this.#rules.eventIsSeen(version, scope.watermark)) {
      scope.watermark = version;
      const entry = this.#entries.get(namespace, name);
      const known = entry?.confirmedVersion;
      const isOlder = known !== undefined && this.#rules.eventIsOlder(version, known);
      // The server may leave the UID out; then it is that of the object which was there.
      if (entry && !isOlder) this.#unconfirm(entry, uid || entry.confirmedUid);
      this.#passWatermark(scope, true);
      outcome = isOlder ? "ignored/stale" : "applied";
    }
    this.#expire(scope);
    this.#complete();
    this.#tell("informer", outcome, namespace, name);
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

  // ---- what peers say

  /** Any push but a deletion (rule 1). A terminal state makes it one (rule 3). */
  pushUpdate(push: PushedRoute, nowMs: Milliseconds): Outcome {
    if (this.#rules.isTerminal(push.state)) return this.pushDelete(push, nowMs);
    this.#tick(nowMs);
    const { namespace, name, uid } = push;
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
      const facts = this.#entries.get(namespace, name)?.facts ?? NO_FACTS;
      outcome = this.#rules.judgeUpdate(facts, { resourceVersion, uid }, scope);
      if (outcome === "applied") {
        this.#claim(this.#entries.getOrAdd(namespace, name, scope), claimOf(push, resourceVersion));
      }
    }
    this.#complete();
    const isRefused = outcome !== "applied";
    const guard = isRefused && this.#rules.resurrection(outcome, this.#isLiving(namespace, name));
    this.#tell("peer", outcome, namespace, name, guard || undefined);
    return outcome;
  }

  /** A push that ends a sandbox (rule 2). */
  pushDelete(push: PushedDeletion, nowMs: Milliseconds): Outcome {
    this.#tick(nowMs);
    const { namespace, name } = push;
    const version = parseResourceVersion(push.resourceVersion);
    const scope = this.#scopeOf(namespace);
    let outcome: Outcome;
    if (!isKey(namespace, name)) outcome = "invalid/key";
    else if (!version) outcome = "invalid/resource-version";
    else if (namespace.length + name.length + version.length > MAX_PUSH_CHARACTERS) outcome = "invalid/size";
    else if (!scope) outcome = "ignored/out-of-scope";
    else {
      this.#expire(scope);
      const facts = this.#entries.get(namespace, name)?.facts ?? NO_FACTS;
      outcome = this.#rules.judgeDelete(facts, version, scope);
      if (outcome === "applied") this.#bury(this.#entries.getOrAdd(namespace, name, scope), version);
    }
    this.#complete();
    this.#tell("peer", outcome, namespace, name);
    return outcome;
  }

  // ---- time

  /** Lets time pass: sandboxes reach their shutdownTime (rule 8); without an informer tombstones run out (rule 7). */
  advance(nowMs: Milliseconds): void {
    this.#tick(nowMs);
    for (const scope of this.#scopes.values()) this.#expire(scope);
    const ended = this.#effects.shutDown(this.#nowMs);
    this.#complete();
    for (const { namespace, name } of ended) this.#tell("clock", "applied", namespace.name, name);
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
    const slash = key.indexOf("/");
    const entry = this.#entries.get(key.slice(0, slash), key.slice(slash + 1));
    return entry && viewOf(entry, this.#effects);
  }

  /** The keys of all objects that anything is known of, in no particular order. */
  keys(): Generator<ObjectKey, void, undefined> {
    return this.#entries.keys();
  }

  stats(): TableStats {
    return {
      states: this.#effects.states,
      entries: this.#entries.size,
      servable: this.#effects.incarnations,
      claims: this.#pushed.claim,
      tombstones: this.#pushed.tombstone,
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
    const listed = new Set<Entry>();
    for (const { namespace, name } of observations) {
      const known = this.#entries.get(namespace, name);
      if (known) listed.add(known);
    }
    scope.watermark = version;
    for (const entry of this.#entries.ofScope(scope)) {
      if (entry.confirmedUid === undefined || !this.#rules.isGone(listed.has(entry))) continue;
      this.#unconfirm(entry, entry.confirmedUid);
    }
    const applied: Observation[] = [];
    for (const observation of observations) {
      const entry = this.#entries.getOrAdd(observation.namespace, observation.name, scope);
      if (isUnchanged(entry, observation)) continue;
      // Whatever its version: what a list shows is so (a cluster may have been restored while nobody looked).
      this.#confirm(entry, observation, before, true);
      if (entry.tombstone === undefined) applied.push(observation);
      else this.#reportSeen(observation, "ignored/tombstone");
    }
    // One piece of news for all: a piece for each would take more memory than the routes at hand.
    this.#news.add((listener) => {
      for (const { namespace, name } of listener.mutated ? applied : []) {
        listener.mutated?.("informer", "applied", objectKey(namespace, name), undefined);
      }
    });
    scope.synced = true;
    this.#passWatermark(scope, false);
  }

  /** Takes over what the informer says; the object was as it had been `until` then, but for a `gap`. */
  #confirm(entry: Entry, observation: Observation, until: ResourceVersion, gap: boolean): void {
    const known = { hold: entry.hold, route: entry.confirmedRoute, until, gap };
    entry.confirm(observation, holdAfter(known, observation.route));
    this.#touched.push(entry);
    if (!entry.pushed) return;
    this.#compareClaim(entry, observation);
    if (this.#tombstoneIsDone(entry)) this.#drop("tombstone", entry);
  }

  #unconfirm(entry: Entry, uid: string | undefined): void {
    entry.unconfirm();
    // No UID lives again, so a claim of a later life of this one is wrong.
    if (entry.claim && entry.claim.uid === uid) {
      const reached = this.#rules.claimIsReached(entry.claim.resourceVersion, entry.scope.watermark);
      this.#drop("claim", entry, reached ? undefined : "contradicted");
    }
    if (this.#tombstoneIsDone(entry)) this.#drop("tombstone", entry);
    this.#touched.push(entry);
  }

  /** Compares a claim with what the informer just said of the same object. */
  #compareClaim(entry: Entry, { resourceVersion, uid, route }: Observation): void {
    const { claim, scope, pushed } = entry;
    if (!claim) return;
    if (route === undefined && claim.uid === uid) {
      this.#drop("claim", entry, "contradicted");
    } else if (
      claim.resourceVersion === resourceVersion &&
      this.#rules.claimIsReached(resourceVersion, scope.watermark)
    ) {
      const same = claim.uid === uid && claim.ip === route?.ip && claim.state === route.state;
      const lagMs = this.#nowMs - (pushed?.claim?.arrivedAtMs ?? this.#nowMs);
      this.#drop("claim", entry, same ? undefined : "contradicted");
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
    for (let reached = scope.takeReached(); reached; reached = scope.takeReached()) {
      const { entry } = reached;
      if (entry.claim && this.#rules.claimIsReached(entry.claim.resourceVersion, scope.watermark)) {
        this.#drop("claim", entry, everyEvent ? "contradicted" : undefined);
      }
      if (this.#tombstoneIsDone(entry)) this.#drop("tombstone", entry);
      this.#touched.push(entry);
    }
    this.#moved.push(scope);
  }

  // ---- pushed facts

  #claim(entry: Entry, claim: Route): void {
    this.#keep("claim", entry, claim.resourceVersion, claim);
    this.#touched.push(entry);
    if (this.#pushed.claim > this.#maxClaims) this.#evictOldest("claim");
  }

  #bury(entry: Entry, version: ResourceVersion): void {
    const { claim, tombstone } = entry;
    // The same deletion told again does not last longer for it.
    if (tombstone === version) return;
    if (claim && compareResourceVersions(claim.resourceVersion, version) <= 0) this.#drop("claim", entry);
    this.#keep("tombstone", entry, version);
    this.#touched.push(entry);
    if (this.#pushed.tombstone > this.#maxTombstones) this.#evictOldest("tombstone");
  }

  #tombstoneIsDone({ tombstone, confirmedVersion, scope }: Entry): boolean {
    return (
      tombstone !== undefined &&
      scope.watched &&
      this.#rules.tombstoneIsDone(tombstone, confirmedVersion, scope.watermark)
    );
  }

  #expire(scope: Scope<Entry>): void {
    const { claim, tombstone } = scope.pending;
    if (claim.size > 0 && scope.watched) this.#expireKind("claim", scope);
    if (tombstone.size > 0) this.#expireKind("tombstone", scope);
  }

  #expireKind(fact: PushedFact, scope: Scope<Entry>): void {
    const liveMs = scope.liveMs(this.#nowMs);
    const queue = scope.pending[fact];
    for (let next = queue.oldest; next; next = queue.oldest) {
      if (!this.#rules.isOverdue(next.deadlineMs, liveMs)) break;
      this.#drop(fact, next.entry, "expired");
      this.#touched.push(next.entry);
    }
  }

  #evictOldest(fact: PushedFact): void {
    let oldest: Pending<Entry> | undefined;
    for (const { pending } of this.#scopes.values()) {
      const first = pending[fact].oldest;
      if (first && (!oldest || first.serial < oldest.serial)) oldest = first;
    }
    if (!oldest) return;
    this.#drop(fact, oldest.entry, "evicted");
    this.#touched.push(oldest.entry);
  }

  /** Keeps a pushed fact, in place of an older one of its kind. */
  #keep(fact: PushedFact, entry: Entry, version: ResourceVersion, route?: Route): void {
    const { scope } = entry;
    this.#drop(fact, entry);
    const ttlMs = fact === "claim" ? this.#claimTtlMs : this.#tombstoneTtlMs;
    const pending = new Pending({
      fact,
      entry,
      version,
      route,
      arrivedAtMs: this.#nowMs,
      deadlineMs: scope.liveMs(this.#nowMs) + ttlMs,
      serial: ++this.#lastSerial,
    });
    entry.pushed ??= { claim: undefined, tombstone: undefined };
    entry.pushed[fact] = pending;
    this.#pushed[fact]++;
    scope.keep(pending);
  }

  /** Gives up a fact, if there is one; without a `reason` because the informer or a newer push took its place. */
  #drop(fact: PushedFact, entry: Entry, reason?: DropReason): void {
    const { pushed } = entry;
    const pending = pushed?.[fact];
    if (!pushed || !pending) return;
    pushed[fact] = undefined;
    if (!pushed.claim && !pushed.tombstone) entry.pushed = undefined;
    entry.scope.pending[fact].remove(pending);
    this.#pushed[fact]--;
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
    const scope = name === "" ? this.#everyNamespace : this.#scopes.get(name);
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

  /**
   * Ends a mutation: works out what follows from the facts that changed, once for each entry and once for each pod IP, and
   * tells of it. Were it done fact by fact, an incarnation could end for what another sandbox was a moment ago.
   */
  #complete(): void {
    for (const entry of this.#touched) {
      this.#effects.refresh(entry, this.#nowMs);
      if (!entry.hasFacts) this.#entries.remove(entry);
    }
    this.#touched.length = 0;
    for (const scope of this.#moved) this.#effects.watermarkMoved(scope);
    this.#moved.length = 0;
    this.#effects.decide();
    this.#news.deliver();
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

  /** Keeps the outcome of one observation of a list, to be told when all of it is in. */
  #reportSeen(observation: Observation, outcome: Outcome): void {
    if (!this.#news.hearsMutated) return;
    const { namespace, name } = observation;
    // Whether the key has a living route is known when the mutation is complete.
    this.#news.add((listener) => {
      const guard = this.#guardOf(observation, outcome);
      listener.mutated?.("informer", outcome, objectKey(namespace, name), guard);
    });
  }

  /** Tells, last of all, what was made of what the writer said. */
  #tell(source: Source, outcome: Outcome, namespace: string, name: string, guard?: Guard): void {
    if (this.#news.hearsMutated) {
      this.#news.mutated(source, outcome, objectKey(namespace, name), guard);
    }
  }
}

const UNKNOWN: Lookup = { kind: "unknown" };

/** What is known of an object that nobody has told of. */
const NO_FACTS: Facts = { confirmed: undefined, claim: undefined, tombstone: undefined };

/**
 * Most of a relist says what is known. It can bring nothing about, so it costs nothing either. The version alone does not
 * tell: after a restore from a backup that nobody noticed, one version may have been given out twice.
 */
function isUnchanged(entry: Entry, { uid, resourceVersion, route }: Observation): boolean {
  return (
    entry.pushed === undefined &&
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
    a.requireTrafficAuth === b.requireTrafficAuth
  );
}

/** @throws RangeError when an object would lie in two of the scopes. */
function disjoint(scopes: readonly string[]): readonly string[] {
  const twice = scopes.find((name, index) => scopes.indexOf(name) !== index);
  if (twice !== undefined) throw new RangeError(`the scope ${JSON.stringify(twice)} is named twice`);
  if (scopes.length > 1 && scopes.includes("")) {
    throw new RangeError('the scope "" is all namespaces and stands alone');
  }
  return scopes;
}

/** Names of Kubernetes objects hold no `/`; one that did would be taken for another object's key. */
function isKey(namespace: string, name: string): boolean {
  return namespace !== "" && name !== "" && !namespace.includes("/") && !name.includes("/");
}

/** All that a claim keeps of what a peer wrote. Names are at most 253 characters long; tokens are what may be long. */
const MAX_PUSH_CHARACTERS = 16_384;

function sizeOf(push: PushedRoute): number {
  const { namespace, name, id, uid, owner, ip, state, resourceVersion, accessToken, podUid = "" } = push;
  return (
    namespace.length +
    name.length +
    id.length +
    uid.length +
    owner.length +
    ip.length +
    state.length +
    resourceVersion.length +
    accessToken.length +
    podUid.length
  );
}

/** What is kept of a push: its known fields and nothing else that a peer may have written. */
function claimOf(push: PushedRoute, resourceVersion: ResourceVersion): Route {
  const { namespace, name, uid, owner, ip, state, accessToken, requireTrafficAuth, shutdownAtMs, podUid } =
    push;
  return {
    namespace,
    name,
    id: routingId(namespace, name, push.id),
    uid,
    owner,
    ip,
    state,
    resourceVersion,
    accessToken,
    requireTrafficAuth,
    shutdownAtMs,
    podUid,
  };
}
