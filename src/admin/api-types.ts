import type { FactView } from "../routes/lookup.ts";
import type { ToldHow } from "../routes/told.ts";

/**
 * The JSON that the admin port speaks; what `GET /api/status` answers stands in status-types.ts. The command line reads the same types. No type here has a field for a token,
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
  /** The routes are those of a snapshot, since the API server has not given its list. Absent once it has. */
  readonly snapshot?: {
    /** When it was taken, in milliseconds since the epoch. */
    readonly takenAtMs: number;
    readonly ageSeconds: number;
  };
  /** Watermark per watched scope: a namespace, or `""` for all of them (docs/agent-sandbox.md#one-table). Absent scopes were not listed yet. */
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
  readonly hints: number;
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
  /** When no route is in effect: what had the target's ID last, as far as the history goes back. */
  readonly former?: FormerRoute;
}

/** `POST /api/preview`: what a preview link is to let its holder do (docs/access.md#preview-links). */
export interface PreviewInput {
  /** The Host of the sandbox, with its port before it or without. */
  readonly host: string;
  /** Which of its ports. Default: the one that `host` names. */
  readonly port?: number;
  /** For how long. Default 3600. */
  readonly forSeconds?: number;
  /** Only paths from here on, such as `/docs`. */
  readonly pathPrefix?: string;
  /** Only these methods, such as `GET`. */
  readonly methods?: readonly string[];
}

/** The answer: whoever has `url` or `token` is let in. */
export interface PreviewLink {
  readonly url: string;
  /** For the header `header`, for programs. */
  readonly token: string;
  readonly header: string;
  readonly sandbox: string;
  readonly port: number;
  /** RFC 3339. */
  readonly expiresAt: string;
}

/** A route that has ended. */
export interface FormerRoute {
  readonly namespace: string;
  readonly name: string;
  /** Its last UID, pod IP and state. */
  readonly uid?: string;
  readonly ip?: string;
  readonly state?: string;
  /** The fact that ended it. */
  readonly end: HistoryFact;
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

/** `GET /api/search`: a window on the routes that match, ordered by `namespace/name`. */
export interface RoutesFound {
  /** How many match. */
  readonly total: number;
  /** Place of the first of `routes` among them. */
  readonly offset: number;
  /** Age of the search: which routes match is looked at anew after some seconds. What is told of each is this moment's. */
  readonly ageMs: number;
  readonly routes: readonly RouteView[];
}

/** `GET /api/peers`: who pushes, and who there is. */
export interface PeersView {
  /** Addresses that pushed, the latest first. */
  readonly pushers: readonly PeerView[];
  /** The memberlist, by name; absent when it is off. */
  readonly memberlist?: {
    /** From 0 (this router keeps up) to 7. */
    readonly healthScore: number;
    /** The others, also those that died or left a short while ago. */
    readonly members: readonly MemberView[];
  };
}

/** One address that pushes come from. */
export interface PeerView {
  readonly address: string;
  readonly pushes: number;
  readonly applied: number;
  readonly ignored: number;
  readonly invalid: number;
  /** Pushes that would have brought a dead route back. */
  readonly stopped: number;
  /** Updates that the informer denied or did not confirm in time. */
  readonly contradicted: number;
  /** Pushes that a read of the API server showed to be untrue. */
  readonly refuted: number;
  /** Pushes that got 401 or 403: the sender may not push, or did not prove who it is. They count nowhere else here. */
  readonly refused: number;
  /** Refused ones too. */
  readonly lastPushAtMs: number;
}

/** Another member of the memberlist. */
export interface MemberView {
  readonly name: string;
  readonly address: string;
  readonly status: "alive" | "suspect" | "dead" | "left";
  /** How long it has had this status. */
  readonly forSeconds: number;
}

/** `GET /api/history?namespace=&name=`: what the table was told of one object. */
export interface RouteHistoryView extends HistoryView {
  readonly namespace: string;
  readonly name: string;
  /** What is known of it now; absent when nothing is. */
  readonly route?: RouteView;
}

/** Facts of one object, oldest first. */
export interface HistoryView {
  readonly facts: readonly HistoryFact[];
  /** Older facts that were forgotten, since the history has bounds. */
  readonly forgotten: number;
}

/** Something that the table was told of one object, or that followed from it. */
export interface HistoryFact {
  /** Milliseconds since the epoch. */
  readonly atMs: number;
  /** Who said it; `table` for what the table did of itself then. */
  readonly writer: "informer" | "peer" | "clock" | "table";
  /** Address that a push came from. */
  readonly from?: string;
  readonly what: FactWhat;
  readonly resourceVersion?: string;
  /** `ending` while the object is being deleted. */
  readonly state?: string;
  readonly ip?: string;
  readonly uid?: string;
  /** The incarnation that ended. */
  readonly incarnation?: number;
  /** What came of it: an outcome of the table, or why it did what it did of itself. */
  readonly outcome: string;
  /** It would have brought a dead route back, and was stopped. */
  readonly revival?: true;
}

/** How it was told, or what followed: a pushed fact was given up, or its incarnation, and so its connections, ended. */
export type FactWhat = ToldHow | "hint_dropped" | "tombstone_dropped" | "incarnation_ended";

/** `GET /api/config`: what is in effect, in the schema's order. */
export interface ConfigView {
  /** The file that was read. */
  readonly file?: string | undefined;
  readonly settings: readonly SettingView[];
}

/** One setting. */
export interface SettingView {
  readonly key: string;
  /** Title of its section. */
  readonly section: string;
  /** As JSON; of a secret that is set, words in its place. */
  readonly value: string;
  /** `default`, `lychgate.yaml:3:5`, `LYCHGATE_LISTEN`, `--listen`. */
  readonly origin: string;
  /** It is what the default is, wherever it came from. */
  readonly isDefault: boolean;
  readonly description: string;
}

/** The body of every error of the admin port. `code` is stable, `message` names the field and the fix. */
export interface ApiError {
  readonly code: ApiErrorCode;
  readonly message: string;
}

/** The codes of {@link ApiError}. */
export type ApiErrorCode =
  | "bad_request"
  | "unauthorized"
  | "unknown_host"
  | "cross_site"
  | "not_found"
  | "method_not_allowed"
  | "too_many"
  | "internal";
