import { type Clock, systemClock } from "../system/clock.ts";
import { type ApiCredentials, type ApiTls, type AuthHeaders, CredentialsError } from "./api-credentials.ts";
import { type KubeconfigContext, kubeconfigPaths, readKubeconfigContext } from "./kubeconfig-files.ts";
import { KubeconfigSecrets } from "./kubeconfig-secrets.ts";
import { RenewedFile } from "./renewed-file.ts";
import { serviceAccountCredentials } from "./service-account.ts";

/** Options of {@link loadCredentials}. */
export interface CredentialsOptions {
  /** Path of a kubeconfig. Default: those of `KUBECONFIG`, else `~/.kube/config`, else the pod's service account. */
  readonly kubeconfig?: string | undefined;
  /** The context to use. Default: the kubeconfig's `current-context`. */
  readonly context?: string | undefined;
  /** Where `KUBECONFIG`, `HOME` and `KUBERNETES_SERVICE_…` are read, and what exec plugins get. Default `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Put before the service account's paths, for tests. Default `""`. */
  readonly rootDirectory?: string;
  /** Default: the machine's. */
  readonly clock?: Clock;
}

/**
 * Finds the API server and the right to talk to it, as kubectl would: certificates, tokens, token files, basic auth,
 * impersonation, exec plugins and auth providers of a kubeconfig, or else the service account of the pod. Nothing is sent and
 * nothing is run yet; exec plugins run in `authHeaders`.
 *
 * Before every request the result reads again what changed on disk: token files, certificates, the kubeconfig itself. After a 401
 * it reads everything again. The context and its server stay as they were at the start: a token for another cluster is never sent
 * to this one.
 * @throws {CredentialsError} naming the file and the fix.
 */
export async function loadCredentials(options: CredentialsOptions = {}): Promise<ApiCredentials> {
  const { env = process.env, rootDirectory = "", context, clock = systemClock } = options;
  const files = kubeconfigPaths(options, env);
  if (files.length > 0) {
    return new KubeconfigCredentials(readKubeconfigContext(files, context), { ...options, env, clock });
  }
  const account = serviceAccountCredentials(env, rootDirectory, clock);
  if (context === undefined) return account;
  throw new CredentialsError(
    "context_not_found",
    `there is no kubeconfig, and a service account has no context ${JSON.stringify(context)}; name a kubeconfig`,
  );
}

type KubeconfigOptions = CredentialsOptions & Required<Pick<CredentialsOptions, "env" | "clock">>;

class KubeconfigCredentials implements ApiCredentials {
  readonly server: URL;
  readonly defaultNamespace: string | undefined;
  readonly #options: KubeconfigOptions;
  readonly #contextName: string;
  #files: readonly { readonly file: RenewedFile; readonly bytes: Buffer }[];
  #secrets: KubeconfigSecrets;
  #tls: ApiTls;
  #reload: Promise<AuthHeaders> | undefined;

  constructor(context: KubeconfigContext, options: KubeconfigOptions) {
    this.#options = options;
    this.#contextName = context.name;
    this.server = serverUrl(context);
    this.defaultNamespace = context.namespace;
    this.#files = this.#watched(context.files);
    this.#secrets = new KubeconfigSecrets(context, options);
    this.#tls = { insecureSkipVerify: context.cluster.skipTLSVerify };
  }

  get tls(): ApiTls {
    return this.#tls;
  }

  authHeaders(forceReload: boolean): Promise<AuthHeaders> {
    if (!forceReload) {
      this.#followFiles();
      return this.#read();
    }
    // Every scope gets its 401 at the same moment; the files and the plugin are read once for all.
    this.#reload ??= this.#readAgain().finally(() => (this.#reload = undefined));
    return this.#reload;
  }

  close(): void {
    this.#secrets.close();
  }

  async #readAgain(): Promise<AuthHeaders> {
    const { env } = this.#options;
    const files = kubeconfigPaths(this.#options, env);
    if (files.length === 0)
      throw new CredentialsError("kubeconfig_not_found", "the kubeconfig that was read before is gone");
    this.#open(files);
    return this.#read();
  }

  /** Opens the kubeconfig again if one of its files changed, and stays with what was read before if that fails. */
  #followFiles(): void {
    if (this.#files.every(({ file, bytes }) => file.readOrKeep(() => true) === bytes)) return;
    try {
      this.#open(this.#files.map(({ file }) => file.path));
    } catch (error) {
      // Perhaps not written to its end: it is tried again before the next request.
      if (!(error instanceof CredentialsError)) throw error;
    }
  }

  #open(files: readonly string[]): void {
    // Before the content: what changes in between is seen the next time.
    const watched = this.#watched(files);
    const context = readKubeconfigContext(files, this.#contextName);
    const server = serverUrl(context);
    if (server.href !== this.server.href) {
      throw new CredentialsError(
        "server_changed",
        `${context.from} gives context ${JSON.stringify(context.name)} another server, ${server.origin}; restart to follow it`,
      );
    }
    // New objects also forget the tokens that the old ones cached.
    const secrets = new KubeconfigSecrets(context, this.#options);
    this.#secrets.close();
    this.#secrets = secrets;
    this.#files = watched;
  }

  #watched(files: readonly string[]): readonly { readonly file: RenewedFile; readonly bytes: Buffer }[] {
    return files.map((path) => {
      const file = new RenewedFile(path, this.#options.clock);
      return { file, bytes: file.read(false) };
    });
  }

  async #read(): Promise<AuthHeaders> {
    const { headers, tls } = await this.#secrets.read();
    // The old object unless something changed: a new one means new connections.
    if (!sameTls(tls, this.#tls)) this.#tls = tls;
    return headers;
  }
}

function serverUrl({ cluster, from }: KubeconfigContext): URL {
  const url = URL.canParse(cluster.server) ? new URL(cluster.server) : undefined;
  if (url !== undefined && (url.protocol === "https:" || url.protocol === "http:")) return url;
  throw new CredentialsError(
    "kubeconfig_invalid",
    `${from} gives cluster ${JSON.stringify(cluster.name)} a server that is not an http or https URL: ${JSON.stringify(cluster.server)}`,
  );
}

function sameTls(a: ApiTls, b: ApiTls): boolean {
  return (
    sameBytes(a.ca, b.ca) &&
    sameBytes(a.cert, b.cert) &&
    sameBytes(a.key, b.key) &&
    a.servername === b.servername &&
    a.insecureSkipVerify === b.insecureSkipVerify
  );
}

function sameBytes(a: Buffer | undefined, b: Buffer | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && a.equals(b));
}
