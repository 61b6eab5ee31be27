import { createServer, type Server } from "node:http";
import { request } from "undici";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestRouter, type TestRouter } from "../router/support.ts";
import { eventually } from "../support/eventually.ts";
import { AGENT_SANDBOX_CRD, OPENKRUISE_CRD } from "./support/agent-sandbox-crd.ts";
import { NO_API_SERVER, type RealApiServer, startApiServer } from "./support/api-server.ts";

// docs/agent-sandbox.md against a real kube-apiserver, with real objects of a CRD with that project's schema.

const CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const SANDBOXES = "/apis/agents.x-k8s.io/v1beta1/namespaces/default/sandboxes";
const POD_IP = "127.0.75.1";
const PORT = 8888;

describe.skipIf(NO_API_SERVER)(
  `two CRDs on a real API server${NO_API_SERVER ? ` (${NO_API_SERVER})` : ""}`,
  () => {
    let api: RealApiServer;
    let pod: Server;
    let both: TestRouter;
    let alpha: TestRouter;

    const named = (router: TestRouter, name: string) =>
      router.ask("none", "/", { host: "router", "x-sandbox-id": name });
    const readiness = async () => (await request(`${both.peersUrl}/readyz?verbose`)).body.text();
    const condition = (type: string, status: string, reason: string) => {
      return { type, status, reason, message: "", lastTransitionTime: "2026-11-20T12:00:00Z" };
    };
    const setStatus = async (name: string, status: object) => {
      expect((await api.call("PATCH", `${SANDBOXES}/${name}/status`, { status })).status).toBe(200);
    };
    const create = (name: string, spec: object = {}) =>
      api.call("POST", SANDBOXES, {
        apiVersion: "agents.x-k8s.io/v1beta1",
        kind: "Sandbox",
        metadata: { name },
        spec: { podTemplate: { spec: { containers: [] } }, ...spec },
      });

    beforeAll(async () => {
      api = await startApiServer();
      pod = createServer((_request, response) => response.end("pod"));
      await new Promise<void>((resolve) => pod.listen(PORT, POD_IP, resolve));
      expect((await api.call("POST", CRDS, AGENT_SANDBOX_CRD)).status).toBe(201);
      await eventually(async () => (await api.call("GET", SANDBOXES)).status === 200);
      const { kubeconfig } = api;
      const watch = { backoffMinMs: 50, backoffMaxMs: 200 };
      both = await startTestRouter({ kubeconfig, watch, resources: ["agents.kruise.io", "agents.x-k8s.io"] });
      alpha = await startTestRouter({ kubeconfig, watch, resources: ["agents.x-k8s.io/v1alpha1"] });
      await Promise.all([both.router.synced(), alpha.router.synced()]);
    }, 180_000);

    afterAll(async () => {
      await both?.router.stop();
      await alpha?.router.stop();
      await new Promise((resolve) => (pod ? pod.close(resolve) : resolve(undefined)));
      await api?.stop();
    });

    test("the CRD that is not installed keeps nobody waiting, and is named", async () => {
      expect(both.router.table.synced).toBe(true);
      expect(await readiness()).toContain(
        "[+]synced ok: the API server does not serve sandboxes.agents.kruise.io",
      );
    });

    test("the life of a sandbox, in both API versions", async () => {
      const created = await create("box");
      expect(created.status).toBe(201);
      // The schema's defaults, as the projection is told them.
      expect(created.body["spec"]).toMatchObject({ operatingMode: "Running", shutdownPolicy: "Retain" });
      for (const router of [both, alpha]) {
        await eventually(async () => (await named(router, "box")).reason === "sandbox_creating");
      }
      await setStatus("box", {
        podIPs: [POD_IP],
        service: "box",
        serviceFQDN: "box.default.svc.cluster.local",
        conditions: [condition("Ready", "True", "DependenciesReady")],
      });
      for (const router of [both, alpha]) {
        await eventually(async () => (await named(router, "box")).status === 200);
        expect(router.router.table.inspectObject("default", "box")).toMatchObject({
          key: "agents.x-k8s.io:default/box",
          inEffect: { route: { id: "default--box", ip: POD_IP } },
        });
      }
      await api.call("PATCH", `${SANDBOXES}/box`, { spec: { operatingMode: "Suspended" } });
      await eventually(async () => (await named(both, "box")).reason === "sandbox_paused");
      await api.call("PATCH", `${SANDBOXES}/box`, { spec: { operatingMode: "Running" } });
      await eventually(async () => (await named(both, "box")).status === 200);
      const alphaPath = SANDBOXES.replace("v1beta1", "v1alpha1");
      await api.call("PATCH", `${alphaPath}/box`, { metadata: { finalizers: ["example.com/held"] } });
      await api.call("DELETE", `${SANDBOXES}/box`);
      // It has a deletionTimestamp, and is still there.
      for (const router of [both, alpha]) {
        await eventually(async () => (await named(router, "box")).reason === "sandbox_not_found");
      }
      expect((await api.call("GET", `${SANDBOXES}/box`)).status).toBe(200);
      await api.call("PATCH", `${SANDBOXES}/box`, { metadata: { finalizers: null } });
      await eventually(() => both.router.table.inspectObject("default", "box") === undefined);
    });

    test("the schema refuses a mode that the projection does not know", async () => {
      expect((await create("odd", { operatingMode: "Asleep" })).status).toBe(422);
    });

    test("the other CRD is served once it is installed", async () => {
      expect((await api.call("POST", CRDS, OPENKRUISE_CRD)).status).toBe(201);
      await eventually(async () => (await readiness()).includes("[+]synced ok\n"));
      const path = "/apis/agents.kruise.io/v1alpha1/namespaces/default/sandboxes";
      await eventually(async () => (await api.call("GET", path)).status === 200);
      const { status } = await api.call("POST", path, {
        apiVersion: "agents.kruise.io/v1alpha1",
        kind: "Sandbox",
        metadata: { name: "kruise", labels: { "agents.kruise.io/sandbox-id": "k1" } },
        spec: {},
      });
      expect(status).toBe(201);
      await api.call("PATCH", `${path}/kruise/status`, {
        status: {
          phase: "Running",
          podInfo: { podIP: POD_IP },
          conditions: [condition("Ready", "True", "PodReady")],
        },
      });
      await eventually(async () => (await named(both, "kruise")).status === 200);
      // Now another CRD's sandbox says that it has this address.
      await create("thief");
      await setStatus("thief", {
        podIPs: [POD_IP],
        conditions: [condition("Ready", "True", "DependenciesReady")],
      });
      await eventually(async () => (await named(both, "kruise")).reason === "pod_ip_reassigned");
      expect(await named(both, "thief")).toMatchObject({ status: 502, reason: "pod_ip_reassigned" });
      await api.call("DELETE", `${SANDBOXES}/thief`);
      await eventually(async () => (await named(both, "kruise")).status === 200);
    });
  },
);
