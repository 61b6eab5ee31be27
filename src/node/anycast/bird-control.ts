import { connect, type Socket } from "node:net";
import type { Milliseconds } from "../../system/clock.ts";
import { NodeToolError } from "../node-tool-error.ts";

/** BIRD's answer to one command: the lines, each without its code, and the code of the last. */
export interface BirdReply {
  /** Four digits: `0…` and `1…` good, `8…` refused at run time, `9…` not understood. */
  readonly code: string;
  readonly lines: readonly string[];
}

/** A conversation with BIRD. */
export interface BirdSession {
  /** Sends one line; resolves to the answer, whatever it says. One at a time. */
  command(line: string): Promise<BirdReply>;
}

/** An answer that is longer than any that we ask for. */
const MAX_REPLY_BYTES = 4 * 1024 * 1024;

/**
 * Talks with BIRD over its control socket, as birdc does: each answer is lines that begin with four digits, `-` after them when
 * more follow, or with a space when the code is that of the line before. Rejects with {@link NodeToolError} `failed` or
 * `timeout` when BIRD is not there, ends, or does not answer within `timeoutMs`.
 */
export async function withBird<T>(
  socketPath: string,
  timeoutMs: Milliseconds,
  talk: (session: BirdSession) => Promise<T>,
): Promise<T> {
  const socket = connect(socketPath);
  const replies = new ReplyReader(socket, socketPath, timeoutMs);
  try {
    const greeting = await replies.next();
    if (greeting.code !== "0001") {
      throw new NodeToolError(
        "failed",
        `${socketPath} greets with ${greeting.code} ${greeting.lines.join(" ")}`,
        {
          fix: "is it BIRD's control socket?",
        },
      );
    }
    return await talk({
      command(line) {
        if (/[\r\n]/.test(line)) throw new NodeToolError("invalid", "a command of BIRD is one line");
        socket.write(`${line}\n`);
        return replies.next();
      },
    });
  } finally {
    socket.destroy();
  }
}

/** What stands between `1000-` and the next answer, in order. */
class ReplyReader {
  readonly #ready: BirdReply[] = [];
  readonly #timeoutMs: Milliseconds;
  readonly #socketPath: string;
  #rest = "";
  #lines: string[] = [];
  #bytes = 0;
  #fault: NodeToolError | undefined;
  #wake: () => void = () => {};

  constructor(socket: Socket, socketPath: string, timeoutMs: Milliseconds) {
    this.#socketPath = socketPath;
    this.#timeoutMs = timeoutMs;
    socket.setEncoding("utf8");
    socket.on("data", (chunk: string) => this.#read(chunk, socket));
    socket.on("error", (cause) => this.#fail(notThere(socketPath, cause)));
    socket.on("close", () => this.#fail(new NodeToolError("failed", `BIRD closed ${socketPath}`)));
  }

  async next(): Promise<BirdReply> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const timer = setTimeout(
      () =>
        this.#fail(
          new NodeToolError(
            "timeout",
            `BIRD did not answer on ${this.#socketPath} within ${this.#timeoutMs} ms`,
          ),
        ),
      this.#timeoutMs,
    );
    try {
      if (this.#ready.length === 0 && !this.#fault) await promise;
      const reply = this.#ready.shift();
      if (reply) return reply;
      throw this.#fault ?? new NodeToolError("failed", "BIRD did not answer");
    } finally {
      clearTimeout(timer);
    }
  }

  #fail(fault: NodeToolError): void {
    this.#fault ??= fault;
    this.#wake();
  }

  #read(chunk: string, socket: Socket): void {
    this.#bytes += chunk.length;
    if (this.#bytes > MAX_REPLY_BYTES) {
      this.#fail(new NodeToolError("failed", "BIRD's answer is too long"));
      socket.destroy();
      return;
    }
    const lines = (this.#rest + chunk).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      const [, code, sign, text = ""] = /^(\d{4})([ -])(.*)$/.exec(line) ?? [];
      this.#lines.push(code === undefined ? line.replace(/^[ +]/, "") : text);
      if (code === undefined || sign !== " ") continue;
      this.#ready.push({ code, lines: this.#lines });
      this.#lines = [];
      this.#bytes = 0;
      this.#wake();
    }
  }
}

function notThere(socketPath: string, cause: Error): NodeToolError {
  const code = "code" in cause ? cause.code : undefined;
  const fix =
    code === "EACCES"
      ? "run as root or in BIRD's group"
      : "is BIRD running, and is this its control socket (birdc -s)?";
  return new NodeToolError(
    code === "EACCES" ? "not_permitted" : "failed",
    `BIRD at ${socketPath}: ${cause.message}`,
    {
      cause,
      fix,
    },
  );
}
