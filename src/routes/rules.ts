import type { Milliseconds } from "../system/clock.ts";
import type { Observation } from "./observation.ts";
import type { Guard, Outcome } from "./outcome.ts";
import type { Provider } from "./provider.ts";
import { compareResourceVersions, type ResourceVersion } from "./resource-version.ts";
import { isTerminal, type Route, type RouteState } from "./route.ts";

/** What the table keeps for one object: at most three facts (docs/route-table.md#facts). */
export interface Facts {
  readonly confirmed: Pick<Observation, "uid" | "resourceVersion" | "route"> | undefined;
  readonly hint: Route | undefined;
  readonly tombstone: ResourceVersion | undefined;
}

/** What the table knows of the informer that watches an object. */
export interface ScopeView {
  /** All that happened up to here has been delivered. */
  readonly watermark: ResourceVersion;
  /** Set after a restore from a backup: no push is kept until the watermark has passed it (rule 5). */
  readonly barredUntil: ResourceVersion | undefined;
  /** Nobody can have seen a version above it yet; `undefined` when any is believed (rule 13). */
  readonly ceiling: ResourceVersion | undefined;
}

/** What a read of the API server says of one object (rule 12). */
export interface ReadView {
  /** The list's version: the object was so at that moment. */
  readonly version: ResourceVersion;
  /** `undefined`: there is no such object; or, when `selective`, the selector leaves it out. */
  readonly observation: Pick<Observation, "uid" | "resourceVersion" | "route"> | undefined;
  /** The read used a selector. */
  readonly selective: boolean;
}

/**
 * What a read makes of a push: `confirmed` as it was, `passed` (true perhaps, and the object has gone on since), `refuted`,
 * `unselected` (nobody lied perhaps, but the selector leaves the object out), or still `open`, since the push came after the
 * read had begun and tells of a later moment.
 */
export type Settlement = "confirmed" | "passed" | "refuted" | "unselected" | "open";

/**
 * What is known of the moment at which an object took its pod IP: after `after`, at or before `by` (rule 10).
 */
export interface IpHold {
  readonly after: ResourceVersion;
  readonly by: ResourceVersion;
}

/**
 * The decisions of docs/route-table.md#rules, each a pure function. The table asks them and keeps the books. They are one
 * record so that the interleaving explorer can switch each rule off and show that it then finds the bug.
 */
export interface Rules {
  /** Rule 1: is an update push at `push.resourceVersion` kept as a hint? */
  judgeUpdate(facts: Facts, push: Pick<Route, "resourceVersion" | "uid">, scope: ScopeView): Outcome;
  /**
   * Rule 2: is a delete push kept as a tombstone? Unlike the rule's first wording, a hint above `version` does not
   * refuse it: the tombstone is kept beneath, so that a deletion is not forgotten with a hint that proves false.
   */
  judgeDelete(facts: Facts, version: ResourceVersion, scope: ScopeView): Outcome;
  /** Rule 3: is a route in this state an end? */
  isTerminal(state: RouteState): boolean;
  /** Rule 4: is an event old news, because the watermark has passed it? */
  eventIsSeen(event: ResourceVersion, watermark: ResourceVersion): boolean;
  /** Rule 4: is an event older than what the informer has said of the object? A list may run ahead of its version. */
  eventIsOlder(event: ResourceVersion, confirmed: ResourceVersion): boolean;
  /** Rule 4: has the watermark reached a hint, so that the informer alone decides from here on? */
  hintIsReached(hint: ResourceVersion, watermark: ResourceVersion): boolean;
  /** Rule 4: has the informer confirmed a newer version of the object, or passed `tombstone` and knows no object? */
  tombstoneIsDone(
    tombstone: ResourceVersion,
    confirmed: ResourceVersion | undefined,
    watermark: ResourceVersion,
  ): boolean;
  /** Rule 12: has a read of the object shown a later moment than an event of it, or the same? */
  eventIsRead(event: ResourceVersion, read: ResourceVersion): boolean;
  /**
   * Rule 12: what a read makes of an update that was pushed. `isAfter`: the read began after the push had come, so whatever was
   * true when it was sent is in it. `deletion`: the version of a pushed deletion that waits beside it, since an object that is
   * gone may well have been as its update said.
   */
  settleUpdate(push: Route, read: ReadView, isAfter: boolean, deletion?: ResourceVersion): Settlement;
  /** Rule 12: what a read makes of a deletion at `version`. `uid`: of the object that was known until now. */
  settleDelete(
    version: ResourceVersion,
    uid: string | undefined,
    read: ReadView,
    isAfter: boolean,
  ): Settlement;
  /**
   * Rule 14: with a selector, does the informer show the object that an update is about? A push has no labels, and another UID
   * is another object. Only then may the update take effect before a read.
   */
  isShown(confirmed: Facts["confirmed"], push: Pick<Route, "uid">): boolean;
  /** Rule 5: is a list older than what has been seen? */
  listIsBehind(list: ResourceVersion, watermark: ResourceVersion): boolean;
  /** Rule 5: is an object that a list lacks gone? */
  isGone(listed: boolean): boolean;
  /** Rule 6: has a fact that the informer should have confirmed by `deadlineMs` of its live time run out? */
  isOverdue(deadlineMs: Milliseconds, liveMs: Milliseconds): boolean;
  /**
   * Rule 8: when the sandbox of the route in effect ends by itself. A push does not tell the shutdownTime: what the informer said of
   * the same object holds until it says otherwise, else a push would let the sandbox outlive it.
   */
  endsAtMs(facts: Facts, route: Route): Milliseconds | undefined;
  /** Rule 8: the state of a route at a time: `dead` once the time of {@link endsAtMs} has come. */
  stateAt(route: Route, endsAtMs: Milliseconds | undefined, nowMs: Milliseconds): RouteState;
  /** Rules 4 and 8: the route of the newest fact, death winning ties; `undefined` when that is no route. */
  inEffect(facts: Facts): Route | undefined;
  /** Rule 9: which of the living objects that claim one ID is served, by index? `undefined` for none. */
  idHolder(living: number): number | undefined;
  /**
   * Rule 10: may versions of objects of these two CRDs be compared? Kubernetes promises it for objects of one resource only: an
   * API server may keep another in an etcd of its own (`--etcd-servers-overrides`).
   */
  areComparable(a: Provider, b: Provider): boolean;
  /** Rule 10: did `a` surely take the pod IP later than `b`? */
  tookIpLater(a: IpHold, b: IpHold): boolean;
  /** Rule 11: the guard that stopped a resurrection, when a refused update was an attempt at one. */
  resurrection(outcome: Outcome, living: boolean): Guard | undefined;
}

const older = (a: ResourceVersion, b: ResourceVersion): boolean => compareResourceVersions(a, b) < 0;
const olderOrSame = (a: ResourceVersion, b: ResourceVersion): boolean => compareResourceVersions(a, b) <= 0;

/** The rules as docs/route-table.md#rules states them. */
export const RULES: Rules = {
  judgeUpdate(facts, push, scope) {
    const version = push.resourceVersion;
    if (scope.barredUntil !== undefined) return "ignored_restored";
    if (olderOrSame(version, scope.watermark)) return "ignored_watermark";
    if (scope.ceiling !== undefined && older(scope.ceiling, version)) return "ignored_implausible";
    if (facts.tombstone !== undefined && olderOrSame(version, facts.tombstone)) return "ignored_tombstone";
    const { confirmed, hint } = facts;
    if (confirmed !== undefined) {
      if (olderOrSame(version, confirmed.resourceVersion)) return "ignored_stale";
      if (confirmed.route === undefined && confirmed.uid === push.uid) return "ignored_ended";
    }
    if (hint !== undefined && olderOrSame(version, hint.resourceVersion)) return "ignored_stale";
    return "applied";
  },

  judgeDelete(facts, version, scope) {
    if (scope.barredUntil !== undefined) return "ignored_restored";
    if (scope.ceiling !== undefined && older(scope.ceiling, version)) return "ignored_implausible";
    if (facts.tombstone !== undefined && older(version, facts.tombstone)) return "ignored_stale";
    if (facts.confirmed !== undefined) {
      return older(version, facts.confirmed.resourceVersion) ? "ignored_stale" : "applied";
    }
    return olderOrSame(version, scope.watermark) ? "ignored_watermark" : "applied";
  },

  isTerminal,

  eventIsSeen: olderOrSame,

  eventIsOlder: older,

  hintIsReached: olderOrSame,

  tombstoneIsDone(tombstone, confirmed, watermark) {
    return confirmed === undefined ? olderOrSame(tombstone, watermark) : older(tombstone, confirmed);
  },

  eventIsRead: olderOrSame,

  settleUpdate(push, { version, observation, selective }, isAfter, deletion) {
    if (!isAfter && older(version, push.resourceVersion)) return "open";
    if (observation === undefined && deletion !== undefined && olderOrSame(push.resourceVersion, deletion))
      return "passed";
    if (observation === undefined && selective) return "unselected";
    if (observation === undefined || older(observation.resourceVersion, push.resourceVersion))
      return "refuted";
    if (observation.resourceVersion !== push.resourceVersion) return "passed";
    const { uid, route } = observation;
    const same =
      route !== undefined && uid === push.uid && route.ip === push.ip && route.state === push.state;
    return same ? "confirmed" : "refuted";
  },

  settleDelete(version, uid, { version: readAt, observation }, isAfter) {
    // The object may have been made, and deleted, after the moment that the read shows.
    if (!isAfter && older(readAt, version)) return "open";
    if (observation?.route === undefined || isTerminal(observation.route.state)) return "confirmed";
    if (!isAfter) return "open";
    // It was deleted and made again under its name, or has come back to life since.
    const wentOn =
      older(version, observation.resourceVersion) || (uid !== undefined && uid !== observation.uid);
    return wentOn ? "passed" : "refuted";
  },

  isShown: (confirmed, { uid }) => confirmed?.uid === uid,

  listIsBehind: older,

  isGone: (listed) => !listed,

  isOverdue: (deadlineMs, liveMs) => deadlineMs <= liveMs,

  endsAtMs({ confirmed }, route) {
    if (route.shutdownAtMs !== undefined) return route.shutdownAtMs;
    return confirmed?.uid === route.uid ? confirmed.route?.shutdownAtMs : undefined;
  },

  stateAt(route, endsAtMs, nowMs) {
    return endsAtMs !== undefined && endsAtMs <= nowMs ? "dead" : route.state;
  },

  inEffect({ confirmed, hint, tombstone }) {
    const newest =
      hint !== undefined &&
      (confirmed === undefined || older(confirmed.resourceVersion, hint.resourceVersion))
        ? hint
        : confirmed?.route;
    if (newest === undefined) return undefined;
    return tombstone !== undefined && olderOrSame(newest.resourceVersion, tombstone) ? undefined : newest;
  },

  idHolder: (living) => (living === 1 ? 0 : undefined),

  areComparable: (a, b) => a === b,
  tookIpLater: (a, b) => olderOrSame(b.by, a.after),

  resurrection(outcome, living) {
    return living ? undefined : GUARD_OF[outcome];
  },
};

const GUARD_OF: { readonly [outcome in Outcome]?: Guard } = {
  ignored_stale: "stale",
  ignored_tombstone: "tombstone",
  ignored_watermark: "watermark",
  ignored_read: "read",
  ignored_refuted: "refuted",
  ignored_implausible: "implausible",
  ignored_distrusted: "distrusted",
  ignored_ended: "ended",
  ignored_restored: "restored",
};
