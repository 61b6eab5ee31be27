import { createServer, type Server } from "node:http";
import { request } from "undici";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestRouter, type TestRouter } from "../router/support.ts";
import { eventually } from "../support/eventually.ts";
import { AGENT_SANDBOX_CRD } from "./support/agent-sandbox-crd.ts";
import { type Kubernetes, NO_KUBERNETES, startKubernetes } from "./support/kubernetes.ts";

// docs/agent-sandbox.md against a real kube-apiserver, with real objects of a CRD with that project's schema.

const CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const SANDBOXES = "/apis/agents.x-k8s.io/v1beta1/namespaces/default/sandboxes";
const KRUISE = "/apis/agents.kruise.io/v1alpha1/namespaces/default/sandboxes";
const POD_IP = "127.0.75.1";
const PORT = 8888;

describe.skipIf(NO_KUBERNETES)(
  `two CRDs on a real API server${NO_KUBERNETES ? ` (skipped: ${NO_KUBERNETES})` : ""}`,
  () => {
    let kubernetes: Kubernetes;
    let pod: Server;
    let both: TestRouter;
    let alpha: TestRouter;

    const named = (router: TestRouter, name: string) =>
      router.ask("none", "/", { host: "router", "x-sandbox-id": name });
    const readiness = async ({ peersUrl }: TestRouter) =>
      (await request(`${peersUrl}/readyz?verbose`)).body.text();
    const condition = (type: string, status: string, reason: string) => {
      return { type, status, reason, message: "", lastTransitionTime: "2026-11-20T12:00:00Z" };
    };
    const patch = async (path: string, body: object) => {
      expect((await kubernetes.call("PATCH", path, body)).status).toBe(200);
    };
    const create = (name: string, spec: object = {}) =>
      kubernetes.call("POST", SANDBOXES, {
        apiVersion: "agents.x-k8s.io/v1beta1",
        kind: "Sandbox",
        metadata: { name },
        spec: { podTemplate: { spec: { containers: [] } }, ...spec },
      });
    const running = {
      podIPs: [POD_IP],
      conditions: [condition("Ready", "True", "DependenciesReady")],
    };

    beforeAll(async () => {
      kubernetes = await startKubernetes();
      pod = createServer((_request, response) => response.end("pod"));
      await new Promise<void>((resolve) => pod.listen(PORT, POD_IP, resolve));
      const { kubeconfig } = kubernetes;
      const watch = { backoffMinMs: 50, backoffMaxMs: 200 };
      both = await startTestRouter({
        kubeconfig,
        watch,
        resources: ["agents.kruise.io", "agents.x-k8s.io"],
      });
      alpha = await startTestRouter({ kubeconfig, watch, resources: ["agents.x-k8s.io/v1alpha1"] });
      await both.router.synced();
    });
    afterAll(async () => {
      await both?.router.stop();
      await alpha?.router.stop();
      await new Promise((resolve) => (pod ? pod.close(resolve) : resolve(undefined)));
      await kubernetes?.stop();
    });

    // In order: the CRD is installed by the second.
    test("the CRD that is not installed keeps nobody waiting, and is named", async () => {
      expect(both.router.table.synced).toBe(true);
      expect(await readiness(both)).toContain(
        "[+]synced ok: the API server does not serve sandboxes.agents.x-k8s.io v1beta1",
      );
      // Alone, it makes a router that is not ready.
      await eventually(async () =>
        (await readiness(alpha)).includes("does not serve sandboxes.agents.x-k8s.io v1alpha1"),
      );
      expect(alpha.router.table.synced).toBe(false);
    });

    test("once it is installed it is served", async () => {
      expect((await kubernetes.call("POST", CRDS, AGENT_SANDBOX_CRD)).status).toBe(201);
      await eventually(async () => (await readiness(both)).startsWith("[+]synced ok\n"));
      await alpha.router.synced();
    });

    test("the life of a sandbox, in both API versions", async () => {
      const { status, body } = await create("box");
      expect(status).toBe(201);
      // The schema's defaults, as the projection gets them.
      expect(body).toMatchObject({ spec: { operatingMode: "Running", shutdownPolicy: "Retain" } });
      const routers = [both, alpha];
      for (const router of routers) {
        await eventually(async () => (await named(router, "box")).reason === "sandbox_creating");
      }
      await patch(`${SANDBOXES}/box/status`, {
        status: { ...running, service: "box", serviceFQDN: "box.default.svc.cluster.local" },
      });
      for (const router of routers) {
        await eventually(async () => (await named(router, "box")).status === 200);
        expect(router.router.table.inspectObject("default", "box")).toMatchObject({
          key: "agents.x-k8s.io:default/box",
          inEffect: { route: { id: "default--box", ip: POD_IP } },
        });
      }
      await patch(`${SANDBOXES}/box`, { spec: { operatingMode: "Suspended" } });
      await eventually(async () => (await named(both, "box")).reason === "sandbox_paused");
      await patch(`${SANDBOXES}/box`, {
        metadata: { finalizers: ["example.com/held"] },
        spec: { operatingMode: "Running" },
      });
      await eventually(async () => (await named(both, "box")).status === 200);
      expect((await kubernetes.call("DELETE", `${SANDBOXES}/box`)).status).toBe(200);
      // It has a deletionTimestamp, and is still there.
      for (const router of routers) {
        await eventually(async () => (await named(router, "box")).reason === "sandbox_not_found");
      }
      expect((await kubernetes.call("GET", `${SANDBOXES}/box`)).status).toBe(200);
      await patch(`${SANDBOXES}/box`, { metadata: { finalizers: null } });
      await eventually(() => both.router.table.inspectObject("default", "box") === undefined);
    });

    test("deploy/agent-sandbox grants what it takes: with it the router is ready, without its right it is not", async () => {
      await kubernetes.run(["apply", "-k", "deploy/agent-sandbox"]);
      const kubeconfig = await kubernetes.kubeconfigOf("lychgate", "lychgate");
      const startGranted = () =>
        startTestRouter({
          kubeconfig,
          watch: { backoffMinMs: 50, backoffMaxMs: 200 },
          resources: ["agents.kruise.io", "agents.x-k8s.io"],
        });
      const granted = await startGranted();
      await granted.router.synced();
      expect(await readiness(granted)).toContain("[+]synced ok\n");
      await granted.router.stop();
      const remove = JSON.stringify([{ op: "remove", path: "/rules/1" }]);
      await kubernetes.run(["patch", "clusterrole", "lychgate", "--type=json", "-p", remove]);
      const denied = await startGranted();
      denied.router.synced().catch(() => {});
      await eventually(async () => {
        const status = await request(`${denied.adminUrl}/api/status`);
        return (await status.body.text()).includes("sandboxes.agents.x-k8s.io");
      });
      expect(denied.router.table.synced).toBe(false);
      await denied.router.stop();
    });

    test("the schema refuses a mode that the projection does not know", async () => {
      expect((await create("odd", { operatingMode: "Asleep" })).status).toBe(422);
    });

    test("an address that a sandbox of each CRD has is served for neither, until one is deleted", async () => {
      const made = await kubernetes.call("POST", KRUISE, {
        apiVersion: "agents.kruise.io/v1alpha1",
        kind: "Sandbox",
        metadata: { name: "kruise", labels: { "agents.kruise.io/sandbox-id": "k1" } },
        spec: {},
      });
      expect(made.status).toBe(201);
      const { conditions } = running;
      await patch(`${KRUISE}/kruise/status`, {
        status: { phase: "Running", podInfo: { podIP: POD_IP }, conditions },
      });
      await eventually(async () => (await named(both, "kruise")).status === 200);
      await create("other");
      await patch(`${SANDBOXES}/other/status`, { status: running });
      await eventually(async () => (await named(both, "kruise")).reason === "pod_ip_reassigned");
      expect(await named(both, "other")).toMatchObject({ status: 502, reason: "pod_ip_reassigned" });
      await kubernetes.call("DELETE", `${SANDBOXES}/other`);
      await eventually(async () => (await named(both, "kruise")).status === 200);
    });
  },
);
