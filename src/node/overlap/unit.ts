import { type BootUnit, execLine } from "../systemd/boot-unit.ts";

/** The unit's name. */
export const UNIT_NAME = "lychgate-overlap.service";

/** Where the check of the unit leaves its report when something is wrong. */
export const MARKER_PATH = "/run/lychgate/overlap.json";

/** How long the unit's check waits for a default route. */
const WAIT_S = 30;

/** What the unit is made of. */
export interface OverlapUnitOptions {
  /** How `lychgate` is started: a program and its first arguments, absolute paths. */
  readonly program: readonly string[];
  /** The unit that starts after the check. */
  readonly before: string;
  /** `strict`: `before` does not start when a CIDR is not ok. */
  readonly mode: "warn" | "strict";
  /** At least one. */
  readonly cidrs: readonly string[];
  readonly alsoInterfaces: readonly string[];
}

/**
 * A systemd oneshot that checks for overlaps at boot, before the kubelet and after the static routes, should there be any. Reloading it
 * checks again; restarting it would restart the kubelet as well, when that requires it.
 */
export function overlapUnit({ program, before, mode, cidrs, alsoInterfaces }: OverlapUnitOptions): BootUnit {
  const check = execLine([
    ...program,
    "node",
    "overlap",
    "--mode",
    mode,
    "--wait-s",
    String(WAIT_S),
    "--marker-file",
    MARKER_PATH,
    ...cidrs.flatMap((cidr) => ["--cidr", cidr]),
    ...alsoInterfaces.flatMap((name) => ["--also-interface", name]),
  ]);
  const dependency = mode === "strict" ? "requires" : "wants";
  const text = `# Written by lychgate node overlap install: changes are lost. Install again instead.
[Unit]
Description=Check that the kernel sends the cluster's CIDRs by the default route
Documentation=man:ip-route(8)
Wants=network-online.target
After=network-online.target lychgate-static-routes.service
Before=${before}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=${check}
ExecReload=${check}
TimeoutStartSec=90
CapabilityBoundingSet=
NoNewPrivileges=yes

[Install]
${mode === "strict" ? "RequiredBy" : "WantedBy"}=${before}
`;
  return { name: UNIT_NAME, text, before, dependency, files: {} };
}
