import { Agent } from "node:http";
import { describe, expect, onTestFinished, test } from "vitest";
import { Pod } from "../../lab/devcluster/pods.ts";
import { eventually } from "../support/eventually.ts";
import { metricOf, type RouterProcess, startRouterProcess } from "../support/router-process.ts";
import { CLUSTERS } from "./support/clusters.ts";
import { askRouter, NAMESPACE, PORT } from "./support/routed-cluster.ts";

// docs/wake.md on real API servers: what a patch with the UID and the version as preconditions is worth there.

const COLLECTION = `/apis/agents.kruise.io/v1alpha1/namespaces/${NAMESPACE}/sandboxes`;
const REQUESTS = 500;

interface Sandbox {
  readonly metadata: { readonly uid: string; readonly generation: number };
  readonly spec: { readonly paused?: boolean };
}

describe.each(CLUSTERS)("$name", (kind) => {
  test.skipIf(kind.isMissing)(
    "500 requests through three routers wake a sandbox by one patch, and all are answered by its new pod",
    async () => {
      const cluster = await kind.start();
      const routers: RouterProcess[] = [];
      const agent = new Agent({ keepAlive: true, maxSockets: 200 });
      onTestFinished(async () => {
        agent.destroy();
        for (const router of routers) router.kill("SIGKILL");
        await cluster.stop();
      });
      const { client } = cluster;
      const get = async (name: string): Promise<Sandbox> =>
        (await client.call("GET", `${COLLECTION}/${name}`)).body as unknown as Sandbox;
      const patch = async (name: string, body: object) =>
        (await client.call("PATCH", `${COLLECTION}/${name}`, body)).status;

      await client.create(NAMESPACE, "box", { phase: "Paused", ip: "127.0.78.1" });
      const rule = { resume: { onIngressTraffic: { pauseTimeout: "10m" } } };
      expect(await patch("box", { spec: { paused: true, autoPausePolicy: rule } })).toBe(200);
      for (let i = 0; i < 3; i++) {
        routers.push(
          await startRouterProcess([
            "--kubeconfig",
            cluster.kubeconfig,
            "--access-log=off",
            "--wake-enabled",
          ]),
        );
      }
      await eventually(async () => {
        for (const { traffic } of routers)
          expect((await fetch(`http://${traffic}/kruise/${NAMESPACE}--none/1/`)).status).toBe(502);
      });
      for (let cycle = 1; cycle <= 2; cycle++) {
        const { metadata } = await get("box");
        const ip = `127.0.78.${cycle + 1}`;
        const asked = Array.from({ length: REQUESTS }, (_, i) =>
          askRouter(routers[i % 3]?.traffic ?? "", "box", agent),
        );
        const answers = Promise.all(asked);
        await eventually(async () => expect((await get("box")).spec.paused).toBe(false));
        // What the controller does.
        const tenant = { podUid: `life-${cycle}`, sandboxId: "box", namespace: NAMESPACE, name: "box" };
        const pod = await Pod.start(tenant, ip, [PORT]);
        onTestFinished(() => pod.kill());
        await client.setStatus(NAMESPACE, "box", { ip });
        const seen = new Set((await answers).map(({ status, podUid }) => `${status} ${podUid}`));
        expect(seen).toEqual(new Set([`200 life-${cycle}`]));
        // One change of the spec, whoever made it. The API server counts them; the dev cluster's does too.
        expect((await get("box")).metadata.generation).toBe(metadata.generation + 1);
        await eventually(async () => {
          const metrics = await Promise.all(
            routers.map(async ({ admin }) => (await fetch(`http://${admin}/metrics`)).text()),
          );
          const patched = metrics.map((text) =>
            metricOf(text, "lychgate_wake_attempts_total", 'result="patched"'),
          );
          expect(patched.reduce((sum, count) => sum + count, 0)).toBe(cycle);
        });
        await client.setStatus(NAMESPACE, "box", { phase: "Paused", ip });
        expect(await patch("box", { spec: { paused: true } })).toBe(200);
        await eventually(async () => {
          for (const { admin } of routers) {
            const routes = await (await fetch(`http://${admin}/api/routes`)).text();
            expect(routes).toContain('"state":"paused"');
          }
        });
        await pod.kill();
      }

      // The fence: what the API server says to a patch for another object of that name, and for another version.
      const { metadata } = await get("box");
      const stale = { metadata: { uid: metadata.uid, resourceVersion: "1" }, spec: { paused: false } };
      expect(await patch("box", stale)).toBe(409);
      const other = {
        metadata: { uid: "00000000-0000-0000-0000-000000000000" },
        spec: { paused: false },
      };
      expect([409, 422]).toContain(await patch("box", other));
      expect((await get("box")).spec.paused).toBe(true);
    },
    180_000,
  );
});
