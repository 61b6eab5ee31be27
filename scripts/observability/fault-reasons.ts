import { REQUEST_REASONS } from "../../src/metrics/label-values.ts";

/** Whose doing a reason is: the error budget counts `router` only. */
type Blame = "nobody" | "client" | "sandbox" | "router";

/**
 * Every word of `lychgate_requests_total{reason}`. `router` is what an operator of the router or of its cluster must see to;
 * a request to a sandbox that is paused, gone or does not listen is the business of who owns it.
 */
const BLAME: Readonly<Record<string, Blame>> = {
  ok: "nobody",
  not_ready: "router",
  no_sandbox: "client",
  bad_target: "client",
  bad_request: "client",
  tls_on_plain_port: "client",
  plain_on_tls_port: "client",
  https_redirect: "nobody",
  client_certificate: "client",
  http2_on_plain_port: "client",
  proxy_protocol: "client",
  version_not_supported: "client",
  misdirected_request: "client",
  method_not_allowed: "client",
  max_forwards: "nobody",
  loop_detected: "sandbox",
  headers_too_large: "client",
  request_timeout: "client",
  client_too_slow: "client",
  sandbox_not_found: "client",
  sandbox_id_conflict: "router",
  pod_ip_reassigned: "router",
  sandbox_in_doubt: "router",
  pod_ip_not_allowed: "router",
  sandbox_paused: "sandbox",
  wake_failed: "router",
  wake_unavailable: "router",
  sandbox_waking: "nobody",
  sandbox_creating: "sandbox",
  sandbox_dead: "sandbox",
  sandbox_not_running: "sandbox",
  address_not_allowed: "client",
  rate_limited: "client",
  sandbox_private: "client",
  preview_token_invalid: "client",
  cross_site: "client",
  preview_entered: "nobody",
  traffic_token_invalid: "client",
  traffic_token_mismatch: "client",
  unauthorized: "client",
  jwt_verifier_not_ready: "router",
  upstream_refused: "sandbox",
  upstream_unreachable: "router",
  upstream_reset: "sandbox",
  upstream_protocol: "sandbox",
  incarnation_ended: "sandbox",
  connect_timeout: "router",
  first_byte_timeout: "sandbox",
  upstream_idle_timeout: "sandbox",
  client_closed: "client",
  draining: "router",
  overloaded: "router",
  internal_error: "router",
  other: "router",
};

/** Reasons that spend the error budget. */
export const ROUTER_FAULTS: readonly string[] = reasonsOf("router");

/** Reasons that the owner of a sandbox must see to. */
export const SANDBOX_FAULTS: readonly string[] = reasonsOf("sandbox");

function reasonsOf(blame: Blame): readonly string[] {
  const listed = REQUEST_REASONS.kind === "closed" ? REQUEST_REASONS.values : [];
  const forgotten = listed.filter((reason) => BLAME[reason] === undefined);
  if (forgotten.length > 0)
    throw new Error(`whose doing is ${forgotten.join(", ")}? Say so in fault-reasons.ts`);
  return listed.filter((reason) => BLAME[reason] === blame);
}
