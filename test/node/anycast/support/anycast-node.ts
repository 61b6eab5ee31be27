import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { ObjectStore } from "../../../watch/support/sandbox-store.ts";
import { eventually } from "../../../support/eventually.ts";
import { joinByVeth, makeNamespace, type TestNamespace } from "../../support/namespaces.ts";
import { TestBird } from "./bird.ts";

export const V4 = "192.0.2.10";
export const V6 = "2001:db8::10";
export const ANNOTATION = "lychgate.dev/anycast";
export const NODE_NAME = "node-1";
const PORT = 8080;

/** A pod as the kubelet and a CNI with a host route for each pod make it, and as the API server tells of it. */
export interface TestPod {
  readonly name: string;
  readonly v4: string;
  readonly v6: string;
  /** The node's end of its link. */
  readonly link: string;
  readonly namespace: TestNamespace;
}

/**
 * A node and the router above it (the tor), joined by a link, each with a BIRD; they speak BGP in both families. The node's
 * pods have a veth pair and host routes; the API server's objects are in `store`.
 */
export class AnycastNode {
  readonly node: TestNamespace;
  readonly tor: TestNamespace;
  readonly bird: TestBird;
  readonly torBird: TestBird;
  readonly includeFile: string;
  readonly store = new ObjectStore();
  #pods = 0;

  constructor() {
    this.node = makeNamespace("node");
    this.tor = makeNamespace("tor");
    joinByVeth(this.node, "up0", this.tor, "down0");
    for (const [{ sh }, link, v4, v6] of [
      [this.node, "up0", "10.9.0.1/30", "fd09::1/126"],
      [this.tor, "down0", "10.9.0.2/30", "fd09::2/126"],
    ] as const) {
      sh(`addr add ${v4} dev ${link}`);
      sh(`addr add ${v6} dev ${link} nodad`);
    }
    for (const { exec } of [this.node, this.tor]) {
      exec("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
      exec("sysctl", "-qw", "net.ipv4.fib_multipath_hash_policy=1", "net.ipv6.fib_multipath_hash_policy=1");
    }
    this.bird = new TestBird(nodeConfig, this.node.name);
    this.torBird = new TestBird(() => TOR_CONFIG, this.tor.name);
    this.includeFile = join(this.bird.folder, "anycast.conf");
  }

  /** Both BIRDs run and both sessions are up. */
  async start(): Promise<void> {
    await Promise.all([this.bird.start(), this.torBird.start()]);
    await eventually(() => this.torBird.birdc("show protocols").match(/Established/g)?.length === 2, {
      timeoutMs: 30_000,
      everyMs: 50,
    });
  }

  /** Whether the tor's kernel has a route for `address`. */
  torHas(address: string): boolean {
    const [family, bits] = address.includes(":") ? ["-6", 128] : ["-4", 32];
    return this.tor.sh(`${family} route show ${address}/${bits}`).includes("via");
  }

  /** Makes a pod's namespace, link, addresses and routes; it binds both anycast addresses. Not yet known to the API server. */
  addPod(): TestPod {
    this.#pods += 1;
    const number = this.#pods;
    const pod: TestPod = {
      name: `pod-${number}`,
      v4: `10.1.0.${number + 1}`,
      v6: `fd01::${(number + 1).toString(16)}`,
      link: `lxc${number}`,
      namespace: makeNamespace(`p${number}`),
    };
    const { sh } = pod.namespace;
    this.node.sh(`link add ${pod.link} type veth peer name eth0 netns ${pod.namespace.name}`);
    this.node.sh(`addr add 169.254.1.1/32 dev ${pod.link}`);
    this.node.sh(`addr add fe80::1/64 dev ${pod.link} nodad`);
    this.node.sh(`link set ${pod.link} up`);
    sh(`addr add ${pod.v4}/32 dev eth0`);
    sh(`addr add ${pod.v6}/128 dev eth0 nodad`);
    sh("link set eth0 up");
    sh(`addr add ${V4}/32 dev lo`);
    sh(`addr add ${V6}/128 dev lo nodad`);
    sh("route add 169.254.1.1 dev eth0 scope link");
    sh("route add default via 169.254.1.1 dev eth0");
    sh("-6 route add default via fe80::1 dev eth0");
    this.node.sh(`route add ${pod.v4}/32 dev ${pod.link} scope link`);
    this.node.sh(`-6 route add ${pod.v6}/128 dev ${pod.link}`);
    return pod;
  }

  /** What the API server says of `pod` from now on. */
  tell(
    pod: TestPod,
    {
      ready = true,
      terminating = false,
      annotation = `${V4}, ${V6}`,
    }: {
      readonly ready?: boolean;
      readonly terminating?: boolean;
      readonly annotation?: string;
    } = {},
  ): void {
    this.store.putObject("edge", pod.name, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        annotations: { [ANNOTATION]: annotation },
        ...(terminating && { deletionTimestamp: "2026-01-01T00:00:30Z", deletionGracePeriodSeconds: 30 }),
      },
      spec: { nodeName: NODE_NAME },
      status: {
        podIP: pod.v4,
        podIPs: [{ ip: pod.v4 }, { ip: pod.v6 }],
        conditions: [{ type: "Ready", status: ready ? "True" : "False" }],
      },
    });
  }

  /** The pod is gone: its link as the CNI removes it, then its object. */
  removePod(pod: TestPod): void {
    this.node.sh(`link del ${pod.link}`);
    this.store.delete("edge", pod.name);
  }

  /** A pod that also serves HTTP on port 8080 of every address, and closes it `lameMs` after {@link PodServer.end}. */
  async serve(pod: TestPod): Promise<PodServer> {
    const child = runIn(pod.namespace, "pod-server.ts", [String(PORT), pod.name]);
    await new Promise<void>((resolve, reject) => {
      child.stdout?.once("data", () => resolve());
      child.once("exit", () => reject(new Error(`the server of ${pod.name} ended`)));
    });
    return new PodServer(child);
  }

  /** Sends requests from the tor to `address`, each on a connection of its own, until told to stop. */
  request(address: string, options: { readonly workers: number; readonly pauseMs: number }): RequestRun {
    const host = address.includes(":") ? `[${address}]` : address;
    const args = [`http://${host}:${PORT}/`, String(options.workers), String(options.pauseMs)];
    return new RequestRun(runIn(this.tor, "requests.ts", args));
  }
}

/** The HTTP server of a pod. */
export class PodServer {
  readonly #child: ChildProcess;

  constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** SIGTERM: it goes on accepting for `lameMs`, as with a preStop sleep, finishes what it has, and exits. */
  async end(lameMs: number): Promise<void> {
    const ended = new Promise<void>((resolve) => void this.#child.once("exit", () => resolve()));
    await new Promise((resolve) => setTimeout(resolve, lameMs));
    this.#child.kill("SIGTERM");
    await ended;
  }
}

/** What became of a run of requests. */
export interface RequestTally {
  readonly ok: number;
  /** By Node's error code: ECONNRESET, ECONNREFUSED, ETIMEDOUT … */
  readonly failed: Readonly<Record<string, number>>;
  readonly byPod: Readonly<Record<string, number>>;
}

/** Requests under way. */
export class RequestRun {
  readonly #child: ChildProcess;
  #out = "";

  constructor(child: ChildProcess) {
    this.#child = child;
    child.stdout?.on("data", (chunk: Buffer) => (this.#out += chunk.toString()));
  }

  async stop(): Promise<RequestTally> {
    const ended = new Promise<void>((resolve) => void this.#child.once("close", () => resolve()));
    this.#child.kill("SIGTERM");
    await ended;
    return JSON.parse(this.#out) as RequestTally;
  }
}

function runIn(namespace: TestNamespace, script: string, args: readonly string[]): ChildProcess {
  const path = join(import.meta.dirname, script);
  const child = spawn("ip", ["netns", "exec", namespace.name, process.execPath, path, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  return child;
}

const nodeConfig = (folder: string): string => `
router id 10.9.0.1;
protocol device {}
include "${folder}/anycast*.conf";
protocol bgp tor4 {
  local 10.9.0.1 as 65001; neighbor 10.9.0.2 as 65002;
  connect delay time 1;
  ipv4 { import none; export where proto ~ "lychgate_anycast_*"; };
}
protocol bgp tor6 {
  local fd09::1 as 65001; neighbor fd09::2 as 65002;
  connect delay time 1;
  ipv6 { import none; export where proto ~ "lychgate_anycast_*"; };
}
`;

const TOR_CONFIG = `
router id 10.9.0.2;
protocol device {}
protocol kernel { ipv4 { import none; export where source = RTS_BGP; }; }
protocol kernel { ipv6 { import none; export where source = RTS_BGP; }; }
protocol bgp node4 {
  local 10.9.0.2 as 65002; neighbor 10.9.0.1 as 65001;
  connect delay time 1;
  ipv4 { import all; export none; };
}
protocol bgp node6 {
  local fd09::2 as 65002; neighbor fd09::1 as 65001;
  connect delay time 1;
  ipv6 { import all; export none; };
}
`;
