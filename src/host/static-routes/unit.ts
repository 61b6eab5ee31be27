import { formatCidr } from "../cidr.ts";
import type { StaticRoute } from "./spec.ts";

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
  readonly routes: readonly StaticRoute[];
  /** The unit that must not start before the routes are there. */
  readonly before: string;
  readonly overlapMode: "warn" | "strict";
  /** CIDRs that the overlap check looks at beside the destinations. */
  readonly cidrs: readonly string[];
}

/** Where the overlap check of the unit leaves its report when something is wrong. */
export const MARKER_PATH = "/run/lychgate/overlap.json";

/**
 * A systemd oneshot that installs the routes and then checks for overlaps, before the kubelet. It runs this very command: no shell, no script. Reloading it
 * runs both again; restarting it would restart the kubelet as well, which requires it (systemd.unit(5), `Requires=`).
 */
export function unitText(options: UnitOptions): string {
  const { program, specPath, specSha256, routes, before, overlapMode, cidrs } = options;
  const devs = new Set(routes.flatMap(({ dev }) => dev ?? []));
  const expected = new Set([...routes.map(({ destination }) => formatCidr(destination)), ...cidrs]);
  const apply = execLine([...program, "host", "static-routes", "apply", "--file", specPath]);
  const check = execLine([
    ...program,
    "host",
    "overlap",
    "--mode",
    overlapMode,
    "--marker-file",
    MARKER_PATH,
    ...[...expected].flatMap((cidr) => ["--cidr", cidr]),
    ...[...devs].flatMap((dev) => ["--also-interface", dev]),
  ]);
  return `# Written by lychgate host static-routes install: changes are lost. Edit ${specPath} and install again.
# Specification: sha256 ${specSha256}
[Unit]
Description=Static routes of this node, and a check that no other route takes their packets
Documentation=man:ip-route(8)
Wants=network-online.target
After=network-online.target
Before=${before}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=${apply}
ExecStart=${check}
ExecReload=${apply}
ExecReload=${check}
TimeoutStartSec=90
CapabilityBoundingSet=CAP_NET_ADMIN
NoNewPrivileges=yes

[Install]
RequiredBy=${before}
`;
}

/** A command line as systemd.service(5) reads it: quoted, with no specifier and no variable. */
function execLine(words: readonly string[]): string {
  return words
    .map((word) => word.replaceAll("%", "%%").replaceAll("$", "$$$$"))
    .map((word) =>
      /^[\w/.:=,@%$+*-]+$/.test(word) ? word : `"${word.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`,
    )
    .join(" ");
}
