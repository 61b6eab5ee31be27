import { execFile, execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Outcome } from "./kubernetes.ts";

/** The module that fixes what Helm is built from. */
const SOURCES = resolve(import.meta.dirname, "helm");
/** Where built programs stay, for all runs and checkouts. */
const CACHE = process.env["LYCHGATE_TEST_PROGRAMS"] ?? "/var/cache/lychgate/programs";

/** Why there can be no Helm; undefined when there can. */
export const NO_HELM =
  existsSync(fileOfHelm()) || spawnSync("go", ["version"]).status === 0
    ? undefined
    : "neither helm nor go is there";

/** Builds Helm, once for each version of its sources: some minutes. Returns its path. */
export function buildHelm(): string {
  const file = fileOfHelm();
  if (existsSync(file)) return file;
  mkdirSync(CACHE, { recursive: true });
  const draft = mkdtempSync(`${file}.`);
  try {
    const made = join(draft, "helm");
    const flags = ["-trimpath", "-ldflags", "-s -w"];
    execFileSync("go", ["build", ...flags, "-o", made, "helm.sh/helm/v3/cmd/helm"], {
      cwd: SOURCES,
      stdio: "pipe",
    });
    // Whole or not at all: another run may look for it meanwhile.
    renameSync(made, file);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  return file;
}

/** Helm with nothing of the person who runs the test. */
export function helm(args: readonly string[], kubeconfig = "/dev/null"): Promise<Outcome> {
  const home = { HOME: "/nonexistent", HELM_CACHE_HOME: "/nonexistent", HELM_CONFIG_HOME: "/nonexistent" };
  const env = { ...home, PATH: process.env["PATH"], HELM_DATA_HOME: "/nonexistent", KUBECONFIG: kubeconfig };
  return new Promise((done) =>
    execFile(fileOfHelm(), args, { env, maxBuffer: 2 ** 26 }, (error, stdout, stderr) =>
      done({ code: error ? Number(error.code) : 0, stdout, stderr }),
    ),
  );
}

function fileOfHelm(): string {
  const hash = createHash("sha256").update(process.arch);
  for (const name of ["go.mod", "go.sum"]) hash.update(readFileSync(join(SOURCES, name)));
  return join(CACHE, `helm-${hash.digest("hex").slice(0, 12)}`);
}
