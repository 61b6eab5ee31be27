import { NodeToolError } from "./node-tool-error.ts";
import type { Ended } from "./shell-script.ts";

/** What the kernel or iproute2 said no with, as a stable word. */
export type IpRouteErrorCode =
  /** A gateway that can't be resolved: ENETUNREACH, EHOSTUNREACH, "Nexthop has invalid gateway". */
  | "unreachable"
  /** ESRCH, ENOENT, ENODEV, "Cannot find device", "does not exist". */
  | "not_found"
  /** EEXIST. */
  | "exists"
  /** EPERM, EACCES where no route says so. */
  | "not_permitted"
  /** The device, or the nexthop's device, is down. */
  | "down"
  /** iproute2 did not understand its arguments: a fault of the caller. */
  | "bad_argument"
  /** The namespace is not there or can't be entered. */
  | "namespace"
  /** iproute2 (or nsenter) is not installed. */
  | "missing_program"
  /** An `ip` that prints no JSON: iproute2 before 4.17, or busybox. */
  | "unsupported"
  | "timeout"
  | "other";

/** A call of iproute2 that failed. */
export class IpRouteError extends NodeToolError {
  readonly reason: IpRouteErrorCode;
  /** The line that failed, without `ip`. */
  readonly command: string;
  /** What iproute2 printed, trimmed: the kernel's own words. */
  readonly said: string;
  readonly exitCode: number | undefined;

  constructor(options: {
    readonly reason: IpRouteErrorCode;
    readonly command: string;
    readonly said: string;
    readonly exitCode?: number | undefined;
    readonly cause?: unknown;
    /** Default: what there is to say of the reason. */
    readonly fix?: string;
  }) {
    const { reason, command, said, exitCode, cause, fix = FIXES[reason] ?? "" } = options;
    super(HOST_CODES[reason], `ip ${command}: ${said || `exit code ${exitCode}`}`, { cause, fix });
    this.name = "IpRouteError";
    this.reason = reason;
    this.command = command;
    this.said = said;
    this.exitCode = exitCode;
  }
}

const HOST_CODES = {
  unreachable: "failed",
  not_found: "not_found",
  exists: "failed",
  not_permitted: "not_permitted",
  down: "failed",
  bad_argument: "invalid",
  namespace: "not_found",
  missing_program: "missing_program",
  unsupported: "unsupported",
  timeout: "timeout",
  other: "failed",
} as const satisfies Record<IpRouteErrorCode, NodeToolError["code"]>;

const FIXES: Partial<Record<IpRouteErrorCode, string>> = {
  not_permitted: "run it with CAP_NET_ADMIN, and with CAP_SYS_ADMIN to enter another namespace",
  missing_program: "install iproute2 (and util-linux for nsenter)",
};

/** The first iproute2 whose `-json` covers links, addresses, routes, rules and neighbours. */
export const NEEDED_VERSION = "iproute2 4.17";

/** iproute2 prints the kernel's extack text where there is one, else `RTNETLINK answers: strerror` (docs/node/kernel.md#gateways). */
const SAYINGS: readonly (readonly [RegExp, IpRouteErrorCode])[] = [
  // First: also a namespace that may not be entered.
  [
    /Operation not permitted|Permission denied \(you must be root\)|\/(ns|netns)\/.*Permission denied/i,
    "not_permitted",
  ],
  [
    /Cannot open network namespace|cannot open .*\/(ns|netns)\/|reassociate to namespace|setting the network namespace/i,
    "namespace",
  ],
  [
    /Nexthop has invalid gateway|Network is unreachable|No route to host|Egress device not specified/i,
    "unreachable",
  ],
  [/is not up|Network is down/i, "down"],
  [
    /Cannot find device|does not exist|No such (process|file|device)|Cannot assign requested address|FIB table does not exist/i,
    "not_found",
  ],
  [/File exists|already exists/i, "exists"],
  [
    /is expected|is garbage|is wrong|Invalid (value|argument "|prefix)|Unknown|either .* is a garbage|Argument|Command line/i,
    "bad_argument",
  ],
];

/** What an old iproute2 and busybox say to `-json`. */
export const NO_JSON = /Option "-json" is unknown|(unrecognized|invalid|unknown) option|BusyBox/i;

/** Which word stands for what iproute2 printed. */
export function classify(said: string): IpRouteErrorCode {
  return SAYINGS.find(([pattern]) => pattern.test(said))?.[1] ?? "other";
}

/** What a shell ends with for a program that is not installed. */
export const NOT_FOUND_BY_SHELL = 127;

/** The failure that a call of `ip` ended with. */
export function failure(command: string, { code, stderr }: Ended): IpRouteError {
  const said = stderr.trim();
  const reason = code === NOT_FOUND_BY_SHELL ? "missing_program" : classify(said);
  return new IpRouteError({ reason, command, said, exitCode: code });
}
