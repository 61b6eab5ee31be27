import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { helm, NO_HELM } from "./support/helm.ts";
import { type Kubernetes, NO_KUBERNETES, startKubernetes } from "./support/kubernetes.ts";
import { OLD_GATEWAY } from "./support/old-gateway.ts";

const CHART = "deploy/helm/lychgate";
const OLD_GATEWAY_LIST = JSON.stringify({ apiVersion: "v1", kind: "List", items: OLD_GATEWAY });

/** An overlay, and what makes the chart the same. */
const OVERLAYS = [
  { overlay: "deploy/base", namespace: "lychgate", values: "values.yaml" },
  { overlay: "deploy/beside-gateway", namespace: "lychgate", values: "values-beside-gateway.yaml" },
  {
    overlay: "deploy/instead-of-gateway",
    namespace: "sandbox-system",
    values: "values-instead-of-gateway.yaml",
  },
] as const;

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: {
    readonly template?: { readonly metadata: { readonly annotations?: Record<string, string> } };
  };
}

const skipped = NO_HELM ?? NO_KUBERNETES;

describe.skipIf(skipped)(`the Helm chart${skipped ? ` (skipped: ${skipped})` : ""}`, () => {
  test.each(OVERLAYS)(
    "with $values it is $overlay, object for object",
    async ({ overlay, namespace, values }) => {
      const rendered = await template(namespace, "-f", `${CHART}/${values}`);
      const kustomized = objects(execFileSync("kubectl", ["kustomize", overlay], { encoding: "utf8" }));
      // Helm makes the namespace by --create-namespace: a release is kept in it, so it can't be a part of it.
      const expected = kustomized.filter(({ kind }) => kind !== "Namespace");
      expect(byName(rendered)).toEqual(byName(expected));
    },
  );

  test("what its values change", async () => {
    const plain = (await template("x")).find(isDeployment);
    const deployment = (
      await template(
        "x",
        "--set",
        "replicas=5,image.repository=r.example.com/l,image.tag=v1,podAnnotations.a=b,config.accessLog=off",
      )
    ).find(isDeployment);
    expect(deployment).toMatchObject({
      spec: {
        replicas: 5,
        template: {
          metadata: { annotations: { a: "b" } },
          spec: { containers: [{ image: "r.example.com/l:v1" }] },
        },
      },
    });
    // Another configuration makes other pods.
    expect(checksumOf(deployment)).not.toBe(checksumOf(plain));
    const crds = "config.resources={agents.kruise.io,agents.x-k8s.io}";
    const role = (await template("x", "--set", crds)).find(({ kind }) => kind === "ClusterRole");
    expect(role).toMatchObject({
      rules: [
        { apiGroups: ["agents.kruise.io"] },
        { apiGroups: ["agents.x-k8s.io"], verbs: ["list", "watch"] },
      ],
    });
    const elsewhere = await helm([
      "template",
      "lychgate",
      CHART,
      "-n",
      "x",
      "-f",
      `${CHART}/values-beside-gateway.yaml`,
      "--set",
      "managersNamespace=agents",
    ]);
    expect(elsewhere.stdout).not.toContain("sandbox-system");
  });

  test("values that can't be right are refused, with what to do", async () => {
    const refusal = async (...args: string[]) =>
      (await helm(["template", "lychgate", CHART, ...args])).stderr;
    expect(await refusal("--set", "replica=3")).toMatch(/additional properties 'replica' not allowed/);
    expect(await refusal("--set", "insteadOfGateway=true", "-n", "sandbox-system")).toMatch(
      /set memberlist.enabled too/,
    );
    expect(await refusal("-f", `${CHART}/values-instead-of-gateway.yaml`, "-n", "elsewhere")).toMatch(
      /the gateway's Service is in sandbox-system .*, but this is installed in elsewhere: use --namespace sandbox-system/,
    );
  });

  test("helm lint has nothing to say but that there is no icon", async () => {
    const { code, stdout } = await helm(["lint", CHART]);
    expect(stdout.split("\n").filter((line) => line.startsWith("["))).toEqual([
      "[INFO] Chart.yaml: icon is recommended",
    ]);
    expect(code).toBe(0);
  });

  describe("on Kubernetes", () => {
    let kubernetes: Kubernetes;
    beforeAll(async () => {
      kubernetes = await startKubernetes();
      await kubernetes.run(["create", "namespace", "sandbox-system"]);
    });
    afterEach(async () => {
      const gateway = ["deployment/sandbox-gateway", "service/sandbox-gateway"];
      await kubernetes.run(["delete", "-n", "sandbox-system", "--ignore-not-found", ...gateway]);
    });
    afterAll(() => kubernetes?.stop());

    test("it installs, and an upgrade with other values adds what they need", async () => {
      await run("install", "lychgate", CHART, "-n", "lychgate", "--create-namespace");
      expect(await canListPods("lychgate")).toBe("no");
      await run("upgrade", "lychgate", CHART, "-n", "lychgate", "-f", `${CHART}/values-beside-gateway.yaml`);
      expect(await canListPods("lychgate")).toBe("yes");
      await run("uninstall", "lychgate", "-n", "lychgate");
      expect(await canListPods("lychgate")).toBe("no");
    });

    test("in place of a gateway that is there: refused, unless it takes it over as a whole", async () => {
      await kubernetes.run(["apply", "-f", "-"], OLD_GATEWAY_LIST);
      const install = [
        "upgrade",
        "--install",
        "lychgate",
        CHART,
        "-n",
        "sandbox-system",
        "-f",
        `${CHART}/values-instead-of-gateway.yaml`,
      ];
      const refused = await helm(install, kubernetes.kubeconfig);
      expect(refused.stderr).toMatch(
        /"sandbox-gateway" .*exists and cannot be imported into the current release/,
      );
      const mixed = await helm([...install, "--take-ownership"], kubernetes.kubeconfig);
      expect(mixed.stderr).toMatch(/may not specify more than 1 handler type/);
      await run(...install, "--take-ownership", "--force");
      await isLychgate();
      await run("uninstall", "lychgate", "-n", "sandbox-system");
    });

    test("in place of a gateway that another release made: kubectl is told what was there, and the release lets go of it", async () => {
      const managers = mkdtempSync(join(tmpdir(), "lychgate-managers-"));
      onTestFinished(() => rmSync(managers, { recursive: true }));
      writeFileSync(join(managers, "Chart.yaml"), "apiVersion: v2\nname: managers\nversion: 1.0.0\n");
      writeFileSync(join(managers, "values.yaml"), "gateway: true\n");
      mkdirSync(join(managers, "templates"));
      const templates = OLD_GATEWAY.map((object) => JSON.stringify(object)).join("\n---\n");
      const conditional = `{{ if .Values.gateway }}\n${templates}\n{{ end }}\n`;
      writeFileSync(join(managers, "templates/gateway.yaml"), conditional);
      await run("install", "managers", managers, "-n", "sandbox-system");
      // As in docs/openkruise.md.
      const manifest = await run("get", "manifest", "managers", "-n", "sandbox-system");
      await kubernetes.run(["apply", "set-last-applied", "--create-annotation", "-f", "-"], manifest);
      await kubernetes.run(["apply", "-k", "deploy/instead-of-gateway"]);
      await isLychgate();
      const both = ["deployment/sandbox-gateway", "service/sandbox-gateway"];
      await kubernetes.run(["annotate", "-n", "sandbox-system", ...both, "helm.sh/resource-policy=keep"]);
      await run("upgrade", "managers", managers, "-n", "sandbox-system", "--set", "gateway=false");
      await isLychgate();
    });

    /** Helm must succeed; resolves to its stdout. */
    async function run(...args: string[]): Promise<string> {
      const { code, stdout, stderr } = await helm(args, kubernetes.kubeconfig);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      return stdout;
    }

    async function canListPods(namespace: string): Promise<string> {
      const as = `system:serviceaccount:${namespace}:lychgate`;
      const asked = ["auth", "can-i", "list", "pods", "-n", "sandbox-system", "--as", as];
      return (await kubernetes.kubectl(asked)).stdout.trim();
    }

    /** Nothing of the gateway is left in the Deployment, and the Service is there. */
    async function isLychgate(): Promise<void> {
      const get = ["get", "-n", "sandbox-system", "-o", "json"];
      const text = await kubernetes.run([...get, "deployment/sandbox-gateway", "service/sandbox-gateway"]);
      const [{ spec }] = (JSON.parse(text) as { items: [{ spec: { template: { spec: object } } }] }).items;
      expect(JSON.stringify(spec)).not.toMatch(/envoy|tcpSocket|preStop|podAntiAffinity/);
      expect(spec.template.spec).toMatchObject({
        serviceAccountName: "lychgate",
        terminationGracePeriodSeconds: 45,
        containers: [{ name: "sandbox-gateway", args: ["--config", "/etc/lychgate/lychgate.yaml"] }],
      });
    }
  });

  async function template(namespace: string, ...args: string[]): Promise<Manifest[]> {
    const { code, stdout, stderr } = await helm(["template", "lychgate", CHART, "-n", namespace, ...args]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    return objects(stdout);
  }
});

const isDeployment = ({ kind }: Manifest): boolean => kind === "Deployment";

function checksumOf(deployment: Manifest | undefined): string | undefined {
  return deployment?.spec?.template?.metadata.annotations?.["checksum/config"];
}

function objects(text: string): Manifest[] {
  return parseAllDocuments(text).flatMap((document) =>
    document.contents === null ? [] : [document.toJS() as Manifest],
  );
}

/**
 * Each object under its kind and name. What makes new pods of a new configuration is left out: a hash in the ConfigMap's name with
 * Kustomize, an annotation of the pods with Helm.
 */
function byName(manifests: readonly Manifest[]): Record<string, unknown> {
  const isHashed = new Set(
    manifests.flatMap(({ kind, metadata }) => (kind === "ConfigMap" ? [metadata.name] : [])),
  );
  const plain = (key: string, value: unknown): unknown => {
    if (typeof value === "string" && isHashed.has(value)) return "lychgate";
    // Comments in it may differ.
    if (key === "lychgate.yaml") return parse(value as string);
    if (key === "annotations" && Object.keys(value as object).join() === "checksum/config") return undefined;
    return value;
  };
  return Object.fromEntries(
    manifests.map((manifest) => {
      const object = JSON.parse(JSON.stringify(manifest, plain)) as Manifest;
      return [`${object.kind} ${object.metadata.namespace ?? ""}/${object.metadata.name}`, object];
    }),
  );
}
