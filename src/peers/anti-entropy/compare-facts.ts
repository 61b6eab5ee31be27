import type { ObjectFacts } from "../../routes/object-facts.ts";
import {
  compareResourceVersions,
  newerResourceVersion,
  NOTHING_SEEN,
  type ResourceVersion,
} from "../../routes/resource-version.ts";
import type { Route } from "../../routes/route.ts";
import { knownEnd, type ReplicaFact, type ReplicaScope, livingRoute, routeText } from "./replica-fact.ts";

/**
 * How two replicas differ on an object.
 *
 * | kind | meaning |
 * |---|---|
 * | `same` | they do not |
 * | `update` | the other knows a newer route, above what the informer here has delivered |
 * | `deletion` | the other knows that it is gone |
 * | `ours` | this replica knows better; the other learns it when it compares |
 * | `hearsay` | the other has it from a replica, and does not pass it on |
 * | `conflict` | both have the same version and say otherwise, or the informer here shows what the other's lacks: one of them is wrong |
 */
export type Difference =
  | { readonly kind: "same" | "ours" | "hearsay" | "conflict" }
  | { readonly kind: "update"; readonly route: Route }
  | { readonly kind: "deletion"; readonly version: ResourceVersion };

/** The words of {@link Difference} for what was different. */
export const DIFFERENCES = ["update", "deletion", "ours", "hearsay", "conflict"] as const;

const SAME: Difference = { kind: "same" };
const OURS: Difference = { kind: "ours" };
const CONFLICT: Difference = { kind: "conflict" };

/**
 * What is to be learned of an object from another replica. Judges by versions alone; the table judges what comes of it once
 * more, by the rules for pushes.
 *
 * @param theirs what the other says; `undefined` when nothing is in effect there
 */
export function compareFacts(
  mine: ObjectFacts | undefined,
  here: ReplicaScope,
  theirs: ReplicaFact | undefined,
  there: ReplicaScope,
): Difference {
  const route = livingRoute(mine);
  const deletion = knownEnd(mine);
  switch (theirs?.kind) {
    case undefined: {
      if (route === undefined) return deletion === undefined ? SAME : OURS;
      // Their informer has passed our version and shows no such object: it is gone as of their watermark.
      if (!there.watched || isNewer(route.resourceVersion, there.watermark)) return OURS;
      return isNewer(there.watermark, here.watermark)
        ? { kind: "deletion", version: there.watermark }
        : CONFLICT;
    }
    case "hearsay":
      return { kind: "hearsay" };
    case "deletion":
      return compareDeletion(theirs.version, route, deletion, here);
    case "route":
      return compareRoute(theirs.route, route, deletion, here);
  }
}

function compareDeletion(
  version: ResourceVersion,
  route: Route | undefined,
  deletion: ResourceVersion | undefined,
  here: ReplicaScope,
): Difference {
  if (route !== undefined)
    return isNewer(route.resourceVersion, version) ? OURS : { kind: "deletion", version };
  if (deletion === version) return SAME;
  const known = newerResourceVersion(deletion ?? NOTHING_SEEN, here.watermark);
  return isNewer(version, known) ? { kind: "deletion", version } : OURS;
}

function compareRoute(
  theirs: Route,
  route: Route | undefined,
  deletion: ResourceVersion | undefined,
  here: ReplicaScope,
): Difference {
  const version = theirs.resourceVersion;
  if (route?.resourceVersion === version) return routeText(route) === routeText(theirs) ? SAME : CONFLICT;
  const known = newerResourceVersion(
    newerResourceVersion(route?.resourceVersion ?? NOTHING_SEEN, deletion ?? NOTHING_SEEN),
    here.watermark,
  );
  if (!isNewer(version, known)) return OURS;
  return { kind: "update", route: theirs };
}

function isNewer(a: ResourceVersion, b: ResourceVersion): boolean {
  return compareResourceVersions(a, b) > 0;
}
