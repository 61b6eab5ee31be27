import { parseResourceVersion, type ResourceVersion } from "../routes/resource-version.ts";
import { isJsonObject, type JsonObject, objectOrEmpty, stringOrEmpty } from "./json-fields.ts";
import type { InvalidReason, Projection } from "./watched-resource.ts";

/** What every projection reads of an object first: which object it is, at which version, and whether it is being deleted. */
export interface ObjectMetadata {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: ResourceVersion;
  /** It has a `deletionTimestamp`. */
  readonly isDeleting: boolean;
  /** `metadata` as it came, for labels, annotations and ownerReferences. */
  readonly fields: JsonObject;
}

/** {@link readMetadata}'s answer: the object with its metadata, or why it can't be read. */
export type MetadataRead =
  | { readonly kind: "object"; readonly object: JsonObject; readonly metadata: ObjectMetadata }
  | Extract<Projection<never>, { kind: "invalid" }>;

/**
 * Reads the metadata of an object of this kind and API version. Pure; never throws. Items of a list may come without `kind` and
 * `apiVersion`; if they are there they must be right. Namespace, name and UID must not be empty, and the version must be one
 * that Kubernetes compares.
 */
export function readMetadata(object: unknown, kind: string, apiVersion: string): MetadataRead {
  if (!isJsonObject(object)) return invalid("not_an_object", `the ${kind} is not a JSON object`);
  if ((object["kind"] ?? kind) !== kind || (object["apiVersion"] ?? apiVersion) !== apiVersion) {
    return invalid("wrong_kind", `kind and apiVersion are not ${kind} of ${apiVersion}`);
  }
  const fields = objectOrEmpty(object["metadata"]);
  const namespace = stringOrEmpty(fields["namespace"]);
  const name = stringOrEmpty(fields["name"]);
  if (namespace === "" || name === "") {
    return invalid("no_key", "metadata.namespace and metadata.name must not be empty");
  }
  // Keys are `namespace/name`, and a colon parts a namespace from what is watched (routes/provider.ts).
  if (/[/:]/.test(namespace) || name.includes("/")) {
    return invalid(
      "no_key",
      "metadata.namespace and metadata.name must not hold a slash, nor the former a colon",
    );
  }
  const uid = stringOrEmpty(fields["uid"]);
  if (uid === "") return invalid("no_uid", `metadata.uid of ${namespace}/${name} must not be empty`);
  const resourceVersion = parseResourceVersion(fields["resourceVersion"]);
  if (resourceVersion === undefined) {
    return invalid(
      "bad_version",
      `metadata.resourceVersion of ${namespace}/${name} is not a positive decimal integer`,
    );
  }
  const isDeleting = (fields["deletionTimestamp"] ?? null) !== null;
  return { kind: "object", object, metadata: { namespace, name, uid, resourceVersion, isDeleting, fields } };
}

function invalid(reason: InvalidReason, message: string): Extract<Projection<never>, { kind: "invalid" }> {
  return { kind: "invalid", reason, message };
}
