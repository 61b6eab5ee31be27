import { isTerminal } from "../routes/route.ts";
import type { FactWhat, FormerRoute, HistoryFact, HistoryView } from "./api-types.ts";

/**
 * What an object was whose route has ended, by its history; undefined when the history knows of no life, or of no end
 * after it. The end is the first fact that took the route away: from then on requests were refused.
 */
export function formerRouteOf(
  namespace: string,
  name: string,
  { facts }: HistoryView,
): FormerRoute | undefined {
  const lastAlive = facts.findLastIndex(showsLife);
  if (lastAlive < 0) return undefined;
  const alive = facts[lastAlive];
  if (!alive) return undefined;
  const end = facts.slice(lastAlive + 1).find((fact) => endsRoute(fact, alive));
  if (!end) return undefined;
  const { uid, ip, state } = alive;
  return {
    namespace,
    name,
    ...(uid !== undefined && { uid }),
    ...(ip !== undefined && ip !== "" && { ip }),
    ...(state !== undefined && { state }),
    end,
  };
}

/** `team-a/code-bfxxd (running on 10.0.0.7), deleted at version 1130, told by the informer 14 s ago`. */
export function describeFormerRoute(former: FormerRoute, nowMs: number): string {
  const { namespace, name, state, ip, end } = former;
  const was = [state, ip && `on ${ip}`].filter(Boolean).join(" ");
  const version = end.resourceVersion === undefined ? "" : ` at version ${end.resourceVersion}`;
  const teller = end.writer === "peer" ? `peer ${end.from ?? ""}`.trim() : WRITERS[end.writer];
  const seconds = Math.max(0, Math.round((nowMs - end.atMs) / 1_000));
  return `${namespace}/${name}${was && ` (${was})`}, ${wordsOfEnd(end)}${version}, told by ${teller} ${seconds} s ago`;
}

const WRITERS: Readonly<Record<Exclude<HistoryFact["writer"], "peer">, string>> = {
  informer: "the informer",
  clock: "the clock",
  table: "the route table",
};

function wordsOfEnd({ what, state }: HistoryFact): string {
  switch (what) {
    case "shutdown":
      return "ended by its shutdownTime";
    case "unlisted":
      return "missing from the list";
    case "hint_dropped":
      return "a pushed update that was given up";
    case "observed":
    case "listed":
    case "loaded":
    case "read":
      if (state === GONE) return "gone by a read of the API server";
      return state === ENDING ? "being deleted (deletionTimestamp)" : `state ${state ?? "unknown"}`;
    case "deleted":
    case "deletion":
    case "update":
    case "tombstone_dropped":
    case "incarnation_ended":
      return "deleted";
  }
}

/** What shows an object's state. */
const SHOWING: ReadonlySet<FactWhat> = new Set(["observed", "listed", "loaded", "read", "update"]);
/** What takes a route away. */
const ENDING_FACTS: ReadonlySet<FactWhat> = new Set(["deleted", "unlisted", "deletion", "shutdown"]);
/** Outcomes of facts that counted. */
const COUNTED: ReadonlySet<string> = new Set(["applied", "settled", "open"]);
/** What the history writes for an object with a deletionTimestamp, and for one that a read did not find. */
const ENDING = "ending";
const GONE = "gone";

/** A fact that put a route in effect, or kept it there. */
function showsLife({ what, outcome, state }: HistoryFact): boolean {
  return COUNTED.has(outcome) && SHOWING.has(what) && state !== undefined && !isEnd(state);
}

/** A fact after which there may be no route any more; `alive` is the last that showed one. */
function endsRoute({ what, outcome, state }: HistoryFact, alive: HistoryFact): boolean {
  // What the table gives up of itself has its reason for an outcome. It matters where a push was all there was.
  if (what === "hint_dropped") return alive.what === "update";
  if (!COUNTED.has(outcome)) return false;
  return ENDING_FACTS.has(what) || (SHOWING.has(what) && state !== undefined && isEnd(state));
}

function isEnd(state: string): boolean {
  return state === ENDING || state === GONE || isTerminal(state);
}
