import { ApiError } from "./api-error.ts";
import { negotiateRepresentation } from "./content-negotiation.ts";
import { type ObjectStore, versionText } from "./object-store.ts";
import type { ApiRequest } from "./sandbox-resource.ts";
import { kubernetesTime } from "./sandbox.ts";
import { type Namespace, NAMESPACE_COLUMNS, printTable } from "./table-printer.ts";

const COLLECTION = "/api/v1/namespaces";

/** What is to know of namespaces besides the sandboxes. */
export interface NamespaceFacts {
  /** Exist although no sandbox is in them. */
  readonly fixed: readonly string[];
  readonly startedAtMs: number;
  readonly nowMs: number;
}

/**
 * Answers `GET /api/v1/namespaces` and `/api/v1/namespaces/NAME`; `undefined` for other paths. There are the
 * fixed ones and those that sandboxes are in.
 * @throws ApiError NotFound, and BadRequest for a watch
 */
export function findNamespaces(
  path: string,
  request: ApiRequest,
  store: ObjectStore,
  facts: NamespaceFacts,
): Readonly<Record<string, unknown>> | undefined {
  if (path !== COLLECTION && !path.startsWith(`${COLLECTION}/`)) return undefined;
  const name = path === COLLECTION ? undefined : path.slice(COLLECTION.length + 1);
  if (name?.includes("/")) return undefined;
  if (request.query.get("watch"))
    throw new ApiError("BadRequest", "namespaces can't be watched on this server");
  const names = new Set(facts.fixed);
  for (const sandbox of store.values()) names.add(sandbox.metadata.namespace);
  if (name !== undefined && !names.has(name)) {
    throw new ApiError("NotFound", `namespaces ${JSON.stringify(name)} not found`, {
      name,
      kind: "namespaces",
    });
  }
  const items = (name === undefined ? [...names].sort() : [name]).map((name): Namespace => {
    const creationTimestamp = kubernetesTime(facts.startedAtMs);
    const metadata = { name, uid: `namespace-${name}`, resourceVersion: "1", creationTimestamp };
    return { apiVersion: "v1", kind: "Namespace", metadata, status: { phase: "Active" } };
  });
  const metadata = { resourceVersion: versionText(store.version) };
  const representation = negotiateRepresentation(request.accept);
  if (representation.as === "table") {
    return printTable(items, NAMESPACE_COLUMNS, {
      version: representation.version,
      includeObject: "Metadata",
      metadata,
      nowMs: facts.nowMs,
    });
  }
  const [only] = items;
  if (name !== undefined && only) return { ...only };
  return { kind: "NamespaceList", apiVersion: "v1", metadata, items };
}
