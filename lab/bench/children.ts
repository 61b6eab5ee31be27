import { spawn } from "node:child_process";
import type { ChildProcess, StdioOptions } from "node:child_process";
import { once } from "node:events";
import { openSync, closeSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";

/** Where and how a child process runs. */
export interface ChildOptions {
  readonly name: string;
  /** The core that it is pinned to. */
  readonly core: number;
  /** Its output goes to `<name>.out` and `<name>.err` in this directory. */
  readonly directory: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Whether messages are exchanged with it. */
  readonly ipc?: boolean;
}

const STOP_TIMEOUT_MS = 3000;

/**
 * The processes that a run started. Whatever happens to the run, {@link endAll} ends them, and no others.
 */
export class Children {
  readonly #running = new Set<ChildProcess>();
  /** Whether {@link abandonAll} was called: what fails now fails because of that. */
  abandoned = false;

  /**
   * Starts `command` on its core by way of taskset, which turns into it: the pid is the command's own. Throws after
   * {@link abandonAll}.
   */
  start(command: string, args: readonly string[], options: ChildOptions): ChildProcess {
    if (this.abandoned) throw new Error(`${options.name} is not started any more: the run was given up`);
    const out = openSync(join(options.directory, `${options.name}.out`), "a");
    const err = openSync(join(options.directory, `${options.name}.err`), "a");
    const stdio: StdioOptions = options.ipc === true ? ["ignore", out, err, "ipc"] : ["ignore", out, err];
    const child = spawn("taskset", ["-c", String(options.core), command, ...args], {
      stdio,
      cwd: options.directory,
      env: { ...process.env, ...options.env },
    });
    closeSync(out);
    closeSync(err);
    this.#running.add(child);
    child.once("exit", () => this.#running.delete(child));
    child.once("error", () => this.#running.delete(child));
    return child;
  }

  /** SIGTERM, and SIGKILL when that is not enough. Resolves when it has ended. */
  async end(child: ChildProcess): Promise<void> {
    if (!this.#running.has(child)) return;
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    await exited;
    clearTimeout(timer);
  }

  async endAll(): Promise<void> {
    await Promise.all([...this.#running].map((each) => this.end(each)));
  }

  /** For the way out of a process that has no time left: asks all of them to end and waits for none. */
  abandonAll(): void {
    this.abandoned = true;
    for (const each of this.#running) each.kill("SIGKILL");
  }
}

/** The end of what a child wrote, to say why it failed. */
export function outputOf(directory: string, name: string): string {
  const read = (end: string): string => {
    try {
      return readFileSync(join(directory, `${name}.${end}`), "utf8");
    } catch {
      return "";
    }
  };
  return `${read("err")}${read("out")}`.trim().slice(-1500);
}

/** Waits until something accepts connections on `port`. Rejects when `child` ends first, or after `timeoutMs`. */
export async function untilListening(
  child: ChildProcess,
  port: number,
  { directory, name }: ChildOptions,
  timeoutMs = 20_000,
): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  let failure: Error | undefined;
  child.once("error", (error) => (failure = error));
  while (performance.now() < deadlineMs) {
    if (failure !== undefined) throw failure;
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`${name} ended at once:\n${outputOf(directory, name)}`);
    }
    if (await accepts(port)) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(
    `${name} did not listen on port ${port} within ${timeoutMs} ms:\n${outputOf(directory, name)}`,
  );
}

function accepts(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.once("connect", () => {
      socket.destroy();
      done(true);
    });
    socket.once("error", () => done(false));
  });
}
