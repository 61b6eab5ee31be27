import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { BirdAnnouncer } from "../../src/node/anycast/bird-announcer.ts";
import { AnycastNode, type TestPod, V4, V6 } from "../node/anycast/support/anycast-node.ts";
import { NO_BIRD, scratch, TestBird } from "../node/anycast/support/bird.ts";
import { runDaemon } from "../node/anycast/support/daemon.ts";
import { makeNamespace } from "../node/support/namespaces.ts";
import { eventually } from "../support/eventually.ts";

// What goes wrong around the daemon: BIRD refuses, is away, comes back; someone changes what is ours; the daemon is gone for a
// while. No tor here: what BIRD has in its tables is what it announces.

const title = `the daemon, BIRD and others${NO_BIRD ? ` (${NO_BIRD})` : ""}`;

async function nodeWith(
  pods: number,
): Promise<{ readonly node: AnycastNode; readonly pods: readonly TestPod[] }> {
  const node = new AnycastNode();
  const made = Array.from({ length: pods }, () => node.addPod());
  for (const pod of made) node.tell(pod);
  await node.bird.start();
  return { node, pods: made };
}

const birdHas = (node: AnycastNode, ...addresses: readonly string[]): Promise<void> =>
  eventually(() => expect(node.bird.routes()).toEqual(addresses), { timeoutMs: 5000 });

const PAGE = readFileSync(join(import.meta.dirname, "../../docs/node/anycast.md"), "utf8");

describe.skipIf(NO_BIRD)(title, () => {
  test("the docs' bird.conf is taken as it stands, by a BIRD that has dropped its privileges", async () => {
    const [, config = ""] = /^```bird\n(.*?)^```/ms.exec(PAGE) ?? [];
    const run = join(scratch("run"), "lychgate");
    mkdirSync(run);
    chmodSync(dirname(run), 0o755);
    const bird = new TestBird(() => config.replace("/run/lychgate", run), makeNamespace("docs").name);
    // Its user reads what we write and makes its own socket and PID file.
    chmodSync(bird.folder, 0o777);
    await bird.start(["-u", "nobody", "-g", "nogroup"]);
    const announcer = new BirdAnnouncer({
      controlSocket: bird.socket,
      includeFile: join(run, "anycast.conf"),
      prefix: "lychgate_anycast",
      timeoutMs: 2000,
    });
    await announcer.announce(new Set([V4, V6]));
    expect(bird.routes()).toEqual([V4, V6]);
    await announcer.announce(new Set([V6]));
    expect(bird.routes()).toEqual([V6]);
  });

  test("a refused configuration: the file is put back, nothing is added, what must go is withdrawn all the same, and it is loud", async () => {
    const { node, pods } = await nodeWith(1);
    const [pod] = pods as [TestPod];
    node.tell(pod, { annotation: V4 });
    const daemon = await runDaemon(node);
    await birdHas(node, V4);
    const before = readFileSync(node.includeFile, "utf8");
    const config = readFileSync(node.bird.config, "utf8");
    appendFileSync(node.bird.config, "protokol bgp {}\n");

    node.tell(pod, { annotation: `${V4} ${V6}` });
    await eventually(() =>
      expect(daemon.status().lastPass?.fault).toContain("BIRD refused its configuration"),
    );
    expect(readFileSync(node.includeFile, "utf8")).toBe(before);
    await birdHas(node, V4);
    expect(daemon.lines.find(({ level }) => level === "error")?.fields).toMatchObject({
      fault: expect.stringMatching(/bird\.conf:\d+:1.*correct it \(birdc configure check\)/),
    });
    expect(daemon.status()).toMatchObject({ bird: expect.stringContaining("refused") });

    // The pod is told to end: no configuration is needed for that.
    node.tell(pod, { terminating: true });
    await birdHas(node);
    expect(readFileSync(node.includeFile, "utf8")).toBe(before);

    // Corrected: all is as it should be without anyone's help, also what had been disabled.
    node.tell(pod);
    writeFileSync(node.bird.config, config);
    await birdHas(node, V4, V6);
    await eventually(() => expect(daemon.status()).toMatchObject({ bird: "", lastPass: { ok: true } }));
  });

  test("what BIRD refuses again and again is logged once in a minute", async () => {
    const { node } = await nodeWith(1);
    const daemon = await runDaemon(node);
    await birdHas(node, V4, V6);
    const config = readFileSync(node.bird.config, "utf8");
    appendFileSync(node.bird.config, "protokol bgp {}\n");
    // What must be put right, and can't be. Again, should a pass that began before have put it right.
    const drift = (): void => void node.bird.birdc(`disable lychgate_anycast_${V4.replaceAll(".", "_")}`);
    drift();
    const passes = new Set<string>();
    await eventually(
      () => {
        const { lastPass } = daemon.status();
        if (lastPass?.fault.includes("refused")) passes.add(lastPass.at);
        else if (lastPass?.ok === true) drift();
        return passes.size >= 4;
      },
      { timeoutMs: 60_000 },
    );
    const loud = daemon.lines.filter(({ level }) => level === "error").map(({ message }) => message);
    expect(loud.toSorted((one, other) => one.localeCompare(other))).toEqual([
      "anycast: a pass failed and is tried again",
      "BIRD refused its configuration",
    ]);
    writeFileSync(node.bird.config, config);
    await birdHas(node, V4, V6);
  });

  test("drift is mended within seconds, long before the next look at everything", async () => {
    const { node } = await nodeWith(1);
    await runDaemon(node, { resyncMs: 600_000 });
    await birdHas(node, V4, V6);
    const route = (): string => node.node.sh(`route show ${V4}`);
    await eventually(() => expect(route()).toContain("proto 77"));
    const mended = async (break_: () => void, isBroken: () => boolean): Promise<number> => {
      break_();
      expect(isBroken()).toBe(true);
      const startedMs = performance.now();
      await eventually(() => !isBroken(), { timeoutMs: 60_000 });
      return Math.round(performance.now() - startedMs);
    };
    const tookMs = {
      protocol: await mended(
        () => void node.bird.birdc(`disable lychgate_anycast_${V4.replaceAll(".", "_")}`),
        () => node.bird.routes().length < 2,
      ),
      file: await mended(
        () => rmSync(node.includeFile),
        () => !existsSync(node.includeFile),
      ),
      route: await mended(
        () => void node.node.sh(`route del ${V4}`),
        () => !route().includes("proto 77"),
      ),
    };
    console.log("drift mended, ms:", tookMs);
  });

  test("an API server that is away shows in status and healthz, and what was known stays in force", async () => {
    const { node } = await nodeWith(1);
    const daemon = await runDaemon(node);
    await birdHas(node, V4, V6);
    const health = async () => {
      const response = await fetch(`http://127.0.0.1:${daemon.address.port}/healthz`);
      return { code: response.status, text: await response.text() };
    };
    await eventually(async () => expect(await health()).toEqual({ code: 200, text: "ok\n" }));
    daemon.api.chooseFault = () => ({ kind: "status", code: 503 });
    daemon.api.endWatches();
    const words = /^the API server has not been heard since \d{4}-.*: pods that end are not known/;
    await eventually(() => expect(daemon.status().api).toMatch(words), { timeoutMs: 60_000 });
    expect(await health()).toMatchObject({ code: 503, text: expect.stringMatching(words) });
    expect(node.bird.routes()).toEqual([V4, V6]);
    daemon.api.chooseFault = () => undefined;
    await eventually(async () => expect(await health()).toEqual({ code: 200, text: "ok\n" }), {
      timeoutMs: 60_000,
    });
  });

  test("a BIRD that does not include the file is told", async () => {
    const { node } = await nodeWith(1);
    const includeFile = join(scratch("elsewhere"), "anycast.conf");
    const daemon = await runDaemon(node, { bird: { controlSocket: node.bird.socket, includeFile } });
    await eventually(() =>
      expect(daemon.status().lastPass?.fault).toContain(
        `does its configuration have include "${includeFile}"`,
      ),
    );
  });

  test("BIRD is away: its file says what it shall have, and when it starts it has it", async () => {
    const { node, pods } = await nodeWith(1);
    const [pod] = pods as [TestPod];
    const daemon = await runDaemon(node);
    await birdHas(node, V4, V6);
    await node.bird.stop("SIGKILL");
    node.tell(pod, { terminating: true });
    await eventually(() => expect(daemon.status().bird).toContain("is BIRD running"));
    await eventually(() => expect(readFileSync(node.includeFile, "utf8")).not.toContain("route"));
    node.tell(pod, { annotation: V6 });
    await eventually(() => expect(readFileSync(node.includeFile, "utf8")).toContain(V6));
    await node.bird.start();
    expect(node.bird.routes()).toEqual([V6]);
    await eventually(() => expect(daemon.status()).toMatchObject({ bird: "", lastPass: { ok: true } }));
  });

  test("BIRD hangs: the kernel's part goes on, the file says what is wanted, and all is right when it goes on", async () => {
    const { node, pods } = await nodeWith(2);
    const [first, second] = pods as [TestPod, TestPod];
    const bird = { controlSocket: node.bird.socket, includeFile: node.includeFile, timeoutMs: 200 };
    const daemon = await runDaemon(node, { bird });
    await birdHas(node, V4, V6);
    await eventually(() => expect(daemon.status().addresses[0]?.members).toHaveLength(2));
    node.bird.signal("SIGSTOP");
    node.tell(first, { terminating: true });
    await eventually(() => expect(node.node.sh("nexthop show proto 77")).not.toContain(`dev ${first.link} `));
    node.tell(second, { annotation: V6 });
    await eventually(() => expect(daemon.status().bird).toContain("did not answer"));
    expect(daemon.status().addresses.map(({ announced }) => announced)).toEqual([null, null]);
    await eventually(() => expect(readFileSync(node.includeFile, "utf8")).not.toContain(V4));
    node.bird.signal("SIGCONT");
    await birdHas(node, V6);
    await eventually(() => expect(daemon.status()).toMatchObject({ bird: "", lastPass: { ok: true } }));
  });

  test("BIRD restarts: it has its addresses from the first moment", async () => {
    const { node } = await nodeWith(1);
    await runDaemon(node);
    await birdHas(node, V4, V6);
    await node.bird.stop();
    await node.bird.start();
    expect(node.bird.routes()).toEqual([V4, V6]);
  });

  test("drift is repaired: routes, nexthops, groups, BIRD's protocols and the file", async () => {
    const { node } = await nodeWith(2);
    const daemon = await runDaemon(node, { resyncMs: 200 });
    await birdHas(node, V4, V6);
    await eventually(() => expect(daemon.status().addresses[0]?.members).toHaveLength(2));
    const whole = (): string => node.node.sh(`nexthop show proto 77`) + node.node.sh("route show proto 77");
    const before = whole();
    expect(before.match(/^id/gm)).toHaveLength(6);
    for (const harm of [
      () => node.node.sh(`route del ${V4}`),
      () => node.node.sh(`-6 route del ${V6}`),
      () => node.node.sh("nexthop flush proto 77"),
    ]) {
      harm();
      await eventually(() => expect(whole().match(/^id/gm)).toHaveLength(6));
      await eventually(() => expect(whole()).toContain(V4));
      await eventually(() => expect(node.node.sh(`-6 route show ${V6}`)).toContain("nhid"));
    }
    node.bird.birdc("disable lychgate_anycast_192_0_2_10");
    expect(node.bird.routes()).toEqual([V6]);
    await birdHas(node, V4, V6);
    rmSync(node.includeFile);
    await eventually(() => expect(readFileSync(node.includeFile, "utf8")).toContain(V6));
    const response = await fetch(`http://127.0.0.1:${daemon.address.port}/metrics`);
    const drifts = Number(/^lychgate_anycast_drift_total (\d+)$/m.exec(await response.text())?.[1]);
    expect(drifts).toBeGreaterThanOrEqual(4);
  });

  test("others' routes and nexthops are never touched; an address that they route is not announced", async () => {
    const { node, pods } = await nodeWith(1);
    const [pod] = pods as [TestPod];
    const foreign = `${V4} dev up0 proto static scope link`;
    node.node.sh(`route add ${foreign}`);
    // One of our range that someone else took.
    node.node.sh("nexthop add id 1280901120 via 10.9.0.2 dev up0");
    node.node.sh("route add 198.51.100.7/32 nhid 1280901120 proto 186");
    const daemon = await runDaemon(node);
    await birdHas(node, V6);
    expect(daemon.status().addresses[0]).toMatchObject({
      announced: false,
      why: expect.stringContaining("another program has a route for it: 192.0.2.10 dev up0"),
    });
    node.removePod(pod);
    await birdHas(node);
    await eventually(() => expect(node.node.sh("nexthop show proto 77")).toBe(""));
    expect(node.node.sh(`route show ${V4}`)).toContain("dev up0 proto static");
    expect(node.node.sh("route show 198.51.100.7")).toContain("nhid 1280901120");
  });

  test("what an earlier run left is adopted; what is no longer committed is removed", async () => {
    const { node, pods } = await nodeWith(1);
    const [pod] = pods as [TestPod];
    const first = await runDaemon(node);
    await birdHas(node, V4, V6);
    await first.stop();
    const routes = node.node.sh("route show proto 77");
    expect(routes).toContain(V4);
    expect(node.bird.routes()).toEqual([V4, V6]);

    const second = await runDaemon(node, { addresses: [V4] });
    await birdHas(node, V4);
    expect(node.node.sh("route show proto 77")).toBe(routes);
    await eventually(() => expect(node.node.sh("-6 route show proto 77")).toBe(""));
    expect(second.lines.map(({ message }) => message)).toContain("adopted what an earlier run left");
    await second.stop();

    // Told to end while no daemon ran.
    node.tell(pod, { terminating: true });
    const third = await runDaemon(node, { addresses: [V4], onExit: "withdraw" });
    await birdHas(node);
    await third.stop();
    expect(node.node.sh("nexthop show proto 77") + node.node.sh("route show proto 77")).toBe("");
  });

  test("groups of the other type are replaced without a moment without a route", async () => {
    const { node, pods } = await nodeWith(2);
    const first = await runDaemon(node, { kernel: { groupType: "mpath" } });
    await birdHas(node, V4, V6);
    await eventually(() => expect(first.status().addresses[1]?.members).toHaveLength(2));
    await first.stop();
    expect(node.node.sh("nexthop show proto 77")).not.toContain("resilient");
    const second = await runDaemon(node);
    await eventually(() => expect(second.status().lastPass?.ok).toBe(true));
    expect(node.node.sh("nexthop show proto 77").match(/type resilient/g)).toHaveLength(2);
    expect(node.node.sh("nexthop show proto 77").match(/^id/gm)).toHaveLength(6);
    expect(node.node.sh(`route get ${V4}`)).toContain(`dev ${pods[0]?.link.slice(0, 3)}`);
    expect(node.bird.routes()).toEqual([V4, V6]);
  });

  test("backends of a file, replaced by a rename; one that is malformed changes nothing", async () => {
    const { node, pods } = await nodeWith(1);
    const [pod] = pods as [TestPod];
    const folder = scratch("backends");
    const file = join(folder, "backends.yaml");
    const write = (text: string): void => {
      writeFileSync(join(folder, "draft"), text);
      renameSync(join(folder, "draft"), file);
    };
    write(`backends: [{name: one, addresses: [${V4}], nexthops: ["${pod.v4}"]}]`);
    const daemon = await runDaemon(node, { pods: undefined, backendsFile: file });
    await birdHas(node, V4);
    write("backends: [{name: one, adresses: []}]");
    await eventually(() => {
      const fault = daemon.lines.find(({ message }) => message.startsWith("the backends file was not taken"));
      expect(fault?.fields["fault"]).toContain("backends.0.addresses");
      expect(daemon.status().advice).toEqual([expect.stringContaining("backends.0.addresses")]);
    });
    expect(node.bird.routes()).toEqual([V4]);
    write(`backends: [{name: one, addresses: [${V4}], nexthops: ["${pod.v4}"], ready: false}]`);
    await birdHas(node);
  });

  test("a client's flows all go to one pod with the kernel's default hash policy: advised, never changed", async () => {
    const { node } = await nodeWith(2);
    node.node.exec("sysctl", "-qw", "net.ipv4.fib_multipath_hash_policy=0");
    const daemon = await runDaemon(node);
    await eventually(() =>
      expect(daemon.status().advice).toEqual([
        expect.stringContaining("sysctl -w net.ipv4.fib_multipath_hash_policy=1"),
      ]),
    );
    expect(node.node.exec("sysctl", "-n", "net.ipv4.fib_multipath_hash_policy").trim()).toBe("0");
  });
});
