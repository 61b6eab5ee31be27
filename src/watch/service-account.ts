import type { Clock } from "../system/clock.ts";
import { type ApiCredentials, type ApiTls, type AuthHeaders, CredentialsError } from "./api-credentials.ts";
import { fileExists } from "./kubeconfig-files.ts";
import { RenewedFile, TokenFile } from "./renewed-file.ts";

const DIRECTORY = "/var/run/secrets/kubernetes.io/serviceaccount";

/**
 * The service account that Kubernetes mounts into every pod: an address in the environment and three files. Read here and
 * not by `@kubernetes/client-node`, whose reader costs 80 MB.
 *
 * Before every request the token and the CA are read again if they changed, and at least once a minute: the kubelet renews the
 * token when 80 % of its life are over.
 * @throws {CredentialsError} `not_in_cluster` when there is none.
 * @see https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
 */
export function serviceAccountCredentials(
  env: Readonly<Record<string, string | undefined>>,
  rootDirectory: string,
  clock: Clock,
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
  return new ServiceAccount(new URL(url), directory, clock);
}

class ServiceAccount implements ApiCredentials {
  readonly server: URL;
  readonly defaultNamespace: string | undefined;
  readonly #ca: RenewedFile;
  readonly #token: TokenFile;
  #tls: ApiTls = { insecureSkipVerify: false };

  constructor(server: URL, directory: string, clock: Clock) {
    this.server = server;
    this.#ca = new RenewedFile(`${directory}/ca.crt`, clock);
    this.#token = new TokenFile(`${directory}/token`, clock);
    const namespace = `${directory}/namespace`;
    this.defaultNamespace = fileExists(namespace)
      ? new RenewedFile(namespace, clock).read(false).toString().trim() || undefined
      : undefined;
  }

  get tls(): ApiTls {
    return this.#tls;
  }

  async authHeaders(forceReload: boolean): Promise<AuthHeaders> {
    const ca = forceReload ? this.#ca.read(true) : this.#ca.readOrKeep((bytes) => bytes.length > 0);
    // A new object means new connections.
    if (this.#tls.ca !== ca) this.#tls = { ca, insecureSkipVerify: false };
    return { authorization: `Bearer ${this.#token.read(forceReload)}` };
  }
}
