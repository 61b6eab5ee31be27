import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";

import type { Incarnation, Lookup, RouteInEffect, RouteLookup } from "../../routes/lookup.ts";
import { DOUBTED, IP_NOT_ALLOWED, type Route } from "../../routes/route.ts";
import { type Sleeper, sleeperOf } from "../../routes/sleeper.ts";
import type { RefusalReason } from "../reply/reasons.ts";
import { valuesOf } from "../http1/request-head.ts";
import type { RequestHead } from "../http1/request-head.ts";
import type { Target, TargetResult } from "../target/target.ts";

/** What becomes of a request. */
export type Verdict =
  | {
      readonly kind: "forward";
      /** Read it at once: see {@link RouteInEffect}. */
      readonly route: Route;
      readonly incarnation: Incarnation;
      readonly port: number;
      /** `Target.path`. */
      readonly path: string;
      /** `Target.label`. */
      readonly label: string;
    }
  | {
      readonly kind: "refuse";
      readonly reason: RefusalReason;
      /** `Target.label`, as far as the request named one. */
      readonly sandbox?: string;
      readonly port?: number;
      /** What is wrong with the request, when the reason leaves that open. */
      readonly message?: string;
      /** The sandbox sleeps, and the request may wait until it was woken. */
      readonly sleeper?: Sleeper;
    };

/** Which requests are allowed. */
export interface VerdictOptions {
  /** Compare `accessTokenHeader` with the route's token, for routes that have one. */
  readonly accessToken: boolean;
  /** Lower-case name of the header that carries the token, by convention `x-access-token`. It is forwarded. */
  readonly accessTokenHeader: string;
}

/**
 * Says what becomes of a request (the table in docs/architecture.md#verdict). Readiness first, then the target, then whether
 * the sandbox is known, then authorisation, and only then anything that tells its state, so that nobody learns the state of
 * a sandbox without its token. (An ID conflict comes before: no route, and so no token, is the right one.)
 *
 * A route that requires a JWT is refused, whether or not `accessToken` is on, as there is no verifier.
 */
export function decide(
  head: RequestHead,
  result: TargetResult,
  routes: RouteLookup,
  options: VerdictOptions,
): Verdict {
  if (!routes.synced) return { kind: "refuse", reason: "not_ready" };
  if (result.kind === "none") return { kind: "refuse", reason: "no_sandbox" };
  if (result.kind === "malformed") {
    const { message, sandbox } = result;
    return { kind: "refuse", reason: "bad_target", message, ...(sandbox === undefined ? {} : { sandbox }) };
  }
  const { target } = result;
  const found = find(target, routes);
  if (found.kind === "unknown") return refuse("sandbox_not_found", target);
  if (found.kind === "id_conflict") return refuse("sandbox_id_conflict", target);
  return authorise(head, target, found.route, options) ?? serve(target, found);
}

function find({ by }: Target, routes: RouteLookup): Lookup {
  return by.kind === "id" ? routes.lookup(by.id) : routes.lookupObject(by.namespace, by.name);
}

function authorise(
  head: RequestHead,
  target: Target,
  route: Route,
  options: VerdictOptions,
): Verdict | undefined {
  if (route.requireTrafficAuth) return refuse("jwt_verifier_not_ready", target);
  if (!options.accessToken || route.accessToken === "") return undefined;
  const tokens = valuesOf(head, options.accessTokenHeader);
  const [token] = tokens;
  const matches = token !== undefined && tokens.length === 1 && isSameSecret(token, route.accessToken);
  return matches ? undefined : refuse("unauthorized", target);
}

function serve(target: Target, found: RouteInEffect): Verdict {
  const { route, incarnation, state } = found;
  if (found.ipReassigned) return refuse("pod_ip_reassigned", target);
  if (incarnation !== undefined) {
    return { kind: "forward", route, incarnation, port: target.port, path: target.path, label: target.label };
  }
  const refused = refuse(reasonOfState(state), target);
  const sleeper = sleeperOf(found);
  return sleeper === undefined ? refused : { ...refused, sleeper };
}

function reasonOfState(state: string): RefusalReason {
  switch (state) {
    case "paused":
      return "sandbox_paused";
    case "creating":
      return "sandbox_creating";
    case "dead":
      return "sandbox_dead";
    case IP_NOT_ALLOWED:
      return "pod_ip_not_allowed";
    case DOUBTED:
      return "sandbox_in_doubt";
    default:
      return "sandbox_not_running";
  }
}

function refuse(
  reason: RefusalReason,
  { label, port }: Target,
): Extract<Verdict, { readonly kind: "refuse" }> {
  return { kind: "refuse", reason, sandbox: label, port };
}

/** Longer secrets are compared by digests. */
const MAX_COMPARED = 256;
const given = Buffer.alloc(MAX_COMPARED);
const expected = Buffer.alloc(MAX_COMPARED);
/** Makes digests of one length that nobody outside can predict, so that comparing them tells nothing of the secrets. */
const comparisonKey = randomBytes(32);

/**
 * Whether two texts are the same. Takes the same time wherever they differ. (To compare buffers takes 0.4 µs, and digests 30: they
 * would be most of what a request costs.)
 */
function isSameSecret(a: string, b: string): boolean {
  if (a.length > MAX_COMPARED || b.length > MAX_COMPARED) return timingSafeEqual(digest(a), digest(b));
  given.fill(0).write(a, "latin1");
  expected.fill(0).write(b, "latin1");
  return timingSafeEqual(given, expected) && a.length === b.length;
}

function digest(secret: string): Buffer {
  return createHmac("sha256", comparisonKey).update(secret, "latin1").digest();
}
