/**
 * The API of the dev cluster with many sandboxes of so many bytes each, in a process of its own:
 * `node lab/bench/table-cluster.ts SANDBOXES BYTES KUBECONFIG`. Prints one line of JSON when it serves; ends with its
 * standard input.
 */
import { systemClock } from "../../src/system/clock.ts";
import { ApiServer } from "../devcluster/api-server.ts";
import { writeKubeconfig } from "../devcluster/kubeconfig.ts";
import { jsonOf } from "../devcluster/object-json.ts";
import { ObjectStore } from "../devcluster/object-store.ts";
import { seededRandom } from "../devcluster/random.ts";
import { claimDraft, pooledSandbox } from "../devcluster/sandbox-template.ts";
import type { Sandbox } from "../devcluster/sandbox.ts";
import { idOf, ipOf, nameOf, namespaceOf } from "./table-objects.ts";

/** What the process prints. */
export interface ClusterLine {
  readonly apiUrl: string;
  /** Mean size of a sandbox as JSON. */
  readonly bytesPerSandbox: number;
}

const [sandboxes, bytes] = [Number(process.argv[2]), Number(process.argv[3])];
const kubeconfigPath = process.argv[4];
if (!Number.isInteger(sandboxes) || !Number.isInteger(bytes) || kubeconfigPath === undefined) {
  throw new Error("usage: node lab/bench/table-cluster.ts SANDBOXES BYTES KUBECONFIG");
}

const random = seededRandom(1);
const store = new ObjectStore({ clock: systemClock, random });
const api = await ApiServer.start({ store, clock: systemClock, random });
await writeKubeconfig(kubeconfigPath, { server: api.url });
// What makes an object large is the same for all, so that this process needs gigabytes for none of it.
const bulky = pooledSandbox(
  random,
  { namespace: "default", name: "code" },
  bytes - 1_277,
) as unknown as Sandbox;
let total = 0;
for (let index = 0; index < sandboxes; index++) {
  const namespace = namespaceOf(index);
  const name = nameOf(index);
  const sandbox: Sandbox = {
    ...bulky,
    metadata: { ...bulky.metadata, namespace, name },
    spec: { ...bulky.spec },
  };
  const id = index % 2 === 0 ? idOf(index) : "legacy";
  claimDraft(sandbox, { owner: `user-${index >>> 3}`, id }, random);
  const stored = store.create({
    ...sandbox,
    status: {
      phase: "Running",
      conditions: [{ type: "Ready", status: "True" }],
      podInfo: { podIP: ipOf(index), podUID: crypto.randomUUID() },
    },
  });
  // Made once for all who list, so that not the server's work is measured but the reader's.
  total += jsonOf(stored).length;
}
const line: ClusterLine = { apiUrl: api.url, bytesPerSandbox: total / sandboxes };
process.stdout.write(`${JSON.stringify(line)}\n`);
process.stdin.resume();
process.stdin.once("end", () => void api.stop());
