import type { ApiCredentials } from "../../../src/watch/api-credentials.ts";
import type { KubeClient } from "./kube-client.ts";

/** An API server of Sandboxes and the store behind it, that can be killed, started and restored from a backup. */
export interface TestCluster {
  readonly credentials: ApiCredentials;
  /** Path of a kubeconfig for it. */
  readonly kubeconfig: string;
  readonly client: KubeClient;
  /** Ends the API server by SIGKILL. */
  killApi(): Promise<void>;
  /** Starts the API server; resolves when it lists sandboxes. */
  startApi(): Promise<void>;
  /** Ends the store by SIGKILL. */
  killStore(): Promise<void>;
  startStore(): Promise<void>;
  /** Of the store, which must run. */
  backup(): Promise<Backup>;
  /** Store and API server must be down. `bumpRevision`: see etcdutl's flag, with `--mark-compacted`. */
  restore(backup: Backup, options?: { readonly bumpRevision?: number }): Promise<void>;
  /** Ends everything, and removes what it wrote. */
  stop(): Promise<void>;
}

/** How a {@link TestCluster} is started. */
export interface ClusterOptions {
  /** The feature gate `WatchList`. Default true, as in Kubernetes 1.35. */
  readonly watchList?: boolean;
}

/** What {@link TestCluster.backup} made; only the cluster that made it can read it. */
export type Backup = { readonly made: unknown };

/** The namespaces that exist in every test cluster. */
export const NAMESPACES = ["team-a", "team-b"] as const;
