import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import type { MoveOptions } from "../../../../src/node/link/begin-move.ts";

/** Where a process is to be killed: before or after one of the calls of iproute2 or nsenter that it or a shell of its makes. */
export interface Death {
  readonly when: "before" | "after";
  /** From 1. */
  readonly call: number;
}

/** How a run of `moveLink` in a process of its own ended. */
export interface ChildRun {
  /** It was killed. */
  readonly killed: boolean;
  /** The step that it ended with; empty when it failed. */
  readonly step: unknown;
  readonly stderr: string;
  /** For each call, the step that the state file had then; empty before there was one. */
  readonly calls: readonly string[];
  /** The programs that the process itself started: what Node pays for. */
  readonly spawned: readonly string[];
}

const CHILD = join(import.meta.dirname, "move-child.ts");

/** Runs a move in a process of its own, which is killed by SIGKILL where `death` says. */
export function runMoveChild(options: MoveOptions, death?: Death): ChildRun {
  const folder = join(dirname(options.statePath), "bin");
  if (!existsSync(folder)) writePrograms(folder);
  const log = join(folder, "log");
  const spawned = join(folder, "spawned");
  for (const file of [log, spawned]) writeFileSync(file, "");
  const ended = spawnSync(process.execPath, [CHILD, JSON.stringify(options)], {
    encoding: "utf8",
    env: {
      ...process.env,
      PATH: `${folder}${delimiter}${process.env["PATH"]}`,
      LYCH_LOG: log,
      LYCH_SPAWNED: spawned,
      LYCH_STATE: options.statePath,
      ...(death && { [death.when === "before" ? "LYCH_DIE_BEFORE" : "LYCH_DIE_AFTER"]: String(death.call) }),
    },
  });
  const calls = readFileSync(log, "utf8").split("\n").slice(0, -1);
  return {
    killed: ended.signal === "SIGKILL",
    step: ended.status === 0 ? JSON.parse(ended.stdout) : "",
    stderr: ended.stderr,
    calls,
    spawned: readFileSync(spawned, "utf8").split("\n").slice(0, -1),
  };
}

/** Processes that a child of this state file left behind. */
export function leftBehind({ statePath }: MoveOptions): readonly string[] {
  return readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/environ`, "utf8").includes(statePath);
    } catch {
      return false;
    }
  });
}

/**
 * Programs in front of the real ones. Each writes a line to the log, and kills the process under test when its turn has come, together with
 * the shell that it may have been started by.
 */
function writePrograms(folder: string): void {
  mkdirSync(folder);
  for (const program of ["ip", "nsenter", "unshare"]) {
    const real = spawnSync("sh", ["-c", `command -v ${program}`], { encoding: "utf8" }).stdout.trim();
    const script = [
      "#!/bin/sh",
      // What nsenter runs is the same call.
      `if [ "$LYCH_CALL" = $$ ]; then exec ${real} "$@"; fi`,
      `if [ "$PPID" = "$LYCH_MOVER" ]; then echo ${program} >> "$LYCH_SPAWNED"; fi`,
      // A shell, which makes calls.
      ...(program === "unshare" ? [`exec ${real} "$@"`] : []),
      "export LYCH_CALL=$$",
      `echo "$(sed -n 's/.*"at": "\\([a-z_]*\\)".*/\\1/p' "$LYCH_STATE" 2>/dev/null)" >> "$LYCH_LOG"`,
      'number=$(wc -l < "$LYCH_LOG")',
      // Some calls are made side by side: two may count themselves at once.
      'if [ "$number" -ge "${LYCH_DIE_BEFORE:-1000000}" ]; then kill -9 $PPID $LYCH_MOVER; exit 1; fi',
      `if [ "$number" -ge "\${LYCH_DIE_AFTER:-1000000}" ]; then ${real} "$@"; kill -9 $PPID $LYCH_MOVER; exit 1; fi`,
      `exec ${real} "$@"`,
      "",
    ].join("\n");
    writeFileSync(join(folder, program), script);
    chmodSync(join(folder, program), 0o755);
  }
}
