import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** Starts this Node with `args`; its standard input, output and error are pipes. */
export function spawnNode(args: readonly string[]): ChildProcess {
  return spawn(process.execPath, args, { stdio: ["pipe", "pipe", "pipe"] });
}

/**
 * The first line of a child's output that is wanted; what follows is read and thrown away. Rejects with what the child
 * said on standard error when it ends before.
 */
export function firstLine(
  child: ChildProcess,
  from: "stdout" | "stderr",
  isWanted: (line: string) => boolean,
): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const { stdout, stderr } = child;
  if (!stdout || !stderr) throw new Error("the child's output is not piped");
  const complaints: string[] = [];
  const read = (stream: NodeJS.ReadableStream, use: (line: string) => void): void =>
    void createInterface({ input: stream }).on("line", use);
  const look = (line: string): void => {
    if (isWanted(line)) resolve(line);
  };
  read(stdout, (line) => from === "stdout" && look(line));
  read(stderr, (line) => {
    if (complaints.length < 20) complaints.push(line);
    if (from === "stderr") look(line);
  });
  child.once("close", () => reject(new Error(`a child has ended:\n${complaints.join("\n")}`)));
  return promise;
}

/** Ends a child at once and waits until it is gone. */
export async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}
