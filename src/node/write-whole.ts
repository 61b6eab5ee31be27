import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { messageOf } from "../system/error-text.ts";
import { NodeToolError } from "./node-tool-error.ts";

/**
 * Writes a file whole: a reader sees what was there before or all of `text`, never a part. Makes its folder. Throws {@link NodeToolError}
 * `failed` that names the file.
 */
export async function writeWhole(path: string, text: string, mode = 0o644): Promise<void> {
  // A hidden name: folders of units and of metrics are read whole by others.
  const draft = join(dirname(path), `.${basename(path)}.${process.pid}`);
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(draft, text, { mode });
    await rename(draft, path);
  } catch (cause) {
    await rm(draft, { force: true }).catch(() => {});
    throw fileError("write", path, cause);
  }
}

/** Removes a file; one that isn't there is fine. Throws {@link NodeToolError} `failed`. */
export async function removeFile(path: string): Promise<void> {
  try {
    await rm(path, { force: true });
  } catch (cause) {
    throw fileError("remove", path, cause);
  }
}

function fileError(doing: string, path: string, cause: unknown): NodeToolError {
  const why = messageOf(cause);
  return new NodeToolError("failed", `can't ${doing} ${path}: ${why}`, { cause });
}
