import type { Books } from "./books.ts";
import type { ConfirmedFacts } from "./confirmed-facts.ts";
import type { Entry } from "./entry.ts";
import type { ObjectFacts, TableSnapshot } from "./object-facts.ts";
import type { Observation } from "./observation.ts";
import type { PeerWriter } from "./peer-writer.ts";
import { compareResourceVersions, NOTHING_SEEN } from "./resource-version.ts";
import type { Scope } from "./scope.ts";
import { toldObservation } from "./told.ts";

/** Takes over what a table knew earlier (docs/route-table.md#snapshots). `RouteTable` has what the method promises. */
export class SnapshotLoader {
  readonly #books: Books;
  readonly #confirmed: ConfirmedFacts;
  readonly #peers: PeerWriter;

  constructor(books: Books, confirmed: ConfirmedFacts, peers: PeerWriter) {
    this.#books = books;
    this.#confirmed = confirmed;
    this.#peers = peers;
  }

  load(snapshot: TableSnapshot): readonly string[] {
    const books = this.#books;
    const loaded = this.#loadScopes(snapshot);
    const confirmed: Observation[] = [];
    for (const facts of loaded.size > 0 ? snapshot.objects : []) {
      const scope = books.scopeOf(facts.namespace);
      if (scope === undefined || !loaded.has(scope)) continue;
      this.#loadObject(scope, facts, confirmed);
    }
    books.news.tell((tell) => {
      for (const observation of confirmed)
        tell(toldObservation(observation, "loaded", "applied", undefined, books.nowMs));
    });
    for (const scope of loaded) this.#confirmed.passWatermark(scope, false);
    books.complete();
    return Array.from(loaded, ({ name }) => name);
  }

  /** Sets back the scopes whose informer has not spoken yet; returns them. */
  #loadScopes(snapshot: TableSnapshot): ReadonlySet<Scope<Entry>> {
    const loaded = new Set<Scope<Entry>>();
    for (const { name, watermark, barredUntil } of snapshot.scopes) {
      const scope = this.#books.scopes.get(name);
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
    return loaded;
  }

  #loadObject(scope: Scope<Entry>, facts: ObjectFacts, confirmed: Observation[]): void {
    const books = this.#books;
    const { ahead, rules, nowMs } = books;
    const { namespace, name, hint, tombstone, read } = facts;
    const entry = books.entries.getOrAdd(namespace, name, scope);
    if (facts.confirmed) {
      const observation = { ...facts.confirmed, namespace, name };
      this.#confirmed.restore(entry, observation, facts.hold);
      confirmed.push(observation);
    }
    books.touched.push(entry);
    if (read !== undefined && compareResourceVersions(read, scope.watermark) > 0) {
      ahead.keep("read", entry, { version: read, from: "", trusted: true }, nowMs);
    }
    // Judged as if it were pushed now: peers may have pushed newer facts since this router started.
    if (tombstone) {
      const { version, from, trusted } = tombstone;
      const outcome = rules.judgeDelete(entry.trustedFacts, version, books.viewFor(entry, scope));
      if (outcome === "applied")
        this.#peers.keep(entry, { version, route: undefined, from, trusted, isRelayed: true });
    }
    if (hint) {
      const { route, from, trusted } = hint;
      const outcome = rules.judgeUpdate(entry.trustedFacts, route, books.viewFor(entry, scope));
      const version = route.resourceVersion;
      if (outcome === "applied") this.#peers.keep(entry, { version, route, from, trusted, isRelayed: true });
    }
    // Where pushes are believed, nothing is in doubt.
    if (facts.doubt && books.trust === "verify") {
      const { isPartlyKept, ...names } = facts.doubt;
      ahead.doubtAgain(entry, names, isPartlyKept, nowMs);
    }
  }
}
