import { STATUS_CODES } from "node:http";
import * as replicas from "../peers/anti-entropy/anti-entropy.ts";
import { DIFFERENCES } from "../peers/anti-entropy/compare-facts.ts";
import { PROBE_RESULTS } from "../peers/memberlist/probe.ts";
import { REFUSAL_REASONS } from "../peers/memberlist/refused.ts";
import * as peers from "../peers/peer-observer.ts";
import { PROOF_METHODS as METHODS_OF_PROOF, PROOF_RESULTS as PROOFS } from "../peers/proof/proof-results.ts";
import { REASONS } from "../proxy/reply/reasons.ts";
import * as ends from "../routes/lookup.ts";
import { AHEAD_FACTS, DROP_REASONS, GUARDS, OUTCOMES } from "../routes/outcome.ts";
import { KNOWN_STATES } from "../routes/route.ts";
import { HANDSHAKE_RESULTS } from "../proxy/tls/handshake-result.ts";
import { SNAPSHOT_FAULTS } from "../snapshot/snapshot-fault.ts";
import * as wakes from "../wake/waker.ts";
import { FAULT_KINDS } from "../watch/fault.ts";
import * as lists from "../watch/list-watch-state.ts";
import * as ways from "../watch/list-way.ts";
import * as checks from "../watch/version-check.ts";
import { INVALID_REASONS } from "../watch/watched-resource.ts";

/**
 * The values that a label may have. Whatever a client, a pod or a peer sends, a label takes one of these, so the
 * number of series has a bound that does not depend on traffic.
 */
export type LabelValues =
  /** A closed list; anything else becomes `other`. Absent where the list is complete by its type. */
  | { readonly kind: "closed"; readonly values: readonly string[]; readonly other?: string }
  /** Not listed here, but bounded by what `by` names: never by traffic. */
  | { readonly kind: "bounded"; readonly by: string };

const closed = (values: readonly string[], other?: string): LabelValues =>
  other === undefined ? { kind: "closed", values } : { kind: "closed", values: [...values, other], other };

/** Methods with a series of their own: RFC 9110 9.3 and RFC 5789, as OpenTelemetry lists them. */
export const METHODS = closed(
  ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"],
  "_OTHER",
);

/**
 * Registered status codes, exact, and 499 (the client left first). A pod may answer with any other: it counts under
 * its class, `2xx` for example.
 */
export const STATUS_LABELS = closed(
  [...Object.keys(STATUS_CODES), "499", "1xx", "2xx", "3xx", "4xx", "5xx"].sort(),
  "other",
);

/** Limits on client connections: of all, or of those from one address. */
export const CONNECTION_LIMITS = closed(["total", "address"]);

/** How TLS handshakes ended. */
export const TLS_HANDSHAKES = closed(HANDSHAKE_RESULTS);

/** Files with certificates. */
export const CERTIFICATE_FILES: LabelValues = {
  kind: "bounded",
  by: "the files that `tls.certFiles` names",
};

/** Listeners that close an old connection for a new one when there are too many. */
export const BOUNDED_LISTENERS = closed(["peers", "admin"]);

/** The words of `x-lychgate-reason`; `ok` when the pod answered. */
export const REQUEST_REASONS = closed(Object.keys(REASONS), "other");

/** Who wrote the answer: the pod (reason `ok`), or the router itself. */
export const ANSWERED_BY = closed(["pod", "router"]);

/** How an attempt to connect to a pod ended. */
export const CONNECT_RESULTS = closed(
  [
    "connected",
    "upstream_refused",
    "upstream_unreachable",
    "upstream_reset",
    "connect_timeout",
    "incarnation_ended",
    "overloaded",
  ],
  "other",
);

/** Why an incarnation ended. */
export const END_REASONS = closed(ends.END_REASONS);

/** States that Lychgate knows; a peer may push any other word. */
export const ROUTE_STATES = closed(KNOWN_STATES, "other");

/** Who told the table something. */
export const SOURCES = closed(["informer", "peer", "clock"]);

/** Who brings routes to the table. */
export const ROUTE_WRITERS = closed(["informer", "peer"]);

/** What a mutation did and why. */
export const MUTATION_OUTCOMES = closed(OUTCOMES);

/** The rule that stopped a resurrection attempt. */
export const RESURRECTION_GUARDS = closed(GUARDS);

/** Kinds of fact that are kept beyond the informer's word. */
export const FACT_KINDS = closed(AHEAD_FACTS);

/** Why a pushed fact was given up. */
export const FACT_DROP_REASONS = closed(DROP_REASONS);

/** What came of looking for a snapshot at the start. */
export const SNAPSHOT_LOADS = closed(["loaded", "late", "none", ...SNAPSHOT_FAULTS]);

/** What came of a comparison with another replica. */
export const LOOK_RESULTS = closed(replicas.LOOK_RESULTS);

/** How an object differs at another replica. */
export const REPLICA_DIFFERENCES = closed(DIFFERENCES);

/** What living objects may disagree about. */
export const CONFLICT_KINDS = closed(["id", "ip"]);

/** Why the informer read a whole list. */
export const LIST_REASONS = closed(lists.LIST_REASONS, "other");

/** How it read one: as the first events of a watch, or in pages. */
export const LIST_WAYS = closed(ways.LIST_WAYS, "other");

/** Why it read one again. */
export const RELIST_REASONS = closed(
  lists.LIST_REASONS.filter((reason) => reason !== "initial"),
  "other",
);

/** What came of asking the API server for its present version. */
export const VERSION_CHECKS = closed(checks.VERSION_CHECKS, "other");

/** Why a watch ended and was opened again. */
export const WATCH_FAULTS = closed(FAULT_KINDS, "other");

/** Why an object or event from the API server was left aside. */
export const INVALID_OBJECT_REASONS = closed(
  [...INVALID_REASONS, "out_of_scope", "unknown_event_type"],
  "other",
);

/** How a peer proves who it is. */
export const PROOF_METHODS = closed(METHODS_OF_PROOF);

/** What came of a proof. */
export const PROOF_RESULTS = closed(PROOFS);

/** What became of a push. */
export const PUSH_RESULTS = closed(peers.PUSH_RESULTS, "other");

/** How it ended that a request was held: the doubt was settled, it lasted for too long, or the client left. */
export const HOLD_ENDS = closed(["settled", "timeout", "left"]);

/** How it ended that a request waited for a sandbox that slept: `WAKE_RELEASES` of the proxy. */
export const WAKE_HOLD_ENDS = closed(["woken", "failed", "unavailable", "timeout", "page", "left", "gone"]);

/** What asking to wake a sandbox came to. */
export const WAKE_ATTEMPTS = closed(wakes.WAKE_ATTEMPTS);

/** How waking a sandbox ended. */
export const WAKE_ENDS = closed(wakes.WAKE_ENDS);

/** What is read to settle pushes. */
export const PUSH_READ_KINDS = closed(["object", "namespace"]);

/** What came of such a read. */
export const PUSH_READ_RESULTS = closed(["settled", "open", "failed"]);

/** What a member of the memberlist is held for. */
export const MEMBER_STATUSES = closed(["alive", "suspect", "dead", "left"]);

/** Why a packet or stream of the memberlist was not taken. */
export const MEMBER_REFUSALS = closed(REFUSAL_REASONS, "other");

/** How a probe of a member ended. */
export const MEMBER_PROBES = closed(PROBE_RESULTS, "other");

/** Watched namespaces, `""` for all of them; those of another CRD begin with its group and a colon. */
export const SCOPES: LabelValues = {
  kind: "bounded",
  by: "the namespaces and CRDs that the configuration names",
};

/** How a worker ended that was not asked to. */
export const WORKER_ENDS = closed(["exited", "signalled", "stuck", "failed"]);

/** Numbers of workers, from 0. */
export const WORKERS: LabelValues = {
  kind: "bounded",
  by: "the number of workers that the configuration names",
};

/** What came of reloads of the configuration. */
export const RELOAD_RESULTS = closed(["success", "failure"]);

/** One value for the life of the process. */
export const BUILD: LabelValues = { kind: "bounded", by: "the build: one value" };

/** Where the kernel sends an expected CIDR: only `ok` leaves by the default interface alone. */
const OVERLAP_VERDICT_WORDS = ["ok", "overlap", "no_route", "unreachable", "no_default"] as const;
/** A word of {@link OVERLAP_VERDICTS}. */
export type OverlapVerdict = (typeof OVERLAP_VERDICT_WORDS)[number];
/** Verdicts of the overlap check. */
export const OVERLAP_VERDICTS = closed(OVERLAP_VERDICT_WORDS);

const STATIC_ROUTE_STATE_WORDS = ["present", "missing", "wrong"] as const;
/** A word of {@link STATIC_ROUTE_STATES}. */
export type StaticRouteState = (typeof STATIC_ROUTE_STATE_WORDS)[number];
/** How configured static routes stand in the kernel. */
export const STATIC_ROUTE_STATES = closed(STATIC_ROUTE_STATE_WORDS);

const STATIC_ROUTE_CHANGE_WORDS = ["added", "replaced", "removed"] as const;
/** A word of {@link STATIC_ROUTE_CHANGES}. */
export type StaticRouteChange = (typeof STATIC_ROUTE_CHANGE_WORDS)[number];
/** What was done to static routes. */
export const STATIC_ROUTE_CHANGES = closed(STATIC_ROUTE_CHANGE_WORDS);

const ANYCAST_ADDRESS_STATE_WORDS = ["announced", "withdrawn"] as const;
/** A word of {@link ANYCAST_ADDRESS_STATES}. */
export type AnycastAddressState = (typeof ANYCAST_ADDRESS_STATE_WORDS)[number];
/** Whether a service address is announced by BIRD. */
export const ANYCAST_ADDRESS_STATES = closed(ANYCAST_ADDRESS_STATE_WORDS);

const ANYCAST_BACKEND_STATE_WORDS = ["eligible", "terminating", "not_ready"] as const;
/** A word of {@link ANYCAST_BACKEND_STATES}. */
export type AnycastBackendState = (typeof ANYCAST_BACKEND_STATE_WORDS)[number];
/** Whether a local backend of a service address may be sent traffic. */
export const ANYCAST_BACKEND_STATES = closed(ANYCAST_BACKEND_STATE_WORDS);

const ANYCAST_CHANGE_WORDS = ["announce", "withdraw", "grow", "shrink", "adopt", "remove"] as const;
/** A word of {@link ANYCAST_CHANGES}. */
export type AnycastChange = (typeof ANYCAST_CHANGE_WORDS)[number];
/** What was done to an address: announced or not, its multipath group made larger or smaller, routes taken over or removed. */
export const ANYCAST_CHANGES = closed(ANYCAST_CHANGE_WORDS);

const BIRD_RESULT_WORDS = ["ok", "refused", "unreachable"] as const;
/** A word of {@link BIRD_RESULTS}. */
export type BirdResult = (typeof BIRD_RESULT_WORDS)[number];
/** What BIRD said to a new configuration. */
export const BIRD_RESULTS = closed(BIRD_RESULT_WORDS);

/** Whether something was done whole. */
export const OK_OR_FAILED = closed(["ok", "failed"]);

/** The value of a label of a closed list: itself when it is listed, else the list's word for others. */
export function labelValue(values: LabelValues, value: string): string {
  if (values.kind === "bounded" || values.values.includes(value)) return value;
  return values.other ?? "other";
}

/** The status label of an HTTP status: exact when registered, else its class, else `other`. */
export function statusLabel(status: number): string {
  return STATUS_LABEL_OF[status] ?? labelOfStatus(status);
}

/** By status: asked for each request. */
const STATUS_LABEL_OF: readonly string[] = Array.from({ length: 600 }, (_, status) => labelOfStatus(status));

function labelOfStatus(status: number): string {
  const exact = String(status);
  if (STATUS_LABELS.kind === "closed" && STATUS_LABELS.values.includes(exact)) return exact;
  return status >= 100 && status < 600 ? `${Math.floor(status / 100)}xx` : "other";
}
