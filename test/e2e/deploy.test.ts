import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";

const repository = resolve(import.meta.dirname, "../..");
const bin = join(repository, "bin/lychgate.mjs");
const NO_KUBECTL = spawnSync("kubectl", ["version", "--client"]).error
  ? "kubectl is not installed"
  : undefined;

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
  readonly rules?: unknown;
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: {
    readonly selector?: { readonly matchLabels?: object };
    readonly ports?: readonly { readonly name: string; readonly targetPort: string }[];
    readonly podSelector?: { readonly matchLabels?: object };
    readonly policyTypes?: readonly string[];
    readonly ingress?: readonly {
      readonly ports: readonly { readonly port: string | number }[];
      readonly from?: readonly object[];
    }[];
    readonly endpoints?: readonly { readonly port: string }[];
    readonly template?: {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> };
      readonly spec: {
        readonly terminationGracePeriodSeconds: number;
        readonly containers: readonly {
          readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
        }[];
      };
    };
  };
}

function build(folder: string): Manifest[] {
  const text = execFileSync("kubectl", ["kustomize", join(repository, folder)], { encoding: "utf8" });
  return parseAllDocuments(text).map((document) => document.toJS() as Manifest);
}

const kustomizations = ["deploy", "dashboards"].flatMap((folder) =>
  readdirSync(join(repository, folder), { recursive: true, encoding: "utf8" })
    // A component is a part of others.
    .filter((path) => path.endsWith("kustomization.yaml") && !path.startsWith("components/"))
    .map((path) => relative(repository, dirname(join(repository, folder, path)))),
);

describe.skipIf(NO_KUBECTL)(`what is deployed${NO_KUBECTL ? ` (${NO_KUBECTL})` : ""}`, () => {
  test.each(kustomizations)("kubectl kustomize %s builds", (folder) => {
    expect(build(folder).every(({ kind, metadata }) => kind !== "" && metadata.name !== "")).toBe(true);
  });

  test("the router's parts fit together: ports, labels, RBAC, grace", () => {
    const all = build("deploy/base");
    const only = (kind: string, name = "lychgate") =>
      all.find((each) => each.kind === kind && each.metadata.name.startsWith(name));
    const pod = only("Deployment")?.spec?.template;
    const ports = pod?.spec.containers[0]?.ports ?? [];
    // Names and numbers of OpenKruise's gateway.
    expect(ports).toEqual([
      { name: "http", containerPort: 7788 },
      { name: "system", containerPort: 7789 },
      { name: "metrics", containerPort: 9902 },
    ]);
    const labels = pod?.metadata.labels;
    for (const { spec } of all.filter(({ kind }) => kind === "Service")) {
      expect(labels).toMatchObject(spec?.selector ?? {});
      for (const { targetPort } of spec?.ports ?? [])
        expect(ports.map(({ name }) => name)).toContain(targetPort);
    }
    for (const kind of ["Deployment", "PodDisruptionBudget"]) {
      expect(labels).toEqual(only(kind)?.spec?.selector?.matchLabels);
    }
    // README.md says what the service account needs.
    expect(only("ClusterRole")?.rules).toEqual([
      { apiGroups: ["agents.kruise.io"], resources: ["sandboxes"], verbs: ["list", "watch"] },
    ]);
    // drain.delayMs and drain.timeoutMs.
    expect(pod?.spec.terminationGracePeriodSeconds).toBeGreaterThan(35);
  });

  test("the NetworkPolicy lets everybody to the traffic port, managers and replicas to the system port, Prometheus to the metrics", () => {
    const all = build("deploy/base");
    const policy = all.find(({ kind }) => kind === "NetworkPolicy")?.spec;
    const pod = all.find(({ kind }) => kind === "Deployment")?.spec?.template;
    const named = pod?.spec.containers[0]?.ports.map(({ name }) => name);
    expect(policy?.podSelector?.matchLabels).toEqual(pod?.metadata.labels);
    expect(policy?.policyTypes).toEqual(["Ingress"]);
    const isLabel = (key: string, value: string) => ({
      matchExpressions: [{ key, operator: "In", values: [value] }],
    });
    // Nothing more in any selector: kustomize adds labels to those with matchLabels, and then no manager would match.
    const rules = policy?.ingress?.map(({ ports, from }) => ({ ports: ports.map(({ port }) => port), from }));
    expect(rules).toEqual([
      { ports: ["http"], from: undefined },
      {
        ports: ["system"],
        from: [
          {
            namespaceSelector: isLabel("kubernetes.io/metadata.name", "sandbox-system"),
            podSelector: isLabel("component", "sandbox-manager"),
          },
          { podSelector: isLabel("app.kubernetes.io/name", "lychgate") },
        ],
      },
      {
        ports: ["metrics"],
        from: [
          {
            namespaceSelector: isLabel("kubernetes.io/metadata.name", "monitoring"),
            podSelector: isLabel("app.kubernetes.io/name", "prometheus"),
          },
        ],
      },
    ]);
    expect(named).toEqual(rules?.flatMap(({ ports }) => ports));
  });

  test.each(["deploy/base", "deploy/beside-gateway", "deploy/instead-of-gateway"])(
    "%s: the ServiceMonitor finds the port with the metrics, once",
    (folder) => {
      const file = readFileSync(join(repository, "deploy/prometheus/servicemonitor.yaml"), "utf8");
      const monitor = parse(file) as Manifest;
      const services = build(folder).filter(({ kind }) => kind === "Service");
      const watched = services.filter(({ metadata }) =>
        Object.entries(monitor.spec?.selector?.matchLabels ?? {}).every(
          ([key, value]) => metadata.labels?.[key] === value,
        ),
      );
      const named = watched.flatMap(({ spec }) => spec?.ports?.map(({ name }) => name) ?? []);
      const scraped = monitor.spec?.endpoints?.map(({ port }) => port) ?? ["?"];
      expect(named.filter((name) => scraped.includes(name))).toEqual(["metrics"]);
    },
  );

  test("in the gateway's place it has the gateway's names: Service, ports, labels, readiness", () => {
    const all = build("deploy/instead-of-gateway");
    expect(all.filter(({ kind }) => kind === "Namespace")).toEqual([]);
    const named = all.filter(({ metadata }) => metadata.name === "sandbox-gateway");
    expect(named.map(({ kind }) => kind).sort()).toEqual(["Deployment", "Service"]);
    const [service, deployment] = ["Service", "Deployment"].map((each) =>
      named.find(({ kind }) => kind === each),
    );
    const labels = { "app.kubernetes.io/name": "sandbox-gateway", component: "sandbox-manager" };
    expect(service).toMatchObject({
      metadata: { namespace: "sandbox-system", labels: { "app.kubernetes.io/name": "sandbox-gateway" } },
      spec: { ports: [{ name: "http", port: 7788, targetPort: "http" }] },
    });
    expect(service?.spec?.selector).toEqual({ "app.kubernetes.io/name": "sandbox-gateway" });
    expect(deployment?.spec?.selector?.matchLabels).toEqual(labels);
    const pod = deployment?.spec?.template;
    expect(pod?.metadata.labels).toMatchObject(labels);
    expect(pod?.spec.containers[0]).toMatchObject({
      ports: build("deploy/base").find(({ kind }) => kind === "Deployment")?.spec?.template?.spec
        .containers[0]?.ports,
      readinessProbe: { httpGet: { path: "/readyz", port: "system" } },
    });
    // What has no use but for Lychgate's pods selects none of the gateway's.
    const narrow = all.flatMap(({ kind, metadata, spec }) => {
      if (metadata.name === "lychgate-replicas") return [spec?.selector];
      if (kind === "PodDisruptionBudget") return [spec?.selector?.matchLabels];
      return kind === "NetworkPolicy" ? [spec?.podSelector?.matchLabels] : [];
    });
    expect(narrow).toHaveLength(3);
    for (const selector of narrow) {
      expect(pod?.metadata.labels).toMatchObject(selector ?? { none: "" });
      expect(labels).not.toMatchObject(selector ?? {});
    }
  });

  test.each(["deploy/beside-gateway", "deploy/instead-of-gateway"])(
    "%s: managers and replicas reach port 7946, by UDP and TCP, and nobody else does",
    (folder) => {
      const policy = build(folder).find(({ kind }) => kind === "NetworkPolicy")?.spec;
      const [, system, , memberlist] = policy?.ingress ?? [];
      expect(policy?.ingress).toHaveLength(4);
      expect(memberlist?.ports).toEqual([
        { port: 7946, protocol: "TCP" },
        { port: 7946, protocol: "UDP" },
      ]);
      // Those that may push.
      expect(memberlist?.from).toEqual(system?.from);
      const own = folder === "deploy/beside-gateway" ? "lychgate" : "sandbox-gateway";
      expect(JSON.stringify(system?.from?.[1])).toContain(`"values":["${own}"]`);
    },
  );

  test("the configuration in it is valid", () => {
    const config = build("deploy/base").find(({ kind }) => kind === "ConfigMap");
    const directory = mkdtempSync(join(tmpdir(), "lychgate-deploy-"));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    writeFileSync(join(directory, "lychgate.yaml"), config?.data?.["lychgate.yaml"] ?? "not: there");
    const effective = execFileSync(
      process.execPath,
      [bin, "check-config", join(directory, "lychgate.yaml")],
      {
        encoding: "utf8",
      },
    );
    // It was read: what it prints is what the file says, and the rest are defaults.
    const written = parse(config?.data?.["lychgate.yaml"] ?? "") as object;
    expect(Object.keys(written).length).toBeGreaterThan(0);
    expect(parse(effective)).toMatchObject(written);
  });
});
