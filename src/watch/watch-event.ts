import { parseResourceVersion, type ResourceVersion } from "../routes/resource-version.ts";
import { ApiFault, statusFault } from "./fault.ts";
import { isJsonObject, objectOrEmpty } from "./json-fields.ts";

/** One line of a watch (Kubernetes API concepts, "Efficient detection of changes"). */
export type WatchEvent =
  | { readonly kind: "changed"; readonly object: unknown; readonly version: ResourceVersion }
  | { readonly kind: "deleted"; readonly object: unknown; readonly version: ResourceVersion }
  | {
      readonly kind: "bookmark";
      readonly version: ResourceVersion;
      /** What came before it since the watch began is a whole list (`sendInitialEvents`). */
      readonly endsInitialEvents: boolean;
    }
  /** A type that this watch does not know; newer servers may have more. */
  | { readonly kind: "unknown" };

/**
 * Reads one line.
 * @throws {ApiFault} `protocol` when it is no event or carries no comparable version (so that it is read again
 *   and not skipped), or what an `ERROR` event's Status stands for.
 */
export function parseWatchEvent(line: string): WatchEvent {
  let event: unknown;
  try {
    event = JSON.parse(line);
  } catch {
    // Without the parser's message: it quotes what it could not read.
    throw new ApiFault("protocol", "a watch event is not JSON");
  }
  if (!isJsonObject(event)) throw new ApiFault("protocol", "a watch event is not a JSON object");
  const { type, object } = event;
  switch (type) {
    case "ADDED":
    case "MODIFIED":
      return { kind: "changed", object, version: versionOf(object) };
    case "DELETED":
      return { kind: "deleted", object, version: versionOf(object) };
    case "BOOKMARK":
      return { kind: "bookmark", version: versionOf(object), endsInitialEvents: endsInitialEvents(object) };
    case "ERROR": {
      const code = objectOrEmpty(object)["code"];
      throw statusFault(typeof code === "number" ? code : 500, object);
    }
    default:
      if (typeof type !== "string") throw new ApiFault("protocol", "a watch event has no type");
      return { kind: "unknown" };
  }
}

/** The annotation's value is `true` (Kubernetes API concepts, "Streaming lists"). */
function endsInitialEvents(object: unknown): boolean {
  const { annotations } = objectOrEmpty(objectOrEmpty(object)["metadata"]);
  return objectOrEmpty(annotations)["k8s.io/initial-events-end"] === "true";
}

function versionOf(object: unknown): ResourceVersion {
  const version = parseResourceVersion(objectOrEmpty(objectOrEmpty(object)["metadata"])["resourceVersion"]);
  if (version === undefined) {
    throw new ApiFault(
      "protocol",
      "a watch event's metadata.resourceVersion is not a positive decimal integer",
    );
  }
  return version;
}
