import { execFile } from "node:child_process";
import type { Outcome } from "./kubernetes.ts";
import { findPrograms } from "./programs.ts";

const programs = findPrograms(["helm"]);

/** Why there can be no Helm; undefined when there can. */
export const NO_HELM = programs === undefined ? "helm is not built" : undefined;

/** Helm with nothing of the person who runs the test. */
export function helm(args: readonly string[], kubeconfig = "/dev/null"): Promise<Outcome> {
  if (programs === undefined) throw new Error(NO_HELM);
  const home = { HOME: "/nonexistent", HELM_CACHE_HOME: "/nonexistent", HELM_CONFIG_HOME: "/nonexistent" };
  const env = { ...home, PATH: process.env["PATH"], HELM_DATA_HOME: "/nonexistent", KUBECONFIG: kubeconfig };
  return new Promise((done) =>
    execFile(programs.helm, args, { env, maxBuffer: 2 ** 26 }, (error, stdout, stderr) =>
      done({ code: error ? Number(error.code) : 0, stdout, stderr }),
    ),
  );
}
