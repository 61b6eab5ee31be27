import { compareResourceVersions, NOTHING_SEEN, type ResourceVersion } from "./resource-version.ts";
import type { Observation } from "./observation.ts";
import { hasPod, type Route } from "./route.ts";
import type { IpHold } from "./rules.ts";

/** What the informer knew of an object when it said something new of it. */
export interface Known {
  readonly hold: IpHold | undefined;
  readonly route: Route | undefined;
  /** The version up to which the object was as `route` says, or did not exist. */
  readonly until: ResourceVersion;
  /** A list came after a gap: versions of the object may have gone by unseen. */
  readonly gap: boolean;
}

/** Since when an object has its pod IP, after the informer said `observation` of it (rule 10). */
export function holdAfter(known: Known, observation: Observation): IpHold | undefined {
  const { route, resourceVersion } = observation;
  if (!route?.ip) return undefined;
  const { hold, until } = known;
  const samePod = hold?.podUid !== undefined && hold.podUid === route.podUid;
  const otherPod = hold?.podUid !== undefined && route.podUid !== undefined && !samePod;
  if (!hold || hold.ip !== route.ip || hold.uid !== route.uid || otherPod) {
    // A list may show an object at a version that is older than the last one passed: then nothing is known.
    const after = compareResourceVersions(until, resourceVersion) < 0 ? until : NOTHING_SEEN;
    return { ip: route.ip, uid: route.uid, podUid: route.podUid, after, by: resourceVersion };
  }
  // The object may have let the IP go and taken it again, at any moment until now: unseen in a gap, or while it
  // rested with the old address still in its status.
  const rested = known.route !== undefined && !hasPod(known.route.state);
  const unseen = known.gap && known.route?.resourceVersion !== resourceVersion;
  const by = !samePod && (unseen || (rested && hasPod(route.state))) ? resourceVersion : hold.by;
  return { ...hold, podUid: route.podUid ?? hold.podUid, by };
}

/**
 * Since when the route in effect has its pod IP. The informer's word is exact. What only a peer has told happened after
 * all that the informer has delivered (`watermark`); with the IP that the object had before, it may have kept it.
 */
export function holdInEffect(
  route: Route,
  confirmed: Route | undefined,
  hold: IpHold | undefined,
  watermark: ResourceVersion,
): IpHold {
  const same = hold && hold.ip === route.ip && hold.uid === route.uid;
  if (same && route === confirmed) return hold;
  const after = same ? hold.after : watermark;
  return { ip: route.ip, uid: route.uid, podUid: undefined, after, by: route.resourceVersion };
}
