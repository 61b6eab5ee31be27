import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import type { LoadResult } from "../../../lab/load/result.ts";
import { MIN_RIGHT_PER_PHASE, type Verdict } from "../../../lab/load/verdict.ts";

const LAUNCHER = fileURLToPath(new URL("../../../bin/lychgate.mjs", import.meta.url));

/** A folder that goes with the test. */
export function testFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "lychgate-load-test-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** What `--json` prints. */
export type Said = LoadResult & { readonly verdict: Verdict };

/** Whether each phase had the answers that it needs; on a machine that is too busy it has not, and the run must say so. */
export function provesEnough(said: Said | undefined): boolean {
  return said?.phases.every(({ kind, right }) => kind === "warm-up" || right >= MIN_RIGHT_PER_PHASE) ?? false;
}

/** Runs `lychgate load --json` with these flags, a space between each, and a report in a folder that is not there yet. */
export async function runLoad(flags: string): Promise<{
  readonly code: number;
  /** Nothing, whatever its type, when it could not run. */
  readonly said: Said;
  readonly stderr: string;
  /** The report's text, or `""`. */
  readonly html: string;
}> {
  const report = join(testFolder(), "new", "report.html");
  const child = spawn(
    process.execPath,
    [LAUNCHER, "load", "--json", "--report", report, ...flags.split(" ")],
    {
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  // It ends its router, too.
  onTestFinished(() => void child.kill("SIGTERM"));
  const exited = new Promise<number>((resolve) => child.on("exit", (code) => resolve(code ?? -1)));
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), exited]);
  const said = stdout === "" ? undefined : (JSON.parse(stdout) as Said);
  const html = existsSync(report) ? readFileSync(report, "utf8") : "";
  return { code, said: said as Said, stderr, html };
}
