import type { Observation } from "../routes/observation.ts";
import type { Milliseconds } from "../system/clock.ts";
import type { WakePlan } from "./wake-plan.ts";
import type { WatchedObject } from "./watched-object.ts";

/** Why an object could not be read. A closed list: these are metric labels. */
export const INVALID_REASONS = ["not_an_object", "wrong_kind", "no_key", "no_uid", "bad_version"] as const;

/** One of {@link INVALID_REASONS}. */
export type InvalidReason = (typeof INVALID_REASONS)[number];

/** What a projection makes of one object. `message` names the field and holds nothing secret. */
export type Projection<T extends WatchedObject = Observation> =
  | { readonly kind: "observation"; readonly observation: T }
  | { readonly kind: "invalid"; readonly reason: InvalidReason; readonly message: string };

/**
 * A kind of object that can be watched, and what is kept of its objects: of a Sandbox its route
 * (docs/architecture.md#projection).
 */
export interface WatchedResource<T extends WatchedObject = Observation> {
  /** API group, e.g. `agents.kruise.io`; `""` is the core group. */
  readonly group: string;
  /** API version, e.g. `v1alpha1`. */
  readonly version: string;
  /** Plural resource name, as in the URL. */
  readonly plural: string;
  /** Pure; never throws, whatever JSON value it is given. */
  readonly project: (object: unknown) => Projection<T>;
  /** What wakes an object of this kind; absent for what does not sleep. Pure; never throws, whatever JSON value it is given. */
  readonly planWake?: (object: unknown, uid: string, nowMs: Milliseconds) => WakePlan;
}

/** The name of the resource, as people type it: `sandboxes.agents.kruise.io`, `pods`. */
export function crdName({ plural, group }: Pick<WatchedResource, "plural" | "group">): string {
  return group === "" ? plural : `${plural}.${group}`;
}
