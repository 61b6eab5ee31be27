import type { ResourceVersion } from "../routes/resource-version.ts";
import type { Observation } from "../routes/observation.ts";
import type { WatchedObject } from "./watched-object.ts";
import type { WatchedResource } from "./watched-resource.ts";

/** What is watched: one resource in one namespace (`""`: all), narrowed by selectors or not. */
export interface WatchTarget<T extends WatchedObject = Observation> {
  readonly resource: WatchedResource<T>;
  readonly scope: string;
  readonly selector: string | undefined;
  /** A field selector, such as `spec.nodeName=node-1`. */
  readonly fieldSelector?: string | undefined;
}

/**
 * One page of a consistent list. No `resourceVersion` is sent, which means "most recent", read through from etcd
 * (Kubernetes API concepts, "resourceVersion parameter"). `limit` 0 asks for everything at once.
 */
export function listPath<T extends WatchedObject>(
  target: WatchTarget<T>,
  limit: number,
  continueToken: string,
): string {
  const query = new URLSearchParams();
  if (target.selector) query.set("labelSelector", target.selector);
  if (target.fieldSelector) query.set("fieldSelector", target.fieldSelector);
  if (limit > 0) query.set("limit", String(limit));
  if (continueToken !== "") query.set("continue", continueToken);
  const text = query.toString();
  return text === "" ? collectionPath(target) : `${collectionPath(target)}?${text}`;
}

/** A watch of everything after `from`, which the server ends by itself after `timeoutSeconds`. */
export function watchPath<T extends WatchedObject>(
  target: WatchTarget<T>,
  from: ResourceVersion,
  timeoutSeconds: number,
): string {
  const query = new URLSearchParams({
    watch: "true",
    allowWatchBookmarks: "true",
    timeoutSeconds: String(timeoutSeconds),
    resourceVersion: from,
  });
  if (target.selector) query.set("labelSelector", target.selector);
  if (target.fieldSelector) query.set("fieldSelector", target.fieldSelector);
  return `${collectionPath(target)}?${query.toString()}`;
}

function collectionPath<T extends WatchedObject>({ resource, scope }: WatchTarget<T>): string {
  const namespace = scope === "" ? "" : `/namespaces/${encodeURIComponent(scope)}`;
  const api = resource.group === "" ? "/api" : `/apis/${resource.group}`;
  return `${api}/${resource.version}${namespace}/${resource.plural}`;
}
