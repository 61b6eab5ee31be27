import type { Observation } from "../routes/observation.ts";

/** Why an object could not be read. A closed list: these are metric labels. */
export const INVALID_REASONS = ["not-an-object", "wrong-kind", "no-key", "no-uid", "bad-version"] as const;

/** One of {@link INVALID_REASONS}. */
export type InvalidReason = (typeof INVALID_REASONS)[number];

/** What a projection makes of one object. `message` names the field and holds nothing secret. */
export type Projection =
  | { readonly kind: "observation"; readonly observation: Observation }
  | { readonly kind: "invalid"; readonly reason: InvalidReason; readonly message: string };

/** A kind of object that can be watched, and how its objects become routes (design.md 6). */
export interface WatchedResource {
  /** API group, e.g. `agents.kruise.io`. */
  readonly group: string;
  /** API version, e.g. `v1alpha1`. */
  readonly version: string;
  /** Plural resource name, as in the URL. */
  readonly plural: string;
  /** Pure; never throws, whatever JSON value it is given. */
  readonly project: (object: unknown) => Projection;
}

/** The name of the resource's CRD, as people type it: `sandboxes.agents.kruise.io`. */
export function crdName(resource: WatchedResource): string {
  return `${resource.plural}.${resource.group}`;
}
