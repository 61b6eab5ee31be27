import type { ResourceVersion } from "./resource-version.ts";
import type { Route } from "./route.ts";

/** One version of one object as the informer saw it. A projection makes it (docs/architecture.md#projection). */
export interface Observation {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: ResourceVersion;
  /**
   * Absent when the object is ending for good: it has a deletionTimestamp (docs/route-table.md#rule-8). Its UID and version
   * are those above.
   */
  readonly route: Route | undefined;
}
