import { mkdir, readdir, readFile, readlink, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { messageOf } from "../../system/error-text.ts";
import { NodeToolError } from "../node-tool-error.ts";
import { removeFile, writeWhole } from "../write-whole.ts";

/** A systemd unit that runs at boot, before another one starts. */
export interface BootUnit {
  /** `lychgate-static-routes.service`. */
  readonly name: string;
  readonly text: string;
  /** The unit that starts after it, such as `kubelet.service`. */
  readonly before: string;
  /** `requires`: `before` does not start when this unit fails. `wants`: it starts all the same (systemd.unit(5)). */
  readonly dependency: "requires" | "wants";
  /** The files that it reads: path on the machine, and text. */
  readonly files: Readonly<Record<string, string>>;
}

/** Where a unit is installed. */
export interface UnitPlace {
  /** What the paths begin with: the root of an image; empty on this machine. */
  readonly root: string;
  /** Its systemd runs, and hears of changes. */
  readonly live: boolean;
  /** Runs `systemctl` with these arguments; called when live. */
  readonly systemctl: (args: readonly string[]) => Promise<void>;
}

/** What was done. */
export type Installed = "installed" | "updated" | "unchanged" | "removed" | "nothing";

const UNIT_FOLDER = "/etc/systemd/system";
const DEPENDENCY_FOLDER = /\.(requires|wants)$/;

/**
 * Writes the unit and its files, makes `before` depend on it, and no other unit: one that an earlier call named is let go of. Live, it is
 * started, or reloaded when something changed: a restart would restart what requires it as well. Idempotent. Throws {@link NodeToolError}.
 */
export async function installUnit(unit: BootUnit, { root, live, systemctl }: UnitPlace): Promise<Installed> {
  const unitPath = join(root, UNIT_FOLDER, unit.name);
  const wanted = join(root, UNIT_FOLDER, `${unit.before}.${unit.dependency}`, unit.name);
  const old = await textOf(unitPath);
  const files = Object.entries({ ...unit.files, [join(UNIT_FOLDER, unit.name)]: unit.text });
  let changed = false;
  for (const [path, text] of files) {
    const at = join(root, path);
    if ((await textOf(at)) === text) continue;
    await writeWhole(at, text);
    changed = true;
  }
  const links = await linksTo(root, unit.name);
  const stale = links.filter((path) => path !== wanted);
  const linked = links.includes(wanted) && (await readlink(wanted).catch(() => "")).endsWith(`/${unit.name}`);
  for (const path of stale) await removeFile(path);
  if (!linked) await link(wanted, unit.name);
  const relinked = stale.length > 0 || !linked;
  if (live) {
    if (changed || relinked) await systemctl(["daemon-reload"]);
    // "start" starts it when it isn't active, and does nothing when it is.
    await systemctl([changed ? "reload-or-restart" : "start", unit.name]);
  }
  if (old === undefined) return "installed";
  return changed || relinked ? "updated" : "unchanged";
}

/** Removes the unit, its `files` and every dependency on it, also what an earlier call left behind. Throws {@link NodeToolError}. */
export async function removeUnit(
  name: string,
  files: readonly string[],
  { root, live, systemctl }: UnitPlace,
): Promise<Installed> {
  const unitPath = join(root, UNIT_FOLDER, name);
  const links = await linksTo(root, name);
  const installed = (await textOf(unitPath)) !== undefined;
  if (!installed && links.length === 0) return "nothing";
  // A link to a unit that is gone would keep what requires it from starting at the next boot.
  for (const path of links) await removeFile(path);
  if (live) {
    // Only when nothing requires it any more may it be stopped.
    await systemctl(["daemon-reload"]);
    if (installed) await systemctl(["stop", name]);
  }
  for (const path of [unitPath, ...files.map((file) => join(root, file))]) await removeFile(path);
  if (live) await systemctl(["daemon-reload"]);
  return "removed";
}

/** A command line as systemd.service(5) reads it: quoted, with no specifier and no variable. */
export function execLine(words: readonly string[]): string {
  return words
    .map((word) => word.replaceAll("%", "%%").replaceAll("$", "$$$$"))
    .map((word) =>
      /^[\w/.:=,@%$+*-]+$/.test(word) ? word : `"${word.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`,
    )
    .join(" ");
}

/** Paths of all links by which units depend on `name`. */
async function linksTo(root: string, name: string): Promise<readonly string[]> {
  const folder = join(root, UNIT_FOLDER);
  const entries = await readdir(folder).catch(noneIfMissing);
  const paths = entries
    .filter((entry) => DEPENDENCY_FOLDER.test(entry))
    .map((entry) => join(folder, entry, name));
  const found = await Promise.all(paths.map((path) => readlink(path).then(() => true, isOtherFile)));
  return paths.filter((_, index) => found[index]);
}

function noneIfMissing(error: unknown): string[] {
  if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
  throw new NodeToolError("failed", `can't read the folder of units: ${String(error)}`, { cause: error });
}

/** EINVAL: it is there, and no link. */
function isOtherFile(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EINVAL";
}

async function link(path: string, name: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    await removeFile(path);
    await symlink(`../${name}`, path);
  } catch (cause) {
    if (cause instanceof NodeToolError) throw cause;
    const why = messageOf(cause);
    throw new NodeToolError("failed", `can't write ${path}: ${why}`, { cause });
  }
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return undefined;
    throw new NodeToolError("failed", `can't read ${path}: ${String(cause)}`, { cause });
  }
}
