import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { describeNodeToolError } from "../node-tool-error.ts";
import type { IpRoute } from "../iproute.ts";
import { IpRouteError } from "../iproute-error.ts";
import { canonicalAddress, isV6 } from "./backend.ts";
import {
  type Group,
  type GroupType,
  type KernelState,
  type Nexthop,
  NEXTHOP_IDS,
  type Path,
  type Step,
} from "./plan.ts";

/** `proto` of every route and nexthop that is ours (rtnetlink's rtm_protocol; 77 belongs to no known daemon). */
export const ANYCAST_PROTOCOL = 77;

const MAIN_TABLE = "254";
const UNICAST = "1";
const LOCAL = "2";

/** Settings of resilient groups; see the spec. */
export interface GroupSettings {
  readonly buckets: number;
  readonly idleSeconds: number;
}

/** A step that the kernel refused. */
export interface FailedStep {
  readonly step: Step;
  readonly why: string;
}

/** The kernel's routes and nexthops in one network namespace, by iproute2. Reading needs no right, changing CAP_NET_ADMIN. */
export class AnycastKernel {
  readonly #ip: IpRoute;
  readonly #settings: GroupSettings;

  constructor(ip: IpRoute, settings: GroupSettings) {
    this.#ip = ip;
    this.#settings = settings;
  }

  /** What there is, for the committed `addresses` and the backends' own addresses `nexthops`. */
  async read(addresses: readonly string[], nexthops: readonly string[]): Promise<KernelState> {
    const paths = this.#paths(nexthops);
    const [objects, v4, v6] = await Promise.all([
      this.#ip.json(["nexthop", "show"]),
      this.#ip.json(["-4", "route", "show", "table", "all"]),
      this.#ip.json(["-6", "route", "show", "table", "all"]),
    ]);
    return kernelState(addresses, objects, [...v4, ...v6], await paths);
  }

  /** Does the kernel's share of a plan, in one call and in order; what it refuses does not keep the rest from being done. */
  async apply(steps: readonly Step[]): Promise<readonly FailedStep[]> {
    const commands = steps.flatMap((step) => {
      const line = commandOf(step, this.#settings);
      return line === undefined ? [] : [{ step, line }];
    });
    const failures = await this.#ip.batch(commands.map(({ line }) => line));
    return failures.flatMap(({ index, error }) => {
      const step = commands[index]?.step;
      // A kernel that took the object away with its link has done the step for us.
      const isGone = step?.kind.startsWith("drop_") && error.reason === "not_found";
      return step && !isGone ? [{ step, why: describeNodeToolError(error) }] : [];
    });
  }

  /**
   * Advice about `net.ipv4.fib_multipath_hash_policy` and its IPv6 twin; empty when both are 1 or more. With the default 0 all
   * connections of a client, or of all clients behind one address, go to one pod. Never changed by us.
   */
  async hashPolicyAdvice(): Promise<readonly string[]> {
    const advice = await Promise.all(
      ["ipv4", "ipv6"].map(async (family) => {
        const value = await this.#sysctl(`/proc/sys/net/${family}/fib_multipath_hash_policy`);
        if (value !== "0") return [];
        return [
          `net.${family}.fib_multipath_hash_policy is 0: a client's connections all go to one pod; sysctl -w net.${family}.fib_multipath_hash_policy=1 spreads them by port`,
        ];
      }),
    );
    return advice.flat();
  }

  async #sysctl(path: string): Promise<string | undefined> {
    const { namespace } = this.#ip;
    try {
      if (namespace.kind === "own") return (await readFile(path, "utf8")).trim();
      const of = namespace.kind === "name" ? `/run/netns/${namespace.name}` : namespace.path;
      const { stdout } = await promisify(execFile)("nsenter", [`--net=${of}`, "cat", path]);
      return stdout.trim();
    } catch {
      // A kernel without IPv6 has no such file; then there is nothing to advise.
      return undefined;
    }
  }

  /** Where each of `nexthops` leads, all asked in one process. */
  async #paths(nexthops: readonly string[]): Promise<ReadonlyMap<string, Path>> {
    const answers = await this.#ip.jsonBatch(nexthops.map((nexthop) => `route get fibmatch ${nexthop}`));
    return new Map(
      nexthops.map((nexthop, index) => {
        const answer = answers[index] ?? [];
        if (!(answer instanceof IpRouteError)) return [nexthop, pathOf(answer[0])];
        return [nexthop, { kind: "none", why: describeNodeToolError(answer) }];
      }),
    );
  }
}

/** The kernel's state from what `ip -json -details -N` printed. Pure. */
export function kernelState(
  addresses: readonly string[],
  objects: readonly unknown[],
  routes: readonly unknown[],
  paths: ReadonlyMap<string, Path>,
): KernelState {
  const nexthops = new Map<number, Nexthop>();
  const groups = new Map<number, Group>();
  const foreignIds = new Set<number>();
  for (const object of objects.map(fields)) {
    const id = object["id"];
    if (typeof id !== "number" || !isOurId(id)) continue;
    const members = object["group"];
    if (object["protocol"] !== String(ANYCAST_PROTOCOL)) foreignIds.add(id);
    else if (Array.isArray(members)) {
      groups.set(id, {
        type: object["type"] === "resilient" ? "resilient" : "mpath",
        members: new Map(
          members.map(fields).map((member) => [Number(member["id"]), Number(member["weight"] ?? 1)]),
        ),
      });
    } else {
      nexthops.set(id, { via: text(object["gateway"]), device: text(object["dev"]) });
    }
  }
  const committed = new Set(addresses);
  const ours = new Map<string, number>();
  const foreignRoutes = new Map<string, string>();
  const hostAddresses = new Set<string>();
  for (const route of routes.map(fields)) {
    const destination = text(route["dst"]);
    const address = canonicalAddress(destination.replace(/\/(32|128)$/, ""));
    if (address === undefined) continue;
    const { type, table, nhid, protocol } = route;
    if (type === LOCAL && committed.has(address)) hostAddresses.add(address);
    if ((table ?? MAIN_TABLE) !== MAIN_TABLE || type === LOCAL) continue;
    if (protocol === String(ANYCAST_PROTOCOL) && typeof nhid === "number" && isOurId(nhid))
      ours.set(address, nhid);
    else if (committed.has(address)) foreignRoutes.set(address, routeInWords(route));
  }
  return { paths, hostAddresses, nexthops, groups, foreignIds, routes: ours, foreignRoutes };
}

function pathOf(route: unknown): Path {
  const { type, dev, gateway, via, nexthops, nhid } = fields(route);
  if (type === LOCAL) return { kind: "host" };
  if (type !== UNICAST) return { kind: "none", why: "its route leads nowhere" };
  if (gateway !== undefined || via !== undefined || nexthops !== undefined || nhid !== undefined) {
    return { kind: "none", why: `it is not on a link of this node (${routeInWords(fields(route))})` };
  }
  const device = text(dev);
  // Such a name could not stand in a line of iproute2's batch.
  if (!/^[\w.@:+-]+$/.test(device)) return { kind: "none", why: "the name of its link has odd characters" };
  return { kind: "link", device };
}

/** The line of iproute2's batch for a step; `undefined` for one of BIRD's. All words are numbers, addresses and link names. */
function commandOf(step: Step, settings: GroupSettings): string | undefined {
  const proto = `proto ${ANYCAST_PROTOCOL}`;
  switch (step.kind) {
    case "add_nexthop":
      // onlink: the path was looked up, whatever scope the CNI gave the pod's route (docs/node/kernel.md#anycast: a global
      // one covers no gateway).
      return `nexthop add id ${step.id} via ${step.nexthop.via} dev ${step.nexthop.device} onlink ${proto}`;
    case "set_group": {
      const members = [...step.group.members].map(([id, weight]) => `${id},${weight}`).join("/");
      const verb = step.change === "create" ? "add" : "replace";
      return `nexthop ${verb} id ${step.id} group ${members} ${groupType(step.group.type, settings)} ${proto}`;
    }
    case "set_route":
      // `add` where there is none of ours: one that another program has put there meanwhile is not overwritten.
      return `route ${step.replaces ? "replace" : "add"} ${hostRoute(step.address)} nhid ${step.group} ${proto}`;
    case "drop_route":
      return `route del ${hostRoute(step.address)} ${proto}`;
    case "drop_group":
    case "drop_nexthop":
      return `nexthop del id ${step.id}`;
    case "withdraw":
    case "announce":
      return undefined;
  }
}

function groupType(type: GroupType, { buckets, idleSeconds }: GroupSettings): string {
  return type === "mpath"
    ? "type mpath"
    : `type resilient buckets ${buckets} idle_timer ${idleSeconds} unbalanced_timer 0`;
}

function hostRoute(address: string): string {
  return `${address}/${isV6(address) ? 128 : 32}`;
}

function isOurId(id: number): boolean {
  return id >= NEXTHOP_IDS.first && id <= NEXTHOP_IDS.last;
}

function routeInWords(route: Readonly<Record<string, unknown>>): string {
  const words = (["dst", "gateway", "dev", "nhid", "protocol"] as const).flatMap((key) => {
    const value = route[key];
    return typeof value === "string" || typeof value === "number"
      ? [`${key === "protocol" ? "proto" : key} ${value}`]
      : [];
  });
  return words.join(" ").replace(/^dst /, "");
}

function fields(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
