import type { FactView } from "../routes/lookup.ts";

/**
 * The JSON that the admin port speaks. The command line reads the same types. No type here has a field for a token,
 * so none can be shown by accident.
 */

/** `GET /api/overview`. */
export interface Overview {
  /** Lychgate's version. */
  readonly version: string;
  /** Node's version, with its `v`. */
  readonly node: string;
  /** Seconds since the router started. */
  readonly uptimeSeconds: number;
  /** The source of the routes is in: requests are answered. */
  readonly synced: boolean;
  /** What `/readyz` on the peer port says, and why not when it says no. */
  readonly ready: boolean;
  /** Names of the readiness checks that fail, with their reason when they gave one. */
  readonly notReady?: readonly string[];
  /** Watermark per watched scope: a namespace, or `""` for all of them. Absent scopes were not listed yet. */
  readonly watermarks: Readonly<Record<string, string>>;
  readonly counts: RouteCounts;
}

/** How much the table holds. */
export interface RouteCounts {
  /** Routes in effect. */
  readonly routes: number;
  /** Routes in effect that requests may be sent to. */
  readonly servable: number;
  /** Updates that peers pushed and that the informer has not reached. */
  readonly claims: number;
  /** Deletions that peers pushed and that the informer has not confirmed. */
  readonly tombstones: number;
  /** Routing IDs that several living objects claim. */
  readonly idConflicts: number;
  /** Pod IPs that several running routes hold. */
  readonly ipConflicts: number;
  /** Routes in effect by state; a state that Lychgate does not know counts as `other`. */
  readonly states: Readonly<Record<string, number>>;
}

/** One route in effect, or an object of which only a tombstone is known. */
export interface RouteView {
  readonly namespace: string;
  readonly name: string;
  /** The routing ID. */
  readonly id: string;
  readonly uid: string;
  readonly owner: string;
  readonly ip: string;
  readonly state: string;
  /** Number of the running incarnation; present exactly when `servable`. */
  readonly incarnation?: number;
  /** Requests may be sent to the pod. */
  readonly servable: boolean;
  /** Why not, in words, when not `servable`. */
  readonly why?: string;
  readonly resourceVersion: string;
  readonly facts: readonly FactView[];
}

/** `GET /api/routes?limit=&after=`: ordered by `namespace/name`, by code unit. */
export interface RoutesPage {
  readonly synced: boolean;
  readonly watermarks: Readonly<Record<string, string>>;
  readonly counts: RouteCounts;
  readonly routes: readonly RouteView[];
  /** Give it as `after` to get the next page. Absent on the last page. */
  readonly next?: string;
}

/** `GET /api/explain?host=…&path=…&header=name:value`: what would happen to a request. */
export interface Explanation {
  readonly input: ExplainInput;
  /** What was looked at, in the order of the proxy's own work. */
  readonly steps: readonly ExplainStep[];
  readonly verdict: ExplainVerdict;
  /** The route that the target names, when there is one. */
  readonly route?: RouteView;
}

/** The request that {@link Explanation} is about. */
export interface ExplainInput {
  readonly host: string;
  /** Defaults to `/`. */
  readonly path: string;
  /** Name and value, in the order given. Echoed by `explain` with every value replaced by `…`. */
  readonly headers: readonly (readonly [name: string, value: string])[];
}

/** One step of {@link Explanation}. */
export interface ExplainStep {
  /** What was done, such as `target` or `lookup`. */
  readonly step: string;
  /** What came of it, in words. */
  readonly result: string;
}

/** What the router would answer, or that it would pass the request on. */
export interface ExplainVerdict {
  /** The word of `x-lychgate-reason` (and the metric label). */
  readonly reason: string;
  /** The status that would be sent; 0 when the pod would answer. */
  readonly status: number;
  /** The body that would be sent, or what would be done. */
  readonly message: string;
}

/** The body of every error of the admin port. `code` is stable, `message` names the field and the fix. */
export interface ApiError {
  readonly code: ApiErrorCode;
  readonly message: string;
}

/** The codes of {@link ApiError}. */
export type ApiErrorCode = "bad_request" | "not_found" | "method_not_allowed" | "internal";
