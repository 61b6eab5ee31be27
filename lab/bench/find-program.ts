import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** The path of `name` on PATH or where Debian keeps daemons; undefined when it is not there. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/local/sbin", "/usr/sbin", "/sbin"];
  return folders.map((each) => join(each, name)).find(isExecutable);
}

export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
