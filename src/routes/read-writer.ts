import type { Milliseconds } from "../system/clock.ts";
import type { Books } from "./books.ts";
import type { ConfirmedFacts } from "./confirmed-facts.ts";
import type { Entry } from "./entry.ts";
import type { Observation } from "./observation.ts";
import { compareResourceVersions, newerResourceVersion, NOTHING_SEEN } from "./resource-version.ts";
import type { ReadView, Settlement } from "./rules.ts";
import { toldRead } from "./told.ts";

/** What a read of one object, begun at `RouteTable.pushSerial` `asOf`, says of it. */
export interface ObjectRead extends Omit<ReadView, "selective"> {
  readonly namespace: string;
  readonly name: string;
  readonly observation: Observation | undefined;
  readonly asOf: number;
}

/** What reads of single objects say (rule 12). `RouteTable` has what the method promises. */
export class ReadWriter {
  readonly #books: Books;
  readonly #confirmed: ConfirmedFacts;

  constructor(books: Books, confirmed: ConfirmedFacts) {
    this.#books = books;
    this.#confirmed = confirmed;
  }

  settle(read: ObjectRead): "settled" | "open" {
    const { ahead, entries, news, nowMs, rules } = this.#books;
    const { namespace, name } = read;
    const scope = this.#books.scopeOf(namespace);
    if (!scope?.watched) throw new Error(`no informer watches the namespace ${JSON.stringify(namespace)}`);
    const known = entries.get(namespace, name);
    const seen = newerResourceVersion(scope.watermark, known?.readVersion ?? NOTHING_SEEN);
    // The informer, or another read, may have gone on while the answer was under way. What they know is true at a later moment.
    const isPassed = rules.listIsBehind(read.version, seen);
    const version = isPassed ? seen : read.version;
    const observation = isPassed ? known?.observation : read.observation;
    // Even of an object that nobody knows it is remembered that it is gone: the informer may have yet to tell of its life.
    const entry = known ?? entries.getOrAdd(namespace, name, scope);
    news.tell((tell) => tell(toldRead(read, nowMs)));
    this.#settlePushes(entry, { version, observation, selective: scope.selective }, read.asOf);
    const { confirmedVersion } = entry;
    const isOlder =
      observation !== undefined &&
      confirmedVersion !== undefined &&
      rules.eventIsOlder(observation.resourceVersion, confirmedVersion);
    if (observation && !isOlder) this.#confirmed.confirm(entry, observation, seen, true);
    else if (!observation) this.#confirmed.unconfirm(entry, entry.confirmedUid);
    if (compareResourceVersions(version, scope.watermark) > 0) {
      ahead.keep("read", entry, { version, from: "", trusted: true }, nowMs);
    }
    const result = ahead.settleDoubt(entry, read.asOf, nowMs);
    this.#books.complete();
    return result;
  }

  /** Drops the pushes of an entry that a read has settled. */
  #settlePushes(entry: Entry, read: ReadView, asOf: number): void {
    const books = this.#books;
    const { rules } = books;
    const { hint, tombstone } = entry.ahead ?? {};
    if (hint?.route) {
      const { route, from } = hint;
      const settled = rules.settleUpdate(route, read, hint.serial <= asOf, tombstone?.version);
      if (settled === "refuted" || settled === "unselected") {
        books.news.tell((tell) => tell(books.toldOfUpdate(route, `ignored_${settled}`, from)));
      }
      this.#closePush("hint", entry, settled, hint.arrivedAtMs);
    }
    if (tombstone) {
      const isAfter = tombstone.serial <= asOf;
      const settled = rules.settleDelete(tombstone.version, entry.confirmedUid, read, isAfter);
      this.#closePush("tombstone", entry, settled, tombstone.arrivedAtMs);
    }
  }

  #closePush(fact: "hint" | "tombstone", entry: Entry, settled: Settlement, arrivedAtMs: Milliseconds): void {
    const { ahead, news, nowMs } = this.#books;
    if (settled === "open") return;
    ahead.close(fact, entry, settled === "refuted" ? "refuted" : undefined);
    if (fact === "hint" && settled === "confirmed") {
      const lagMs = nowMs - arrivedAtMs;
      news.add((listener) => listener.hintConfirmed?.(lagMs));
    }
  }
}
