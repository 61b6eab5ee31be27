import type { ResourceVersion } from "./resource-version.ts";
import type { ObjectKey, Route } from "./route.ts";

/**
 * One stretch of one sandbox's life behind one address: it begins when the route becomes servable (running, with
 * a pod IP that is its own) and ends when that stops, or when UID, pod IP or pod change (docs/route-table.md#incarnations).
 * Upstream connections belong to an incarnation and never outlive it. Identity is the object's; `number` never repeats in
 * a process and is what logs show.
 */
export interface Incarnation {
  readonly number: number;
  readonly key: ObjectKey;
  readonly uid: string;
  readonly ip: string;
  /** `Route.readyAtS`, when it began. */
  readonly readyAtS?: number | undefined;
}

/**
 * Why an incarnation ended. After `paused` its idle connections are closed and active ones may finish, until its
 * sandbox is heard of again ({@link IncarnationListener.pauseEnded}); after any other, active ones are reset too.
 */
export const END_REASONS = [
  "paused",
  "not_running",
  "dead",
  "replaced",
  "ip_moved",
  "ip_reassigned",
] as const;

/** One of {@link END_REASONS}. */
export type EndReason = (typeof END_REASONS)[number];

/** What a lookup by routing ID finds. */
export type Lookup =
  | { readonly kind: "unknown" }
  /** Two or more living objects claim the ID: none is served (docs/route-table.md#rule-9). */
  | { readonly kind: "id_conflict"; readonly keys: readonly ObjectKey[] }
  | RouteInEffect;

/** The route that the table stands for at this moment. Read it at once: a later mutation may change the object. */
export interface RouteInEffect {
  readonly kind: "found";
  readonly route: Route;
  /** `route.state`, or `dead` once the sandbox's shutdownTime has passed, or `ip_not_allowed` where it can't have its pod IP. */
  readonly state: string;
  /** Present exactly when requests may be sent to the pod. */
  readonly incarnation: Incarnation | undefined;
  /** Running, but another route surely took the pod IP later, or it can't be told which did (rule 10). */
  readonly ipReassigned: boolean;
  /**
   * `route.access` and `route.previewEpoch`; of a pushed route, whose writer can't know them, what the informer last said of the same
   * object.
   */
  readonly access?: string | undefined;
  readonly previewEpoch?: string | undefined;
}

/** The read side of the table: all that `proxy` may see of it. */
export interface RouteLookup {
  /** True once the informer's first list is in (or from the start, without an informer). */
  readonly synced: boolean;
  /** Finds by routing ID, ignoring case, since IDs travel in host names. Never throws. */
  lookup(id: string): Lookup;
  /** Finds by object, for clients that name one (`x-sandbox-id` with `x-sandbox-namespace`). Never throws. */
  lookupObject(namespace: string, name: string): Lookup;
  /** How many sandboxes are in doubt (rule 12). Nearly always 0: then no request is held, and nothing need be asked. */
  readonly doubtful: number;
  /** Whether a request for a routing ID is to be held until a read has settled what peers pushed. */
  isHeld(id: string): boolean;
  /** The same for a request that names an object. */
  isObjectHeld(namespace: string, name: string): boolean;
}

/** Told synchronously, after the mutation is complete; must not throw and must not mutate the table. */
export interface IncarnationListener {
  incarnationEnded(incarnation: Incarnation, reason: EndReason): void;
  /**
   * The sandbox of an incarnation that ended as `paused` is not paused any more: it is dead, or it lives again in another
   * pod. What still lingers of the incarnation is to be reset. Follows each `paused` end at most once.
   */
  pauseEnded?(incarnation: Incarnation, reason: EndReason): void;
  /** Requests for `key`, or for what was pushed of it, are held from now on, or are not any more (rule 12). */
  doubtChanged?(key: ObjectKey): void;
  /** The route in effect for `key` is another one now, or there is none. */
  routeChanged?(key: ObjectKey, route: RouteInEffect | undefined): void;
}

/** A fact as `explain` and the status page show it: no tokens. A `read` has shown the object at that version of the cluster. */
export interface FactView {
  readonly kind: "confirmed" | "hint" | "tombstone" | "read";
  readonly resourceVersion: ResourceVersion;
  readonly state: string;
}
