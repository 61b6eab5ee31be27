import {
  ACCESS_TOKEN_ANNOTATION,
  isPooled,
  isReady,
  JWT_AUTH_ANNOTATION,
  LEGACY_ACCESS_TOKEN_ANNOTATION,
  OWNER_ANNOTATION,
  SANDBOX_ID_LABEL,
  shutdownAtMs,
  type StoredSandbox,
} from "./sandbox.ts";
import { routingId } from "../../src/routes/route.ts";

/** A route as a sandbox-manager sends it to its peers: the JSON body of `POST /refresh`. */
export interface PushedRoute {
  readonly ip: string;
  readonly id: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly owner: string;
  readonly state: string;
  readonly resourceVersion: string;
  readonly accessToken: string;
  readonly requireTrafficAuth: boolean;
}

/**
 * The route that a sandbox-manager derives from a Sandbox. Written on its own and not with the router's
 * projection, so that the dev cluster can tell when that is wrong.
 */
export function routeToPush(sandbox: StoredSandbox, nowMs: number): PushedRoute {
  const { namespace, name, uid, resourceVersion, labels, annotations = {} } = sandbox.metadata;
  return {
    ip: sandbox.status?.podInfo?.podIP ?? "",
    id: routingId(namespace, name, labels?.[SANDBOX_ID_LABEL]),
    namespace,
    name,
    uid,
    owner: annotations[OWNER_ANNOTATION] ?? "",
    state: stateOf(sandbox, nowMs),
    resourceVersion,
    accessToken: annotations[ACCESS_TOKEN_ANNOTATION] ?? annotations[LEGACY_ACCESS_TOKEN_ANNOTATION] ?? "",
    requireTrafficAuth: annotations[JWT_AUTH_ANNOTATION] === "true",
  };
}

/** The body that goes over the wire: `omitempty` for namespace, name, accessToken and requireTrafficAuth. */
export function encodePush(route: PushedRoute): string {
  const { ip, id, namespace, name, uid, owner, state, resourceVersion, accessToken, requireTrafficAuth } =
    route;
  return JSON.stringify({
    ip,
    id,
    ...(namespace !== "" && { namespace }),
    ...(name !== "" && { name }),
    uid,
    owner,
    state,
    resourceVersion,
    ...(accessToken !== "" && { accessToken }),
    ...(requireTrafficAuth && { requireTrafficAuth }),
  });
}

function stateOf(sandbox: StoredSandbox, nowMs: number): string {
  const phase = sandbox.status?.phase ?? "";
  const endsAtMs = shutdownAtMs(sandbox);
  if (!sandbox.status?.podInfo?.podIP) return "creating";
  if (sandbox.metadata.deletionTimestamp !== undefined) return "dead";
  if (endsAtMs !== undefined && nowMs > endsAtMs) return "dead";
  if (phase === "Pending") return "creating";
  if (["Succeeded", "Failed", "Terminating"].includes(phase)) return "dead";
  if (isPooled(sandbox)) return isReady(sandbox) ? "available" : "creating";
  if (phase !== "Running") return "paused";
  if (sandbox.spec.paused === true) return "paused";
  return isReady(sandbox) ? "running" : "dead";
}
