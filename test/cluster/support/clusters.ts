import { startDevApi } from "./dev-api.ts";
import { findPrograms } from "./programs.ts";
import { startRealCluster } from "./real-cluster.ts";
import type { TestCluster } from "./test-cluster.ts";

/** Undefined unless etcd and the API servers are there (`npm run test:cluster` builds them where Go is). */
const programs = findPrograms(["etcd", "etcdctl", "etcdutl", "apiextensions-apiserver", "kube-apiserver"]);

/** A way to have a cluster. */
export interface ClusterKind {
  readonly name: string;
  /** Real programs are not there: its tests are skipped. */
  readonly isMissing: boolean;
  start(): Promise<TestCluster>;
}

const real = (name: "apiextensions-apiserver" | "kube-apiserver"): ClusterKind => ({
  name: `${name} and etcd`,
  isMissing: programs === undefined,
  start() {
    if (programs === undefined) throw new Error("etcd and the API servers are not built");
    return startRealCluster(programs, name);
  },
});

/** Kubernetes' API server. */
export const kubeApiserver = real("kube-apiserver");

/** What a test of all API servers runs against: what differs is a fault of the dev cluster. */
export const CLUSTERS: readonly ClusterKind[] = [
  { name: "the dev cluster", isMissing: false, start: startDevApi },
  real("apiextensions-apiserver"),
  kubeApiserver,
];
