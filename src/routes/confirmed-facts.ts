import type { Books } from "./books.ts";
import type { Entry } from "./entry.ts";
import { holdAfter } from "./ip-hold.ts";
import type { Observation } from "./observation.ts";
import { compareResourceVersions, type ResourceVersion } from "./resource-version.ts";
import type { Route } from "./route.ts";
import type { IpHold } from "./rules.ts";
import type { Scope } from "./scope.ts";

/**
 * What the API server says of objects, by its informer, a read or a snapshot: takes it over, and lets go of what peers pushed
 * of the same objects when that is reached, or contradicted.
 */
export class ConfirmedFacts {
  readonly #books: Books;

  constructor(books: Books) {
    this.#books = books;
  }

  /** Takes over what was seen of an object, which was as it had been `until` then; with a `gap`, versions may have gone by unseen. */
  confirm(entry: Entry, observation: Observation, until: ResourceVersion, gap: boolean): void {
    const known = { hold: entry.hold, route: entry.confirmedRoute, until, gap };
    this.restore(entry, observation, holdAfter(known, observation.route));
  }

  /** The same, where it is known since when the object has its pod IP. */
  restore(entry: Entry, observation: Observation, hold: IpHold | undefined): void {
    entry.confirm(observation, hold);
    this.#books.touched.push(entry);
    if (!entry.ahead) return;
    this.#compareHint(entry, observation);
    this.#endTombstone(entry);
  }

  /** The object, of this UID, is gone. */
  unconfirm(entry: Entry, uid: string | undefined): void {
    const { ahead, rules, touched } = this.#books;
    entry.unconfirm();
    // No UID lives again, so a hint of a later life of this one is wrong.
    if (entry.hint && entry.hint.uid === uid) {
      const reached = rules.hintIsReached(entry.hint.resourceVersion, entry.scope.watermark);
      // With a selector it may live on out of sight.
      ahead.close("hint", entry, reached || entry.scope.selective ? undefined : "contradicted");
    }
    this.#endTombstone(entry);
    touched.push(entry);
  }

  /**
   * Lets go of the pushed facts that the watermark has reached. With `everyEvent`, the informer has delivered each
   * event up to there, so a hint at a version that it never mentioned was wrong.
   */
  passWatermark(scope: Scope<Entry>, everyEvent: boolean): void {
    const { ahead, rules, touched, moved } = this.#books;
    if (scope.barredUntil !== undefined && compareResourceVersions(scope.watermark, scope.barredUntil) > 0) {
      scope.barredUntil = undefined;
    }
    for (let reached = scope.takeReached(); reached; reached = scope.takeReached()) {
      const { entry } = reached;
      // From here on the informer says all that the read did.
      if (reached.fact === "read") ahead.drop("read", entry);
      if (entry.hint && rules.hintIsReached(entry.hint.resourceVersion, scope.watermark)) {
        const isShown = !scope.selective || rules.isShown(entry.confirmed, entry.hint);
        if (!everyEvent) this.dropListed(entry, entry.hint, entry.observation);
        else ahead.drop("hint", entry, isShown ? "contradicted" : undefined);
      }
      this.#endTombstone(entry);
      touched.push(entry);
    }
    moved.push(scope);
  }

  /**
   * Drops a hint that a list has passed; `observation` is the object as the list shows it. A push that waits for a read is judged
   * as by that read. One that counts is blamed only when the list shows that the object never had its version.
   */
  dropListed(entry: Entry, hint: Route, observation: Observation | undefined): void {
    const books = this.#books;
    const { scope, ahead } = entry;
    const { hint: pending, tombstone } = ahead ?? {};
    const view = { version: scope.watermark, observation, selective: scope.selective };
    const settled = books.rules.settleUpdate(hint, view, true, tombstone?.version);
    const isTrusted = pending?.trusted === true;
    if (settled !== "refuted") books.ahead.drop("hint", entry);
    else if (isTrusted) books.ahead.drop("hint", entry, observation ? "contradicted" : undefined);
    else {
      books.news.tell((tell) => tell(books.toldOfUpdate(hint, "ignored_refuted", pending?.from ?? "")));
      books.ahead.drop("hint", entry, "refuted");
    }
  }

  /** Compares a hint with what was just seen of the same object. */
  #compareHint(entry: Entry, { resourceVersion, uid, route }: Observation): void {
    const { ahead, rules, news, nowMs } = this.#books;
    const { hint, scope } = entry;
    if (!hint) return;
    if (route === undefined && hint.uid === uid) {
      ahead.close("hint", entry, "contradicted");
    } else if (
      hint.resourceVersion === resourceVersion &&
      rules.hintIsReached(resourceVersion, scope.watermark)
    ) {
      const same = hint.uid === uid && hint.ip === route?.ip && hint.state === route.state;
      const lagMs = nowMs - (entry.ahead?.hint?.arrivedAtMs ?? nowMs);
      ahead.drop("hint", entry, same ? undefined : "contradicted");
      if (same) news.add((listener) => listener.hintConfirmed?.(lagMs));
    }
  }

  #endTombstone(entry: Entry): void {
    const { tombstone, confirmedVersion, scope } = entry;
    if (tombstone === undefined || !scope.watched) return;
    const { ahead, rules } = this.#books;
    if (rules.tombstoneIsDone(tombstone, confirmedVersion, scope.watermark)) ahead.drop("tombstone", entry);
  }
}
