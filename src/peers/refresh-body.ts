import type { Route } from "../routes/route.ts";

/** A route to push; with the state `dead` it is a deletion, at the last version that was seen. */
export type OutgoingRoute = Omit<Route, "shutdownAtMs" | "podUid" | "readyAtS" | "access" | "previewEpoch">;

/**
 * The body of a `POST /refresh`, as OpenKruise's managers write it (docs/peers.md#post-refresh): the same fields in the same
 * order, `accessToken`, `requireTrafficAuth` and `wakeOnTraffic` only when they are set. Holds a token.
 */
export function refreshBody(route: OutgoingRoute): string {
  const {
    ip,
    id,
    namespace,
    name,
    uid,
    owner,
    state,
    resourceVersion,
    accessToken,
    requireTrafficAuth,
    wake,
  } = route;
  return JSON.stringify({
    ip,
    id,
    namespace,
    name,
    uid,
    owner,
    state,
    resourceVersion,
    ...(accessToken !== "" && { accessToken }),
    ...(requireTrafficAuth && { requireTrafficAuth }),
    ...(wake !== undefined && { wakeOnTraffic: true }),
  });
}
