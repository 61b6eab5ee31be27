import { isIP } from "node:net";
import { parseResourceVersion } from "../routes/resource-version.ts";
import { arrayOrEmpty, isJsonObject, objectOrEmpty, stringOrEmpty } from "./json-fields.ts";
import type { WatchedObject } from "./watched-object.ts";
import type { InvalidReason, Projection, WatchedResource } from "./watched-resource.ts";

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
  if (!isJsonObject(object)) return invalid("not_an_object", "the pod is not a JSON object");
  if ((object["kind"] ?? "Pod") !== "Pod" || (object["apiVersion"] ?? "v1") !== "v1") {
    return invalid("wrong_kind", "kind and apiVersion are not Pod of v1");
  }
  const metadata = objectOrEmpty(object["metadata"]);
  const namespace = stringOrEmpty(metadata["namespace"]);
  const name = stringOrEmpty(metadata["name"]);
  if (namespace === "" || name === "") {
    return invalid("no_key", "metadata.namespace and metadata.name must not be empty");
  }
  const uid = stringOrEmpty(metadata["uid"]);
  if (uid === "") return invalid("no_uid", `metadata.uid of ${namespace}/${name} must not be empty`);
  const resourceVersion = parseResourceVersion(metadata["resourceVersion"]);
  if (resourceVersion === undefined) {
    return invalid(
      "bad_version",
      `metadata.resourceVersion of ${namespace}/${name} is not a positive decimal integer`,
    );
  }
  const status = objectOrEmpty(object["status"]);
  const conditions = arrayOrEmpty(status["conditions"]).map(objectOrEmpty);
  const ips = arrayOrEmpty(status["podIPs"]).map((entry) => stringOrEmpty(objectOrEmpty(entry)["ip"]));
  return {
    kind: "observation",
    observation: {
      namespace,
      name,
      uid,
      resourceVersion,
      ips: [...new Set([...ips, stringOrEmpty(status["podIP"])])].filter((ip) => isIP(ip) !== 0),
      ready: conditions.some(({ type, status }) => type === "Ready" && status === "True"),
      terminating: (metadata["deletionTimestamp"] ?? null) !== null,
      annotation: stringOrEmpty(objectOrEmpty(metadata["annotations"])[annotation]),
    },
  };
}

function invalid(reason: InvalidReason, message: string): Projection<never> {
  return { kind: "invalid", reason, message };
}
