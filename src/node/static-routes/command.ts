import { readFileSync } from "node:fs";
import { messageOf } from "../../system/error-text.ts";
import { systemClock } from "../../system/clock.ts";
import { describeNodeToolError, NodeToolError } from "../node-tool-error.ts";
import { IpRoute } from "../iproute.ts";
import { applyRoutes, planNow } from "./apply.ts";
import { INSTALLED_SPEC, installStaticRoutes } from "./unit.ts";
import { formatStep, type Step } from "./plan.ts";
import { parseSpec, type StaticRoute, wantedRoutes } from "./spec.ts";
import { UNIT_NAME } from "./unit.ts";
import type { Installed } from "../systemd/boot-unit.ts";
import { systemctl } from "../systemd/systemctl.ts";
import { writeWhole } from "../write-whole.ts";
import { namespaceOf } from "../overlap/command.ts";
import { hostMetricsText } from "../../metrics/node-metrics.ts";

/** Where `apply` and `plan` read when no file is named: where `install` puts it. */
export const DEFAULT_SPEC_FILE: string = INSTALLED_SPEC;

/** `plan`, `apply` or `remove`. */
export interface StaticRoutesOptions {
  readonly action: "plan" | "apply" | "remove";
  /** The specification; `remove` reads none. */
  readonly file: string;
  /** How long a default route is waited for, when an entry needs one. */
  readonly waitMs: number;
  /** A name under /run/netns, or a path; absent: this process's own. */
  readonly namespace?: string | undefined;
  readonly metricsFile?: string | undefined;
}

/** What `--json` prints. */
export interface StaticRoutesReport {
  readonly action: StaticRoutesOptions["action"];
  /** `keep` is as it should be; of `plan` the others are still to do, and `conflict` and `refused` can't be done. */
  readonly steps: readonly { readonly kind: Step["kind"]; readonly text: string }[];
}

/** What a run ended with, or why it failed: lines for a person. */
export type StaticRoutesEnd = { readonly report: StaticRoutesReport } | { readonly failure: string };

/** Runs one action. */
export async function runStaticRoutes(options: StaticRoutesOptions): Promise<StaticRoutesEnd> {
  const { action, file, waitMs, metricsFile } = options;
  return orFailure(async () => {
    const ip = new IpRoute({ namespace: namespaceOf(options.namespace) });
    const routes: readonly StaticRoute[] = action === "remove" ? [] : readRoutes(file);
    const act = action === "plan" ? planNow : applyRoutes;
    const steps = await act(ip, routes, { waitMs, clock: systemClock });
    if (metricsFile !== undefined) await writeWhole(metricsFile, await metricsOf(action, steps));
    return { report: { action, steps: steps.map((step) => ({ kind: step.kind, text: formatStep(step) })) } };
  });
}

/** `install`. */
export interface InstallRequest {
  readonly file: string;
  readonly root: string;
  readonly before: string;
  /** How `lychgate` is started at boot. */
  readonly program: readonly string[];
}

/** Installs the systemd unit, or removes it when no route is wanted. */
export async function runInstall(
  request: InstallRequest,
): Promise<{ readonly installed: Installed } | { readonly failure: string }> {
  return orFailure(async () => ({
    installed: await installStaticRoutes({
      ...request,
      live: request.root === "",
      specText: readSpecFile(request.file),
      specName: request.file,
      systemctl: (args) => systemctl(UNIT_NAME, args),
      removeRoutes: async () => {
        await applyRoutes(new IpRoute(), [], { waitMs: 0, clock: systemClock });
      },
    }),
  }));
}

function readRoutes(file: string): readonly StaticRoute[] {
  return wantedRoutes(parseSpec(readSpecFile(file), file));
}

function readSpecFile(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    const why = messageOf(cause);
    throw new NodeToolError("not_found", `can't read the specification: ${why}`, {
      cause,
      fix: "name it with --file",
    });
  }
}

async function orFailure<T>(work: () => Promise<T>): Promise<T | { readonly failure: string }> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof NodeToolError) return { failure: describeNodeToolError(error) };
    throw error;
  }
}

async function metricsOf(action: StaticRoutesOptions["action"], steps: readonly Step[]): Promise<string> {
  const counted = hostMetricsText();
  const { staticRoutes } = counted.metrics;
  const count = (...kinds: readonly Step["kind"][]) =>
    steps.filter(({ kind }) => kinds.includes(kind)).length;
  if (action === "plan") {
    const wrong = count("replace", "conflict", "refused", "remove");
    staticRoutes.counted({ present: count("keep"), missing: count("add"), wrong });
  } else {
    staticRoutes.counted({ present: count("keep", "add", "replace") });
    for (const { kind } of steps) {
      if (kind === "add") staticRoutes.changed("added");
      if (kind === "replace") staticRoutes.changed("replaced");
      if (kind === "remove") staticRoutes.changed("removed");
    }
  }
  return counted.text();
}
