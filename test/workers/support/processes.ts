import { readFileSync } from "node:fs";
import { Agent, createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { metricOf, type RouterProcess, startRouterProcess } from "../../support/router-process.ts";

/** A router of several processes, as a user runs it, and a pod. */
export interface WorkersUnderTest {
  readonly router: RouterProcess;
  /** Requests that the pod has not answered yet. */
  podBusy(): number;
  /** Process IDs of the workers, oldest first. */
  pids(): number[];
  /** Pushes a route to the pod (or elsewhere); rejects unless it is taken. */
  push(id: string, version: number, fields?: object): Promise<void>;
  /** Asks for a sandbox on a connection of its own, or on `agent`'s. */
  ask(id: string, path?: string, agent?: Agent): Promise<Answer>;
  metric(name: string, labels?: string): Promise<number>;
  stop(): Promise<void>;
}

export interface Answer {
  readonly status: number;
  readonly reason: string | undefined;
  readonly body: string;
}

/** Answers on all of 127.0.0.0/8, after as many milliseconds as the path says. */
function startPod(): Promise<{ readonly pod: Server; busy(): number }> {
  let busy = 0;
  const pod = createServer((incoming, response) => {
    busy++;
    response.once("close", () => busy--);
    const waitMs = Number(/\d+/.exec(incoming.url ?? "")?.[0] ?? 0);
    setTimeout(() => response.end("from the pod"), waitMs);
  });
  return new Promise((resolve) => {
    pod.listen(0, "0.0.0.0", () => resolve({ pod, busy: () => busy }));
  });
}

export async function startWorkers(workers: number, args: readonly string[] = []): Promise<WorkersUnderTest> {
  const { pod, busy } = await startPod();
  const podPort = (pod.address() as AddressInfo).port;
  const own = `--workers ${workers} --source none --access-log off --drain-delay-ms 0 --drain-timeout-ms 60000`;
  const router = await startRouterProcess([...own.split(" "), ...args]);
  const { pid = 0 } = router.process;
  return {
    router,
    podBusy: busy,
    pids: () => childrenOf(pid),
    async push(id, version, fields = {}) {
      const route = {
        id,
        namespace: "ns",
        name: id,
        uid: `uid-${id}`,
        owner: "",
        ip: "127.0.0.1",
        state: "running",
      };
      const { status } = await fetch(`http://${router.peers}/refresh`, {
        method: "POST",
        body: JSON.stringify({ ...route, resourceVersion: String(version), ...fields }),
      });
      if (status !== 204) throw new Error(`the push was answered with ${status}`);
    },
    ask: (id, path, agent) => askAt(router.traffic, `${podPort}-${id}.example.com`, path, agent),
    metric: async (name, labels) =>
      metricOf(await (await fetch(`http://${router.admin}/metrics`)).text(), name, labels),
    async stop() {
      router.kill("SIGKILL");
      await router.exited;
      pod.closeAllConnections();
      pod.close();
    },
  };
}

/** One request; each on its own connection unless there is an agent. */
export function askAt(traffic: string, host: string, path = "/", agent?: Agent): Promise<Answer> {
  const own = agent ?? new Agent({ keepAlive: false });
  return new Promise((resolve, reject) => {
    const asked = request(`http://${traffic}${path}`, { agent: own, headers: { host } }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (text: string) => (body += text));
      response.on("error", reject);
      response.on("end", () => {
        const reason = response.headers["x-lychgate-reason"];
        resolve({
          status: response.statusCode ?? 0,
          reason: typeof reason === "string" ? reason : undefined,
          body,
        });
      });
    });
    asked.on("error", reject);
    asked.end();
  });
}

/** Process IDs of the children of a process. */
export function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
    return text
      .split(" ")
      .filter(Boolean)
      .map(Number)
      .sort((a, b) => a - b);
  } catch {
    return [];
  }
}

/** Zombies, which nobody has waited for, are not alive. */
export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
