import { z } from "zod";

/** API group of OpenKruise Agents. */
export const SANDBOX_GROUP = "agents.kruise.io";
/** The one version that is served. */
export const SANDBOX_VERSION = "v1alpha1";
/** `apiVersion` of every Sandbox. */
export const SANDBOX_API_VERSION = `${SANDBOX_GROUP}/${SANDBOX_VERSION}`;
/** `kind` of every Sandbox. */
export const SANDBOX_KIND = "Sandbox";
/** Plural name, as in paths and in `kubectl get sandboxes`. */
export const SANDBOX_RESOURCE = "sandboxes";

/** A CRD that is served: its `kind` and its plural are {@link SANDBOX_KIND} and {@link SANDBOX_RESOURCE}. */
export interface ServedCrd {
  readonly group: string;
  readonly version: string;
  readonly apiVersion: SandboxApiVersion;
}

/** `apiVersion` of a Sandbox of kubernetes-sigs/agent-sandbox. */
const AGENT_SANDBOX_API_VERSION = "agents.x-k8s.io/v1beta1";

type SandboxApiVersion = typeof SANDBOX_API_VERSION | typeof AGENT_SANDBOX_API_VERSION;

/** The Sandbox of OpenKruise Agents. */
export const OPENKRUISE_CRD: ServedCrd = {
  group: SANDBOX_GROUP,
  version: SANDBOX_VERSION,
  apiVersion: SANDBOX_API_VERSION,
};

/** The Sandbox of kubernetes-sigs/agent-sandbox. */
export const AGENT_SANDBOX_CRD: ServedCrd = {
  group: "agents.x-k8s.io",
  version: "v1beta1",
  apiVersion: AGENT_SANDBOX_API_VERSION,
};

/** Label: the routing ID. */
export const SANDBOX_ID_LABEL = "agents.kruise.io/sandbox-id";
/** Label: `"true"` once a user has the sandbox, `"false"` while it waits in a pool. */
export const CLAIMED_LABEL = "agents.kruise.io/sandbox-claimed";
/** Label: the pool that a sandbox came from. */
export const POOL_LABEL = "agents.kruise.io/sandbox-pool";
/** Annotation: the user. */
export const OWNER_ANNOTATION = "agents.kruise.io/owner";
/** Annotation: the access token of the sandbox's runtime. A secret. */
export const ACCESS_TOKEN_ANNOTATION = "agents.kruise.io/runtime-access-token";
/** Annotation: where older sandboxes keep the access token. A secret. */
export const LEGACY_ACCESS_TOKEN_ANNOTATION = "e2b.agents.kruise.io/envd-access-token";
/** Annotation: `"true"` when each request needs a JWT. */
export const JWT_AUTH_ANNOTATION = "security.agents.kruise.io/enable-jwt-auth";
/** Keeps a deleted Sandbox until the controller has ended its pod. */
export const SANDBOX_FINALIZER = "agents.kruise.io/sandbox";

// https://kubernetes.io/docs/concepts/overview/working-with-objects/names/ (DNS subdomain, DNS label)
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const DNS_LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const LABEL_KEY = /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;

const time = z.iso.datetime({ offset: true, error: "must be an RFC 3339 time such as 2026-11-20T12:00:00Z" });

const ownerReference = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  name: z.string(),
  uid: z.string(),
  controller: z.boolean().optional(),
});

const metadata = z.looseObject({
  name: z.string().max(253).regex(SUBDOMAIN, "must be a DNS-1123 subdomain: a-z, 0-9, '-' and '.'"),
  namespace: z.string().max(63).regex(DNS_LABEL, "must be a DNS-1123 label: a-z, 0-9 and '-'"),
  uid: z.string(),
  resourceVersion: z.string(),
  generation: z.int(),
  creationTimestamp: time,
  deletionTimestamp: time.optional(),
  deletionGracePeriodSeconds: z.int().optional(),
  labels: z
    .record(z.string().regex(LABEL_KEY), z.string().regex(LABEL_VALUE, "must be a valid label value"))
    .optional(),
  annotations: z.record(z.string(), z.string()).optional(),
  finalizers: z.array(z.string().min(1)).optional(),
  ownerReferences: z.array(ownerReference).optional(),
});

const condition = z.looseObject({
  type: z.string(),
  status: z.enum(["True", "False", "Unknown"]),
  reason: z.string().optional(),
  message: z.string().optional(),
  lastTransitionTime: time.optional(),
});

const spec = z.looseObject({
  paused: z.boolean().optional(),
  /** Of {@link AGENT_SANDBOX_CRD}, in place of `paused`. */
  operatingMode: z.enum(["Running", "Suspended"]).optional(),
  shutdownTime: time.optional(),
  template: z.looseObject({}).optional(),
});

const status = z.looseObject({
  observedGeneration: z.int().optional(),
  phase: z.string().optional(),
  nodeName: z.string().optional(),
  /** Of {@link AGENT_SANDBOX_CRD}, in place of `podInfo`. */
  podIPs: z.array(z.string()).optional(),
  conditions: z.array(condition).optional(),
  podInfo: z
    .looseObject({
      podIP: z.string().optional(),
      podUID: z.string().optional(),
      nodeName: z.string().optional(),
    })
    .optional(),
});

/**
 * What the API accepts: the fields that matter here are checked, others are kept as they came (the real CRD
 * knows many more).
 */
export const sandboxSchema = z.looseObject({
  apiVersion: z.enum([SANDBOX_API_VERSION, AGENT_SANDBOX_API_VERSION]),
  kind: z.literal(SANDBOX_KIND),
  metadata,
  spec,
  status: status.optional(),
});

/** A Sandbox that is being made or changed. */
export type Sandbox = z.infer<typeof sandboxSchema>;
/** `status.conditions[]`. */
export type Condition = z.infer<typeof condition>;

/** `T` with nothing in it that may be assigned. */
export type DeepReadonly<T> = T extends readonly (infer Item)[]
  ? readonly DeepReadonly<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> }
    : T;

/** A version of a Sandbox in the store. Shared by many readers, so never changed: clone it first. */
export type StoredSandbox = DeepReadonly<Sandbox>;

/** What a manifest may leave out: the server fills it in. */
export interface SandboxManifest {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly spec?: unknown;
  readonly status?: unknown;
}

/** The condition of that type, or `undefined`. */
export function conditionOf(sandbox: StoredSandbox, type: string): DeepReadonly<Condition> | undefined {
  return sandbox.status?.conditions?.find((condition) => condition.type === type);
}

/** True when the Ready condition is True. */
export function isReady(sandbox: StoredSandbox): boolean {
  return conditionOf(sandbox, "Ready")?.status === "True";
}

/** True while a SandboxSet controls the sandbox: it waits in a pool for a user. */
export function isPooled(sandbox: StoredSandbox): boolean {
  return (sandbox.metadata.ownerReferences ?? []).some(
    (owner) =>
      owner.controller === true && owner.kind === "SandboxSet" && owner.apiVersion === SANDBOX_API_VERSION,
  );
}

/** Milliseconds since the epoch at which the sandbox ends by itself, or `undefined`. */
export function shutdownAtMs(sandbox: StoredSandbox): number | undefined {
  const text = sandbox.spec.shutdownTime;
  return text === undefined ? undefined : Date.parse(text);
}

/** A time as Kubernetes writes it: RFC 3339 in UTC with whole seconds. */
export function kubernetesTime(epochMs: number): string {
  return new Date(epochMs).toISOString().replace(/\.\d{3}Z$/, "Z");
}
