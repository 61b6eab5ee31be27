import { startDevApi } from "./dev-api.ts";
import { findPrograms } from "./programs.ts";
import { startRealCluster } from "./real-cluster.ts";
import type { ClusterOptions, TestCluster } from "./test-cluster.ts";

/** Undefined unless etcd and the API servers are there (`npm run test:cluster` builds them where Go is). */
const programs = findPrograms(["etcd", "etcdctl", "etcdutl", "apiextensions-apiserver", "kube-apiserver"]);

/** A way to have a cluster. */
export interface ClusterKind {
  readonly name: string;
  /** Real programs are not there: its tests are skipped. */
  readonly isMissing: boolean;
  start(): Promise<TestCluster>;
}

const real = (
  name: "apiextensions-apiserver" | "kube-apiserver",
  options: ClusterOptions = {},
): ClusterKind => ({
  name: `${name} and etcd`,
  isMissing: programs === undefined,
  start() {
    if (programs === undefined) throw new Error("etcd and the API servers are not built");
    return startRealCluster(programs, name, options);
  },
});

/** Kubernetes' API server. */
export const kubeApiserver = real("kube-apiserver");

/** What a test of all API servers runs against: what differs is a fault of the dev cluster. */
export const CLUSTERS: readonly ClusterKind[] = [
  { name: "the dev cluster", isMissing: false, start: () => startDevApi() },
  real("apiextensions-apiserver"),
  kubeApiserver,
];

/** Those that refuse to stream lists, as Kubernetes 1.27 to 1.31 and 1.33 do by default. */
export const WITHOUT_WATCH_LIST: readonly ClusterKind[] = [
  { name: "the dev cluster", isMissing: false, start: () => startDevApi({ watchList: false }) },
  real("apiextensions-apiserver", { watchList: false }),
  real("kube-apiserver", { watchList: false }),
];
