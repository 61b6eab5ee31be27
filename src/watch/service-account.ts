import { readFileSync } from "node:fs";
import { type ApiCredentials, type ApiTls, CredentialsError } from "./api-credentials.ts";
import { fileExists } from "./kubeconfig-files.ts";

const DIRECTORY = "/var/run/secrets/kubernetes.io/serviceaccount";

/**
 * The service account that Kubernetes mounts into every pod: an address in the environment and three files. Read here
 * and not by `@kubernetes/client-node`, since the router mostly runs so, and the library costs 60 MB.
 *
 * The files are read again before every request: the kubelet renews the token while it is still good.
 * @throws {CredentialsError} `not_in_cluster` when there is none.
 * @see https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
 */
export function serviceAccountCredentials(
  env: Readonly<Record<string, string | undefined>>,
  rootDirectory: string,
): ApiCredentials {
  const host = env["KUBERNETES_SERVICE_HOST"];
  const port = env["KUBERNETES_SERVICE_PORT"];
  const directory = rootDirectory + DIRECTORY;
  if (!host || !port || !fileExists(`${directory}/token`)) {
    throw new CredentialsError(
      "not_in_cluster",
      "there is no kubeconfig (neither given, nor in KUBECONFIG, nor ~/.kube/config), and this is no pod with a " +
        "service account; name a kubeconfig",
    );
  }
  const url = `https://${host.includes(":") ? `[${host}]` : host}:${port}`;
  if (!URL.canParse(url)) {
    throw new CredentialsError(
      "not_in_cluster",
      `KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are no address: ${JSON.stringify(url)}`,
    );
  }
  return new ServiceAccount(new URL(url), directory);
}

class ServiceAccount implements ApiCredentials {
  readonly server: URL;
  readonly defaultNamespace: string | undefined;
  readonly #directory: string;
  #tls: ApiTls = { insecureSkipVerify: false };

  constructor(server: URL, directory: string) {
    this.server = server;
    this.#directory = directory;
    const namespace = `${directory}/namespace`;
    this.defaultNamespace = fileExists(namespace) ? readText(namespace) || undefined : undefined;
  }

  get tls(): ApiTls {
    return this.#tls;
  }

  async authHeaders(): Promise<Readonly<Record<string, string>>> {
    const ca = read(`${this.#directory}/ca.crt`);
    // A new object means new connections.
    if (!this.#tls.ca?.equals(ca)) this.#tls = { ca, insecureSkipVerify: false };
    const file = `${this.#directory}/token`;
    const token = readText(file);
    if (token === "")
      throw new CredentialsError("auth_failed", `the service account's token ${file} is empty`);
    return { authorization: `Bearer ${token}` };
  }
}

function readText(file: string): string {
  return read(file).toString().trim();
}

function read(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "unknown error";
    throw new CredentialsError(
      "file_unreadable",
      `${file}, which the credentials name, cannot be read: ${code}`,
      { cause: error },
    );
  }
}
