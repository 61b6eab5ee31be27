import { type ChildProcess, spawn } from "node:child_process";
import type { Clock, Milliseconds } from "../../system/clock.ts";
import type { Log } from "../../system/log.ts";
import type { NetworkNamespace } from "../network-namespace.ts";
import { ANYCAST_PROTOCOL } from "./kernel.ts";

const RESTART_MS: Milliseconds = 1000;

/**
 * Calls `happened` when a link, a nexthop or a route of ours changes, by `ip monitor`. A wake-up, no news: not every change is told
 * (docs/node/kernel.md#iproute2), so what there is must be read again, and now and then without being told.
 */
export class KernelEvents {
  readonly #args: readonly [string, ...string[]];
  readonly #happened: () => void;
  readonly #clock: Clock;
  readonly #log: Log;
  #child: ChildProcess | undefined;
  #stopped = false;

  constructor(options: {
    readonly namespace: NetworkNamespace;
    readonly happened: () => void;
    readonly clock: Clock;
    readonly log: Log;
  }) {
    const { namespace } = options;
    const monitor = ["-N", "monitor", "label", "link", "nexthop", "route"] as const;
    this.#args =
      namespace.kind === "own"
        ? ["ip", ...monitor]
        : namespace.kind === "name"
          ? ["ip", "-n", namespace.name, ...monitor]
          : ["nsenter", `--net=${namespace.path}`, "--", "ip", ...monitor];
    this.#happened = options.happened;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  start(): void {
    if (this.#stopped) return;
    const [program, ...args] = this.#args;
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "ignore"] });
    this.#child = child;
    let rest = "";
    child.stdout.on("data", (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split("\n");
      rest = lines.pop() ?? "";
      if (lines.some(concernsUs)) this.#happened();
    });
    child.on("error", (error) =>
      this.#log.warn("ip monitor could not be started", { message: error.message }),
    );
    child.on("close", () => {
      if (this.#stopped) return;
      this.#clock.setTimeout(() => this.start(), RESTART_MS);
      this.#happened();
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#child?.kill();
  }
}

const OUR_ROUTE = new RegExp(`\\bproto ${ANYCAST_PROTOCOL}\\b`);

/** Routes of others come and go by the thousand on a router; ours name their protocol. */
function concernsUs(line: string): boolean {
  if (line.startsWith("[ROUTE]")) return OUR_ROUTE.test(line);
  return line.startsWith("[LINK]") || line.startsWith("[NEXTHOP]");
}
