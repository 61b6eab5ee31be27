import type { DoubtNames } from "../routes/doubts.ts";
import type { EndReason, RouteInEffect } from "../routes/lookup.ts";
import type { ResourceVersion } from "../routes/resource-version.ts";
import type { ObjectKey, Route, WakeState } from "../routes/route.ts";

/** A route in effect as a worker keeps it: what {@link RouteInEffect} says, by value. */
export interface RouteImage {
  readonly route: Route;
  readonly state: string;
  /** Number of the incarnation that requests may be sent to, or 0 for none. */
  readonly incarnation: number;
  readonly ipReassigned: boolean;
}

/**
 * A {@link RouteImage} as it travels: values in a fixed order, since their names would cost more than most of them. It
 * holds the access token: it goes through the channel to a worker and nowhere else.
 */
export type RouteTuple = readonly [
  namespace: string,
  name: string,
  id: string,
  uid: string,
  owner: string,
  ip: string,
  routeState: string,
  resourceVersion: ResourceVersion,
  accessToken: string,
  requireTrafficAuth: boolean,
  shutdownAtMs: number | undefined,
  podUid: string | undefined,
  wake: WakeState | undefined,
  readyAtS: number | undefined,
  access: string | undefined,
  previewEpoch: string | undefined,
  state: string,
  incarnation: number,
  ipReassigned: boolean,
];

/** `ended` and `pauseEnded` as in `IncarnationListener`; the number is the incarnation's. */
export type EndTuple = readonly [
  kind: "ended" | "pauseEnded",
  key: ObjectKey,
  incarnation: number,
  reason: EndReason,
];

/** What requests are held for, of a sandbox in doubt; `null` when it is in doubt no more (`Doubts` of the table). */
export type DoubtTuple = readonly [key: ObjectKey, names: DoubtNames | null];

/**
 * A step of the feed, to be applied whole, in the order ends, gone, routes, doubts. `ends` holds every end, up to the moment when
 * the batch was made, that the worker needs to hear of.
 */
export interface RouteBatch {
  /** 1, 2, 3 … for each worker; acknowledged once it is applied. */
  readonly sequence: number;
  /** `part`: of a snapshot, or of very many changes; more follows. `current`: the worker now knows all that the table does. */
  readonly extent: "part" | "current";
  /** `RouteLookup.synced` of the table; holds from a `current` batch on. */
  readonly synced: boolean;
  readonly ends: readonly EndTuple[];
  /** No route is in effect for these. */
  readonly gone: readonly ObjectKey[];
  readonly routes: readonly RouteTuple[];
  /** Doubts that began, or changed; in a `current` batch also those that ended, since what settled them is known by then. */
  readonly doubts: readonly DoubtTuple[];
}

/** Reads the route at once, as {@link RouteInEffect} asks. */
export function encodeRoute(inEffect: RouteInEffect): RouteTuple {
  const { route, state, incarnation, ipReassigned } = inEffect;
  return [
    route.namespace,
    route.name,
    route.id,
    route.uid,
    route.owner,
    route.ip,
    route.state,
    route.resourceVersion,
    route.accessToken,
    route.requireTrafficAuth,
    route.shutdownAtMs,
    route.podUid,
    route.wake,
    route.readyAtS,
    inEffect.access,
    inEffect.previewEpoch,
    state,
    incarnation?.number ?? 0,
    ipReassigned,
  ];
}

/** The inverse of {@link encodeRoute}. Both ends run the same version of Lychgate, so nothing is checked. */
export function decodeRoute(tuple: RouteTuple): RouteImage {
  const [namespace, name, id, uid, owner, ip, routeState, resourceVersion] = tuple;
  const [, , , , , , , , accessToken, requireTrafficAuth, shutdownAtMs, podUid, wake, readyAtS] = tuple;
  const [, , , , , , , , , , , , , , access, previewEpoch, state, incarnation, ipReassigned] = tuple;
  const route: Route = {
    namespace,
    name,
    id,
    uid,
    owner,
    ip,
    state: routeState,
    resourceVersion,
    accessToken,
    requireTrafficAuth,
    shutdownAtMs,
    podUid,
    wake,
    readyAtS,
    access,
    previewEpoch,
  };
  return { route, state, incarnation, ipReassigned };
}
