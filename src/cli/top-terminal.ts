import type { Status } from "../admin/status-types.ts";
import { CommandError, EXIT } from "./command.ts";
import { screenOf } from "./top-screen.ts";

/*
 * Escape sequences of ECMA-48 and xterm: a screen of its own, so that what stood in the terminal comes back; no cursor;
 * lines overwritten where they are, so that nothing flickers.
 */
const ENTER = "\u001B[?1049h\u001B[?25l";
const LEAVE = "\u001B[?25h\u001B[?1049l";
const HOME = "\u001B[H";
const END_OF_LINE = "\u001B[K";
const CLEAR_BELOW = "\u001B[J";

/** Draws pictures on a terminal until q, Ctrl-C or a signal, and leaves it as it was. */
export class TopTerminal {
  readonly #output: NodeJS.WriteStream;
  readonly #color: boolean;
  #status: Status | undefined;
  #fault: string | undefined;

  constructor(output: NodeJS.WriteStream, color: boolean) {
    this.#output = output;
    this.#color = color;
  }

  /** Resolves to the exit code. `ask` may fail: the last picture then stays, with the reason below. */
  async run(first: Status, ask: () => Promise<Status>, intervalMs: number): Promise<number> {
    const { stdin } = process;
    const ended = Promise.withResolvers<void>();
    const end = (): void => ended.resolve();
    const leave = (): void => void this.#output.write(LEAVE);
    const onKey = (key: Buffer): void => {
      // Raw: Ctrl-C and Ctrl-D come as bytes.
      if (["q", "Q", "\u0003", "\u0004"].includes(key.toString("latin1", 0, 1))) end();
    };
    const onResize = (): void => this.#draw();
    this.#output.write(ENTER);
    // Whatever ends the process, the terminal must not stay without a cursor.
    process.once("exit", leave);
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, end);
    this.#output.on("resize", onResize);
    if (stdin.isTTY) stdin.setRawMode(true).on("data", onKey);
    let timer: NodeJS.Timeout | undefined;
    const tick = async (): Promise<void> => {
      try {
        this.#status = await ask();
        this.#fault = undefined;
      } catch (error) {
        if (!(error instanceof CommandError)) throw error;
        this.#fault = error.message;
      }
      this.#draw();
      timer = setTimeout(() => void tick().catch(ended.reject), intervalMs);
    };
    try {
      this.#status = first;
      this.#draw();
      timer = setTimeout(() => void tick().catch(ended.reject), intervalMs);
      await ended.promise;
    } finally {
      clearTimeout(timer);
      this.#output.off("resize", onResize);
      if (stdin.isTTY) stdin.setRawMode(false).off("data", onKey).pause();
      for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.off(signal, end);
      process.off("exit", leave);
      leave();
    }
    return EXIT.ok;
  }

  #draw(): void {
    if (!this.#status) return;
    const { columns, rows } = this.#output;
    const lines = screenOf(this.#status, { columns, rows: rows - 1, color: this.#color });
    const foot = this.#fault === undefined ? "q ends" : `not live: ${this.#fault}`.slice(0, columns);
    this.#output.write(
      `${HOME}${lines.map((line) => `${line}${END_OF_LINE}\n`).join("")}${CLEAR_BELOW}\u001B[${rows};1H${foot}${END_OF_LINE}`,
    );
  }
}
