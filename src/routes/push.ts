import { isObjectName, isOwner, isRoutingId, isState, isUid } from "./names.ts";
import type { Outcome } from "./outcome.ts";
import { parseResourceVersion, type ResourceVersion } from "./resource-version.ts";
import { type Route, routingId } from "./route.ts";

/**
 * A route as a peer pushed it: decoded, not yet judged. `resourceVersion` is whatever the peer wrote, `id` has not been
 * through `routingId`, and any text may be empty. `ip` is an IP or `""`.
 */
export type PushedRoute = Omit<Route, "resourceVersion"> & { readonly resourceVersion: string };

/** A deletion as a peer pushed it: decoded, not yet judged. It needs the object and a version only. */
export interface PushedDeletion {
  readonly namespace: string;
  readonly name: string;
  /** Whatever the peer wrote; never empty. */
  readonly resourceVersion: string;
}

/**
 * A push that may be judged, or why it may not. `route`: of an update, with its known fields and nothing else that a peer may
 * have written.
 */
export type Checked =
  | { readonly kind: "valid"; readonly version: ResourceVersion; readonly route: Route | undefined }
  | Invalid;

interface Invalid {
  readonly kind: "invalid";
  readonly outcome: Outcome;
}

/** What an update needs before any rule looks at it. */
export function checkUpdate(push: PushedRoute): Checked {
  const version = parseResourceVersion(push.resourceVersion);
  if (!isObjectName(push.namespace, push.name)) return invalid("invalid_key");
  if (!isRoutingId(push.id)) return invalid("invalid_id");
  if (!isUid(push.uid)) return invalid("invalid_uid");
  if (!isState(push.state) || !isOwner(push.owner)) return invalid("invalid_text");
  if (!version) return invalid("invalid_resource_version");
  if (sizeOf(push) > MAX_PUSH_CHARACTERS) return invalid("invalid_size");
  return { kind: "valid", version, route: routeOf(push, version) };
}

/** What a deletion needs before any rule looks at it. */
export function checkDeletion({ namespace, name, resourceVersion }: PushedDeletion): Checked {
  const version = parseResourceVersion(resourceVersion);
  if (!isObjectName(namespace, name)) return invalid("invalid_key");
  if (!version) return invalid("invalid_resource_version");
  if (namespace.length + name.length + version.length > MAX_PUSH_CHARACTERS) return invalid("invalid_size");
  return { kind: "valid", version, route: undefined };
}

function invalid(outcome: Outcome): Invalid {
  return { kind: "invalid", outcome };
}

/** All that a hint keeps of what a peer wrote. Names are at most 253 characters long; tokens are what may be long. */
const MAX_PUSH_CHARACTERS = 16_384;

function sizeOf(push: PushedRoute): number {
  const { namespace, name, id, uid, owner, ip, state, resourceVersion, accessToken, podUid = "" } = push;
  const { access = "", previewEpoch = "" } = push;
  return (
    namespace.length +
    name.length +
    id.length +
    uid.length +
    owner.length +
    ip.length +
    state.length +
    resourceVersion.length +
    accessToken.length +
    podUid.length +
    access.length +
    previewEpoch.length
  );
}

function routeOf(push: PushedRoute, resourceVersion: ResourceVersion): Route {
  const {
    namespace,
    name,
    uid,
    owner,
    ip,
    state,
    accessToken,
    requireTrafficAuth,
    shutdownAtMs,
    podUid,
    wake,
    access,
    previewEpoch,
  } = push;
  return {
    namespace,
    name,
    id: routingId(namespace, name, push.id),
    uid,
    owner,
    ip,
    state,
    resourceVersion,
    accessToken,
    requireTrafficAuth,
    shutdownAtMs,
    podUid,
    wake,
    access,
    previewEpoch,
  };
}
