import { execFile, spawnSync } from "node:child_process";
import { join } from "node:path";
import { findPrograms } from "./programs.ts";
import { startRealCluster } from "./real-cluster.ts";

const programs = findPrograms(["etcd", "kube-apiserver"]);

/** Why there can be no Kubernetes; undefined when there can. */
export const NO_KUBERNETES =
  programs === undefined
    ? "etcd and kube-apiserver are not built, nor in KUBEBUILDER_ASSETS"
    : spawnSync("kubectl", ["version", "--client"]).error
      ? "kubectl is not installed"
      : undefined;

/** What a program did. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Kubernetes' API server with its admission (Pod Security, Priority, ServiceAccount, …) and RBAC. There is no controller and
 * no kubelet: nothing happens but what the test does.
 */
export interface Kubernetes {
  /** Path of an administrator's kubeconfig. */
  readonly kubeconfig: string;
  /** kubectl as administrator. `input` is its stdin. */
  kubectl(args: readonly string[], input?: string): Promise<Outcome>;
  /** The same for what must succeed; resolves to its stdout. */
  run(args: readonly string[], input?: string): Promise<string>;
  /** A request as administrator; any status resolves. The body of a PATCH is a merge patch. */
  call(
    method: "GET" | "POST" | "PATCH" | "DELETE",
    path: string,
    body?: object,
  ): Promise<{ status: number; body: unknown }>;
  /** Path of a kubeconfig for a service account, with a token by TokenRequest, as a pod has it. */
  kubeconfigOf(namespace: string, serviceAccount: string): Promise<string>;
  /** Ends all, and removes what it wrote. */
  stop(): Promise<void>;
}

/** Starts etcd and kube-apiserver on loopback, and installs the CRD of Sandboxes. Throws when {@link NO_KUBERNETES}. */
export async function startKubernetes(): Promise<Kubernetes> {
  if (programs === undefined) throw new Error(NO_KUBERNETES);
  const cluster = await startRealCluster(programs, "kube-apiserver", { admitsServiceAccounts: true });
  const { folder, kubeconfig } = cluster;
  const kubectl: Kubernetes["kubectl"] = (args, input) =>
    new Promise((resolve) => {
      const all = ["--kubeconfig", kubeconfig, "--cache-dir", join(folder, "cache"), ...args];
      const options = { env: { PATH: process.env["PATH"], HOME: folder }, maxBuffer: 2 ** 26 };
      const child = execFile("kubectl", all, options, (error, stdout, stderr) =>
        resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
      );
      child.stdin?.on("error", () => {});
      child.stdin?.end(input ?? "");
    });
  const run: Kubernetes["run"] = async (args, input) => {
    const { code, stdout, stderr } = await kubectl(args, input);
    if (code !== 0) throw new Error(`kubectl ${args.join(" ")}: ${stderr}`);
    return stdout;
  };
  return {
    kubeconfig,
    kubectl,
    run,
    call: (method, path, body) => cluster.client.call(method, path, body),
    async kubeconfigOf(namespace, serviceAccount) {
      const token = (await run(["create", "token", serviceAccount, "-n", namespace])).trim();
      return cluster.writeKubeconfig(`${namespace}-${serviceAccount}`, { token });
    },
    stop: () => cluster.stop(),
  };
}
