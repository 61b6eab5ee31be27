import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { systemClock } from "../../../../src/system/clock.ts";
import { captureLink } from "../../../../src/node/link/capture.ts";
import type { LinkSnapshot } from "../../../../src/node/link/snapshot.ts";
import type { MoveOptions, MoveSurroundings } from "../../../../src/node/link/begin-move.ts";
import { makeNamespace, type TestNamespace } from "../../support/namespaces.ts";

/** A node, a pod whose `eth0` ends there as `lxc0`, and the namespace that `eth0` is to go to. */
export interface Pod {
  readonly node: TestNamespace;
  readonly pod: TestNamespace;
  readonly interior: TestNamespace;
}

/** The pod's gateway on the node, in Cilium's layout. */
export const GATEWAY = "10.8.0.157";
/** The same for IPv6. */
export const GATEWAY6 = "2001:db8::157";

/** A pod with a link and no addresses. */
export function makePod(): Pod {
  const [node, pod, interior] = [makeNamespace("node"), makeNamespace("pod"), makeNamespace("in")];
  pod.sh(`link add eth0 type veth peer name lxc0 netns ${node.name}`);
  // Without a link-local address past its duplicate check the kernel solicits nobody.
  pod.exec("sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad");
  node.sh("link set lxc0 up");
  pod.sh("link set eth0 up");
  return { node, pod, interior };
}

/** Cilium's /32 layout: the default route goes through a gateway that only a link route covers. */
export function makeCiliumPod(): Pod {
  const made = makePod();
  made.node.sh(`address add ${GATEWAY}/32 dev lxc0`);
  made.node.sh(`address add ${GATEWAY6}/128 dev lxc0 nodad`);
  made.node.sh("route add 10.8.0.201 dev lxc0");
  made.node.sh("route add 2001:db8::201 dev lxc0");
  made.pod.sh("address add 10.8.0.201/32 dev eth0");
  made.pod.sh("address add 2001:db8::201/128 dev eth0 nodad");
  made.pod.sh(`route add ${GATEWAY} dev eth0 scope link`);
  made.pod.sh(`route add default via ${GATEWAY} dev eth0`);
  made.pod.sh(`-6 route add ${GATEWAY6} dev eth0`);
  made.pod.sh(`-6 route add default via ${GATEWAY6} dev eth0`);
  return made;
}

/** What a link has now. */
export function look({ ip }: TestNamespace, link = "eth0"): Promise<LinkSnapshot> {
  return captureLink(ip, link, "now");
}

/** A path for a state file that is gone after the test. */
export function temporaryPath(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), "lychgate-link-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, name);
}

/** Options of a move from the pod to the interior. */
export function moveOf({ pod, interior }: Pod, given: Partial<MoveOptions> = {}): MoveOptions {
  return {
    from: { kind: "name", name: pod.name },
    to: { kind: "name", name: interior.name },
    link: "eth0",
    statePath: temporaryPath("state.json"),
    pin: true,
    neighbourTimeoutMs: 3500,
    acceptLoss: false,
    ...given,
  };
}

/** Runs `at[step]` when the line of progress begins with that step. */
export function surroundings(
  at: Record<string, () => void> = {},
): MoveSurroundings & { readonly lines: readonly string[] } {
  const lines: string[] = [];
  return {
    clock: systemClock,
    lines,
    progress(line) {
      lines.push(line);
      for (const [word, act] of Object.entries(at)) if (line.startsWith(word)) act();
    },
  };
}

/** A UDP server on the node that sends back what it gets. */
export async function startEcho({ node }: Pod): Promise<void> {
  const script =
    'for (const type of ["udp4", "udp6"]) { const s = require("dgram").createSocket({ type, ipv6Only: type === "udp6" });' +
    's.on("message", (m, r) => s.send(m, r.port, r.address)); s.bind(7, () => console.log("up")); }';
  const child: ChildProcess = spawn("ip", ["netns", "exec", node.name, process.execPath, "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  if (!child.stdout) throw new Error("no output");
  await once(child.stdout, "data");
}

/** Whether the node answers a datagram from the namespace, asked a few times within half a second. */
export function isAnswered({ name }: TestNamespace, address: string): boolean {
  const type = address.includes(":") ? "udp6" : "udp4";
  const script =
    `const s = require("dgram").createSocket("${type}"); s.on("error", () => {});` +
    's.on("message", () => process.exit(0)); setTimeout(() => process.exit(1), 500);' +
    `const ask = () => s.send("?", 7, "${address}", () => {}); ask(); setInterval(ask, 100);`;
  try {
    execFileSync("ip", ["netns", "exec", name, process.execPath, "-e", script], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
