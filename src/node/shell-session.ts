import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { randomBytes } from "node:crypto";
import { IpRouteError } from "./iproute-error.ts";
import { type Ended, quoted } from "./shell-script.ts";
import { type RunProgram, spawnProgram, timedOut } from "./spawn-program.ts";

/**
 * A shell that starts programs for this process, one after the other: it needs less than 1 ms to start one, and a Node process 3 ms and more
 * (docs/node/link.md#what-a-move-does). When the shell could not begin, or has ended, this process starts programs itself.
 */
export class ShellSession {
  readonly #child: ChildProcessWithoutNullStreams;
  /** Nobody who may write into what is passed on, such as the alias of a link, can know it. */
  readonly #token = `LYCHGATE_${randomBytes(16).toString("hex")}`;
  readonly #begun: Promise<boolean>;
  #last: Promise<unknown>;
  #hasEnded = false;
  #said = "";

  /** `child`: a shell that reads commands from its standard input, the first of a process group (`detached`). */
  constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    child.stdin.on("error", () => {});
    // Not installed: said when someone asks.
    child.once("error", (error) => {
      this.#hasEnded = true;
      this.#said = error.message;
    });
    child.once("close", () => (this.#hasEnded = true));
    child.stderr.on("data", (chunk: Buffer) => {
      if (this.#said.length < 1000) this.#said += chunk.toString();
    });
    this.#begun = this.#exchange(":").then(
      () => {
        this.#said = "";
        return true;
      },
      () => false,
    );
    this.#last = this.#begun;
  }

  /** Resolves when the shell has begun, within `timeoutMs`. Rejects with what it said when it could not. */
  async begun(timeoutMs: number): Promise<void> {
    const timer = setTimeout(() => this.#kill(), timeoutMs);
    const hasBegun = await this.#begun;
    clearTimeout(timer);
    if (!hasBegun) throw new Error(this.#said.trim() || "it ended at once");
  }

  /** {@link RunProgram} by the shell. A program that does not end in time is killed with the shell and all that the shell has started. */
  readonly runProgram: RunProgram = async (program, args, input, timeoutMs) => {
    const before = this.#last;
    const { promise: done, resolve: finish } = Promise.withResolvers<void>();
    this.#last = done;
    try {
      await before;
      if (this.#hasEnded || !(await this.#begun)) return await spawnProgram(program, args, input, timeoutMs);
      return await this.#run(program, args, input, timeoutMs);
    } finally {
      finish();
    }
  };

  async #run(program: string, args: readonly string[], input: string, timeoutMs: number): Promise<Ended> {
    const command = args.join(" ");
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      this.#kill();
    }, timeoutMs);
    const words = [program, ...args].map(quoted).join(" ");
    const whole = input === "" || input.endsWith("\n") ? input : `${input}\n`;
    try {
      return await this.#exchange(`${words} <<'${this.#token}'\n${whole}${this.#token}`);
    } catch (cause) {
      if (isLate) throw timedOut(command, timeoutMs);
      throw new IpRouteError({ reason: "other", command, said: "the shell that ran it was ended", cause });
    } finally {
      clearTimeout(timer);
    }
  }

  /** Runs shell text. Rejects when the shell ends before the text did. */
  async #exchange(text: string): Promise<Ended> {
    const { stdin, stdout, stderr } = this.#child;
    const ended = new AbortController();
    const onEnd = (): void => ended.abort();
    this.#child.once("close", onEnd);
    this.#child.once("error", onEnd);
    const mark = Buffer.from(`\0${this.#token}\0`);
    const reading = Promise.all([readTo(mark, stdout, ended.signal), readTo(mark, stderr, ended.signal)]);
    stdin.write(`${text}\nprintf '\\0%s\\0${this.#token}\\0' "$?"; printf '\\0${this.#token}\\0' >&2\n`);
    try {
      const [printed, said] = await reading;
      const at = printed.lastIndexOf("\0");
      return { stdout: printed.slice(0, at), code: Number(printed.slice(at + 1)), stderr: said };
    } finally {
      this.#child.off("close", onEnd);
      this.#child.off("error", onEnd);
    }
  }

  #kill(): void {
    const { pid } = this.#child;
    if (pid === undefined) return;
    try {
      // The group: what a killed shell has started would go on, after someone was told that it had failed.
      process.kill(-pid, "SIGKILL");
    } catch {
      // It has ended by itself.
    }
  }

  /** Lets the shell end, when it has run what it was given. Does not wait for that. */
  close(): void {
    this.#child.stdin.end();
  }
}

/** What a stream brings before the mark, which ends it. */
function readTo(mark: Buffer, stream: NodeJS.ReadableStream, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let tail = Buffer.alloc(0);
    const finish = (): void => {
      stream.off("data", onData);
      signal.removeEventListener("abort", onEnd);
    };
    const onData = (chunk: Buffer): void => {
      chunks.push(chunk);
      tail = Buffer.concat([tail, chunk]).subarray(-mark.length);
      if (!tail.equals(mark)) return;
      finish();
      resolve(Buffer.concat(chunks).subarray(0, -mark.length).toString());
    };
    const onEnd = (): void => {
      finish();
      reject(new Error("the shell has ended"));
    };
    stream.on("data", onData);
    if (signal.aborted) onEnd();
    else signal.addEventListener("abort", onEnd, { once: true });
  });
}
