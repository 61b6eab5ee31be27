import type { ResourceVersion } from "../routes/resource-version.ts";
import type { WatchedResource } from "./watched-resource.ts";

/** What is watched: one resource in one namespace (`""`: all), narrowed by a label selector or not. */
export interface WatchTarget {
  readonly resource: WatchedResource;
  readonly scope: string;
  readonly selector: string | undefined;
}

/**
 * One page of a consistent list. No `resourceVersion` is sent, which means "most recent", read through from etcd
 * (Kubernetes API concepts, "resourceVersion parameter"). `limit` 0 asks for everything at once.
 */
export function listPath(target: WatchTarget, limit: number, continueToken: string): string {
  const query = new URLSearchParams();
  if (target.selector) query.set("labelSelector", target.selector);
  if (limit > 0) query.set("limit", String(limit));
  if (continueToken !== "") query.set("continue", continueToken);
  const text = query.toString();
  return text === "" ? collectionPath(target) : `${collectionPath(target)}?${text}`;
}

/** A watch of everything after `from`, which the server ends by itself after `timeoutSeconds`. */
export function watchPath(target: WatchTarget, from: ResourceVersion, timeoutSeconds: number): string {
  const query = new URLSearchParams({
    watch: "true",
    allowWatchBookmarks: "true",
    timeoutSeconds: String(timeoutSeconds),
    resourceVersion: from,
  });
  if (target.selector) query.set("labelSelector", target.selector);
  return `${collectionPath(target)}?${query.toString()}`;
}

function collectionPath({ resource, scope }: WatchTarget): string {
  const namespace = scope === "" ? "" : `/namespaces/${encodeURIComponent(scope)}`;
  return `/apis/${resource.group}/${resource.version}${namespace}/${resource.plural}`;
}
