/**
 * Fields that belong to one connection (RFC 9110 7.6.1). The Proxy-* pair is between a client and a forward proxy: a
 * pod must neither ask for nor see such credentials.
 */
export const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "upgrade",
  "proxy-authenticate",
  "proxy-authorization",
]);

/**
 * What only a proxy can know, and pods believe, beside all `X-Forwarded-*`: who asks, and for what URL. Lower case.
 */
export const TOLD_BY_PROXIES: readonly string[] = [
  "forwarded",
  "x-real-ip",
  "x-client-ip",
  "x-cluster-client-ip",
  "true-client-ip",
  "cf-connecting-ip",
  "fastly-client-ip",
  "x-original-url",
  "x-rewrite-url",
];

/** {@link TOLD_BY_PROXIES} by the begin of their names. */
export const FORWARDED_PREFIX = "x-forwarded-";

/** See {@link requestRule}. */
export type RequestRule =
  | "hop_by_hop"
  | "host"
  | "te"
  | "request_id"
  | "forwarded_for"
  | "forwarded_prefix"
  | "forwarded"
  | "max_forwards"
  /** Seems to be one of those that are told by proxies or set here, to whoever makes no difference between `_` and `-`. */
  | "lookalike"
  /** Can't be stripped by nominating it in `Connection`, or a client could hide from the pod who asks. */
  | "essential";

/** What is done with a request's field, by lower-case name; all others pass unless `Connection` nominates them. */
export const REQUEST_RULES: ReadonlyMap<string, RequestRule> = new Map<string, RequestRule>([
  ...[...HOP_BY_HOP].map((name) => [name, "hop_by_hop"] as const),
  ...TOLD_BY_PROXIES.map((name) => [name, "forwarded"] as const),
  // The front has answered it, and undici refuses it.
  ["expect", "hop_by_hop"],
  ["host", "host"],
  ["content-length", "essential"],
  ["te", "te"],
  ["x-request-id", "request_id"],
  ["x-forwarded-for", "forwarded_for"],
  ["x-forwarded-prefix", "forwarded_prefix"],
  ["max-forwards", "max_forwards"],
  // Without it a loop would not be seen.
  ["via", "essential"],
  ["authorization", "essential"],
  ["cookie", "essential"],
  ["x-access-token", "essential"],
]);

/** What is done with a request's field of this lower-case name; `undefined`: it passes, unless `Connection` nominates it. */
export function requestRule(name: string): RequestRule | undefined {
  const rule = REQUEST_RULES.get(name);
  if (rule !== undefined) return rule;
  if (name.startsWith(FORWARDED_PREFIX)) return name.includes("_") ? "lookalike" : "forwarded";
  if (!name.includes("_")) return undefined;
  const meant = name.replaceAll("_", "-");
  const isSetHere = meant === "x-request-id" || meant.startsWith(FORWARDED_PREFIX);
  return isSetHere || TOLD_BY_PROXIES.includes(meant) ? "lookalike" : undefined;
}

/** Rules that leave the field as it is, if it is in order. */
const PASSING: ReadonlySet<string> = new Set(["authorization", "cookie", "x-access-token"]);

/**
 * Lower-case names of the request fields that admission or {@link forwardRequestHead} must see: they may not be passed on
 * as they are.
 */
export const REQUEST_FIELDS: readonly string[] = [...REQUEST_RULES.keys()].filter(
  (name) => !PASSING.has(name),
);

/** The same for all that begin so. */
export const REQUEST_PREFIXES: readonly string[] = [FORWARDED_PREFIX];

/** Presence of this field tells that a reply is our own, so no pod may send it. */
export const REASON_FIELD = "x-lychgate-reason";

/** Lower-case names of the response fields that {@link forwardResponseHeaders} may not pass on as they are. */
export const RESPONSE_FIELDS: readonly string[] = [...HOP_BY_HOP, REASON_FIELD];

/**
 * Not allowed in trailers: what frames, routes, authenticates or controls (RFC 9110 6.5.1), and whatever a request's
 * header has a rule for, since a server that merges trailers into the header would let a client undo the rule.
 */
export const NOT_IN_TRAILERS: ReadonlySet<string> = new Set([
  ...REQUEST_RULES.keys(),
  "x-lychgate-token",
  "e2b-traffic-access-token",
  "content-encoding",
  "content-type",
  "content-range",
  "trailer",
  "set-cookie",
  "cache-control",
  "www-authenticate",
  REASON_FIELD,
]);
