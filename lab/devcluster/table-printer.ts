import type { Representation } from "./content-negotiation.ts";
import {
  CLAIMED_LABEL,
  isPooled,
  isReady,
  OWNER_ANNOTATION,
  SANDBOX_ID_LABEL,
  type StoredSandbox,
} from "./sandbox.ts";
import { routingId } from "../../src/routes/route.ts";

/** How much of each object a row carries besides its cells (`includeObject` of the request). */
export type IncludeObject = "None" | "Metadata" | "Object";

/** `includeObject` of a request; Metadata when it is absent. */
export function parseIncludeObject(query: URLSearchParams): IncludeObject {
  const include = query.get("includeObject");
  if (include === "None" || include === "Object") return include;
  return "Metadata";
}

/** A column of `kubectl get`; those of priority 1 show with `-o wide`. */
interface Column<Item> {
  readonly name: string;
  readonly type: "string" | "date";
  readonly description: string;
  readonly priority: 0 | 1;
  readonly cell: (item: Item, nowMs: number) => string;
}

/** What any object needs to be shown in a row. */
interface Printable {
  readonly metadata: { readonly name: string; readonly creationTimestamp: string };
}

const NAME: Column<Printable> = {
  name: "Name",
  type: "string",
  description: "Name of the object.",
  priority: 0,
  cell: (item) => item.metadata.name,
};

const AGE: Column<Printable> = {
  name: "Age",
  type: "date",
  description: "Time since the object was made.",
  priority: 0,
  cell: (item, nowMs) => humanDuration(nowMs - Date.parse(item.metadata.creationTimestamp)),
};

const text = <Item>(
  name: string,
  description: string,
  cell: (item: Item) => string | undefined,
  priority: 0 | 1 = 0,
): Column<Item> => ({ name, type: "string", description, priority, cell: (item) => cell(item) ?? "" });

/** The columns of `kubectl get sandboxes`. */
export const SANDBOX_COLUMNS: readonly Column<StoredSandbox>[] = [
  NAME,
  text("ID", "Routing ID: what stands in a Host.", (sandbox) => {
    const { namespace, name, labels } = sandbox.metadata;
    return routingId(namespace, name, labels?.[SANDBOX_ID_LABEL]);
  }),
  text("Status", "Phase, or Available for a sandbox that waits in a pool.", statusWord),
  text("Pod IP", "Address of the pod.", (sandbox) => sandbox.status?.podInfo?.podIP),
  text("Claimed", "Whether a user has it.", (sandbox) => sandbox.metadata.labels?.[CLAIMED_LABEL]),
  text("Owner", "The user who has it.", (sandbox) => sandbox.metadata.annotations?.[OWNER_ANNOTATION]),
  AGE,
  text("Pod UID", "UID of the pod.", (sandbox) => sandbox.status?.podInfo?.podUID, 1),
  text("Shutdown", "When it ends by itself.", (sandbox) => sandbox.spec.shutdownTime, 1),
];

/** A namespace as far as this cluster has any. */
export interface Namespace extends Printable {
  readonly apiVersion: "v1";
  readonly kind: "Namespace";
  readonly metadata: Printable["metadata"] & { readonly uid: string; readonly resourceVersion: string };
  readonly status: { readonly phase: "Active" };
}

/** The columns of `kubectl get namespaces`. */
export const NAMESPACE_COLUMNS: readonly Column<Namespace>[] = [
  NAME,
  text("Status", "Phase of the namespace.", (namespace) => namespace.status.phase),
  AGE,
];

/**
 * A `meta.k8s.io` Table of `items`. `metadata` is the list's (resourceVersion, continue). `headers` is false for
 * the second and later events of a watch: the columns are told once.
 */
export function printTable<Item extends Printable>(
  items: readonly Item[],
  columns: readonly Column<Item>[],
  options: {
    readonly version: Extract<Representation, { as: "table" }>["version"];
    readonly includeObject: IncludeObject;
    readonly metadata: Readonly<Record<string, unknown>>;
    readonly nowMs: number;
    readonly headers?: boolean;
  },
): Readonly<Record<string, unknown>> {
  const apiVersion = `meta.k8s.io/${options.version}`;
  return {
    kind: "Table",
    apiVersion,
    metadata: options.metadata,
    columnDefinitions:
      options.headers === false
        ? null
        : columns.map(({ name, type, description, priority }) => ({
            name,
            type,
            description,
            priority,
            format: name === "Name" ? "name" : "",
          })),
    rows: items.map((item) => ({
      cells: columns.map((column) => column.cell(item, options.nowMs)),
      object: rowObject(item, options.includeObject, apiVersion),
    })),
  };
}

/** What `kubectl get` shows as STATUS. */
function statusWord(sandbox: StoredSandbox): string {
  if (sandbox.metadata.deletionTimestamp !== undefined) return "Terminating";
  const phase = sandbox.status?.phase ?? "";
  if (phase !== "Running") return phase;
  if (sandbox.spec.paused === true) return "Pausing";
  if (!isReady(sandbox)) return "NotReady";
  return isPooled(sandbox) ? "Available" : phase;
}

/** A duration in the two units that matter, as kubectl shows ages: `42s`, `5m3s`, `3h`, `2d4h`. */
export function humanDuration(durationMs: number): string {
  const seconds = Math.max(0, Math.floor(durationMs / 1000));
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return seconds % 60 === 0 ? `${minutes}m` : `${minutes}m${seconds % 60}s`;
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return minutes % 60 === 0 ? `${hours}h` : `${hours}h${minutes % 60}m`;
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  if (days < 8) return hours % 24 === 0 ? `${days}d` : `${days}d${hours % 24}h`;
  return `${days}d`;
}

function rowObject(item: Printable, include: IncludeObject, apiVersion: string): unknown {
  if (include === "None") return null;
  if (include === "Object") return item;
  return { kind: "PartialObjectMetadata", apiVersion, metadata: item.metadata };
}
