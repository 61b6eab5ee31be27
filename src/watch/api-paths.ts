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
 * One page of a consistent list: "most recent", which the API server says by no `resourceVersion` at all. It shows whatever was true
 * when it was sent, or later. `limit` 0 asks for everything at once.
 *
 * `resourceVersionMatch` is not sent. What each choice means (Kubernetes API concepts, "Semantics for get and list"; the answers
 * are those of a Kubernetes 1.35 server):
 *
 * | asked | meaning | why not |
 * |---|---|---|
 * | nothing | most recent | this is what is asked |
 * | `resourceVersion=0` | any version that the server's cache has | may be older than the watermark, and older than a push that a read must settle; `limit` is ignored |
 * | `=N&…Match=NotOlderThan` | `N` or newer | a server that was restored to a version below `N` answers 504 for ever, which hides the restore; and it saves nothing: since 1.31 "most recent" is served from the cache too (KEP-2340) |
 * | `=N&…Match=Exact` | exactly `N` | 410 when `N` is compacted, and the past is of no use |
 * | `…Match` alone | – | 422 |
 *
 * A `continue` token holds the version of the first page, so all pages show one moment. With it `resourceVersion` is a 400 and
 * `resourceVersionMatch` a 422; selectors and `limit` are repeated.
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

/**
 * A watch of everything after `from`, which the server ends by itself after `timeoutSeconds`. A server without the events after
 * `from` answers 410; one whose present is before `from` answers 200 and is silent. `resourceVersionMatch` would be a 422: a watch may
 * have it only beside `sendInitialEvents`.
 */
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

/**
 * A watch that begins with all objects as they are ("most recent", as {@link listPath}), ends them by a bookmark with the annotation
 * `k8s.io/initial-events-end`, and goes on from there. The server ends it by itself after `timeoutSeconds`.
 *
 * What servers answer: since Kubernetes 1.34 and in 1.32 as above; 1.27 to 1.31 and 1.33, where the feature gate `WatchList` is off
 * by default, 422; older ones send all objects and no such bookmark, since they do not know the parameter. Without
 * `resourceVersionMatch` it is a 422 everywhere. A `resourceVersion` is not sent: above the server's present it is an ERROR event
 * 504 after 3 s, which would hide a restore.
 */
export function streamPath<T extends WatchedObject>(target: WatchTarget<T>, timeoutSeconds: number): string {
  const query = new URLSearchParams({
    watch: "true",
    allowWatchBookmarks: "true",
    sendInitialEvents: "true",
    resourceVersionMatch: "NotOlderThan",
    timeoutSeconds: String(timeoutSeconds),
  });
  if (target.selector) query.set("labelSelector", target.selector);
  if (target.fieldSelector) query.set("fieldSelector", target.fieldSelector);
  return `${collectionPath(target)}?${query.toString()}`;
}

/** One object. */
export function objectPath<T extends WatchedObject>(
  resource: WatchedResource<T>,
  namespace: string,
  name: string,
): string {
  return `${collectionPath({ resource, scope: namespace, selector: undefined })}/${encodeURIComponent(name)}`;
}

function collectionPath<T extends WatchedObject>({ resource, scope }: WatchTarget<T>): string {
  const namespace = scope === "" ? "" : `/namespaces/${encodeURIComponent(scope)}`;
  const api = resource.group === "" ? "/api" : `/apis/${resource.group}`;
  return `${api}/${resource.version}${namespace}/${resource.plural}`;
}
