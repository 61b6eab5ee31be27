import { createHash } from "node:crypto";
import { mkdir, readFile, readlink, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { HostError } from "../host-error.ts";
import { removeFile, writeWhole } from "../write-whole.ts";
import { parseSpec, wantedRoutes } from "./spec.ts";
import { UNIT_NAME, type UnitOptions, unitText } from "./unit.ts";

/** Where the specification lies on a machine where it was installed. */
export const INSTALLED_SPEC = "/etc/lychgate/static-routes.yaml";

const UNIT_FOLDER = "/etc/systemd/system";

/** How to install. */
export interface InstallOptions extends Pick<UnitOptions, "program" | "before" | "overlapMode" | "cidrs"> {
  /** The specification. */
  readonly specText: string;
  /** Where it was read, for faults. */
  readonly specName: string;
  /** What the paths begin with: the root of an image; empty on this machine. */
  readonly root: string;
  /** Its systemd runs: the unit is started, and the kernel is this one. */
  readonly live: boolean;
  /** Runs `systemctl` with these arguments; called when live. */
  readonly systemctl: (args: readonly string[]) => Promise<void>;
  /** Removes all routes that are ours from the kernel; called when live. */
  readonly removeRoutes: () => Promise<void>;
}

/** What was done. */
export type Installed = "installed" | "updated" | "unchanged" | "removed" | "nothing";

/**
 * Installs the unit that makes the routes at boot, and starts it; makes it run again when the specification or the unit changed; removes both,
 * and the routes, when no route is wanted. Idempotent. Throws {@link HostError}.
 */
export async function installUnit(options: InstallOptions): Promise<Installed> {
  const { specText, specName, root, live, systemctl, before } = options;
  const routes = wantedRoutes(parseSpec(specText, specName));
  const paths = pathsOf(root, before);
  const old = await textOf(paths.unit);
  if (routes.length === 0) return uninstall(options, paths, old !== undefined);

  const text = unitText({
    ...options,
    routes,
    specPath: INSTALLED_SPEC,
    specSha256: createHash("sha256").update(specText).digest("hex"),
  });
  const [oldSpec, linked] = [await textOf(paths.spec), await isLinked(paths.link)];
  if (old !== text || oldSpec !== specText || !linked) {
    await writeWhole(paths.spec, specText);
    await writeWhole(paths.unit, text);
    if (!linked) await link(paths.link);
  }
  const changed = old !== text || oldSpec !== specText;
  if (live) {
    if (changed || !linked) await systemctl(["daemon-reload"]);
    // Starts it when it isn't active, and starts nothing when it is and nothing changed.
    await systemctl([changed ? "reload-or-restart" : "start", UNIT_NAME]);
  }
  if (old === undefined) return "installed";
  return changed || !linked ? "updated" : "unchanged";
}

interface Paths {
  readonly spec: string;
  readonly unit: string;
  /** What `systemctl enable` makes. */
  readonly link: string;
}

function pathsOf(root: string, before: string): Paths {
  return {
    spec: join(root, INSTALLED_SPEC),
    unit: join(root, UNIT_FOLDER, UNIT_NAME),
    link: join(root, UNIT_FOLDER, `${before}.requires`, UNIT_NAME),
  };
}

async function uninstall(
  { live, systemctl, removeRoutes }: InstallOptions,
  paths: Paths,
  installed: boolean,
): Promise<Installed> {
  if (live) await removeRoutes();
  if (!installed) return "nothing";
  await removeFile(paths.link);
  if (live) {
    // Only when the kubelet does not require it any more may it be stopped.
    await systemctl(["daemon-reload"]);
    await systemctl(["stop", UNIT_NAME]);
  }
  await removeFile(paths.unit);
  await removeFile(paths.spec);
  if (live) await systemctl(["daemon-reload"]);
  return "removed";
}

async function link(path: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    await removeFile(path);
    await symlink(`../${UNIT_NAME}`, path);
  } catch (cause) {
    if (cause instanceof HostError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new HostError("failed", `can't write ${path}: ${why}`, { cause });
  }
}

async function isLinked(path: string): Promise<boolean> {
  return (await readlink(path).catch(() => "")).endsWith(`/${UNIT_NAME}`);
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return undefined;
    throw new HostError("failed", `can't read ${path}: ${String(cause)}`, { cause });
  }
}
