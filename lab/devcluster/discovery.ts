import { acceptsJson, parseAccept } from "./content-negotiation.ts";
import {
  SANDBOX_API_VERSION,
  SANDBOX_GROUP,
  SANDBOX_KIND,
  SANDBOX_RESOURCE,
  SANDBOX_VERSION,
} from "./sandbox.ts";

/** A reply of discovery: its body and, for the aggregated form, its own content type. */
export interface DiscoveryReply {
  readonly contentType: string;
  readonly body: Readonly<Record<string, unknown>>;
}

const SANDBOX_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const STATUS_VERBS = ["get", "patch", "update"];
const NAMESPACE_VERBS = ["get", "list"];
const SHORT_NAMES = ["sbx"];

const groupVersion = { groupVersion: SANDBOX_API_VERSION, version: SANDBOX_VERSION };
const group = {
  name: SANDBOX_GROUP,
  versions: [groupVersion],
  preferredVersion: groupVersion,
};

const DOCUMENTS: ReadonlyMap<string, Readonly<Record<string, unknown>>> = new Map([
  ["/api", { kind: "APIVersions", versions: ["v1"], serverAddressByClientCIDRs: [] }],
  [
    "/api/v1",
    {
      kind: "APIResourceList",
      groupVersion: "v1",
      resources: [
        {
          name: "namespaces",
          singularName: "namespace",
          namespaced: false,
          kind: "Namespace",
          verbs: NAMESPACE_VERBS,
          shortNames: ["ns"],
        },
      ],
    },
  ],
  ["/apis", { kind: "APIGroupList", apiVersion: "v1", groups: [group] }],
  [`/apis/${SANDBOX_GROUP}`, { kind: "APIGroup", apiVersion: "v1", ...group }],
  [
    `/apis/${SANDBOX_API_VERSION}`,
    {
      kind: "APIResourceList",
      apiVersion: "v1",
      groupVersion: SANDBOX_API_VERSION,
      resources: [
        {
          name: SANDBOX_RESOURCE,
          singularName: "sandbox",
          namespaced: true,
          kind: SANDBOX_KIND,
          verbs: SANDBOX_VERBS,
          shortNames: SHORT_NAMES,
          categories: ["all"],
        },
        {
          name: `${SANDBOX_RESOURCE}/status`,
          singularName: "",
          namespaced: true,
          kind: SANDBOX_KIND,
          verbs: STATUS_VERBS,
        },
      ],
    },
  ],
  // Kubernetes 1.35 is the first whose resourceVersions may be compared by contract.
  [
    "/version",
    {
      major: "1",
      minor: "35",
      gitVersion: "v1.35.0+lychgate",
      gitTreeState: "clean",
      gitCommit: "",
      buildDate: "2025-12-17T00:00:00Z",
      goVersion: "",
      compiler: "",
      platform: "linux/amd64",
    },
  ],
]);

/** Group discovery in one document (`apidiscovery.k8s.io`), as kubectl asks for it since 1.27. */
const AGGREGATED: ReadonlyMap<string, readonly unknown[]> = new Map([
  [
    "/api",
    [
      {
        metadata: { name: "", creationTimestamp: null },
        versions: [
          {
            version: "v1",
            freshness: "Current",
            resources: [
              {
                resource: "namespaces",
                responseKind: { group: "", version: "v1", kind: "Namespace" },
                scope: "Cluster",
                singularResource: "namespace",
                verbs: NAMESPACE_VERBS,
                shortNames: ["ns"],
              },
            ],
          },
        ],
      },
    ],
  ],
  [
    "/apis",
    [
      {
        metadata: { name: SANDBOX_GROUP, creationTimestamp: null },
        versions: [
          {
            version: SANDBOX_VERSION,
            freshness: "Current",
            resources: [
              {
                resource: SANDBOX_RESOURCE,
                responseKind: { group: SANDBOX_GROUP, version: SANDBOX_VERSION, kind: SANDBOX_KIND },
                scope: "Namespaced",
                singularResource: "sandbox",
                verbs: SANDBOX_VERBS,
                shortNames: SHORT_NAMES,
                categories: ["all"],
                subresources: [
                  {
                    subresource: "status",
                    responseKind: { group: SANDBOX_GROUP, version: SANDBOX_VERSION, kind: SANDBOX_KIND },
                    verbs: STATUS_VERBS,
                  },
                ],
              },
            ],
          },
        ],
      },
    ],
  ],
]);

/** The discovery document at `path` in the form that `accept` asks for, or `undefined` when there is none. */
export function discover(path: string, accept: string | undefined): DiscoveryReply | undefined {
  const aggregated = AGGREGATED.get(path);
  const document = DOCUMENTS.get(path);
  for (const { mediaType, parameters } of parseAccept(accept)) {
    const version = parameters.get("v");
    if (
      aggregated &&
      mediaType === "application/json" &&
      parameters.get("g") === "apidiscovery.k8s.io" &&
      parameters.get("as") === "APIGroupDiscoveryList" &&
      (version === "v2" || version === "v2beta1")
    ) {
      return {
        contentType: `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`,
        body: {
          kind: "APIGroupDiscoveryList",
          apiVersion: `apidiscovery.k8s.io/${version}`,
          metadata: {},
          items: aggregated,
        },
      };
    }
    if (acceptsJson({ mediaType, parameters }) && !parameters.has("as")) break;
  }
  return document && { contentType: "application/json", body: document };
}
