import { createHash } from "node:crypto";
import { type Installed, installUnit, removeUnit, type UnitPlace } from "../systemd/boot-unit.ts";
import { parseSpec, wantedRoutes } from "./spec.ts";
import { UNIT_NAME, type UnitOptions, unitText } from "./unit.ts";

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
