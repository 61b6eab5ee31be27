import type { Milliseconds } from "../system/clock.ts";
import type { Observation } from "./observation.ts";
import type { Guard, Outcome, Source } from "./outcome.ts";
import type { PushedRoute } from "./push.ts";

/**
 * How a writer told a fact.
 *
 * | word | writer | meaning |
 * |---|---|---|
 * | `listed`, `unlisted` | informer | a whole list shows the object otherwise than it was known, or lacks it |
 * | `observed`, `deleted` | informer | an event of the watch |
 * | `loaded` | informer | a snapshot from before this router started holds it |
 * | `read` | informer | a read of this one object, since a peer had pushed something of it |
 * | `update`, `deletion` | peer | a push; told again with `ignored_refuted` or `ignored_unselected` when a read says so |
 * | `shutdown` | clock | its shutdownTime came |
 */
export type ToldHow =
  | "listed"
  | "unlisted"
  | "observed"
  | "deleted"
  | "loaded"
  | "read"
  | "update"
  | "deletion"
  | "shutdown";

/** What a writer told the table of one object, and what came of it. Holds no token. */
export interface Told {
  /** By the table's clock, in milliseconds since the epoch. */
  readonly atMs: Milliseconds;
  readonly writer: Source;
  readonly how: ToldHow;
  readonly outcome: Outcome;
  /** The rule that stopped it, when it would have brought a dead route back. */
  readonly guard: Guard | undefined;
  readonly namespace: string;
  readonly name: string;
  /** As the writer wrote it: a peer may write anything. */
  readonly resourceVersion: string | undefined;
  /** `ending` while the object is being deleted, `gone` when a read shows none. */
  readonly state: string | undefined;
  readonly ip: string | undefined;
  readonly uid: string | undefined;
  readonly id: string | undefined;
  /** The address of the peer; `""` for other writers. */
  readonly from: string;
}

/** What a fact is about, and what is told of it. */
type ToldOf = Pick<Told, "namespace" | "name"> & {
  readonly [Field in "resourceVersion" | "state" | "ip" | "uid" | "id" | "from"]?: Told[Field] | undefined;
};

/** A fact of which no more is known than `what` says. */
export function toldFact(
  writer: Source,
  how: ToldHow,
  outcome: Outcome,
  atMs: Milliseconds,
  { namespace, name, resourceVersion, state, ip, uid, id, from = "" }: ToldOf,
  guard?: Guard,
): Told {
  // All facts have one shape: they are made for each mutation.
  return { atMs, writer, how, outcome, guard, namespace, name, resourceVersion, state, ip, uid, id, from };
}

/** What an event, a list or a snapshot says. */
export function toldObservation(
  { namespace, name, resourceVersion, uid, route }: Observation,
  how: "listed" | "observed" | "loaded",
  outcome: Outcome,
  guard: Guard | undefined,
  atMs: Milliseconds,
): Told {
  const { state = "ending", ip = "", id } = route ?? {};
  return toldFact(
    "informer",
    how,
    outcome,
    atMs,
    { namespace, name, resourceVersion, state, ip, uid, id },
    guard,
  );
}

/** What a read says of one object. */
export function toldRead(
  read: Pick<Told, "namespace" | "name"> & {
    readonly version: string;
    readonly observation: Observation | undefined;
  },
  atMs: Milliseconds,
): Told {
  const { namespace, name, version, observation } = read;
  const { state = observation ? "ending" : "gone", ip = "", id } = observation?.route ?? {};
  const what = { namespace, name, resourceVersion: version, state, ip, uid: observation?.uid, id };
  return toldFact("informer", "read", "applied", atMs, what);
}

/** What a peer pushed. */
export function toldUpdate(
  { namespace, name, resourceVersion, state, ip, uid, id }: PushedRoute,
  outcome: Outcome,
  guard: Guard | undefined,
  from: string,
  atMs: Milliseconds,
): Told {
  const what = { namespace, name, resourceVersion, state, ip, uid, id, from };
  return toldFact("peer", "update", outcome, atMs, what, guard);
}
