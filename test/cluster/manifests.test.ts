import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { type Kubernetes, NO_KUBERNETES, startKubernetes } from "./support/kubernetes.ts";
import { NO_OPERATOR_CRDS, operatorCrds } from "./support/operator-crds.ts";

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec?: { readonly template?: { readonly metadata: object; readonly spec: object } };
}

/** Each kustomization, the namespaces that it brings, and those that it needs. */
const KUSTOMIZATIONS = [
  { path: "deploy/base", brings: ["lychgate"], needs: [] },
  { path: "deploy/tls", brings: ["lychgate"], needs: [] },
  { path: "deploy/wake", brings: ["lychgate"], needs: [] },
  { path: "deploy/agent-sandbox", brings: ["lychgate"], needs: [] },
  { path: "deploy/beside-gateway", brings: ["lychgate"], needs: ["sandbox-system"] },
  { path: "deploy/instead-of-gateway", brings: [], needs: ["sandbox-system"] },
  { path: "deploy/node", brings: ["lychgate-node"], needs: [] },
  { path: "deploy/anycast", brings: ["lychgate-anycast"], needs: [] },
  { path: "deploy/grafana", brings: [], needs: ["monitoring"] },
] as const;

describe.skipIf(NO_KUBERNETES)(
  `the API server takes the manifests${NO_KUBERNETES ? ` (skipped: ${NO_KUBERNETES})` : ""}`,
  () => {
    let kubernetes: Kubernetes;
    beforeAll(async () => {
      kubernetes = await startKubernetes();
    });
    afterAll(() => kubernetes?.stop());

    const dryRun = (path: string) => kubernetes.kubectl(["apply", "--dry-run=server", "-k", path]);

    // In order: this one finds a cluster with none of the namespaces, and the next one makes them.
    test("a dry run before the namespace is there says that the namespace is missing, and nothing else", async () => {
      for (const { path, brings, needs } of KUSTOMIZATIONS) {
        const { code, stderr } = await dryRun(path);
        expect(code, path).toBe(1);
        const missing = new Set<string>([...brings, ...needs]);
        for (const line of stderr.trim().split("\n")) {
          const [, name = line] =
            /^Error from server \(NotFound\): .*namespaces "([^"]+)" not found$/.exec(line) ?? [];
          expect([...missing], path).toContain(name);
        }
      }
    });

    test.each(KUSTOMIZATIONS)(
      "$path: a dry run and then the real thing, without a warning",
      async ({ path, brings, needs }) => {
        for (const namespace of needs) await makeNamespace(namespace);
        // What a kustomization brings has the labels for Pod Security, which a dry run of it must meet too.
        for (const namespace of brings)
          await kubernetes.run(["apply", "-f", "-"], namespaceIn(await build(path), namespace));
        await applies(path);
      },
    );

    test.skipIf(NO_OPERATOR_CRDS)(
      `deploy/prometheus: the same, with the operator's CRDs${NO_OPERATOR_CRDS ? ` (skipped: ${NO_OPERATOR_CRDS})` : ""}`,
      async () => {
        await kubernetes.run(["create", "-f", "-"], operatorCrds());
        await applies("deploy/prometheus");
      },
    );

    test("a pod of each template passes Pod Security, as enforced in its namespace, and all other admission", async () => {
      const seen: string[] = [];
      for (const { path } of KUSTOMIZATIONS) {
        for (const { metadata, spec } of await build(path)) {
          if (!spec?.template) continue;
          const { namespace = "" } = metadata;
          // The strictest level, where the managers' namespace has none of its own.
          if (namespace === "sandbox-system") {
            await kubernetes.run([
              "label",
              "--overwrite",
              "namespace",
              namespace,
              "pod-security.kubernetes.io/enforce=restricted",
            ]);
          }
          const { stdout, stderr } = await createPod(namespace, spec.template);
          expect({ stdout, stderr }).toEqual({
            stdout: expect.stringContaining("created (server dry run)"),
            stderr: "",
          });
          seen.push(`${namespace}/${metadata.name}`);
        }
      }
      expect(seen).toEqual([
        "lychgate/lychgate",
        "lychgate/lychgate",
        "lychgate/lychgate",
        "lychgate/lychgate",
        "lychgate/lychgate",
        "sandbox-system/sandbox-gateway",
        "lychgate-node/lychgate-overlap",
        "lychgate-anycast/lychgate-anycast",
      ]);
    });

    test("Pod Security is at work: the node's pods are refused in the router's namespace", async () => {
      const node = (await build("deploy/node")).find(({ kind }) => kind === "DaemonSet");
      const { code, stderr } = await createPod("lychgate", node?.spec?.template ?? {});
      expect(code).toBe(1);
      expect(stderr).toMatch(
        /violates PodSecurity "restricted:latest": host namespaces \(hostNetwork=true\)/,
      );
    });

    /** By a dry run, and then for real. */
    async function applies(path: string): Promise<void> {
      for (const extra of [["--dry-run=server"], []]) {
        const { code, stdout, stderr } = await kubernetes.kubectl(["apply", ...extra, "-k", path]);
        // Such as "would violate PodSecurity", or a field that does not exist or is deprecated.
        expect(stderr).toBe("");
        expect(code).toBe(0);
        expect(stdout.trim().split("\n")).toHaveLength((await build(path)).length);
      }
    }

    async function build(path: string): Promise<Manifest[]> {
      const text = await kubernetes.run(["kustomize", path]);
      return parseAllDocuments(text).map((document) => document.toJS() as Manifest);
    }

    function namespaceIn(manifests: readonly Manifest[], name: string): string {
      return JSON.stringify(
        manifests.find(({ kind, metadata }) => kind === "Namespace" && metadata.name === name),
      );
    }

    async function makeNamespace(name: string): Promise<void> {
      const namespace = { apiVersion: "v1", kind: "Namespace", metadata: { name } };
      await kubernetes.run(["apply", "-f", "-"], JSON.stringify(namespace));
    }

    async function createPod(namespace: string, template: object) {
      // A controller makes it in a real cluster.
      const account = { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "default", namespace } };
      await kubernetes.run(["apply", "-f", "-"], JSON.stringify(account));
      const { metadata, spec } = template as { readonly metadata: object; readonly spec: object };
      const pod = {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { ...metadata, name: "check", namespace },
        spec,
      };
      return kubernetes.kubectl(["create", "--dry-run=server", "-f", "-"], JSON.stringify(pod));
    }
  },
);
