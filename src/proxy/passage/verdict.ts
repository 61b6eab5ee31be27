import type { Incarnation, Lookup, RouteInEffect, RouteLookup } from "../../routes/lookup.ts";
import { DOUBTED, IP_NOT_ALLOWED, type Route } from "../../routes/route.ts";
import { type Sleeper, sleeperOf } from "../../routes/sleeper.ts";
import type { Withheld } from "../forwarding/forwarding.ts";
import type { RefusalReason } from "../reply/reasons.ts";
import type { RequestHead } from "../http1/request-head.ts";
import type { Target, TargetResult } from "../target/target.ts";
import type { AccessGate } from "./access-gate.ts";

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
      /** What of the request must not reach the pod; absent: nothing. */
      readonly withheld?: Withheld | undefined;
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
      /** Flat `name, value, …`: for the reply. May hold a token. */
      readonly fields?: readonly string[];
    };

/**
 * Says what becomes of a request (the table in docs/architecture.md#verdict). Readiness first, then the target, then whether
 * the sandbox is known, then authorisation, and only then anything that tells its state, so that nobody learns the state of
 * a sandbox without its token. (An ID conflict comes before: no route, and so no token, is the right one.)
 */
export function decide(
  head: RequestHead,
  result: TargetResult,
  routes: RouteLookup,
  access: AccessGate,
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
  const refusal = access.check(head, target, found);
  return refusal === undefined
    ? serve(target, found, access)
    : { ...refuse(refusal.reason, target), ...refusal };
}

function find({ by }: Target, routes: RouteLookup): Lookup {
  return by.kind === "id" ? routes.lookup(by.id) : routes.lookupObject(by.namespace, by.name);
}

function serve(target: Target, found: RouteInEffect, access: AccessGate): Verdict {
  const { route, incarnation, state } = found;
  if (found.ipReassigned) return refuse("pod_ip_reassigned", target);
  if (incarnation !== undefined) {
    const { port, path, label } = target;
    return {
      kind: "forward",
      route,
      incarnation,
      port,
      path,
      label,
      withheld: access.withheldFrom(found, port),
    };
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
