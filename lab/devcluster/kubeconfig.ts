import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { stringify } from "yaml";
import { messageOf } from "../../src/system/error-text.ts";

/** What a kubeconfig says. */
export interface KubeconfigOptions {
  /** Base URL of the API. */
  readonly server: string;
  /** Bearer token, when the API asks for one. kubectl itself sends none over plain HTTP. */
  readonly token?: string;
  /** Namespace of the context, used when a command names none. Default `default`. */
  readonly namespace?: string;
}

/** A kubeconfig with one cluster, user and context, all called `lychgate-dev`. */
function kubeconfigText(options: KubeconfigOptions): string {
  const { server, token, namespace = "default" } = options;
  const name = "lychgate-dev";
  return stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name, cluster: { server } }],
    users: [{ name, user: token === undefined ? {} : { token } }],
    contexts: [{ name, context: { cluster: name, user: name, namespace } }],
    "current-context": name,
  });
}

/**
 * Writes a kubeconfig that only its owner may read, and the folder for it when it is missing. Rejects, naming the path,
 * when it can't.
 */
export async function writeKubeconfig(path: string, options: KubeconfigOptions): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, kubeconfigText(options), { mode: 0o600 });
  } catch (error) {
    const reason = messageOf(error);
    throw new Error(`writing the kubeconfig ${path}: ${reason}`, { cause: error });
  }
}
