import {
  SANDBOX_API_VERSION,
  SANDBOX_GROUP,
  SANDBOX_KIND,
  SANDBOX_RESOURCE,
  SANDBOX_VERSION,
} from "./sandbox.ts";

const GROUP_VERSION_KIND = { group: SANDBOX_GROUP, version: SANDBOX_VERSION, kind: SANDBOX_KIND };
const SCHEMA = "io.kruise.agents.v1alpha1.Sandbox";

const string = (description: string): object => ({ type: "string", description });

/**
 * As much OpenAPI 3 as kubectl reads: the schema for `kubectl explain`, and the `fieldValidation` parameter that
 * lets `kubectl create` and `apply` leave validation to the server.
 */
const DOCUMENT = {
  openapi: "3.0.0",
  info: { title: "Kubernetes", version: "v1.35.0" },
  paths: {
    [`/apis/${SANDBOX_API_VERSION}/namespaces/{namespace}/${SANDBOX_RESOURCE}/{name}`]: {
      patch: {
        parameters: [{ name: "fieldValidation", in: "query", schema: { type: "string" } }],
        responses: {},
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": GROUP_VERSION_KIND,
      },
    },
  },
  components: {
    schemas: {
      [SCHEMA]: {
        type: "object",
        description: "An agent's sandbox: a pod with an identity, which can be paused and resumed.",
        properties: {
          apiVersion: string("Version of the schema."),
          kind: string("Sandbox."),
          metadata: { type: "object", description: "Standard object metadata." },
          spec: {
            type: "object",
            description: "What the sandbox should be.",
            properties: {
              paused: { type: "boolean", description: "True stops the pod; false starts another one." },
              shutdownTime: {
                type: "string",
                format: "date-time",
                description: "When the sandbox ends by itself.",
              },
              template: { type: "object", description: "Template of the pod." },
            },
          },
          status: {
            type: "object",
            description: "What the sandbox is.",
            properties: {
              phase: string("Pending, Running, Paused, Resuming, Succeeded, Failed or Terminating."),
              podInfo: {
                type: "object",
                description: "The pod behind the sandbox.",
                properties: { podIP: string("Its address."), podUID: string("Its UID.") },
              },
              conditions: { type: "array", items: { type: "object" }, description: "Ready, Paused." },
            },
          },
        },
        "x-kubernetes-group-version-kind": [GROUP_VERSION_KIND],
      },
    },
  },
};

/** The OpenAPI 3 document at `path`, or `undefined`. Version 2 is not served: kubectl goes on without it. */
export function openApi(path: string): Readonly<Record<string, unknown>> | undefined {
  if (path === "/openapi/v3") {
    return {
      paths: {
        [`apis/${SANDBOX_API_VERSION}`]: {
          serverRelativeURL: `/openapi/v3/apis/${SANDBOX_API_VERSION}?hash=1`,
        },
      },
    };
  }
  return path === `/openapi/v3/apis/${SANDBOX_API_VERSION}` ? DOCUMENT : undefined;
}
