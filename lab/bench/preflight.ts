import { availableParallelism } from "node:os";
import { execFileSync } from "node:child_process";
import { findProgram } from "./find-program.ts";

/** Something that the benchmark needs is missing. The message says what to do. */
export class PreflightError extends Error {}

/** Makes sure that processes can be pinned to `cores`. Throws {@link PreflightError}. */
export function checkMachine(cores: readonly number[]): void {
  if (process.platform !== "linux") {
    throw new PreflightError(
      "the benchmark needs Linux: it reads CPU times from /proc and pins with taskset",
    );
  }
  if (availableParallelism() < 2) {
    throw new PreflightError(
      "the benchmark needs two cores: one for the proxy and one for the load; this machine offers one",
    );
  }
  if (findProgram("taskset") === undefined) {
    throw new PreflightError("taskset is not on PATH (Debian: apt-get install util-linux)");
  }
  for (const core of cores) {
    try {
      execFileSync("taskset", ["-c", String(core), "true"], { stdio: "ignore" });
    } catch (error) {
      throw new PreflightError(`no process can be pinned to core ${core}; choose others with --cores`, {
        cause: error,
      });
    }
  }
}
