import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ApiServer } from "../../../lab/devcluster/api-server.ts";
import { call, makeStore, startApi } from "./support.ts";

let api: ApiServer;

beforeEach(async () => {
  api = await startApi(makeStore());
});
afterEach(() => api.stop());

const aggregated = (version: string): string =>
  `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`;

describe("discovery", () => {
  it("is aggregated for kubectl since 1.27", async () => {
    const accept = `${aggregated("v2")},${aggregated("v2beta1")},application/json`;
    const { headers, body } = await call(api, "/apis", { headers: { accept } });
    expect(headers["content-type"]).toBe(aggregated("v2"));
    expect(body).toMatchObject({ kind: "APIGroupDiscoveryList", apiVersion: "apidiscovery.k8s.io/v2" });
    const resource = body.items[0]?.versions[0]?.resources[0];
    expect(resource).toMatchObject({ resource: "sandboxes", scope: "Namespaced", shortNames: ["sbx"] });
    const core = await call(api, "/api", {
      headers: { accept: `${aggregated("v2beta1")},application/json` },
    });
    expect(core.body.apiVersion).toBe("apidiscovery.k8s.io/v2beta1");
    expect(core.body.items[0]?.versions[0]?.resources[0]?.resource).toBe("namespaces");
  });

  it("is one document per level for older ones", async () => {
    const get = async (path: string): Promise<Awaited<ReturnType<typeof call>>["body"]> =>
      (await call(api, path, { headers: { accept: "application/json, */*" } })).body;
    expect(await get("/api")).toMatchObject({ kind: "APIVersions", versions: ["v1"] });
    expect((await get("/apis")).groups[0]).toMatchObject({
      name: "agents.kruise.io",
      preferredVersion: { groupVersion: "agents.kruise.io/v1alpha1" },
    });
    expect((await get("/apis/agents.kruise.io")).kind).toBe("APIGroup");
    const { kind, resources } = await get("/apis/agents.kruise.io/v1alpha1");
    expect(kind).toBe("APIResourceList");
    expect(resources[0]).toMatchObject({
      name: "sandboxes",
      namespaced: true,
      kind: "Sandbox",
      shortNames: ["sbx"],
    });
    expect(resources[0]?.verbs).toContain("watch");
    expect(resources[1]?.name).toBe("sandboxes/status");
    expect((await get("/version")).major).toBe("1");
  });

  it("offers OpenAPI 3, and leaves version 2 out cleanly", async () => {
    const index = (await call(api, "/openapi/v3")).body;
    const { serverRelativeURL = "" } = index.paths["apis/agents.kruise.io/v1alpha1"] ?? {};
    expect((await call(api, serverRelativeURL)).body.openapi).toBe("3.0.0");
    expect((await call(api, "/openapi/v2")).body).toMatchObject({ kind: "Status", code: 404 });
    expect((await call(api, "/healthz")).body).toBe("ok");
  });
});
