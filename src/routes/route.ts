import type { Milliseconds } from "../system/clock.ts";
import type { ResourceVersion } from "./resource-version.ts";

/** `namespace/name` of a Sandbox object: what facts are kept by. */
export type ObjectKey = `${string}/${string}`;

/**
 * The states that Lychgate itself acts on. A peer may push any other word; it is kept and shown, and the route
 * is not served (docs/openkruise.md#pushes and docs/openkruise.md#states).
 */
export const KNOWN_STATES = [
  "running",
  "paused",
  "creating",
  "available",
  "dead",
  "doubted",
  "ip_not_allowed",
] as const;

/**
 * The state in effect of a route that would have a pod if its IP were one that a pod can have
 * (`RouteTableOptions.isPodAddress`). It is shown, and never served. No writer has to say it.
 */
export const IP_NOT_ALLOWED = "ip_not_allowed" satisfies RouteState;

/** One of {@link KNOWN_STATES}, or a word from a newer peer. */
export type RouteState = string;

/**
 * Of a sandbox that traffic may wake and that does not run: `asleep` while its object tells it to sleep, `resuming` from then on
 * until it runs (docs/wake.md).
 */
export type WakeState = "asleep" | "resuming";

/** Whether a value that was read is a {@link WakeState}. */
export function isWakeState(value: unknown): value is WakeState {
  return value === "asleep" || value === "resuming";
}

/** One version of one sandbox, as a writer told it. Never mutated after it was made. */
export interface Route {
  readonly namespace: string;
  readonly name: string;
  /** The routing ID, by {@link routingId}. */
  readonly id: string;
  readonly uid: string;
  /** From the owner annotation, or `""`. */
  readonly owner: string;
  /** The pod's IP (IPv4, or IPv6 without brackets), or `""` while it has none. */
  readonly ip: string;
  readonly state: RouteState;
  readonly resourceVersion: ResourceVersion;
  /** A secret, or `""`. Compared in constant time; never logged, counted or shown. */
  readonly accessToken: string;
  /** The sandbox asks for a JWT on each request (annotation `security.agents.kruise.io/enable-jwt-auth`). */
  readonly requireTrafficAuth: boolean;
  /** When the sandbox ends by itself, in milliseconds since the epoch (docs/route-table.md#rule-8). */
  readonly shutdownAtMs?: Milliseconds | undefined;
  /** UID of the pod behind `ip`, when the writer knows it: tells two lives with one IP apart. */
  readonly podUid?: string | undefined;
  /**
   * When the sandbox became ready, in seconds since the epoch, when the informer knows. It is not told on: to whom a peer or a
   * snapshot tells the route, the sandbox is not young.
   */
  readonly readyAtS?: number | undefined;
  /** Absent: traffic does not wake it, or it runs. */
  readonly wake?: WakeState | undefined;
  /**
   * Which of its ports are private (annotation `lychgate.dev/access`, docs/access.md#private-or-open): {@link OPEN}, {@link PRIVATE}, or
   * port numbers in ascending order, separated by commas. Absent: the object does not say, or its writer can't know.
   */
  readonly access?: string | undefined;
  /** Preview links of another epoch are void (annotation `lychgate.dev/preview-epoch`). Absent: as with `access`. */
  readonly previewEpoch?: string | undefined;
}

/** {@link Route.access}: every port is open. */
export const OPEN = "open";
/** {@link Route.access}: every port is private but the runtime's. */
export const PRIVATE = "private";

/** The key of an object. Both parts are non-empty and hold no `/` when they come from Kubernetes. */
export function objectKey(namespace: string, name: string): ObjectKey {
  return `${namespace}/${name}`;
}

/** What {@link objectKey} put together. */
export function namespaceAndName(key: ObjectKey): readonly [namespace: string, name: string] {
  // Neither holds a slash.
  const slash = key.indexOf("/");
  return [key.slice(0, slash), key.slice(slash + 1)];
}

/**
 * The state of a sandbox whose end a peer pushed while the API server does not answer, so that nothing settles it
 * (docs/route-table.md#rule-12). It is not served; its ID and its pod IP are still its own.
 */
export const DOUBTED: RouteState = "doubted";

/** The one predicate that decides, for every writer, whether a state is an end (docs/route-table.md#rule-3). */
export function isTerminal(state: RouteState): boolean {
  return state === "dead";
}

/**
 * States in which a sandbox's pod exists, so that the pod IP in its status is its own: a paused or dead one's is a
 * memory of it. Words of newer peers are taken as no pod.
 */
export function hasPod(state: RouteState): boolean {
  return state === "running" || state === "available" || state === "creating" || state === DOUBTED;
}

/**
 * The ID that requests use for a sandbox: `label` (the value of `agents.kruise.io/sandbox-id`, or the `id` of a
 * push) when set, else the legacy ID `namespace--name`. A label that holds `--` and is not the object's own
 * legacy ID is ignored, so that no object can take another's legacy ID (docs/route-table.md#rule-9).
 */
export function routingId(namespace: string, name: string, label: string | undefined): string {
  // `join` makes one flat string; a template would make a pair that keeps 32 bytes and is flattened when first compared.
  const legacy = [namespace, name].join("--");
  if (!label || (label.includes("--") && label !== legacy)) return legacy;
  return label;
}
