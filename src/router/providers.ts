import type { Config } from "../config/schema.ts";
import type { Provider } from "../routes/provider.ts";
import { AGENT_SANDBOX_PROVIDER, agentSandbox } from "../watch/agent-sandbox-projection.ts";
import { openKruiseSandbox } from "../watch/sandbox-projection.ts";
import type { WatchedResource } from "../watch/watched-resource.ts";

/** One CRD whose objects are served, and what the table's namespaces of its objects begin with. */
export interface WatchedProvider {
  readonly provider: Provider;
  readonly resource: WatchedResource;
}

const PROVIDERS: Readonly<Record<Config["resources"][number], WatchedProvider>> = {
  "agents.kruise.io": { provider: "", resource: openKruiseSandbox },
  "agents.x-k8s.io": { provider: AGENT_SANDBOX_PROVIDER, resource: agentSandbox("v1beta1") },
  "agents.x-k8s.io/v1alpha1": { provider: AGENT_SANDBOX_PROVIDER, resource: agentSandbox("v1alpha1") },
};

/** The CRDs that the configuration names (`resources`). */
export function providersOf({ resources }: Config): readonly WatchedProvider[] {
  return resources.map((name) => PROVIDERS[name]);
}
