/** The body of `POST /refresh` (docs/peers.md#post-refresh). A text that the peer left out is `""`. */
export interface RefreshPayload {
  ip: string;
  id: string;
  namespace: string;
  name: string;
  uid: string;
  owner: string;
  state: string;
  resourceVersion: string;
  /** A secret. */
  accessToken: string;
  requireTrafficAuth: boolean;
  /** Traffic may wake the sandbox. */
  wakeOnTraffic: boolean;
}

/** A payload that says nothing. */
export function emptyPayload(): RefreshPayload {
  return {
    ip: "",
    id: "",
    namespace: "",
    name: "",
    uid: "",
    owner: "",
    state: "",
    resourceVersion: "",
    accessToken: "",
    requireTrafficAuth: false,
    wakeOnTraffic: false,
  };
}
