import type { KubeconfigUser } from "./kubeconfig-files.ts";
import { CredentialsError } from "./api-credentials.ts";
import { objectOrEmpty, stringOrEmpty } from "./json-fields.ts";

/**
 * The `auth-provider` of a kubeconfig's user: what came before exec plugins, and what Kubernetes 1.26 left only `oidc` of.
 * By `@kubernetes/client-node`, each provider imported only where a kubeconfig names it: `oidc` costs 80 MB, since it
 * brings the package's whole API.
 */
export interface AuthProvider {
  /**
   * The value of the Authorization header.
   * @throws {CredentialsError} `auth_failed`; the message holds no secret.
   */
  authorization(): Promise<string>;
}

type ProviderClass = new () => {
  applyAuthentication(user: KubeconfigUser, options: { headers: Record<string, string> }): Promise<void>;
};

const CLASSES: Readonly<Record<string, () => Promise<ProviderClass>>> = {
  oidc: async () => (await import("@kubernetes/client-node/dist/oidc_auth.js")).OpenIDConnectAuth,
  gcp: async () => (await import("@kubernetes/client-node/dist/gcp_auth.js")).GoogleCloudPlatformAuth,
  azure: async () => (await import("@kubernetes/client-node/dist/azure_auth.js")).AzureAuth,
};

/** @throws {CredentialsError} `unsupported` for a provider that is not known. */
export async function openAuthProvider(user: KubeconfigUser): Promise<AuthProvider> {
  const name = stringOrEmpty(objectOrEmpty(user.authProvider)["name"]);
  const load = Object.hasOwn(CLASSES, name) ? CLASSES[name] : undefined;
  const of = `the auth-provider ${JSON.stringify(name)} of user ${JSON.stringify(user.name)}`;
  if (load === undefined) {
    throw new CredentialsError(
      "unsupported",
      `${of} is not known; it is one of ${Object.keys(CLASSES).join(", ")}, or use an exec plugin`,
    );
  }
  const provider = new (await load())();
  return {
    async authorization() {
      const headers: Record<string, string> = {};
      try {
        await provider.applyAuthentication(user, { headers });
      } catch {
        // Not the cause: it may quote what the identity provider or a command said.
        throw new CredentialsError("auth_failed", `${of} failed to renew its token`);
      }
      const authorization = headers["Authorization"];
      if (authorization === undefined) throw new CredentialsError("auth_failed", `${of} gives no token`);
      return authorization;
    },
  };
}
