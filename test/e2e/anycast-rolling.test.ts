import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import {
  AnycastNode,
  type PodServer,
  type RequestTally,
  type TestPod,
  V4,
  V6,
} from "../node/anycast/support/anycast-node.ts";
import { NO_BIRD } from "../node/anycast/support/bird.ts";
import { runDaemon } from "../node/anycast/support/daemon.ts";
import { eventually } from "../support/eventually.ts";

// Pods behind one address are replaced one after the other while clients behind the far router send requests, each on a
// connection of its own, in both families.

const title = `rolling replacements behind an anycast address${NO_BIRD ? ` (${NO_BIRD})` : ""}`;

const PODS = 5;
const LINGER_MS = 4000;

interface Running {
  readonly pod: TestPod;
  readonly server: PodServer;
}

async function startPod(node: AnycastNode): Promise<Running> {
  const pod = node.addPod();
  const server = await node.serve(pod);
  node.tell(pod);
  return { pod, server };
}

/** Requests of both families while `replacePods` runs. */
async function whileRequesting(
  node: AnycastNode,
  replacePods: () => Promise<void>,
): Promise<{ readonly v4: RequestTally; readonly v6: RequestTally }> {
  const pace = { workers: 1, pauseMs: 30 };
  const [v4, v6] = [node.request(V4, pace), node.request(V6, pace)];
  await sleep(500);
  await replacePods();
  return { v4: await v4.stop(), v6: await v6.stop() };
}

describe.skipIf(NO_BIRD)(title, () => {
  test("the naive way: routes by readiness, spread anew with each change; clients are cut", async () => {
    const node = new AnycastNode();
    const pods = await Promise.all(Array.from({ length: PODS }, () => startPod(node)));
    await node.bird.start();
    await node.torBird.start();
    node.tor.sh(`route add ${V4}/32 via 10.9.0.1`);
    node.tor.sh(`-6 route add ${V6}/128 via fd09::1`);
    const setRoutes = (): void => {
      for (const [family, address, ip] of [
        ["-4", V4, "v4"],
        ["-6", V6, "v6"],
      ] as const) {
        const hops = pods.map(({ pod }) => `nexthop via ${pod[ip]} dev ${pod.link} onlink`).join(" ");
        node.node.sh(`${family} route replace ${address} ${hops}`);
      }
    };
    setRoutes();
    const { v4, v6 } = await whileRequesting(node, async () => {
      for (let round = 0; round < 10; round += 1) {
        pods.push(await startPod(node));
        setRoutes();
        const old = pods.shift();
        // Ready until it is gone, so the route follows only then.
        await old?.server.end(0);
        await sleep(200);
        setRoutes();
        if (old) node.removePod(old.pod);
      }
    });
    const failures = [...Object.values(v4.failed), ...Object.values(v6.failed)];
    console.log("10 replacements, the naive way:", v4.failed, v6.failed);
    expect(failures.length).toBeGreaterThan(0);
  });

  test("50 rolling replacements: no request is reset, refused or lost", async () => {
    const node = new AnycastNode();
    const pods = await Promise.all(Array.from({ length: PODS }, () => startPod(node)));
    await node.start();
    const daemon = await runDaemon(node, { lingerMs: LINGER_MS });
    const members = (): readonly string[] =>
      daemon.status().addresses.flatMap((address) => address.members.map(({ device }) => device));
    await eventually(() => node.torHas(V4) && node.torHas(V6) && members().length === 2 * PODS, {
      timeoutMs: 10_000,
    });
    const endings: Promise<void>[] = [];
    const { v4, v6 } = await whileRequesting(node, async () => {
      for (let round = 0; round < 50; round += 1) {
        const paceMs = sleep(1000);
        const fresh = await startPod(node);
        pods.push(fresh);
        await eventually(() => members().filter((link) => link === fresh.pod.link).length === 2);
        const old = pods.shift();
        if (!old) throw new Error("no pod is left");
        node.tell(old.pod, { terminating: true });
        // As with a preStop sleep: it accepts for a while after it was told to end.
        endings.push(old.server.end(LINGER_MS + 1000).then(() => node.removePod(old.pod)));
        await paceMs;
      }
      await Promise.all(endings);
    });
    console.log("50 replacements:", { v4: v4.ok, v6: v6.ok, pods: Object.keys(v4.byPod).length });
    expect({ v4: v4.failed, v6: v6.failed }).toEqual({ v4: {}, v6: {} });
    expect(v4.ok + v6.ok).toBeGreaterThan(1000);
    expect(Object.keys(v4.byPod).length).toBeGreaterThan(40);
  });
});
