import type { Clock } from "../system/clock.ts";
import { type ApiTls, type AuthHeaders, CredentialsError } from "./api-credentials.ts";
import { type AuthProvider, openAuthProvider } from "./auth-provider.ts";
import { type ClientCertificate, clientCertificate } from "./client-certificate.ts";
import { type ExecCluster, ExecPlugin, parseExecConfig } from "./exec-plugin.ts";
import type { KubeconfigCluster, KubeconfigContext, KubeconfigUser } from "./kubeconfig-files.ts";
import { RenewedFile, TokenFile } from "./renewed-file.ts";

/** What one request to the API server needs. */
export interface RequestSecrets {
  readonly headers: AuthHeaders;
  readonly tls: ApiTls;
}

/**
 * The secrets that one context of a kubeconfig names, read when a request needs them and as fresh as their source: files that
 * change on disk, an exec plugin's credential until it expires.
 */
export class KubeconfigSecrets {
  readonly #context: KubeconfigContext;
  readonly #ca: PemSource | undefined;
  readonly #pair: CertificatePair | undefined;
  readonly #tokenFile: TokenFile | undefined;
  readonly #plugin: ExecPlugin | undefined;
  #provider: Promise<AuthProvider> | undefined;

  /** @throws {CredentialsError} for what can't be used, whatever the files hold. */
  constructor(
    context: KubeconfigContext,
    options: { readonly clock: Clock; readonly env: Readonly<Record<string, string | undefined>> },
  ) {
    const { cluster, user } = context;
    const { clock, env } = options;
    this.#context = context;
    this.#ca = pemSource(cluster.caData, cluster.caFile, clock);
    if (user === undefined) return;
    const who = `user ${JSON.stringify(user.name)} of ${context.from}`;
    requireImpersonatedUser(user, who);
    this.#pair = certificatePair(user, who, clock);
    if (user.tokenFile !== undefined) this.#tokenFile = new TokenFile(user.tokenFile, clock);
    if (user.exec) {
      const config = parseExecConfig(user.exec, who, user.directory);
      this.#plugin = new ExecPlugin({ config, cluster: () => this.#execCluster(cluster), env, clock });
    }
  }

  /** @throws {CredentialsError} when a file cannot be read or a plugin fails; the message holds no secret. */
  async read(): Promise<RequestSecrets> {
    const { cluster, user } = this.#context;
    const headers: Record<string, string | string[]> = {};
    const authorization = user === undefined ? undefined : await this.#authorization(user);
    if (authorization !== undefined) headers["authorization"] = authorization;
    if (user !== undefined) impersonate(user, headers);
    const pair = this.#pair?.read() ?? (await this.#plugin?.credential())?.certificate;
    const tls: ApiTls = {
      ca: this.#ca?.read(),
      cert: pair?.cert,
      key: pair?.key,
      certExpiresAtMs: pair?.expiresAtMs,
      servername: cluster.tlsServerName || undefined,
      insecureSkipVerify: cluster.skipTLSVerify,
    };
    return { headers, tls };
  }

  /** Ends a plugin that is running. */
  close(): void {
    this.#plugin?.stop();
  }

  async #authorization(user: KubeconfigUser): Promise<string | undefined> {
    if (user.username) {
      const pair = Buffer.from(`${user.username}:${user.password ?? ""}`);
      return `Basic ${pair.toString("base64")}`;
    }
    if (this.#tokenFile !== undefined) return `Bearer ${this.#tokenFile.read(false)}`;
    if (user.token) return `Bearer ${user.token.trim()}`;
    if (this.#plugin !== undefined) {
      const { token } = await this.#plugin.credential();
      return token === undefined ? undefined : `Bearer ${token}`;
    }
    if (!user.authProvider) return undefined;
    this.#provider ??= openAuthProvider(user);
    return (await this.#provider).authorization();
  }

  /** As `spec.cluster` of an ExecCredential (client.authentication.k8s.io/v1). */
  #execCluster(cluster: KubeconfigCluster): ExecCluster {
    const ca = this.#ca?.read();
    return {
      server: cluster.server,
      ...(cluster.tlsServerName ? { "tls-server-name": cluster.tlsServerName } : {}),
      ...(cluster.skipTLSVerify ? { "insecure-skip-tls-verify": true } : {}),
      ...(ca === undefined ? {} : { "certificate-authority-data": ca.toString("base64") }),
      config: cluster.execConfig ?? null,
    };
  }
}

/** @see https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation */
function impersonate(user: KubeconfigUser, headers: Record<string, string | string[]>): void {
  if (!user.impersonateUser) return;
  headers["impersonate-user"] = user.impersonateUser;
  if (user.impersonateUid !== undefined) headers["impersonate-uid"] = user.impersonateUid;
  if (user.impersonateGroups.length > 0) headers["impersonate-group"] = [...user.impersonateGroups];
  for (const [key, values] of Object.entries(user.impersonateExtra)) {
    if (values.length > 0)
      headers[`impersonate-extra-${encodeURIComponent(key.toLowerCase())}`] = [...values];
  }
}

/** Without it the server would refuse the request, or a proxy act with the router's own rights. */
function requireImpersonatedUser(user: KubeconfigUser, who: string): void {
  const { impersonateUser, impersonateUid, impersonateGroups, impersonateExtra } = user;
  const hasMore =
    impersonateUid !== undefined || impersonateGroups.length > 0 || Object.keys(impersonateExtra).length > 0;
  if (impersonateUser || !hasMore) return;
  throw new CredentialsError(
    "kubeconfig_invalid",
    `${who} has as-uid, as-groups or as-user-extra but no as; add as`,
  );
}

interface PemSource {
  read(): Buffer;
}

/** Of one item given as data (base64) or as a file; data wins, as in kubectl. */
function pemSource(data: string | undefined, file: string | undefined, clock: Clock): PemSource | undefined {
  if (data) {
    const bytes = Buffer.from(data, "base64");
    return { read: () => bytes };
  }
  if (!file) return undefined;
  const renewed = new RenewedFile(file, clock);
  return { read: () => renewed.readOrKeep((bytes) => bytes.length > 0) };
}

function certificatePair(user: KubeconfigUser, who: string, clock: Clock): CertificatePair | undefined {
  const cert = pemSource(user.certData, user.certFile, clock);
  const key = pemSource(user.keyData, user.keyFile, clock);
  if (cert !== undefined && key !== undefined) return new CertificatePair(who, cert, key);
  if (cert === undefined && key === undefined) return undefined;
  const [given, missing] = cert === undefined ? ["key", "certificate"] : ["certificate", "key"];
  throw new CredentialsError("kubeconfig_invalid", `${who} has a client-${given} but no client-${missing}`);
}

/** A client certificate and its key, which may be renewed on disk. */
class CertificatePair {
  readonly #who: string;
  readonly #cert: PemSource;
  readonly #key: PemSource;
  #last: ClientCertificate | undefined;

  constructor(who: string, cert: PemSource, key: PemSource) {
    this.#who = who;
    this.#cert = cert;
    this.#key = key;
  }

  /** The newest pair that fits together: while the two files are being replaced, the one before. */
  read(): ClientCertificate {
    const cert = this.#cert.read();
    const key = this.#key.read();
    if (this.#last?.cert === cert && this.#last.key === key) return this.#last;
    try {
      this.#last = clientCertificate(cert, key);
    } catch (error) {
      if (this.#last === undefined) {
        throw new CredentialsError(
          "auth_failed",
          `the credentials of ${this.#who} cannot be used: ${(error as Error).message}`,
        );
      }
    }
    return this.#last;
  }
}
