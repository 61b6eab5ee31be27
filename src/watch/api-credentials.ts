import type { Milliseconds } from "../system/clock.ts";

/** What a TLS connection to the API server needs. Absent fields mean Node's defaults (the public roots). */
export interface ApiTls {
  readonly ca?: Buffer | undefined;
  readonly cert?: Buffer | undefined;
  readonly key?: Buffer | undefined;
  /** When `cert` expires, in milliseconds since the epoch. */
  readonly certExpiresAtMs?: Milliseconds | undefined;
  /** The name that the server's certificate must have, when it is not the URL's host. */
  readonly servername?: string | undefined;
  /** True turns certificate checks off. For development only. */
  readonly insecureSkipVerify: boolean;
}

/** Request headers: secrets, never to be logged. A list is sent as several fields of one name. */
export type AuthHeaders = Readonly<Record<string, string | string[]>>;

/** An API server and the right to talk to it. */
export interface ApiCredentials {
  /** Base URL; its path, if any, stands before every request's. */
  readonly server: URL;
  /** Current TLS material. A new object when it changed, which may happen in {@link authHeaders}. */
  readonly tls: ApiTls;
  /** The namespace that the kubeconfig's context or the service account names. */
  readonly defaultNamespace: string | undefined;
  /**
   * Headers that authenticate one request. Called before every request; `forceReload` (after a 401) reads everything again
   * from its source, plugins included.
   * @throws {CredentialsError} when a file cannot be read or a plugin fails; the message holds no secret.
   */
  authHeaders(forceReload: boolean): Promise<AuthHeaders>;
  /** Ends a plugin that is running: {@link authHeaders} that wait for it fail. */
  close?(): void;
}

/** A closed list of what can be wrong with credentials. */
export type CredentialsErrorCode =
  | "kubeconfig_not_found"
  | "kubeconfig_invalid"
  | "context_not_found"
  | "not_in_cluster"
  | "unsupported"
  | "server_changed"
  | "file_unreadable"
  | "auth_failed";

/** Credentials that cannot be loaded. The message names the file and the fix, and holds no secret. */
export class CredentialsError extends Error {
  override readonly name = "CredentialsError";
  readonly code: CredentialsErrorCode;

  constructor(code: CredentialsErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** An API server that asks for no credentials, such as the dev cluster. */
export function anonymousCredentials(server: URL, defaultNamespace?: string): ApiCredentials {
  const headers = Promise.resolve({});
  return { server, tls: { insecureSkipVerify: false }, defaultNamespace, authHeaders: () => headers };
}
