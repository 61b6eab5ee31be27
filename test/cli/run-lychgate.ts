import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { main } from "../../src/cli/main.ts";

const LAUNCHER = fileURLToPath(new URL("../../bin/lychgate.mjs", import.meta.url));

/** What a finished `lychgate` left behind. */
export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the real command line in a process of its own. `environment` is the whole of its LYCHGATE_ variables. */
export async function runLychgate(
  argv: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Outcome> {
  const child = spawn(process.execPath, [LAUNCHER, ...argv], {
    env: { ...withoutLychgate(process.env), ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  return { code, stdout, stderr };
}

/** The same within this process: for long tables of cases, since a process costs a third of a second. */
export async function runInProcess(
  argv: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Outcome> {
  const stdout = sink();
  const stderr = sink();
  const readFile = (path: string) => readFileSync(path, "utf8");
  const code = await main(argv, { stdout: stdout.stream, stderr: stderr.stream, environment, readFile });
  return { code, stdout: stdout.text(), stderr: stderr.text() };
}

function sink() {
  let text = "";
  const stream = new Writable({
    decodeStrings: false,
    write(chunk: string, _encoding, done) {
      text += chunk;
      done();
    },
  });
  return { stream, text: () => text };
}

/** Runs it for a reader that closes the output before it reads a byte. */
export async function runLychgateWithClosedOutput(argv: readonly string[]): Promise<Omit<Outcome, "stdout">> {
  const child = spawn(process.execPath, [LAUNCHER, ...argv], { stdio: ["ignore", "pipe", "pipe"] });
  child.stdout.destroy();
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  return { code, stderr };
}

function withoutLychgate(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !name.startsWith("LYCHGATE_")));
}
