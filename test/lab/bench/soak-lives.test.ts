import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Children } from "../../../lab/bench/children.ts";
import { startPods } from "../../../lab/bench/pods.ts";
import type { Pods } from "../../../lab/bench/pods.ts";
import { allProxies } from "../../../lab/bench/proxies/all.ts";
import type { RunningProxy } from "../../../lab/bench/proxies/proxy.ts";
import { podAddress, sandboxes } from "../../../lab/bench/sandboxes.ts";
import { startLives } from "../../../lab/bench/soak/lives.ts";
import { startSoakLoad } from "../../../lab/bench/soak/load.ts";
import { Watch } from "../../../lab/bench/soak/watch.ts";
import { eventually } from "../../support/eventually.ts";

/** The traffic of a soak, against the real lychgate. */
describe("the load of a soak", () => {
  const children = new Children();
  const directory = mkdtempSync(join(tmpdir(), "lychgate-soak-test-"));
  let pods: Pods;
  let lychgate: RunningProxy & { readonly peerPort: number; readonly adminPort: number };

  beforeAll(async () => {
    pods = await startPods();
    const setup = allProxies().find(({ name }) => name === "lychgate");
    // The ports are free when they are chosen, and another test may take one before lychgate does.
    const running = await eventually(() =>
      setup?.start({
        name: "lychgate",
        children,
        core: 0,
        directory,
        sandboxes: sandboxes(1, pods.port),
        podPort: pods.port,
      }),
    );
    if (running?.peerPort === undefined || running.adminPort === undefined) throw new Error("no ports");
    lychgate = { ...running, peerPort: running.peerPort, adminPort: running.adminPort };
  });

  afterAll(async () => {
    await children.endAll();
    pods.close();
    rmSync(directory, { recursive: true, force: true });
  });

  it("is requests of all kinds, WebSockets, pushes and lives of sandboxes, and each answer is right", async () => {
    const load = startSoakLoad({
      port: lychgate.port,
      peerPort: lychgate.peerPort,
      podPort: pods.port,
      ratePerSecond: 200,
      livesPerSecond: 10,
    });
    const { pid, adminPort } = lychgate;
    const watch = new Watch({ pid, adminPort, core: 0, tally: load.requests });
    await eventually(() => {
      expect(load.requests.latencies.count()).toBeGreaterThan(200);
      expect(load.webSockets.latencies.count()).toBeGreaterThan(64);
      expect(load.livesEnded()).toBeGreaterThan(5);
      expect(load.pushes()).toBeGreaterThan(50);
    });
    const sample = await watch.sample();
    await load.stop();
    expect(load.requests.firstError ?? load.webSockets.firstError).toBeUndefined();
    for (const value of Object.values(sample)) expect(value).toBeGreaterThanOrEqual(0);
    expect(sample.othersShare).toBeLessThanOrEqual(1);
    expect(sample.requests).toBeGreaterThan(200);
    expect(sample.residentBytes).toBeGreaterThan(20e6);
    expect(sample.openFiles).toBeGreaterThan(64);
    expect(sample.heapBytes).toBeGreaterThan(5e6);
  });

  it("finds a router that answers for each sandbox with the pod of another", async () => {
    const wrong = createServer((client) => {
      const pod = connect({ host: podAddress(7), port: pods.port });
      client.pipe(pod).pipe(client);
      client.on("error", () => pod.destroy());
      pod.on("error", () => client.destroy());
    }).listen(0, "127.0.0.1");
    await once(wrong, "listening");
    const faults: string[] = [];
    const { port } = wrong.address() as AddressInfo;
    const lives = startLives(
      { port, peerPort: lychgate.peerPort, podPort: pods.port, livesPerSecond: 20 },
      (message) => faults.push(message),
    );
    await eventually(() => expect(faults.length).toBeGreaterThan(2));
    lives.stop();
    wrong.close();
    expect(lives.ended).toBe(0);
    expect(faults[0]).toMatch(/^life-\d+, created: the body begins with s00007 /);
  });
});
