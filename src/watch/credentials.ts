import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import type { KubeConfig } from "@kubernetes/client-node";
import { type ApiCredentials, type ApiTls, CredentialsError } from "./api-credentials.ts";
import { fileExists, readKubeconfig } from "./kubeconfig-files.ts";
import { serviceAccountCredentials } from "./service-account.ts";

/** Options of {@link loadCredentials}. */
export interface CredentialsOptions {
  /** Path of a kubeconfig. Default: those of `KUBECONFIG`, else `~/.kube/config`, else the pod's service account. */
  readonly kubeconfig?: string | undefined;
  /** The context to use. Default: the kubeconfig's `current-context`. */
  readonly context?: string | undefined;
  /** Where `KUBECONFIG`, `HOME` and `KUBERNETES_SERVICE_…` are read. Default `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Put before the service account's paths, for tests. Default `""`. */
  readonly rootDirectory?: string;
}

/**
 * Finds the API server and the right to talk to it, as kubectl would: certificates, tokens, token files, basic
 * auth, impersonation, exec plugins and auth providers, all by `@kubernetes/client-node`, which is imported here
 * and only when there is a kubeconfig (it costs 60 MB). Nothing is sent; exec plugins run first in `authHeaders`.
 *
 * The result re-reads token files once a minute, and everything from its files after a 401; what a pod's service account
 * says, before every request.
 * @throws {CredentialsError} naming the file and the fix.
 */
export async function loadCredentials(options: CredentialsOptions = {}): Promise<ApiCredentials> {
  const { env = process.env, rootDirectory = "", context } = options;
  if (kubeconfigPaths(options, env).length === 0) {
    const account = serviceAccountCredentials(env, rootDirectory);
    if (context === undefined) return account;
    throw new CredentialsError(
      "context_not_found",
      `there is no kubeconfig, and a service account has no context ${JSON.stringify(context)}; name a kubeconfig`,
    );
  }
  const library = await import("@kubernetes/client-node");
  const load = (): KubeConfig => loadKubeConfig(() => new library.KubeConfig(), options, env);
  return new KubeConfigCredentials(load);
}

/** How client-node's own request preparation hands over what it found. */
interface PreparedOptions {
  headers?: Record<string, unknown>;
  auth?: string;
  ca?: Buffer;
  cert?: Buffer | string;
  key?: Buffer | string;
  servername?: string;
}

class KubeConfigCredentials implements ApiCredentials {
  readonly #load: () => KubeConfig;
  #config: KubeConfig;
  #tls: ApiTls;
  #reload: Promise<Readonly<Record<string, string>>> | undefined;
  readonly server: URL;
  readonly defaultNamespace: string | undefined;

  constructor(load: () => KubeConfig) {
    this.#load = load;
    this.#config = load();
    const cluster = currentCluster(this.#config);
    this.server = serverUrl(cluster, "the kubeconfig");
    this.defaultNamespace = this.#config.getContextObject(this.#config.getCurrentContext())?.namespace;
    this.#tls = { insecureSkipVerify: cluster.skipTLSVerify };
  }

  get tls(): ApiTls {
    return this.#tls;
  }

  authHeaders(forceReload: boolean): Promise<Readonly<Record<string, string>>> {
    if (!forceReload) return this.#read();
    // Every scope gets its 401 at the same moment; the files and the plugin are read once for all.
    this.#reload ??= this.#readAnew().finally(() => (this.#reload = undefined));
    return this.#reload;
  }

  async #readAnew(): Promise<Readonly<Record<string, string>>> {
    // A new object also forgets the tokens that the old one cached.
    this.#config = this.#load();
    return this.#read();
  }

  async #read(): Promise<Readonly<Record<string, string>>> {
    const config = this.#config;
    const prepared: PreparedOptions = {};
    try {
      await config.applyToHTTPSOptions(prepared as Parameters<KubeConfig["applyToHTTPSOptions"]>[0]);
    } catch (error) {
      throw credentialsFailure(config, error);
    }
    this.#keepTls(prepared, currentCluster(config).skipTLSVerify);
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(prepared.headers ?? {})) {
      // A token file usually ends with a newline, which no header may hold.
      if (typeof value === "string") headers[name.toLowerCase()] = value.trim();
    }
    if (prepared.auth !== undefined)
      headers["authorization"] = `Basic ${Buffer.from(prepared.auth).toString("base64")}`;
    return headers;
  }

  /** Keeps the old object unless something changed: a new one means new connections. */
  #keepTls(prepared: PreparedOptions, insecureSkipVerify: boolean): void {
    const { ca, cert, key, servername } = prepared;
    const next: ApiTls = { ca, cert, key, servername, insecureSkipVerify };
    const same =
      sameBytes(next.ca, this.#tls.ca) &&
      sameBytes(next.cert, this.#tls.cert) &&
      sameBytes(next.key, this.#tls.key) &&
      next.servername === this.#tls.servername &&
      next.insecureSkipVerify === this.#tls.insecureSkipVerify;
    if (!same) this.#tls = next;
  }
}

function loadKubeConfig(
  create: () => KubeConfig,
  options: CredentialsOptions,
  env: Readonly<Record<string, string | undefined>>,
): KubeConfig {
  const files = kubeconfigPaths(options, env);
  if (files.length === 0)
    throw new CredentialsError("kubeconfig_not_found", "the kubeconfig that was read before is gone");
  const config = readKubeconfigs(create, files);
  if (options.context !== undefined) {
    if (config.getContextObject(options.context) === null) {
      const known = config.getContexts().map((context) => context.name);
      throw new CredentialsError(
        "context_not_found",
        `the kubeconfig ${files.join(", ")} has no context ${JSON.stringify(options.context)}; it has ${known.join(", ") || "none"}`,
      );
    }
    config.setCurrentContext(options.context);
  }
  return usable(config, files);
}

function kubeconfigPaths(
  options: CredentialsOptions,
  env: Readonly<Record<string, string | undefined>>,
): string[] {
  if (options.kubeconfig !== undefined) {
    if (fileExists(options.kubeconfig)) return [options.kubeconfig];
    throw new CredentialsError("kubeconfig_not_found", `the kubeconfig ${options.kubeconfig} does not exist`);
  }
  const named = (env["KUBECONFIG"] ?? "").split(delimiter).filter((path) => path !== "");
  if (named.length > 0) {
    const existing = named.filter((path) => fileExists(path));
    if (existing.length > 0) return existing;
    throw new CredentialsError(
      "kubeconfig_not_found",
      `KUBECONFIG names ${named.join(", ")}, which does not exist; correct it or unset it`,
    );
  }
  const home = join(env["HOME"] ?? homedir(), ".kube", "config");
  return fileExists(home) ? [home] : [];
}

/** Merged as kubectl does: the first file that defines a name wins, and so does the first current-context. */
function readKubeconfigs(create: () => KubeConfig, files: readonly string[]): KubeConfig {
  const merged = create();
  for (const file of files) {
    const next = readKubeconfig(create(), file);
    if (merged.currentContext === undefined) merged.setCurrentContext(next.currentContext);
    merged.clusters = [
      ...merged.clusters,
      ...next.clusters.filter((c) => merged.getCluster(c.name) === null),
    ];
    merged.users = [...merged.users, ...next.users.filter((u) => merged.getUser(u.name) === null)];
    merged.contexts = [
      ...merged.contexts,
      ...next.contexts.filter((c) => merged.getContextObject(c.name) === null),
    ];
  }
  return merged;
}

/** Repairs what client-node would stumble over, and refuses what would fail later with a worse message. */
function usable(config: KubeConfig, files: readonly string[]): KubeConfig {
  const from = `the kubeconfig ${files.join(", ")}`;
  const name = config.currentContext;
  const context = config.getContextObject(name);
  if (context === null) {
    throw new CredentialsError(
      "context_not_found",
      name === undefined || name === ""
        ? `${from} has no current-context; set one with kubectl config use-context, or name a context`
        : `${from} has no context ${JSON.stringify(name)}, which its current-context names`,
    );
  }
  const cluster = config.getCluster(context.cluster);
  if (cluster === null) {
    throw new CredentialsError(
      "kubeconfig_invalid",
      `${from} has no cluster ${JSON.stringify(context.cluster)}, which its context ${JSON.stringify(context.name)} names`,
    );
  }
  if (context.user !== undefined && context.user !== "" && config.getUser(context.user) === null) {
    throw new CredentialsError(
      "kubeconfig_invalid",
      `${from} has no user ${JSON.stringify(context.user)}, which its context ${JSON.stringify(context.name)} names`,
    );
  }
  if (cluster.proxyUrl) {
    throw new CredentialsError(
      "unsupported",
      `${from} sets proxy-url on cluster ${JSON.stringify(cluster.name)}, which is not supported`,
    );
  }
  const isPlain = serverUrl(cluster, from).protocol === "http:";
  // client-node refuses plain HTTP unless certificate checks are off, although there is no certificate to check;
  // and it skips the cluster's CA when a context has no user.
  const user = config.getCurrentUser() ?? { name: "anonymous" };
  config.loadFromClusterAndUser(isPlain ? { ...cluster, skipTLSVerify: true } : cluster, user);
  const [only] = config.getContexts();
  config.contexts = [
    {
      cluster: cluster.name,
      user: user.name,
      name: only?.name ?? "",
      ...(context.namespace ? { namespace: context.namespace.trim() } : {}),
    },
  ];
  return config;
}

type Cluster = NonNullable<ReturnType<KubeConfig["getCurrentCluster"]>>;

function currentCluster(config: KubeConfig): Cluster {
  const cluster = config.getCurrentCluster();
  if (cluster === null)
    throw new CredentialsError("kubeconfig_invalid", "the current context names no cluster");
  return cluster;
}

function serverUrl(cluster: Cluster, from: string): URL {
  const url = URL.canParse(cluster.server) ? new URL(cluster.server) : undefined;
  if (url !== undefined && (url.protocol === "https:" || url.protocol === "http:")) return url;
  throw new CredentialsError(
    "kubeconfig_invalid",
    `${from} gives cluster ${JSON.stringify(cluster.name)} a server that is not an http or https URL: ${JSON.stringify(cluster.server)}`,
  );
}

/** Without the library's message, which may quote a plugin's output or a file's content. */
function credentialsFailure(config: KubeConfig, error: unknown): CredentialsError {
  const { code, path } = error as { readonly code?: unknown; readonly path?: unknown };
  const user = config.getCurrentUser();
  const exec: unknown = user?.exec ?? user?.authProvider;
  const command = (exec as { readonly command?: unknown } | undefined)?.command;
  if (typeof command === "string") {
    const why = code === "ENOENT" ? "is not installed or not in PATH" : "failed; run it by hand to see why";
    return new CredentialsError("auth_failed", `the credential plugin ${command} of the kubeconfig ${why}`);
  }
  if (typeof code === "string" && typeof path === "string") {
    return new CredentialsError(
      "file_unreadable",
      `${path}, which the credentials name, cannot be read: ${code}`,
    );
  }
  return new CredentialsError(
    "auth_failed",
    `the credentials of user ${JSON.stringify(user?.name ?? "")} cannot be used`,
  );
}

function sameBytes(a: Buffer | string | undefined, b: Buffer | string | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return Buffer.from(a).equals(Buffer.from(b));
}
