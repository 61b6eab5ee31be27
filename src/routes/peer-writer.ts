import type { Books } from "./books.ts";
import type { Entry } from "./entry.ts";
import type { Outcome } from "./outcome.ts";
import { type Checked, checkDeletion, checkUpdate, type PushedDeletion, type PushedRoute } from "./push.ts";
import { compareResourceVersions, type ResourceVersion } from "./resource-version.ts";
import { objectKey, type ObjectKey, type Route } from "./route.ts";
import type { Facts } from "./rules.ts";
import type { Scope } from "./scope.ts";
import { toldFact } from "./told.ts";

/** Who pushed, and how far that is believed: see `RouteTable.pushUpdate`. */
export interface Sender {
  readonly from: string;
  readonly proven: boolean;
  readonly isRelayed: boolean;
}

/** A push that the rules let in: an update with its `route`, or a deletion. */
interface JudgedPush {
  readonly version: ResourceVersion;
  readonly route: Route | undefined;
  readonly from: string;
  /** It counts at once; otherwise a read settles it. */
  readonly trusted: boolean;
  readonly isRelayed: boolean;
}

/** What peers push: judges it, and keeps what passes. `RouteTable` has what each method promises. */
export class PeerWriter {
  readonly #books: Books;
  readonly #distrusts: (from: string, key: ObjectKey) => boolean;

  constructor(books: Books, distrusts: (from: string, key: ObjectKey) => boolean) {
    this.#books = books;
    this.#distrusts = distrusts;
  }

  update(push: PushedRoute, sender: Sender): Outcome {
    const books = this.#books;
    const outcome = this.#take(push.namespace, push.name, checkUpdate(push), sender);
    books.news.tell((tell) => tell(books.toldOfUpdate(push, outcome, sender.from)));
    books.complete();
    return outcome;
  }

  delete(push: PushedDeletion, sender: Sender): Outcome {
    const books = this.#books;
    const { namespace, name, resourceVersion } = push;
    const { from } = sender;
    const outcome = this.#take(namespace, name, checkDeletion(push), sender);
    books.news.tell((tell) => {
      const what = { namespace, name, resourceVersion, state: "dead", from };
      tell(toldFact("peer", "deletion", outcome, books.nowMs, what));
    });
    books.complete();
    return outcome;
  }

  /** Keeps a push: in effect at once, or until a read settles it. */
  keep(entry: Entry, push: JudgedPush): "applied" | "unsettled" {
    const { ahead, nowMs } = this.#books;
    const fact = push.route ? "hint" : "tombstone";
    if (!push.trusted) {
      ahead.doubt(fact, entry, push, nowMs);
      return "unsettled";
    }
    if (fact === "tombstone") {
      // A repeated deletion does not extend the tombstone's TTL.
      if (entry.trustedFacts.tombstone === push.version) return "applied";
      const { hint } = entry;
      if (hint && compareResourceVersions(hint.resourceVersion, push.version) <= 0) ahead.drop("hint", entry);
    }
    ahead.believe(fact, entry, push, nowMs);
    return "applied";
  }

  #take(namespace: string, name: string, checked: Checked, { from, proven, isRelayed }: Sender): Outcome {
    if (checked.kind === "invalid") return checked.outcome;
    const { ahead, entries, nowMs, rules } = this.#books;
    const scope = this.#books.scopeOf(namespace);
    if (!scope) return "ignored_out_of_scope";
    const isBelieved = this.#believes(scope, proven);
    if (!isBelieved && this.#distrusts(from, objectKey(namespace, name))) return "ignored_distrusted";
    ahead.expire(scope, nowMs);
    const { version, route } = checked;
    const known = entries.get(namespace, name);
    const facts = known?.trustedFacts ?? NO_FACTS;
    const view = this.#books.viewFor(known, scope);
    const outcome = route ? rules.judgeUpdate(facts, route, view) : rules.judgeDelete(facts, version, view);
    if (outcome !== "applied") return outcome;
    const isShown = !route || !scope.selective || rules.isShown(facts.confirmed, route);
    const entry = known ?? entries.getOrAdd(namespace, name, scope);
    return this.keep(entry, { version, route, from, trusted: isBelieved && isShown, isRelayed });
  }

  /** Whether a push takes effect without a read, as far as its sender decides that (rule 12). */
  #believes(scope: Scope<Entry>, proven: boolean): boolean {
    return proven || this.#books.trust === "serve" || !scope.watched;
  }
}

/** What is known of an object that nobody has told of. */
const NO_FACTS: Facts = { confirmed: undefined, hint: undefined, tombstone: undefined };
