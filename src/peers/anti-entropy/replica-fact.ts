import type { ObjectFacts } from "../../routes/object-facts.ts";
import { newerResourceVersion, NOTHING_SEEN, type ResourceVersion } from "../../routes/resource-version.ts";
import { isTerminal, type Route } from "../../routes/route.ts";
import { RULES } from "../../routes/rules.ts";

/** What a replica's informer of one scope has delivered. */
export interface ReplicaScope {
  /** The watched namespace, `""` for all. */
  readonly name: string;
  /** False with `source: none`. */
  readonly watched: boolean;
  readonly watermark: ResourceVersion;
}

/**
 * What a replica says of one object: what is in effect there. `hearsay`: something is, and another replica told it, so it is not
 * passed on. A wrong push would else live for ever: each replica that lets it run out would get it again from the next.
 */
export type ReplicaFact = { readonly namespace: string; readonly name: string } & (
  | { readonly kind: "route"; readonly route: Route }
  | { readonly kind: "deletion"; readonly version: ResourceVersion }
  | { readonly kind: "hearsay" }
);

/** The facts that count: a rumour that no read has settled is in effect nowhere, and is not passed on (rule 12). */
function counting({ confirmed, hint, tombstone }: ObjectFacts) {
  return {
    confirmed,
    hint: hint?.trusted === true ? hint : undefined,
    tombstone: tombstone?.trusted === true ? tombstone : undefined,
  };
}

/** The route in effect, whatever time it is (a shutdownTime that has come is the same for all); not one that has ended. */
export function livingRoute(facts: ObjectFacts | undefined): Route | undefined {
  const route = facts && newestRoute(facts);
  return route === undefined || isTerminal(route.state) ? undefined : route;
}

/** The version at which the object is known to have ended, be there a newer route or not. */
export function knownEnd(facts: ObjectFacts | undefined): ResourceVersion | undefined {
  if (facts === undefined) return undefined;
  const tombstone = counting(facts).tombstone?.version;
  const route = newestRoute(facts);
  if (route === undefined || !isTerminal(route.state)) return tombstone;
  return newerResourceVersion(route.resourceVersion, tombstone ?? NOTHING_SEEN);
}

function newestRoute(facts: ObjectFacts): Route | undefined {
  const { confirmed, hint, tombstone } = counting(facts);
  return RULES.inEffect({ confirmed, hint: hint?.route, tombstone: tombstone?.version });
}

/** What a replica says of an object; `undefined` when nothing is in effect for it. */
export function offeredFact(facts: ObjectFacts, watched: boolean): ReplicaFact | undefined {
  const { namespace, name, confirmed } = facts;
  const { hint, tombstone } = counting(facts);
  const route = livingRoute(facts);
  if (route !== undefined) {
    // Without an informer a hint never runs out, so passing it on makes it live no longer.
    const isHearsay = watched && route !== confirmed?.route && hint?.isRelayed === true;
    return isHearsay ? { namespace, name, kind: "hearsay" } : { namespace, name, kind: "route", route };
  }
  const version = knownEnd(facts);
  if (version === undefined) return undefined;
  return tombstone?.isRelayed === true && tombstone.version === version
    ? { namespace, name, kind: "hearsay" }
    : { namespace, name, kind: "deletion", version };
}

/**
 * What must be equal at two replicas that agree on an object, as text; `undefined` when nothing is in effect. Holds no token:
 * that is as the UID has it.
 */
export function agreementText(facts: ObjectFacts | undefined): string | undefined {
  const route = livingRoute(facts);
  if (route !== undefined) return routeText(route);
  const version = knownEnd(facts);
  return version === undefined ? undefined : `deleted ${version}`;
}

/** {@link agreementText} of a route in effect. */
export function routeText({ resourceVersion, uid, ip, state, id }: Route): string {
  return [resourceVersion, uid, ip, state, id].join(" ");
}
