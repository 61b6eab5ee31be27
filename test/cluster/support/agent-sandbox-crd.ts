/*
 * The CRD of kubernetes-sigs/agent-sandbox as far as a router reads it, written after that project's Go types (api/v1alpha1 and
 * api/v1beta1): names, types, enums, defaults and the status subresource are the same. The pod template is left open, and versions
 * are converted by name alone, since that project's webhook does not run here.
 */

const string = { type: "string" };
const condition = {
  type: "object",
  required: ["type", "status", "reason", "message", "lastTransitionTime"],
  properties: {
    type: string,
    status: { type: "string", enum: ["True", "False", "Unknown"] },
    reason: { type: "string", minLength: 1 },
    message: string,
    lastTransitionTime: { type: "string", format: "date-time" },
    observedGeneration: { type: "integer", format: "int64", minimum: 0 },
  },
};
const open = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
const spec = {
  podTemplate: open,
  volumeClaimTemplates: { type: "array", items: open, "x-kubernetes-list-type": "atomic" },
  service: { type: "boolean" },
  shutdownTime: { type: "string", format: "date-time" },
  shutdownPolicy: { type: "string", enum: ["Delete", "Retain"], default: "Retain" },
};
const status = {
  serviceFQDN: string,
  service: string,
  conditions: { type: "array", items: condition },
  selector: string,
  podIPs: { type: "array", items: string },
};

function version(name: string, storage: boolean, ownSpec: object, ownStatus: object): object {
  return {
    name,
    served: true,
    storage,
    subresources: { status: {} },
    schema: {
      openAPIV3Schema: {
        type: "object",
        required: ["spec"],
        properties: {
          apiVersion: string,
          kind: string,
          metadata: { type: "object" },
          spec: { type: "object", required: ["podTemplate"], properties: { ...spec, ...ownSpec } },
          status: { type: "object", properties: { ...status, ...ownStatus } },
        },
      },
    },
  };
}

/** To be created at `/apis/apiextensions.k8s.io/v1/customresourcedefinitions`. */
export const AGENT_SANDBOX_CRD = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: {
    name: "sandboxes.agents.x-k8s.io",
    annotations: { "api-approved.kubernetes.io": "unapproved, a test's" },
  },
  spec: {
    group: "agents.x-k8s.io",
    scope: "Namespaced",
    names: {
      kind: "Sandbox",
      listKind: "SandboxList",
      plural: "sandboxes",
      singular: "sandbox",
      shortNames: ["sandbox"],
    },
    versions: [
      version(
        "v1alpha1",
        false,
        { replicas: { type: "integer", format: "int32", minimum: 0, maximum: 1, default: 1 } },
        { replicas: { type: "integer", format: "int32" } },
      ),
      version(
        "v1beta1",
        true,
        { operatingMode: { type: "string", enum: ["Running", "Suspended"], default: "Running" } },
        { nodeName: string },
      ),
    ],
  },
};
