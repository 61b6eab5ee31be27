import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { ShellSession } from "../../src/node/shell-session.ts";
import { eventually } from "../support/eventually.ts";

const LONG_MS = 60_000;

function open(program = "sh", args: readonly string[] = []) {
  const child: ChildProcessWithoutNullStreams = spawn(program, args, { detached: true });
  const session = new ShellSession(child);
  onTestFinished(() => session.close());
  return { child, session };
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "lychgate-session-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Whether a process is there and has not ended. */
function isRunning(pid: number): boolean {
  const path = `/proc/${pid}/stat`;
  return existsSync(path) && !/\) [ZX]/.test(readFileSync(path, "utf8"));
}

describe("a shell that starts programs for this process", () => {
  test("each gets its input, and ends with its code and what it printed", async () => {
    const { session } = open();
    const run = session.runProgram;
    const ends = await Promise.all([
      run("cat", [], "one\ntwo\n", LONG_MS),
      run("sh", ["-c", "echo out; echo err >&2; exit 3"], "", LONG_MS),
      run("printf", ["%s|", "a b", "$HOME", "it's"], "", LONG_MS),
      run("cat", [], "x".repeat(300_000), LONG_MS),
    ]);
    expect(ends).toEqual([
      { code: 0, stdout: "one\ntwo\n", stderr: "" },
      { code: 3, stdout: "out\n", stderr: "err\n" },
      { code: 0, stdout: "a b|$HOME|it's|", stderr: "" },
      { code: 0, stdout: `${"x".repeat(300_000)}\n`, stderr: "" },
    ]);
  });

  test("input that is shell text, or looks like the end of an input, is input", async () => {
    const { session } = open();
    const input = "$(echo gone) `echo gone` \\\nLYCHGATE_END_OF_INPUT\nEOF\n'\n\"\n";
    expect(await session.runProgram("cat", [], input, LONG_MS)).toMatchObject({ stdout: input });
  });

  test("a program that is not there ends as in any shell", async () => {
    const { session } = open();
    expect(await session.runProgram("lychgate-no-such", [], "", LONG_MS)).toMatchObject({ code: 127 });
  });

  test.each([
    ["is not installed", "lychgate-no-such", []],
    ["ends at once", "sh", ["-c", "echo no rights >&2; exit 1"]],
  ])(
    "where the shell %s, this process starts the programs, and says why when asked",
    async (_, program, args) => {
      const { session } = open(program, args);
      expect(await session.runProgram("cat", [], "one\n", LONG_MS)).toMatchObject({ stdout: "one\n" });
      await expect(session.begun(LONG_MS)).rejects.toThrow(/ENOENT|no rights/);
    },
  );

  test("a program that hangs is killed with all that was started for it, and the next one runs", async () => {
    const { session } = open();
    const path = join(temporaryFolder(), "pid");
    await session.begun(LONG_MS);
    const script = `echo $$ > ${path}; sleep 600; echo on > ${path}`;
    const hanging = session.runProgram("sh", ["-c", script], "", 2000);
    await expect(hanging).rejects.toMatchObject({ reason: "timeout", said: "no answer within 2000 ms" });
    const pid = Number(readFileSync(path, "utf8"));
    expect(pid).toBeGreaterThan(0);
    await eventually(() => expect(isRunning(pid)).toBe(false));
    expect(await session.runProgram("echo", ["next"], "", LONG_MS)).toMatchObject({ stdout: "next\n" });
  });

  test("killed in the middle of a program, that program failed: it is not run a second time", async () => {
    const { session, child } = open();
    const path = join(temporaryFolder(), "runs");
    const running = session.runProgram("sh", ["-c", `echo run >> ${path}; sleep 600`], "", LONG_MS);
    await eventually(() => expect(existsSync(path)).toBe(true));
    process.kill(-(child.pid ?? 0), "SIGKILL");
    await expect(running).rejects.toMatchObject({ reason: "other" });
    expect(readFileSync(path, "utf8")).toBe("run\n");
  });
});
