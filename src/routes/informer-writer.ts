import type { Milliseconds } from "../system/clock.ts";
import type { Books } from "./books.ts";
import type { ConfirmedFacts } from "./confirmed-facts.ts";
import type { Entry } from "./entry.ts";
import type { Observation } from "./observation.ts";
import type { Outcome } from "./outcome.ts";
import { newerResourceVersion, NOTHING_SEEN, type ResourceVersion } from "./resource-version.ts";
import { objectKey, type Route } from "./route.ts";
import type { Scope } from "./scope.ts";
import { toldFact } from "./told.ts";

/** What an informer says: lists, and events one by one. `RouteTable` has what each method promises. */
export class InformerWriter {
  readonly #books: Books;
  readonly #confirmed: ConfirmedFacts;
  /** How many lists were taken. */
  #lists = 0;

  constructor(books: Books, confirmed: ConfirmedFacts) {
    this.#books = books;
    this.#confirmed = confirmed;
  }

  relist(
    scopeName: string,
    version: ResourceVersion,
    observations: readonly Observation[],
    nowMs: Milliseconds,
  ): "applied" | "behind" {
    const { rules } = this.#books;
    const scope = this.#begin(scopeName, nowMs);
    const isBehind = rules.listIsBehind(version, scope.watermark);
    const behind = isBehind && scope.snapshotAtMs === undefined;
    if (behind) this.#tellListed(observations, "ignored_watermark");
    else if (isBehind) this.#startOver(scope, version, observations);
    else this.#takeList(scope, version, observations);
    this.#end(scope);
    return behind ? "behind" : "applied";
  }

  startOver(
    scopeName: string,
    version: ResourceVersion,
    observations: readonly Observation[],
    nowMs: Milliseconds,
  ): void {
    const scope = this.#begin(scopeName, nowMs);
    this.#startOver(scope, version, observations);
    this.#books.complete();
  }

  observe(scopeName: string, observation: Observation, nowMs: Milliseconds): Outcome {
    const books = this.#books;
    const scope = this.#begin(scopeName, nowMs);
    const { namespace, name, resourceVersion } = observation;
    let outcome: Outcome = "ignored_watermark";
    if (!books.rules.eventIsSeen(resourceVersion, scope.watermark)) {
      const before = scope.watermark;
      scope.watermark = resourceVersion;
      const entry = books.entries.getOrAdd(namespace, name, scope);
      const old = this.#oldNews(entry, resourceVersion);
      if (!old) this.#confirmed.confirm(entry, observation, before, false);
      else books.touched.push(entry);
      this.#confirmed.passWatermark(scope, true);
      outcome = old ?? (entry.facts.tombstone === undefined ? "applied" : "ignored_tombstone");
    }
    books.news.tell((tell) => tell(books.toldOfObservation(observation, "observed", outcome)));
    this.#end(scope);
    return outcome;
  }

  remove(
    scopeName: string,
    namespace: string,
    name: string,
    uid: string,
    resourceVersion: ResourceVersion,
    nowMs: Milliseconds,
  ): Outcome {
    const books = this.#books;
    const scope = this.#begin(scopeName, nowMs);
    let outcome: Outcome = "ignored_watermark";
    if (!books.rules.eventIsSeen(resourceVersion, scope.watermark)) {
      scope.watermark = resourceVersion;
      const entry = books.entries.get(namespace, name);
      const old = entry && this.#oldNews(entry, resourceVersion);
      // The server may leave the UID out; then it is that of the object which was there.
      if (entry && !old) this.#confirmed.unconfirm(entry, uid || entry.confirmedUid);
      this.#confirmed.passWatermark(scope, true);
      outcome = old ?? "applied";
    }
    books.news.tell((tell) => {
      tell(toldFact("informer", "deleted", outcome, books.nowMs, { namespace, name, resourceVersion, uid }));
    });
    this.#end(scope);
    return outcome;
  }

  bookmark(scopeName: string, version: ResourceVersion, nowMs: Milliseconds): void {
    const scope = this.#begin(scopeName, nowMs);
    if (!this.#books.rules.eventIsSeen(version, scope.watermark)) {
      scope.watermark = version;
      this.#confirmed.passWatermark(scope, true);
    }
    this.#end(scope);
  }

  #begin(scopeName: string, nowMs: Milliseconds): Scope<Entry> {
    this.#books.tick(nowMs);
    const scope = this.#books.watchedScope(scopeName);
    scope.heard(this.#books.nowMs);
    return scope;
  }

  #end(scope: Scope<Entry>): void {
    this.#books.ahead.expire(scope, this.#books.nowMs);
    this.#books.complete();
  }

  #startOver(scope: Scope<Entry>, version: ResourceVersion, observations: readonly Observation[]): void {
    const { ahead, entries, news, nowMs, touched } = this.#books;
    scope.restored(newerResourceVersion(scope.watermark, scope.barredUntil ?? NOTHING_SEEN));
    // A height that this cluster can't have had is another cluster's, or invented: it would keep pushes out for ever.
    if (scope.snapshotAtMs !== undefined) scope.liftImplausibleBar(version, nowMs);
    const listed = new Set(observations.map(({ namespace, name }) => objectKey(namespace, name)));
    for (const entry of entries.ofScope(scope)) {
      // Versions begin again, so nothing that was known of this one's moment counts. Those that the list lacks leave with it.
      if (listed.has(entry.key)) entry.unconfirm();
      ahead.drop("hint", entry, "restored");
      ahead.drop("tombstone", entry, "restored");
      ahead.drop("read", entry);
      touched.push(entry);
    }
    news.add((listener) => listener.restored?.(scope.name));
    this.#takeList(scope, version, observations);
  }

  #takeList(scope: Scope<Entry>, version: ResourceVersion, observations: readonly Observation[]): void {
    const { entries } = this.#books;
    const before = scope.watermark;
    scope.watermark = version;
    const known = this.#mark(observations);
    this.#dropUnlisted(scope, version);
    const applied: Observation[] = [];
    const buried: Observation[] = [];
    for (const [index, observation] of observations.entries()) {
      const entry = known[index] ?? entries.getOrAdd(observation.namespace, observation.name, scope);
      if (isUnchanged(entry, observation) || this.#isReadLater(entry, version)) continue;
      // Whatever its version: what a list shows is so (a cluster may have been restored while nobody looked).
      this.#confirmed.confirm(entry, observation, before, true);
      if (entry.facts.tombstone === undefined) applied.push(observation);
      else buried.push(observation);
    }
    this.#tellListed(applied, "applied");
    this.#tellListed(buried, "ignored_tombstone");
    scope.synced = true;
    scope.missing = false;
    scope.snapshotAtMs = undefined;
    this.#confirmed.passWatermark(scope, false);
  }

  /** Marks what a list shows, and gives the entry of each, where there is one: a set of a million would cost more than all else. */
  #mark(observations: readonly Observation[]): readonly (Entry | undefined)[] {
    const { entries } = this.#books;
    const list = ++this.#lists;
    return observations.map(({ namespace, name }) => {
      const entry = entries.get(namespace, name);
      if (entry) entry.listedIn = list;
      return entry;
    });
  }

  /** What the list at hand, at `version`, lacks is gone. */
  #dropUnlisted(scope: Scope<Entry>, version: ResourceVersion): void {
    const { entries, news, nowMs, rules } = this.#books;
    for (const entry of entries.ofScope(scope)) {
      const isListed = entry.listedIn === this.#lists;
      if (entry.confirmedUid === undefined || !rules.isGone(isListed)) continue;
      if (this.#isReadLater(entry, version)) continue;
      if (entry.hint && rules.hintIsReached(entry.hint.resourceVersion, version))
        this.#confirmed.dropListed(entry, entry.hint, undefined);
      this.#confirmed.unconfirm(entry, entry.confirmedUid);
      const what = { namespace: entry.namespace.name, name: entry.name, resourceVersion: version };
      news.tell((tell) => tell(toldFact("informer", "unlisted", "applied", nowMs, what)));
    }
  }

  /** One piece of news for a whole list: a piece for each would take more memory than the routes at hand. */
  #tellListed(observations: readonly Observation[], outcome: Outcome): void {
    if (observations.length === 0) return;
    const books = this.#books;
    books.news.tell((tell) => {
      for (const observation of observations) tell(books.toldOfObservation(observation, "listed", outcome));
    });
  }

  /** Why an event says nothing new of an object, if so. */
  #oldNews(entry: Entry, version: ResourceVersion): "ignored_stale" | "ignored_read" | undefined {
    const { rules } = this.#books;
    const { confirmedVersion: known, readVersion: read } = entry;
    if (known === version) return undefined;
    if (read !== undefined && rules.eventIsRead(version, read)) return "ignored_read";
    return known !== undefined && rules.eventIsOlder(version, known) ? "ignored_stale" : undefined;
  }

  #isReadLater({ readVersion }: Entry, list: ResourceVersion): boolean {
    return readVersion !== undefined && !this.#books.rules.eventIsRead(readVersion, list);
  }
}

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
    a.wake === b.wake &&
    a.access === b.access &&
    a.previewEpoch === b.previewEpoch
  );
}
