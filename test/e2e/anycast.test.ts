import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { AnycastNode, type TestPod, V4, V6 } from "../node/anycast/support/anycast-node.ts";
import { NO_BIRD, scratch } from "../node/anycast/support/bird.ts";
import { runDaemon } from "../node/anycast/support/daemon.ts";
import { eventually } from "../support/eventually.ts";

// issue: an address stayed announced for a pod that had accepted SIGTERM but was still Ready. Two BIRDs in two namespaces
// speak BGP; pods have links and namespaces; the API server speaks list and watch over HTTP.

const title = `anycast addresses of a node${NO_BIRD ? ` (${NO_BIRD})` : ""}`;

async function nodeWith(
  pods: number,
): Promise<{ readonly node: AnycastNode; readonly pods: readonly TestPod[] }> {
  const node = new AnycastNode();
  const made = Array.from({ length: pods }, () => node.addPod());
  for (const pod of made) node.tell(pod);
  await node.start();
  return { node, pods: made };
}

const announced = (node: AnycastNode): Promise<unknown> =>
  eventually(() => node.torHas(V4) && node.torHas(V6), { timeoutMs: 10_000 });

/** Resolves to the moment when the tor's kernel lost its route for each address. */
function watchTor(node: AnycastNode): { readonly lost: (address: string) => Promise<number> } {
  const monitor = spawn("ip", ["-n", node.tor.name, "monitor", "route"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void monitor.kill());
  const at = new Map<string, number>();
  monitor.stdout.on("data", (chunk: Buffer) => {
    for (const [, address = ""] of chunk.toString().matchAll(/^Deleted (\S+)/gm))
      at.set(address, performance.now());
  });
  return {
    lost: (address) =>
      eventually(() => {
        const time = at.get(address);
        expect(time).toBeDefined();
        return time ?? 0;
      }),
  };
}

describe.skipIf(NO_BIRD)(title, () => {
  test("the naive way: an IPv4 multipath route is gone with one pod's link, and the other pod with it", async () => {
    const { node, pods } = await nodeWith(2);
    const hops = pods.flatMap(({ v4, link }) => ["nexthop", "via", v4, "dev", link, "onlink"]);
    node.node.sh(["route", "add", `${V4}/32`, ...hops].join(" "));
    node.node.sh(`link del ${pods[0]?.link}`);
    expect(node.node.sh(`route show ${V4}/32`)).toBe("");
  });

  test("one pod's link goes without a word: the other pod keeps the address, in both families", async () => {
    const { node, pods } = await nodeWith(2);
    const [first, second] = pods as [TestPod, TestPod];
    const daemon = await runDaemon(node);
    await announced(node);
    node.node.sh(`link del ${first.link}`);
    // At once, without the daemon: the kernel takes the nexthop out of its group.
    for (const [family, address] of [
      ["-4", V4],
      ["-6", V6],
    ] as const) {
      expect(node.node.sh(`${family} route get ${address}`)).toContain(`dev ${second.link}`);
    }
    await eventually(() => {
      const { addresses } = daemon.status();
      expect(addresses[0]).toMatchObject({
        announced: true,
        members: [{ device: second.link }],
        why: expect.stringContaining(`can't be reached at ${first.v4}`),
      });
    });
    expect(node.torHas(V4) && node.torHas(V6)).toBe(true);
    node.node.sh(`link del ${second.link}`);
    await eventually(() => !node.torHas(V4) && !node.torHas(V6), { timeoutMs: 1000 });
  });

  test("the naive way: a Ready pod with a deletionTimestamp keeps its address announced", async () => {
    const { node, pods } = await nodeWith(1);
    const [pod] = pods as [TestPod];
    // As a readiness gate alone has it: what counts is the condition Ready.
    const backends = join(scratch("naive"), "backends.yaml");
    const followReadiness = (): void => {
      const status = node.store.objects.get(`edge/${pod.name}`)?.["status"] as {
        readonly conditions: readonly { readonly type: string; readonly status: string }[];
      };
      const ready = status.conditions.some(({ type, status }) => type === "Ready" && status === "True");
      const entry = { name: pod.name, addresses: [V4], nexthops: [pod.v4], ready };
      writeFileSync(backends, JSON.stringify({ backends: [entry] }));
    };
    followReadiness();
    await runDaemon(node, { pods: undefined, backendsFile: backends });
    await eventually(() => node.torHas(V4), { timeoutMs: 10_000 });
    node.tell(pod, { ready: true, terminating: true });
    followReadiness();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(node.torHas(V4)).toBe(true);
    node.tell(pod, { ready: false, terminating: true });
    followReadiness();
    await eventually(() => !node.torHas(V4));
  });

  test("from a deletionTimestamp to the withdrawal at the far router: under 100 ms", async () => {
    const { node, pods } = await nodeWith(1);
    const [pod] = pods as [TestPod];
    const daemon = await runDaemon(node);
    const tookMs: number[] = [];
    for (let round = 0; round < 20; round += 1) {
      node.tell(pod);
      await announced(node);
      const { lost } = watchTor(node);
      await new Promise((resolve) => setTimeout(resolve, 30));
      const startedMs = performance.now();
      node.tell(pod, { ready: true, terminating: true });
      tookMs.push((await lost(V4)) - startedMs, (await lost(V6)) - startedMs);
    }
    tookMs.sort((a, b) => a - b);
    const figures = { median: tookMs[20], p95: tookMs[37] ?? Number.NaN, worst: tookMs.at(-1) };
    console.log("deletionTimestamp to withdrawal at the tor, ms:", figures);
    // Not the worst: on a busy machine two of forty may wait for the test's own turn.
    expect(figures.p95).toBeLessThan(100);
    expect(daemon.lines.filter(({ level }) => level === "error")).toEqual([]);
    // The last pod keeps its route until it is gone: routers that have not heard yet still send here.
    expect(node.node.sh(`route get ${V4}`)).toContain(`dev ${pod.link}`);
    node.removePod(pod);
    await eventually(() => expect(node.node.sh("nexthop show")).toBe(""));
  });
});
