import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { resolve } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { COMMANDS } from "../../../src/cli/main.ts";
import { parseBackends } from "../../../src/node/anycast/backends-file.ts";
import { podBackend } from "../../../src/node/anycast/pod-backends.ts";
import { parseAnycastSpec } from "../../../src/node/anycast/spec.ts";

// What people paste: the manifests and the examples of the docs.

const root = resolve(import.meta.dirname, "../../..");
const read = (path: string): string => readFileSync(resolve(root, path), "utf8");

interface Manifest {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly annotations?: Record<string, string>;
  };
  readonly [field: string]: unknown;
}

const manifests: readonly Manifest[] = readdirSync(resolve(root, "deploy/anycast"))
  .filter((name) => name.endsWith(".yaml"))
  .flatMap((name) =>
    parseAllDocuments(read(`deploy/anycast/${name}`)).map((document) => document.toJS() as Manifest),
  );
const manifest = (kind: string): Manifest => {
  const found = manifests.find((one) => one.kind === kind);
  if (!found) throw new Error(`no ${kind}`);
  return found;
};

/** Code blocks of the page, by language. */
const blocks = (language: string): readonly string[] =>
  [...read("docs/node/anycast.md").matchAll(/^```(\w+)\n(.*?)^```/gms)].flatMap(([, is, text = ""]) =>
    is === language ? [text] : [],
  );

describe("deploy/anycast", () => {
  test("every file is listed, and every object is in the one namespace", () => {
    const { resources } = manifest("Kustomization") as unknown as { readonly resources: readonly string[] };
    const files = readdirSync(resolve(root, "deploy/anycast")).filter((name) => name.endsWith(".yaml"));
    expect([...resources, "kustomization.yaml"].toSorted()).toEqual(files.toSorted());
    for (const { kind, metadata } of manifests) {
      if (["Kustomization", "Namespace"].includes(kind) || kind.startsWith("Cluster")) continue;
      expect(metadata, kind).toEqual({ name: "lychgate-anycast", namespace: "lychgate-anycast" });
    }
  });

  test("the daemon may list and watch pods, and nothing else", () => {
    expect(manifest("ClusterRole")["rules"]).toEqual([
      { apiGroups: [""], resources: ["pods"], verbs: ["list", "watch"] },
    ]);
  });

  test("it runs the command that there is, with NET_ADMIN alone, and mounts what the spec names", () => {
    const { template } = manifest("DaemonSet")["spec"] as {
      readonly template: { readonly spec: Record<string, unknown> };
    };
    const pod = template.spec as {
      readonly hostNetwork: boolean;
      readonly containers: readonly {
        readonly args: readonly string[];
        readonly securityContext: object;
        readonly volumeMounts: readonly { readonly mountPath: string }[];
        readonly env: readonly object[];
        readonly readinessProbe: { readonly httpGet: { readonly host: string; readonly port: number } };
      }[];
      readonly volumes: readonly { readonly hostPath?: { readonly path: string } }[];
    };
    const [container, guard] = pod.containers;
    expect(COMMANDS.map(({ name }) => name)).toContain(guard?.args.slice(0, 3).join(" "));
    expect(guard?.securityContext).toMatchObject({ capabilities: { drop: ["ALL"] } });
    expect(guard?.volumeMounts).toEqual(container?.volumeMounts);
    expect(pod.hostNetwork).toBe(true);
    expect(COMMANDS.map(({ name }) => name)).toContain(container?.args.slice(0, 3).join(" "));
    expect(container?.securityContext).toMatchObject({ capabilities: { drop: ["ALL"], add: ["NET_ADMIN"] } });
    const config = manifest("ConfigMap")["data"] as Record<string, string>;
    const spec = parseAnycastSpec(config["anycast.yaml"] ?? "", "anycast.yaml");
    const mounted = container?.volumeMounts.map(({ mountPath }) => mountPath) ?? [];
    for (const path of [spec.bird.controlSocket, spec.bird.includeFile, "/etc/lychgate/anycast.yaml"]) {
      expect(mounted).toContain(path.slice(0, path.lastIndexOf("/")));
    }
    const { host, port } = container?.readinessProbe.httpGet ?? {};
    expect(`${host}:${port}`).toBe(spec.listen);
    expect(JSON.stringify(container?.env)).toContain('"name":"NODE_NAME"');
  });
});

const NO_SYSTEMD = spawnSync("systemd-analyze", ["--version"]).error
  ? "systemd-analyze is not installed"
  : "";

test.skipIf(NO_SYSTEMD)(`the units are understood by systemd${NO_SYSTEMD && ` (${NO_SYSTEMD})`}`, () => {
  const folder = mkdtempSync(resolve(tmpdir(), "lychgate-units-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const name of ["lychgate-anycast.service", "lychgate-anycast-guard.service"]) {
    const unit = read(`deploy/anycast/systemd/${name}`);
    for (const [, command = ""] of unit.matchAll(/^Exec\w+=\S+ (node anycast \w+)/gm))
      expect(COMMANDS.map((one) => one.name)).toContain(command);
    const path = resolve(folder, name);
    writeFileSync(path, unit.replaceAll("/usr/local/bin/lychgate", process.execPath));
    expect(spawnSync("systemd-analyze", ["verify", path], { encoding: "utf8" })).toMatchObject({
      status: 0,
      stderr: "",
    });
  }
});

describe("docs/node/anycast.md", () => {
  test("its spec, its pod and its file of backends are taken as they stand", () => {
    const [spec = "", pod = "", backends = ""] = blocks("yaml");
    const { addresses, pods } = parseAnycastSpec(spec, "the page");
    const [{ metadata }] = parseAllDocuments(pod).map((document) => document.toJS() as Manifest) as [
      Manifest,
    ];
    const annotation = metadata.annotations?.[pods?.annotation ?? ""] ?? "";
    const backend = podBackend({
      namespace: "default",
      name: metadata.name,
      uid: "u",
      ips: ["10.1.0.2"],
      ready: true,
      terminating: false,
      annotation,
    });
    expect(backend?.addresses).toEqual(addresses);
    expect(parseBackends(backends, "the page")).toHaveLength(1);
  });

  test("every key of the spec has its row", () => {
    const { pods, ...spec } = parseAnycastSpec("addresses: [192.0.2.1]\npods: {}", "all defaults");
    const keys = ["backendsFile", ...keysOf({ ...spec }), ...keysOf({ pods })];
    const page = read("docs/node/anycast.md");
    for (const key of keys) expect(page).toContain(`\`${key}\``);
  });
});

function keysOf(value: Readonly<Record<string, unknown>>, prefix = ""): readonly string[] {
  return Object.entries(value).flatMap(([key, inner]) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? keysOf(inner as Readonly<Record<string, unknown>>, `${prefix}${key}.`)
      : [`${prefix}${key}`],
  );
}
