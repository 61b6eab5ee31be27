import { readFileSync } from "node:fs";

/** What a router opens beside connections of clients and to pods: listeners, logs, peers, admin, the API server, Node's own. */
const OWN_FILES = 64;
/** A client's connection, one to a pod, and a tenth of one for clients that are being refused. */
const FILES_PER_CLIENT = 2.1;

/**
 * The soft limit of open files in a text like `/proc/self/limits` (proc(5)): `Infinity` for `unlimited`, `undefined` when
 * the text does not say.
 */
export function parseOpenFileLimit(limits: string): number | undefined {
  const soft = /^Max open files\s+(\d+|unlimited)\s/m.exec(limits)?.[1];
  if (soft === undefined) return undefined;
  return soft === "unlimited" ? Infinity : Number(soft);
}

/** How many files this process may have open. Node raises the soft limit to the hard one. `undefined` without /proc. */
export function openFileLimit(): number | undefined {
  try {
    return parseOpenFileLimit(readFileSync("/proc/self/limits", "utf8"));
  } catch {
    return undefined;
  }
}

/** Files that a router with so many client connections may have open. */
export function openFilesFor(maxConnections: number): number {
  return OWN_FILES + Math.ceil(maxConnections * FILES_PER_CLIENT);
}

/** `maxConnections`, or as many as the limit of open files leaves room for, at least 1. */
export function fittingConnections(
  maxConnections: number,
  limit: number | undefined = openFileLimit(),
): number {
  if (limit === undefined) return maxConnections;
  return Math.max(1, Math.min(maxConnections, Math.floor((limit - OWN_FILES) / FILES_PER_CLIENT)));
}

/** What to warn of when the limit of open files is too low for `maxConnections`; else `undefined`. */
export function openFilesWarning(
  maxConnections: number,
  limit: number | undefined = openFileLimit(),
): string | undefined {
  const fitting = fittingConnections(maxConnections, limit);
  if (fitting === maxConnections) return undefined;
  return (
    `at most ${fitting} client connections are taken in place of ${maxConnections}: this process may open ${limit} files. ` +
    `Raise that limit (ulimit -n, LimitNOFILE) to ${openFilesFor(maxConnections)}, or lower client.maxConnections`
  );
}
