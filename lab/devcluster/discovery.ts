import { acceptsJson, parseAccept } from "./content-negotiation.ts";
import { OPENKRUISE_CRD, SANDBOX_KIND, SANDBOX_RESOURCE, type ServedCrd } from "./sandbox.ts";

/** A reply of discovery: its body and, for the aggregated form, its own content type. */
export interface DiscoveryReply {
  readonly contentType: string;
  readonly body: Readonly<Record<string, unknown>>;
}

const SANDBOX_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const STATUS_VERBS = ["get", "patch", "update"];
const NAMESPACE_VERBS = ["get", "list"];
const SHORT_NAMES = ["sbx"];

/** Kubernetes 1.35 is the first whose resourceVersions may be compared by contract. */
const VERSION = {
  major: "1",
  minor: "35",
  gitVersion: "v1.35.0+lychgate",
  gitTreeState: "clean",
  gitCommit: "",
  buildDate: "2025-12-17T00:00:00Z",
  goVersion: "",
  compiler: "",
  platform: "linux/amd64",
};

const CORE = {
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
};

function groupOf({ group, version, apiVersion }: ServedCrd): Readonly<Record<string, unknown>> {
  const groupVersion = { groupVersion: apiVersion, version };
  return { name: group, versions: [groupVersion], preferredVersion: groupVersion };
}

function resourcesOf(crd: ServedCrd): Readonly<Record<string, unknown>> {
  return {
    kind: "APIResourceList",
    apiVersion: "v1",
    groupVersion: crd.apiVersion,
    resources: [
      {
        name: SANDBOX_RESOURCE,
        singularName: "sandbox",
        namespaced: true,
        kind: SANDBOX_KIND,
        verbs: SANDBOX_VERBS,
        shortNames: shortNamesOf(crd),
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
  };
}

function documentAt(path: string, crds: readonly ServedCrd[]): Readonly<Record<string, unknown>> | undefined {
  switch (path) {
    case "/api":
      return { kind: "APIVersions", versions: ["v1"], serverAddressByClientCIDRs: [] };
    case "/api/v1":
      return CORE;
    case "/apis":
      return { kind: "APIGroupList", apiVersion: "v1", groups: crds.map(groupOf) };
    case "/version":
      return VERSION;
  }
  for (const crd of crds) {
    if (path === `/apis/${crd.group}`) return { kind: "APIGroup", apiVersion: "v1", ...groupOf(crd) };
    if (path === `/apis/${crd.apiVersion}`) return resourcesOf(crd);
  }
  return undefined;
}

/** Group discovery in one document (`apidiscovery.k8s.io`), as kubectl asks for it since 1.27. */
function aggregatedAt(path: string, crds: readonly ServedCrd[]): readonly unknown[] | undefined {
  if (path === "/api") return AGGREGATED_CORE;
  return path === "/apis" ? crds.map(aggregatedGroupOf) : undefined;
}

const AGGREGATED_CORE = [
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
];

function aggregatedGroupOf(crd: ServedCrd): unknown {
  const { group, version } = crd;
  const responseKind = { group, version, kind: SANDBOX_KIND };
  return {
    metadata: { name: group, creationTimestamp: null },
    versions: [
      {
        version,
        freshness: "Current",
        resources: [
          {
            resource: SANDBOX_RESOURCE,
            responseKind,
            scope: "Namespaced",
            singularResource: "sandbox",
            verbs: SANDBOX_VERBS,
            shortNames: shortNamesOf(crd),
            categories: ["all"],
            subresources: [{ subresource: "status", responseKind, verbs: STATUS_VERBS }],
          },
        ],
      },
    ],
  };
}

/** Only those of the first: `kubectl get sbx` must not become ambiguous. */
function shortNamesOf({ group }: ServedCrd): readonly string[] {
  return group === OPENKRUISE_CRD.group ? SHORT_NAMES : [];
}

/** The discovery document at `path` in the form that `accept` asks for, or `undefined` when there is none. */
export function discover(
  path: string,
  accept: string | undefined,
  crds: readonly ServedCrd[],
): DiscoveryReply | undefined {
  const aggregated = aggregatedAt(path, crds);
  const document = documentAt(path, crds);
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
