import { compareResourceVersions, NOTHING_SEEN, type ResourceVersion } from "./resource-version.ts";
import { hasPod, type Route } from "./route.ts";
import type { IpHold } from "./rules.ts";

/** What the informer knew of an object when it said something new of it. */
export interface Known {
  /** Of the pod IP in `route`. */
  readonly hold: IpHold | undefined;
  readonly route: Route | undefined;
  /** The version up to which the object was as `route` says, or did not exist. */
  readonly until: ResourceVersion;
  /** A list came after a gap: versions of the object may have gone by unseen. */
  readonly gap: boolean;
}

/** Since when an object has its pod IP, now that the informer says `route` of it (rule 10). */
export function holdAfter(
  { hold, route: last, until, gap }: Known,
  route: Route | undefined,
): IpHold | undefined {
  if (!route?.ip) return undefined;
  const { resourceVersion } = route;
  const samePod = route.podUid !== undefined && last?.podUid === route.podUid;
  const otherPod = route.podUid !== undefined && last?.podUid !== undefined && !samePod;
  if (!hold || last?.ip !== route.ip || last.uid !== route.uid || otherPod) {
    // A list may show an object at a version that is older than the last one passed: then nothing is known.
    const after = compareResourceVersions(until, resourceVersion) < 0 ? until : NOTHING_SEEN;
    return { after, by: resourceVersion };
  }
  if (samePod) return hold;
  // The object may have let the IP go and taken it again, at any moment until now: unseen in a gap, while it rested with
  // the old address still in its status, or behind a pod that only one of the two versions names.
  const unseen = gap && last.resourceVersion !== resourceVersion;
  const rested = !hasPod(last.state) && hasPod(route.state);
  const named = last.podUid !== route.podUid;
  return unseen || rested || named ? { after: hold.after, by: resourceVersion } : hold;
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
  const same = hold && confirmed?.ip === route.ip && confirmed.uid === route.uid;
  if (same && route === confirmed) return hold;
  return { after: same ? hold.after : watermark, by: route.resourceVersion };
}
