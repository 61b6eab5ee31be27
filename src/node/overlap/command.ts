import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../../system/error-text.ts";
import { systemClock } from "../../system/clock.ts";
import type { Config } from "../../config/schema.ts";
import { type Cidr, formatCidr } from "../cidr.ts";
import { describeNodeToolError, NodeToolError } from "../node-tool-error.ts";
import { IpRoute } from "../iproute.ts";
import type { NetworkNamespace } from "../network-namespace.ts";
import { checkOverlap, type OverlapRequest, type OverlapResult, verdictCounts } from "./check.ts";
import { cidrsOfPodIps, parseExpected } from "./expected-cidrs.ts";
import { OverlapMonitor, type OverlapMonitorOptions } from "./monitor.ts";
import { overlapUnit, type OverlapUnitOptions, UNIT_NAME } from "./unit.ts";
import { type Installed, installUnit, removeUnit } from "../systemd/boot-unit.ts";
import { systemctl } from "../systemd/systemctl.ts";
import { removeFile, writeWhole } from "../write-whole.ts";
import { hostMetricsText } from "../../metrics/node-metrics.ts";
import { handleSignals } from "../../system/process-signals.ts";
import { IP_NOT_ALLOWED } from "../../routes/route.ts";
import type { RouteTable } from "../../routes/table.ts";

export type { OverlapResult } from "./check.ts";
export type { CidrVerdict } from "./verdict.ts";

/** One run of `lychgate node overlap`. */
export interface OverlapOptions {
  /** As given; or the pod IPs that a router holds. */
  readonly expected: { readonly cidrs: readonly string[] } | { readonly podIps: readonly string[] };
  readonly mode: "warn" | "strict";
  readonly alsoInterfaces: readonly string[];
  /** A name under /run/netns, or a path; absent: this process's own. */
  readonly namespace?: string | undefined;
  /** How long a default route is waited for. Default 0. */
  readonly waitMs?: number;
  /** Exists, with the report, exactly while something is wrong. */
  readonly markerFile?: string | undefined;
  /** For node_exporter's textfile collector. */
  readonly metricsFile?: string | undefined;
}

/** What a run ended with: what was found, or why nothing could be found, in one line. */
export type OverlapEnd =
  | { readonly report: OverlapReport }
  | {
      readonly failure: string;
      /** What was given is malformed: the check was not tried. */
      readonly invalid?: boolean;
    };

/** What `--json` prints and the marker file holds. */
export interface OverlapReport extends OverlapResult {
  readonly mode: "warn" | "strict";
  /** When the check ended, RFC 3339. */
  readonly checkedAt: string;
}

/** Runs one check and writes the files that were asked for. */
export async function runOverlap(
  options: OverlapOptions,
  counted: ReturnType<typeof hostMetricsText> = hostMetricsText(),
): Promise<OverlapEnd> {
  const { metrics } = counted;
  const { mode, markerFile, metricsFile } = options;
  const writeMetrics = async () => {
    if (metricsFile !== undefined) await writeWhole(metricsFile, await counted.text());
  };
  try {
    const ip = new IpRoute({ namespace: namespaceOf(options.namespace) });
    const cidrs = cidrsOf(options.expected);
    let result: OverlapResult;
    try {
      result = await checkWaiting(ip, { cidrs, alsoInterfaces: options.alsoInterfaces }, options.waitMs ?? 0);
    } catch (error) {
      metrics.overlap.failed();
      await writeMetrics();
      throw error;
    }
    const atMs = systemClock.nowMs();
    const report = { mode, checkedAt: new Date(atMs).toISOString(), ...result };
    metrics.overlap.checked({ verdictCounts: verdictCounts(result), strict: mode === "strict", atMs });
    await writeMetrics();
    if (markerFile !== undefined)
      await (result.ok
        ? removeFile(markerFile)
        : writeWhole(markerFile, `${JSON.stringify(report, undefined, 2)}\n`));
    return { report };
  } catch (error) {
    if (error instanceof NodeToolError)
      return { failure: describeNodeToolError(error), invalid: error.code === "invalid" };
    throw error;
  }
}

const POLL_MS = 500;

/** Checks, and checks again for `waitMs` while there is no default route to compare with: at boot it may come late. */
async function checkWaiting(ip: IpRoute, request: OverlapRequest, waitMs: number): Promise<OverlapResult> {
  const untilMs = systemClock.monotonicMs() + waitMs;
  for (;;) {
    const result = await checkOverlap(ip, request);
    const lacks = result.cidrs.some(({ verdict }) => verdict === "no_default");
    if (!lacks || systemClock.monotonicMs() >= untilMs) return result;
    await sleep(POLL_MS);
  }
}

/** `install` or `install --remove`. */
export interface OverlapInstallRequest extends OverlapUnitOptions {
  readonly root: string;
  /** Take the unit away instead. */
  readonly remove: boolean;
}

/** Installs the systemd unit that checks before another one starts, and runs it; or removes it. */
export async function runOverlapInstall(
  request: OverlapInstallRequest,
): Promise<{ readonly installed: Installed } | { readonly failure: string; readonly invalid?: boolean }> {
  const { root, remove, cidrs } = request;
  const place = {
    root,
    live: root === "",
    systemctl: (args: readonly string[]) => systemctl(UNIT_NAME, args),
  };
  try {
    if (remove) return { installed: await removeUnit(UNIT_NAME, [], place) };
    const unit = overlapUnit({ ...request, cidrs: parseExpected(cidrs, "--cidr").map(formatCidr) });
    return { installed: await installUnit(unit, place) };
  } catch (error) {
    if (error instanceof NodeToolError)
      return { failure: describeNodeToolError(error), invalid: error.code === "invalid" };
    throw error;
  }
}

/**
 * Runs checks, `everyMs` from the end of one to the start of the next, until SIGTERM or SIGINT; `tell` hears of each. A check that can't be done does not
 * end it. `options` is asked anew for each, and may reject with what it failed with.
 */
export async function watchOverlap(
  options: () => Promise<OverlapOptions>,
  everyMs: number,
  tell: (end: OverlapEnd) => void,
): Promise<void> {
  const stopping = new AbortController();
  const stop = (): void => stopping.abort();
  const unlisten = handleSignals({ onFirst: stop, onSecond: stop }, () => systemClock.monotonicMs());
  const counted = hostMetricsText();
  while (!stopping.signal.aborted) {
    try {
      tell(await runOverlap(await options(), counted));
    } catch (error) {
      tell({ failure: messageOf(error) });
    }
    // Rejects when it is stopped.
    await sleep(everyMs, undefined, { signal: stopping.signal }).catch(() => {});
  }
  unlisten();
}

/**
 * The router's own check (`node.overlap…` of the configuration): of the CIDRs that are configured, else of those around the pod IPs that
 * `table` holds. `undefined` when it is off. Throws {@link NodeToolError} `invalid` for a bad CIDR.
 */
export function createOverlapMonitor(
  config: Config["node"],
  table: RouteTable,
  surroundings: Pick<OverlapMonitorOptions, "observer" | "clock" | "log">,
): OverlapMonitor | undefined {
  const { overlapMode, overlapCidrs, overlapInterfaces, overlapIntervalMs } = config;
  if (overlapMode === "off") return undefined;
  const ip = new IpRoute();
  const given = parseExpected(overlapCidrs, "node.overlapCidrs");
  return new OverlapMonitor({
    ...surroundings,
    strict: overlapMode === "strict",
    intervalMs: overlapIntervalMs,
    cidrs: () => (given.length > 0 ? given : cidrsOfPodIps(podIps(table))),
    check: (cidrs) => checkOverlap(ip, { cidrs, alsoInterfaces: overlapInterfaces }),
  });
}

function* podIps(table: RouteTable): Generator<string, void, undefined> {
  for (const key of table.keys()) {
    const inEffect = table.inspect(key)?.inEffect;
    if (inEffect && inEffect.route.ip !== "" && inEffect.state !== IP_NOT_ALLOWED) yield inEffect.route.ip;
  }
}

function cidrsOf(expected: OverlapOptions["expected"]): readonly Cidr[] {
  return "cidrs" in expected ? parseExpected(expected.cidrs, "CIDR") : cidrsOfPodIps(expected.podIps);
}

/** `--netns`. */
export function namespaceOf(given: string | undefined): NetworkNamespace {
  if (given === undefined) return { kind: "own" };
  return given.includes("/") ? { kind: "path", path: given } : { kind: "name", name: given };
}
