import { isIP } from "node:net";
import { arrayOrEmpty, objectOrEmpty, stringOrEmpty } from "./json-fields.ts";
import { conditionOf } from "./object-fields.ts";
import { readMetadata } from "./object-metadata.ts";
import type { WatchedObject } from "./watched-object.ts";
import type { Projection, WatchedResource } from "./watched-resource.ts";

/** What is kept of a pod. */
export interface ObservedPod extends WatchedObject {
  /** `status.podIPs`, or `status.podIP`; only what is an IP address. */
  readonly ips: readonly string[];
  /** The condition `Ready` is `True`. It stays so for a while in a pod that has been told to end. */
  readonly ready: boolean;
  /** It has a deletionTimestamp: it has been, or is about to be, told to end (SIGTERM). */
  readonly terminating: boolean;
  /** Value of the annotation that was asked for; `""` without it. */
  readonly annotation: string;
}

/**
 * Pods of the core group. Of their annotations only `annotation` is kept, and of their status only addresses and readiness.
 */
export function podsWithAnnotation(annotation: string): WatchedResource<ObservedPod> {
  return { group: "", version: "v1", plural: "pods", project: (object) => projectPod(object, annotation) };
}

/** Pure; never throws. A field of the wrong type counts as absent. */
function projectPod(object: unknown, annotation: string): Projection<ObservedPod> {
  const read = readMetadata(object, "Pod", "v1");
  if (read.kind === "invalid") return read;
  const { namespace, name, uid, resourceVersion, isDeleting, fields } = read.metadata;
  const status = objectOrEmpty(read.object["status"]);
  const ips = arrayOrEmpty(status["podIPs"]).map((entry) => stringOrEmpty(objectOrEmpty(entry)["ip"]));
  return {
    kind: "observation",
    observation: {
      namespace,
      name,
      uid,
      resourceVersion,
      ips: [...new Set([...ips, stringOrEmpty(status["podIP"])])].filter((ip) => isIP(ip) !== 0),
      ready: conditionOf(status, "Ready")["status"] === "True",
      terminating: isDeleting,
      annotation: stringOrEmpty(objectOrEmpty(fields["annotations"])[annotation]),
    },
  };
}
