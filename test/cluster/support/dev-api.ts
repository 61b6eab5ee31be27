import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ApiServer } from "../../../lab/devcluster/api-server.ts";
import { writeKubeconfig } from "../../../lab/devcluster/kubeconfig.ts";
import { ObjectStore, type SavedStore } from "../../../lab/devcluster/object-store.ts";
import { seededRandom } from "../../../lab/devcluster/random.ts";
import { systemClock } from "../../../src/system/clock.ts";
import { anonymousCredentials } from "../../../src/watch/api-credentials.ts";
import { KubeClient } from "./kube-client.ts";
import type { ClusterOptions, TestCluster } from "./test-cluster.ts";

/** The dev cluster's store and API, with no controller: nothing happens but what the test does. */
export async function startDevApi({ watchList = true }: ClusterOptions = {}): Promise<TestCluster> {
  const store = new ObjectStore({ clock: systemClock, random: seededRandom(1) });
  const api = await ApiServer.start({ store, clock: systemClock, random: seededRandom(2), watchList });
  const folder = await mkdtemp(join(tmpdir(), "lychgate-dev-api-"));
  const kubeconfig = join(folder, "kubeconfig");
  await writeKubeconfig(kubeconfig, { server: api.url });
  const credentials = anonymousCredentials(new URL(api.url));
  const client = new KubeClient(credentials);
  return {
    credentials,
    kubeconfig,
    client,
    killApi: () => api.setOutage("refuse"),
    async startApi() {
      // An API server's watch cache begins at its start.
      store.compact();
      await api.setOutage("none");
    },
    // The API server's memory is the store.
    killStore: () => Promise.resolve(),
    startStore: () => Promise.resolve(),
    backup: () => Promise.resolve({ made: store.save() }),
    restore(backup, { bumpRevision = 0 } = {}) {
      store.restore(backup.made as SavedStore, { bumpRevision: BigInt(bumpRevision) });
      return Promise.resolve();
    },
    async stop() {
      await client.close();
      await api.stop();
      await rm(folder, { recursive: true });
    },
  };
}
