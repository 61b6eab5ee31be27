import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { type Clock, systemClock } from "../../../src/system/clock.ts";
import { startDevCluster } from "../../../lab/devcluster/cluster.ts";
import { eventually } from "../../support/eventually.ts";
import { openWatch, sandboxPath } from "./support.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lychgate-cluster-"));
});
afterAll(() => rm(folder, { recursive: true }));

describe("a dev cluster", () => {
  it("leaves a process that can end by itself: no socket, pod or timer stays", async () => {
    const module = fileURLToPath(new URL("../../../lab/devcluster/cluster.ts", import.meta.url));
    const script = `
      import { startDevCluster } from ${JSON.stringify(module)};
      const cluster = await startDevCluster({
        pods: { firstIp: "127.71.4.1" },
        churn: { actionsPerSecond: 100 },
        push: { peers: ["http://127.0.0.1:1"], faults: { late: 0.5, twice: 0.5, lateMs: 600000 } },
      });
      await cluster.claim();
      const watch = await fetch(cluster.apiUrl + "/apis/agents.kruise.io/v1alpha1/sandboxes?watch=true&allowWatchBookmarks=true");
      watch.body.getReader().read().catch(() => {});
      await Promise.all([cluster.stop(), cluster.stop()]);
      process.stdout.write("stopped");
    `;
    const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (chunk) => (output += chunk));
    const timer = setTimeout(() => child.kill("SIGKILL"), 60_000);
    const [code] = await once(child, "exit");
    clearTimeout(timer);
    expect([code, output]).toEqual([0, "stopped"]);
  });

  it("leaves no timer", async () => {
    const pending = new Set<object>();
    const clock: Clock = {
      ...systemClock,
      setTimeout: (callback, delayMs) => {
        const id = {};
        pending.add(id);
        const timer = systemClock.setTimeout(() => {
          pending.delete(id);
          callback();
        }, delayMs);
        return {
          clear: () => {
            pending.delete(id);
            timer.clear();
          },
        };
      },
    };
    const cluster = await startDevCluster({
      clock,
      pods: { firstIp: "127.71.4.50" },
      churn: { actionsPerSecond: 10 },
      push: { peers: ["http://127.0.0.1:1"], faults: { late: 1, lateMs: 600_000 } },
    });
    const { namespace } = (await cluster.claim({ shutdownAtMs: Date.now() + 600_000 })).metadata;
    const watch = await openWatch(cluster.api, "allowWatchBookmarks=true", {}, sandboxPath(namespace));
    const claims = Promise.allSettled(Array.from({ length: 5 }, () => cluster.claim()));
    expect(pending.size).toBeGreaterThan(3);
    await cluster.stop();
    await claims;
    await eventually(() => watch.broken && pending.size === 0);
  });

  it("writes a kubeconfig for its owner only", async () => {
    const kubeconfigPath = join(folder, "new", "kubeconfig");
    const cluster = await startDevCluster({ kubeconfigPath, pools: [], api: { token: "t0ken" } });
    await cluster.stop();
    expect((await stat(kubeconfigPath)).mode & 0o777).toBe(0o600);
    const config = parse(await readFile(kubeconfigPath, "utf8"));
    expect(config.clusters[0].cluster.server).toBe(cluster.apiUrl);
    expect(config.users[0].user).toEqual({ token: "t0ken" });
    expect(config["current-context"]).toBe(config.contexts[0].name);
  });

  it("starts nothing when it can't write the kubeconfig or take the address", async () => {
    await expect(startDevCluster({ kubeconfigPath: "/dev/null/x", pools: [] })).rejects.toMatchObject({
      message: expect.stringContaining("writing the kubeconfig /dev/null/x") as string,
    });
    const first = await startDevCluster({ pools: [] });
    const port = Number(new URL(first.apiUrl).port);
    await expect(startDevCluster({ pools: [], api: { port } })).rejects.toMatchObject({ code: "EADDRINUSE" });
    await first.stop();
  });

  it("makes the same choices from the same seed", async () => {
    const namesOf = async (seed: number): Promise<string[]> => {
      const cluster = await startDevCluster({ seed, pods: { firstIp: "127.71.4.100" } });
      const names = [...cluster.store.values()].map(({ metadata }) => `${metadata.name} ${metadata.uid}`);
      await cluster.stop();
      return names;
    };
    expect(await namesOf(5)).toEqual(await namesOf(5));
    expect(await namesOf(5)).not.toEqual(await namesOf(6));
  });
});
