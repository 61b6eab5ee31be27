import { createHash } from "node:crypto";
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, writeFileSync } from "node:fs";
import { readdir, readFile, rm, stat } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { dirname, join, resolve } from "node:path";
import { z } from "zod";
import { NodeToolError } from "../node-tool-error.ts";
import { type NetworkNamespace, pathOfNamespace } from "../network-namespace.ts";
import { moveStepSchema } from "./move-step.ts";
import { parseFile, snapshotSchema } from "./snapshot.ts";

const DEFAULT_FOLDER = "/run/lychgate/link";
const FORMAT = "lychgate-link-move";

const namespaceSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("own") }),
  z.strictObject({ kind: z.literal("name"), name: z.string().regex(/^[^/\s]+$/) }),
  z.strictObject({ kind: z.literal("path"), path: z.string().regex(/^\//) }),
]);

const exception = z.strictObject({ what: z.string(), why: z.string(), key: z.string() });

const stateSchema = z.strictObject({
  format: z.literal(FORMAT),
  version: z.literal(1),
  startedAt: z.string(),
  from: namespaceSchema,
  /** The inode of `from`: a process elsewhere must not take its own namespace for it. */
  fromInode: z.int(),
  to: namespaceSchema,
  /** The same of `to`; absent in the file of an earlier version. */
  toInode: z.int().optional(),
  /** The link's name in the target. */
  targetName: z.string(),
  pin: z.boolean(),
  /** Taken before anything moved. */
  snapshot: snapshotSchema,
  /** What the rehearsal found to need `onlink`. */
  onlink: z.array(exception),
  /** What is not put back in the target; that was agreed to. */
  unrestorable: z.array(exception),
  /** Rules that the target had before: a rollback leaves them. Each as its key. */
  rulesBefore: z.array(z.string()),
  /** What was otherwise after a rollback. */
  differences: z.array(z.string()),
  step: moveStepSchema,
});

/** All that a second run needs to go on with a move. */
export type MoveState = z.infer<typeof stateSchema>;

/** The marks of a state file that this version writes. */
export const MOVE_STATE_MARKS = { format: FORMAT, version: 1 } as const;

/**
 * The inode of a namespace: two that exist at one time have different ones. The kernel hands it out again when a namespace is gone, so it
 * names a namespace only together with the link in it. Throws `NodeToolError` `not_found`.
 */
export async function inodeOf(namespace: NetworkNamespace): Promise<number> {
  const path = namespace.kind === "own" ? "/proc/self/ns/net" : pathOfNamespace(namespace);
  try {
    return (await stat(path)).ino;
  } catch (cause) {
    throw new NodeToolError("not_found", `there is no network namespace ${path}`, {
      cause,
      fix: "give a name that ip netns list shows, or a path such as /proc/PID/ns/net",
    });
  }
}

/** Whether the namespace that had this inode is there by the same name; what has its inode now may be another one. */
export async function isThere(namespace: NetworkNamespace, inode: number | undefined): Promise<boolean> {
  const found = await inodeOf(namespace).catch(() => undefined);
  return found !== undefined && (inode === undefined || found === inode);
}

/** Where the state of a link's move is by default: one file for each link of each namespace. */
export function defaultStatePath(link: string, inode: number): string {
  return join(DEFAULT_FOLDER, `${link}-${inode}.json`);
}

/** Removes a state file; nothing to do is fine. */
export async function removeMoveState(path: string): Promise<void> {
  await rm(path, { force: true });
}

/**
 * Removes the state files beside `path` by which nothing can be done any more: both namespaces are gone. Never rejects: what can't be read or
 * removed stays.
 */
export async function removeStaleStates(path: string): Promise<void> {
  const folder = dirname(path);
  // A folder that someone named with --state may hold other things.
  if (folder !== DEFAULT_FOLDER) return;
  const names = await readdir(folder).catch((): string[] => []);
  for (const name of names.filter((one) => one.endsWith(".json"))) {
    const file = join(folder, name);
    const state = await readMoveState(file).catch(() => undefined);
    if (!state || file === path || state.from.kind === "own") continue;
    const [from, to] = await Promise.all([
      isThere(state.from, state.fromInode),
      isThere(state.to, state.toInode),
    ]);
    if (!from && !to) await removeMoveState(file).catch(() => {});
  }
}

/** The state in a file, or `undefined` when there is none. Throws `NodeToolError` `invalid`. */
export async function readMoveState(path: string): Promise<MoveState | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw new NodeToolError("failed", `reading the state file ${path}: ${String(error)}`, {
      cause: error,
      fix: "run it as root, or give a path of your own with --state",
    });
  }
  return parseFile(text, path, stateSchema, "look where the link is, and remove the file");
}

/**
 * Replaces the file as a whole, on the disk when this returns: a reader sees the old state or the new one. Synchronous: nothing else is to be done meanwhile,
 * and each of these calls would wait for a thread otherwise, longer than the file system takes.
 */
export function writeMoveState(path: string, state: MoveState): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const file = openSync(`${path}.new`, "w", 0o600);
    try {
      writeFileSync(file, `${JSON.stringify(state, undefined, 2)}\n`);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(`${path}.new`, path);
  } catch (cause) {
    throw new NodeToolError("failed", `writing the state file ${path}: ${String(cause)}`, {
      cause,
      fix: "run it as root, or give a path of your own with --state",
    });
  }
}

/**
 * Keeps others from working on the same state file until the returned function is called, or this process ends in whatever way: the
 * kernel gives an abstract socket back by itself. Holds within one network namespace. Throws `NodeToolError` `failed` when taken.
 */
export async function lockMoveState(path: string): Promise<() => Promise<void>> {
  const name = createHash("sha256").update(resolve(path)).digest("hex");
  const server = createServer();
  await new Promise<void>((done, reject) => {
    server.once("error", (cause) => {
      reject(
        new NodeToolError("failed", `another run works with ${path} right now`, {
          cause,
          fix: "wait until it has ended",
        }),
      );
    });
    server.listen({ path: `\0lychgate-node-link-${name}` }, done);
  });
  server.unref();
  return () => closed(server);
}

function closed(server: Server): Promise<void> {
  return new Promise((done) => {
    server.close(() => done());
  });
}
