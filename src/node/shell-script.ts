/** How a program ended. */
export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command of a {@link scriptOf}, and what its end means. */
export interface Task<T> {
  /** Shell text, its arguments quoted by {@link quoted}. */
  readonly command: string;
  /** Its standard input: whole lines, or nothing. */
  readonly input: string;
  /** Later tasks are not begun when this one ends with another code than 0. `read` throws then. */
  readonly isVital: boolean;
  /** What it found out. Throws what went wrong. */
  read(ended: Ended): T | Promise<T>;
}

const END_OF_INPUT = "LYCHGATE_END_OF_INPUT";

/**
 * Shell text that runs the commands one after the other. A shell needs less than 1 ms to start a program, and a Node process 2 to 3 ms
 * (docs/node/link.md#what-a-move-does). The text is for a shell's standard input.
 */
export function scriptOf(tasks: readonly Task<unknown>[]): string {
  const steps = tasks.map(({ command, input, isVital }) =>
    [
      "{",
      command,
      ...(input === "" ? ["} </dev/null"] : [`} <<'${END_OF_INPUT}'`, `${input}${END_OF_INPUT}`]),
      // NUL, which no command here prints, ends what this one printed.
      `code=$?; printf '\\0%s\\0' "$code"; printf '\\0' >&2`,
      ...(isVital ? [`[ "$code" -eq 0 ] || exit 0`] : []),
    ].join("\n"),
  );
  // In braces: the shell has read everything before it begins, so no step waits for this process.
  return ["{", ...steps, "exit 0", "}", ""].join("\n");
}

/** How each command of a script ended, as far as it came, from what the script printed. */
export function endsOf({ stdout, stderr }: Ended): readonly Ended[] {
  const printed = stdout.split("\0");
  const said = stderr.split("\0");
  const ends: Ended[] = [];
  for (let at = 0; at + 1 < printed.length; at += 2) {
    ends.push({ stdout: printed[at] ?? "", code: Number(printed[at + 1]), stderr: said[at / 2] ?? "" });
  }
  return ends;
}

/** A word as a shell takes it literally. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
