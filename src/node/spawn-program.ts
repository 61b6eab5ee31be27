import { spawn } from "node:child_process";
import { IpRouteError } from "./iproute-error.ts";
import type { Ended } from "./shell-script.ts";

/**
 * Runs a program with `input` as its standard input, and resolves to how it ended. Rejects with `IpRouteError`: `missing_program`, `timeout`, or
 * `other` when it was killed.
 */
export type RunProgram = (
  program: string,
  args: readonly string[],
  input: string,
  timeoutMs: number,
) => Promise<Ended>;

/** English words, whatever the machine's locale: they are classified. */
export function englishEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, LC_ALL: "C" };
}

/** The failure of a program that did not end in time. */
export function timedOut(command: string, timeoutMs: number): IpRouteError {
  return new IpRouteError({ reason: "timeout", command, said: `no answer within ${timeoutMs} ms` });
}

/** {@link RunProgram} by a process of this one. */
export const spawnProgram: RunProgram = (program, args, input, timeoutMs) => {
  return new Promise((resolve, reject) => {
    const command = args.join(" ");
    const child = spawn(program, args, { env: englishEnvironment() });
    // Not spawn's own `timeout`: its timer outlives a program that could not be started, and a wrapper's child may hold the pipes.
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
      reject(timedOut(command, timeoutMs));
    }, timeoutMs);
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
    // A program that ends before it has read everything: its exit code says why.
    child.stdin.on("error", () => {});
    child.stdin.end(input);
    child.on("error", (cause) => {
      clearTimeout(timer);
      const reason = "code" in cause && cause.code === "ENOENT" ? "missing_program" : "other";
      const said = reason === "missing_program" ? `${program} is not installed` : cause.message;
      reject(new IpRouteError({ reason, command, said, cause }));
    });
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      if (code === null) {
        reject(new IpRouteError({ reason: "other", command, said: `ended by ${signal}` }));
        return;
      }
      resolve({ code, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() });
    });
  });
};
