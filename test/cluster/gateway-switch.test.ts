import { readFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Kubernetes, NO_KUBERNETES, startKubernetes } from "./support/kubernetes.ts";
import { OLD_GATEWAY } from "./support/old-gateway.ts";

/** What is there of the Deployment and the Service `sandbox-gateway`, without what differs from one object to the next. */
interface Present {
  readonly deployment: { readonly selector: unknown; readonly [field: string]: unknown };
  readonly service: Readonly<Record<string, unknown>>;
}

const old = JSON.stringify({ apiVersion: "v1", kind: "List", items: OLD_GATEWAY });

describe.skipIf(NO_KUBERNETES)(
  `from the gateway to Lychgate and back${NO_KUBERNETES ? ` (skipped: ${NO_KUBERNETES})` : ""}`,
  () => {
    let kubernetes: Kubernetes;
    /** Lychgate where there was nothing before. */
    let fresh: Present;
    beforeAll(async () => {
      kubernetes = await startKubernetes();
      await kubernetes.run(["create", "namespace", "sandbox-system"]);
      await kubernetes.run(["apply", "-k", "deploy/instead-of-gateway"]);
      fresh = await present();
      await removeBoth();
    });
    afterEach(removeBoth);
    afterAll(() => kubernetes?.stop());

    test("a gateway that was applied: one apply there, one apply back, and nothing is left of the other", async () => {
      await kubernetes.run(["apply", "-f", "-"], old);
      const gateway = await present();
      await kubernetes.run(["apply", "-k", "deploy/instead-of-gateway"]);
      expect(await present()).toEqual(fresh);
      await kubernetes.run(["apply", "-f", "-"], old);
      expect(await present()).toEqual(gateway);
    });

    test("the Deployment and the Service keep their selectors, so pods are replaced one by one behind the same address", async () => {
      await kubernetes.run(["apply", "-f", "-"], old);
      const before = await addresses();
      const { deployment, service } = await present();
      await kubernetes.run(["apply", "-k", "deploy/instead-of-gateway"]);
      expect(await addresses()).toEqual(before);
      expect(fresh.deployment.selector).toEqual(deployment.selector);
      expect(fresh.service["selector"]).toEqual(service["selector"]);
      expect(fresh.deployment["strategy"]).toMatchObject({ rollingUpdate: { maxUnavailable: 0 } });
    });

    test("a gateway that Helm made: the mixture of both is refused, and applies once kubectl knows what was there", async () => {
      await kubernetes.run(["create", "-f", "-"], old);
      const gateway = await present();
      const mixed = await kubernetes.kubectl(["apply", "-k", "deploy/instead-of-gateway"]);
      expect(mixed.code).toBe(1);
      expect(mixed.stderr).toContain('The Deployment "sandbox-gateway" is invalid');
      expect(mixed.stderr).toContain("may not specify more than 1 handler type");
      expect((await present()).deployment).toEqual(gateway.deployment);
      // docs/openkruise.md: helm get manifest RELEASE | kubectl apply set-last-applied --create-annotation -f -
      await kubernetes.run(["apply", "set-last-applied", "--create-annotation", "-f", "-"], old);
      await kubernetes.run(["apply", "-k", "deploy/instead-of-gateway"]);
      expect(await present()).toEqual(fresh);
    });

    test("after the way back Lychgate's own objects can be removed, and the gateway and a Lychgate beside it stay", async () => {
      await kubernetes.run(["apply", "-f", "-"], old);
      const gateway = await present();
      await kubernetes.run(["apply", "-k", "deploy/beside-gateway"]);
      const beside = await rights("lychgate");
      await kubernetes.run(["apply", "-k", "deploy/instead-of-gateway"]);
      await kubernetes.run(["apply", "-f", "-"], old);
      // The commands of docs/openkruise.md.
      const guide = readFileSync("docs/openkruise.md", "utf8");
      const removals = guide.split("\n").filter((line) => /^ {4}kubectl delete (?!-k)/.test(line));
      expect(removals).toHaveLength(3);
      for (const line of removals) await kubernetes.run(line.trim().split(/\s+/).slice(1));
      expect(await present()).toEqual(gateway);
      expect(await rights("lychgate")).toBe(beside);
      expect(await rights("sandbox-system")).not.toContain("yes");
      const kinds =
        "serviceaccount,configmap,service,deployment,poddisruptionbudget,networkpolicy,role,rolebinding";
      const left = await kubernetes.run(["get", kinds, "-n", "sandbox-system", "-o", "name"]);
      expect(left.trim().split("\n").sort()).toEqual([
        "deployment.apps/sandbox-gateway",
        "role.rbac.authorization.k8s.io/lychgate-managers",
        "rolebinding.rbac.authorization.k8s.io/lychgate-managers",
        "service/sandbox-gateway",
      ]);
    });

    // The last: no controller ends what is deleted, and its namespace takes nothing more.
    test("a Lychgate beside the gateway has nothing in common with one in its place", async () => {
      const names = async (path: string) =>
        (await kubernetes.run(["apply", "--dry-run=client", "-o", "name", "-k", path])).trim().split("\n");
      await kubernetes.run(["apply", "-k", "deploy/beside-gateway"]);
      const beside = await rights("lychgate");
      await kubernetes.run(["apply", "-k", "deploy/instead-of-gateway"]);
      expect(await rights("lychgate")).toBe(beside);
      await kubernetes.run(["delete", "--wait=false", "-k", "deploy/beside-gateway"]);
      expect(await rights("sandbox-system")).toBe(beside);
      // Where both have an object of one name, it is in another namespace.
      const clusterWide = /^(namespace|clusterrole)/;
      const [one, other] = [await names("deploy/beside-gateway"), await names("deploy/instead-of-gateway")];
      expect(one.filter((name) => clusterWide.test(name) && other.includes(name))).toEqual([]);
    });

    async function rights(namespace: string): Promise<string> {
      const as = `system:serviceaccount:${namespace}:lychgate`;
      const answers = await Promise.all(
        [
          ["list", "sandboxes.agents.kruise.io", "-A"],
          ["watch", "sandboxes.agents.kruise.io", "-A"],
          ["list", "pods", "-n", "sandbox-system"],
        ].map((question) => kubernetes.kubectl(["auth", "can-i", "--as", as, ...question])),
      );
      return answers.map(({ stdout }) => stdout.trim()).join(" ");
    }

    async function present(): Promise<Present> {
      const [deployment, service] = await both();
      const { clusterIP: _ip, clusterIPs: _ips, ...rest } = service.spec;
      return { deployment: deployment.spec as Present["deployment"], service: rest };
    }

    async function addresses(): Promise<unknown> {
      return (await both())[1].spec["clusterIP"];
    }

    async function both() {
      const text = await kubernetes.run([
        "get",
        "-n",
        "sandbox-system",
        "-o",
        "json",
        "deployment/sandbox-gateway",
        "service/sandbox-gateway",
      ]);
      return (JSON.parse(text) as { items: [{ spec: object }, { spec: Record<string, unknown> }] }).items;
    }

    async function removeBoth(): Promise<void> {
      await kubernetes.run([
        "delete",
        "-n",
        "sandbox-system",
        "deployment/sandbox-gateway",
        "service/sandbox-gateway",
      ]);
    }
  },
);
