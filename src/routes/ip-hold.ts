import { compareResourceVersions, NOTHING_SEEN, type ResourceVersion } from "./resource-version.ts";
import type { Observation } from "./observation.ts";
import { isTerminal, type Route } from "./route.ts";
import type { IpHold } from "./rules.ts";

/**
 * Since when an object has its pod IP, after the informer said `observation` of it (rule 10). `hold` and `was` are what
 * was known before; `before` is the version up to which the object was as `was` says (or did not exist).
 */
export function holdAfter(
  hold: IpHold | undefined,
  was: Route | undefined,
  { route, resourceVersion }: Observation,
  before: ResourceVersion,
): IpHold | undefined {
  if (!route?.ip) return undefined;
  const goesOn =
    hold !== undefined &&
    hold.ip === route.ip &&
    hold.uid === route.uid &&
    (hold.podUid === undefined || route.podUid === undefined || hold.podUid === route.podUid);
  if (!goesOn) {
    // A list may show an object at a version that is older than the last one passed: then nothing is known.
    const after = compareResourceVersions(before, resourceVersion) < 0 ? before : NOTHING_SEEN;
    return { ip: route.ip, uid: route.uid, podUid: route.podUid, after, by: resourceVersion };
  }
  // Back from a pause with the old IP: it may have kept it, or have taken it anew at any moment until now.
  const rested = was !== undefined && (was.state === "paused" || isTerminal(was.state));
  const by = rested && route.state === "running" ? resourceVersion : hold.by;
  return { ...hold, podUid: route.podUid ?? hold.podUid, by };
}

/**
 * Since when the route in effect has its pod IP: as the informer saw it, or, when only a peer has told of it, after
 * everything that the informer has delivered (`watermark`).
 */
export function holdInEffect(route: Route, hold: IpHold | undefined, watermark: ResourceVersion): IpHold {
  if (hold && hold.ip === route.ip && hold.uid === route.uid) return hold;
  return { ip: route.ip, uid: route.uid, podUid: undefined, after: watermark, by: route.resourceVersion };
}
