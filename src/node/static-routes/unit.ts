import { createHash } from "node:crypto";
import { execLine, type Installed, installUnit, removeUnit, type UnitPlace } from "../systemd/boot-unit.ts";
import { parseSpec, wantedRoutes } from "./spec.ts";

/** The unit's name. */
export const UNIT_NAME = "lychgate-static-routes.service";

/** What a unit is made of. */
export interface UnitOptions {
  /** How `lychgate` is started: a program and its first arguments, absolute paths. */
  readonly program: readonly string[];
  /** Where the specification lies on the machine. */
  readonly specPath: string;
  /** Of the specification's text, in hex: a new one is a new unit. */
  readonly specSha256: string;
  /** The unit that must not start before the routes are there. */
  readonly before: string;
}

/**
 * A systemd oneshot that installs the routes before the kubelet. It runs this very command: no shell, no script. Reloading it runs it
 * again; restarting it would restart the kubelet as well, which requires it (systemd.unit(5), `Requires=`).
 */
export function unitText({ program, specPath, specSha256, before }: UnitOptions): string {
  const apply = execLine([...program, "node", "static-routes", "apply", "--file", specPath]);
  return `# Written by lychgate node static-routes install: changes are lost. Edit ${specPath} and install again.
# Specification: sha256 ${specSha256}
[Unit]
Description=Static routes of this node
Documentation=man:ip-route(8)
Wants=network-online.target
After=network-online.target
Before=${before}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=${apply}
ExecReload=${apply}
TimeoutStartSec=90
CapabilityBoundingSet=CAP_NET_ADMIN
NoNewPrivileges=yes

[Install]
RequiredBy=${before}
`;
}

/** Where the specification lies on a machine where it was installed. */
export const INSTALLED_SPEC = "/etc/lychgate/static-routes.yaml";

/** How to install. */
export interface InstallOptions extends UnitPlace, Pick<UnitOptions, "program" | "before"> {
  /** The specification. */
  readonly specText: string;
  /** Where it was read, for faults. */
  readonly specName: string;
  /** Removes all routes that are ours from the kernel; called when live. */
  readonly removeRoutes: () => Promise<void>;
}

/**
 * Installs the unit that makes the routes at boot, and starts it; makes it run again when the specification or the unit changed; removes both,
 * and the routes, when no route is wanted. Idempotent. Throws `NodeToolError`.
 */
export async function installStaticRoutes(options: InstallOptions): Promise<Installed> {
  const { specText, specName, before, program, live, removeRoutes } = options;
  if (wantedRoutes(parseSpec(specText, specName)).length === 0) {
    if (live) await removeRoutes();
    return removeUnit(UNIT_NAME, [INSTALLED_SPEC], options);
  }
  const specSha256 = createHash("sha256").update(specText).digest("hex");
  return installUnit(
    {
      name: UNIT_NAME,
      text: unitText({ program, before, specPath: INSTALLED_SPEC, specSha256 }),
      before,
      dependency: "requires",
      files: { [INSTALLED_SPEC]: specText },
    },
    options,
  );
}
