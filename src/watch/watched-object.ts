import type { ResourceVersion } from "../routes/resource-version.ts";

/** What every projection keeps of an object: its key, who it is and its version. The rest is the projection's own. */
export interface WatchedObject {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: ResourceVersion;
}
