import { type Random, randomText, randomUuid } from "./random.ts";
import {
  ACCESS_TOKEN_ANNOTATION,
  CLAIMED_LABEL,
  kubernetesTime,
  OWNER_ANNOTATION,
  POOL_LABEL,
  type Sandbox,
  SANDBOX_API_VERSION,
  SANDBOX_ID_LABEL,
  SANDBOX_KIND,
  type SandboxManifest,
} from "./sandbox.ts";

const NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789";
const ID_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";

/** A sandbox that waits in a pool for a user, controlled by its SandboxSet. */
export function pooledSandbox(
  random: Random,
  pool: { readonly namespace: string; readonly name: string },
  bulkBytes: number,
): SandboxManifest {
  const { namespace, name } = pool;
  return {
    apiVersion: SANDBOX_API_VERSION,
    kind: SANDBOX_KIND,
    metadata: {
      name: `${name}-${randomText(random, 5, NAME_ALPHABET)}`,
      namespace,
      labels: { [CLAIMED_LABEL]: "false", [POOL_LABEL]: name },
      ownerReferences: [
        { apiVersion: SANDBOX_API_VERSION, kind: "SandboxSet", name, uid: `set-${name}`, controller: true },
      ],
      managedFields: managedFields(bulkBytes / 2),
    },
    spec: { paused: false, template: podTemplate(bulkBytes / 2) },
  };
}

/** What a user asks for. */
export interface ClaimRequest {
  readonly owner: string;
  /** Routing ID. Default: 13 characters by chance; `legacy` leaves the label out, so the ID is `namespace--name`. */
  readonly id?: string;
  /** When the sandbox ends by itself, in milliseconds since the epoch. Default: never. */
  readonly shutdownAtMs?: number;
  /** Token of the runtime. Default: one by chance. A secret. */
  readonly accessToken?: string;
}

/** Makes a draft the claimed sandbox of a user: no SandboxSet controls it any more. */
export function claimDraft(draft: Sandbox, claim: ClaimRequest, random: Random): void {
  const { metadata, spec } = draft;
  const id = claim.id ?? `0${randomText(random, 13, ID_ALPHABET)}`;
  const accessToken = claim.accessToken ?? randomUuid(random);
  metadata.labels = {
    ...metadata.labels,
    [CLAIMED_LABEL]: "true",
    ...(id !== "legacy" && { [SANDBOX_ID_LABEL]: id }),
  };
  metadata.annotations = {
    ...metadata.annotations,
    [OWNER_ANNOTATION]: claim.owner,
    ...(accessToken !== "" && { [ACCESS_TOKEN_ANNOTATION]: accessToken }),
  };
  delete metadata.ownerReferences;
  if (claim.shutdownAtMs !== undefined) spec.shutdownTime = kubernetesTime(claim.shutdownAtMs);
}

/** About so many bytes of managedFields, which real objects are full of and readers must throw away. */
function managedFields(bytes: number): unknown[] {
  const fields: Record<string, unknown> = {};
  for (let i = 0; i * 24 < bytes; i++) fields[`f:field-${i}`] = { "f:value": {} };
  return [
    {
      manager: "agent-sandbox-controller",
      operation: "Update",
      apiVersion: SANDBOX_API_VERSION,
      fieldsType: "FieldsV1",
      fieldsV1: { "f:spec": fields },
    },
  ];
}

/** A pod template with about so many bytes of environment. */
function podTemplate(bytes: number): Record<string, unknown> {
  const env = [];
  for (let i = 0; i * 50 < bytes; i++) env.push({ name: `SETTING_${i}`, value: `value-of-setting-${i}` });
  return {
    spec: {
      containers: [
        { name: "sandbox", image: "example/code-interpreter:1.2", ports: [{ containerPort: 49983 }], env },
      ],
    },
  };
}
