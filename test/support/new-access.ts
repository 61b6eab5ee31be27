import { Access, type AccessOptions } from "../../src/access/access.ts";
import { systemClock } from "../../src/system/clock.ts";

/** Who may pass, as without any setting but these. */
export function newAccess(options: Partial<AccessOptions> = {}): Access {
  return new Access({
    accessToken: false,
    accessTokenHeader: "x-access-token",
    forwardAccessToken: false,
    byDefault: "open",
    trafficTokenHeader: "e2b-traffic-access-token",
    hostHeader: "",
    previewOrigins: [],
    clock: systemClock,
    ...options,
  });
}
