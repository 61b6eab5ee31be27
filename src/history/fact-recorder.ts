import type { Clock } from "../system/clock.ts";
import { isState } from "../routes/names.ts";
import type { TableListener } from "../routes/news.ts";
import type { Outcome } from "../routes/outcome.ts";
import { namespaceAndName, type ObjectKey } from "../routes/route.ts";
import type { Told } from "../routes/told.ts";
import type { PeerBook } from "./peer-book.ts";
import type { NewFact, RouteHistory } from "./route-history.ts";

/** Where {@link recordFacts} writes. */
export interface FactRecords {
  readonly history: RouteHistory;
  readonly peers: PeerBook;
  readonly clock: Clock;
}

/** Texts of a peer that are longer are cut: it may write whatever it likes. */
const MAX_TEXT_CHARACTERS = 128;

/** Outcomes of updates whose texts are not what any object has: they are written down nowhere. */
const UNREADABLE: ReadonlySet<Outcome> = new Set([
  "invalid_key",
  "invalid_id",
  "invalid_uid",
  "invalid_text",
]);

/** Writes down what the table tells, in the order in which it tells it: facts, and what the table then did of itself. */
export function recordFacts({ history, peers, clock }: FactRecords): TableListener {
  const add = (key: ObjectKey, fact: NewFact): void => {
    history.add(...namespaceAndName(key), fact);
  };
  return {
    told(fact) {
      if (fact.writer === "peer") judgePeer(peers, fact);
      if (fact.outcome !== "invalid_key") history.add(fact.namespace, fact.name, factOf(fact));
    },
    factDropped(fact, reason, key, from) {
      if (fact === "read") return;
      if (reason === "refuted") peers.refuted(from);
      if (fact === "hint" && (reason === "contradicted" || reason === "expired")) peers.contradicted(from);
      const what = fact === "hint" ? "hint_dropped" : "tombstone_dropped";
      add(key, { ...NOTHING, atMs: clock.nowMs(), what, outcome: reason, from });
    },
    incarnationEnded({ key, number, ip, uid }, outcome) {
      const what = "incarnation_ended";
      add(key, { ...NOTHING, atMs: clock.nowMs(), what, outcome, incarnation: number, ip, uid });
    },
  };
}

function judgePeer(peers: PeerBook, { from, outcome, guard, atMs }: Told): void {
  // What a read made of it is told of a push that was counted when it came.
  if (outcome !== "ignored_refuted" && outcome !== "ignored_unselected") peers.judged(from, outcome, atMs);
  if (guard !== undefined) peers.stopped(from);
}

function factOf({
  atMs,
  writer,
  how,
  outcome,
  guard,
  resourceVersion,
  state,
  ip,
  uid,
  id,
  from,
}: Told): NewFact {
  const isPush = writer === "peer";
  const isReadable = !isPush || !UNREADABLE.has(outcome);
  return {
    atMs,
    writer,
    what: how,
    outcome,
    resourceVersion: isPush ? readableVersion(resourceVersion) : resourceVersion,
    state: isReadable ? cut(state) : undefined,
    ip,
    uid: isReadable ? cut(uid) : undefined,
    from: isPush ? from : undefined,
    incarnation: undefined,
    isRevival: guard !== undefined,
    // What was refused must not stand for who had an ID.
    id: isPush && outcome !== "applied" ? undefined : cut(id),
  };
}

/** What the table did of itself. */
const NOTHING: Omit<NewFact, "atMs" | "what" | "outcome"> = {
  writer: "table",
  resourceVersion: undefined,
  state: undefined,
  ip: undefined,
  uid: undefined,
  from: undefined,
  incarnation: undefined,
  isRevival: false,
  id: undefined,
};

/** A version as a peer wrote it, if it could be one's: printable ASCII without spaces and tags. */
function readableVersion(text = ""): string | undefined {
  return isState(text.slice(0, MAX_TEXT_CHARACTERS)) ? cut(text) : "(unreadable)";
}

function cut(text: string | undefined): string | undefined {
  if (text === undefined || text.length <= MAX_TEXT_CHARACTERS) return text;
  return `${text.slice(0, MAX_TEXT_CHARACTERS)}…`;
}
