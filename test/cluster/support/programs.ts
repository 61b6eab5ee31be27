import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";

/** Kubernetes as it is built here: that of kubernetes/go.mod. */
const KUBERNETES = "1.35.4";

/** Where built programs stay, for all runs and checkouts. */
const cache = (): string => process.env["LYCHGATE_TEST_PROGRAMS"] ?? "/var/cache/lychgate/programs";

/** Version numbers that Kubernetes' own build puts in (hack/lib/version.sh); without them features are gated as in 0.0. */
const [MAJOR, MINOR] = KUBERNETES.split(".");
const COMPONENT_BASE = "-X k8s.io/component-base/version";
const KUBERNETES_LDFLAGS = `-s -w ${COMPONENT_BASE}.gitVersion=v${KUBERNETES} ${COMPONENT_BASE}.gitMajor=${MAJOR} ${COMPONENT_BASE}.gitMinor=${MINOR}`;

/** The packages that are built, each in the module that fixes what goes into it (go.mod, go.sum and tools.go in a folder beside this file). */
const SOURCES = {
  etcd: { module: "etcd", package: "go.etcd.io/etcd/server/v3", ldflags: "-s -w" },
  etcdctl: { module: "etcd", package: "go.etcd.io/etcd/etcdctl/v3", ldflags: "-s -w" },
  etcdutl: { module: "etcd", package: "go.etcd.io/etcd/etcdutl/v3", ldflags: "-s -w" },
  "apiextensions-apiserver": {
    module: "kubernetes",
    package: "k8s.io/apiextensions-apiserver",
    ldflags: "-s -w",
  },
  "kube-apiserver": {
    module: "kubernetes",
    package: "k8s.io/kubernetes/cmd/kube-apiserver",
    ldflags: KUBERNETES_LDFLAGS,
  },
  h2spec: { module: "h2spec", package: "github.com/summerwind/h2spec/cmd/h2spec", ldflags: "-s -w" },
  helm: { module: "helm", package: "helm.sh/helm/v3/cmd/helm", ldflags: "-s -w" },
} as const;

/** A program that is built from its Go module. */
export type ProgramName = keyof typeof SOURCES;

const NAMES = Object.keys(SOURCES) as readonly ProgramName[];

/** The file of each program. */
export type Programs<Name extends ProgramName = ProgramName> = Readonly<Record<Name, string>>;

/**
 * Finds all of `names`; undefined when one of them is neither built ({@link buildPrograms}) nor in the folder that
 * `KUBEBUILDER_ASSETS` names, as envtest fills it (etcd, kube-apiserver).
 */
export function findPrograms<Name extends ProgramName>(names: readonly Name[]): Programs<Name> | undefined {
  const files = names.map((name) => [name, fileOf(name)] as const);
  return files.every(([, file]) => existsSync(file))
    ? (Object.fromEntries(files) as Programs<Name>)
    : undefined;
}

/** Builds what is missing, once for each version of its sources. Without Go it says so and builds nothing. */
export function buildPrograms(tell: (line: string) => void): void {
  const missing = NAMES.filter((name) => !existsSync(fileOf(name)));
  if (missing.length === 0) {
    tell(`${NAMES.join(", ")} are in ${cache()}`);
    return;
  }
  if (spawnSync("go", ["version"]).status !== 0) {
    tell(
      `go is not installed: ${missing.join(", ")} can't be built, and the tests that need them are skipped`,
    );
    return;
  }
  for (const name of missing) {
    const startedMs = performance.now();
    build(name);
    tell(`${name}: built in ${Math.round((performance.now() - startedMs) / 1_000)} s`);
  }
}

function fileOf(name: ProgramName): string {
  const assets = process.env["KUBEBUILDER_ASSETS"];
  const asset = assets ? join(assets, name) : "";
  return asset !== "" && existsSync(asset) ? asset : join(cache(), `${name}-${versionOf(name)}`);
}

/** Of all that decides what comes out. */
function versionOf(name: ProgramName): string {
  const { module, package: path, ldflags } = SOURCES[name];
  const hash = createHash("sha256").update(`${path} ${ldflags} ${process.arch}`);
  for (const file of ["go.mod", "go.sum"]) hash.update(readFileSync(join(import.meta.dirname, module, file)));
  return hash.digest("hex").slice(0, 12);
}

function build(name: ProgramName): void {
  const { module, package: path, ldflags } = SOURCES[name];
  const file = fileOf(name);
  mkdirSync(dirname(file), { recursive: true });
  const draft = mkdtempSync(`${file}.`);
  try {
    execFileSync("go", ["build", "-trimpath", "-ldflags", ldflags, "-o", join(draft, name), path], {
      cwd: join(import.meta.dirname, module),
      env: { ...process.env, GOFLAGS: "-mod=readonly" },
      stdio: ["ignore", "inherit", "inherit"],
    });
    // Whole or not at all: another run may look for it meanwhile.
    renameSync(join(draft, name), file);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}
