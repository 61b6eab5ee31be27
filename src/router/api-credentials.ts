import type { Config } from "../config/schema.ts";
import { type ApiCredentials, anonymousCredentials } from "../watch/api-credentials.ts";

/** Credentials for the API server: none for `apiServer`, else what the configuration names. Rejects when there are none. */
export async function apiCredentialsOf(
  config: Config,
  { apiServer }: { readonly apiServer?: URL | undefined },
): Promise<ApiCredentials> {
  if (apiServer) return anonymousCredentials(apiServer);
  const { loadCredentials } = await import("../watch/credentials.ts");
  return loadCredentials({
    ...(config.kubeconfig && { kubeconfig: config.kubeconfig }),
    ...(config.context && { context: config.context }),
  });
}
