/** One instruction of a Dockerfile. */
export interface Instruction {
  readonly line: number;
  /** In capitals: `COPY`. */
  readonly name: string;
  /** Flags such as `--from=build`, by name without dashes. */
  readonly flags: Readonly<Record<string, string>>;
  /** What follows, continuation lines joined. */
  readonly rest: string;
}

/** A stage: its `FROM` and what follows. */
export interface Stage {
  readonly image: string;
  readonly name: string | undefined;
  readonly instructions: readonly Instruction[];
}

/** Reads the Dockerfile syntax that ours uses: comments, continuation lines, flags. No heredocs, no escape directive. */
export function parseDockerfile(text: string): Stage[] {
  const stages: (Stage & { instructions: Instruction[] })[] = [];
  for (const instruction of instructionsOf(text)) {
    if (instruction.name === "FROM") {
      const [image = "", as, name] = instruction.rest.split(/\s+/);
      stages.push({
        image,
        name: as?.toUpperCase() === "AS" ? name : undefined,
        instructions: [instruction],
      });
    } else {
      const stage = stages.at(-1);
      if (!stage) throw new Error(`line ${instruction.line}: ${instruction.name} before FROM`);
      stage.instructions.push(instruction);
    }
  }
  return stages;
}

function* instructionsOf(text: string): Generator<Instruction> {
  let pending = "";
  let start = 0;
  for (const [index, line] of text.split("\n").entries()) {
    if (/^\s*(#|$)/.test(line)) continue;
    if (pending === "") start = index + 1;
    pending += line.replace(/\\$/, " ");
    if (line.endsWith("\\")) continue;
    const [, name = "", after = ""] = /^\s*(\w+)\s+(.*)$/.exec(pending) ?? [];
    const flags: Record<string, string> = {};
    let rest = after.trim();
    for (let flag = /^--([\w-]+)=(\S+)\s+/.exec(rest); flag; flag = /^--([\w-]+)=(\S+)\s+/.exec(rest)) {
      flags[flag[1] ?? ""] = flag[2] ?? "";
      rest = rest.slice(flag[0].length);
    }
    yield { line: start, name: name.toUpperCase(), flags, rest };
    pending = "";
  }
}

/** `KEY=value` and `KEY="value"` pairs of ENV, LABEL and ARG. */
export function pairsOf(rest: string): Record<string, string> {
  const pairs = [...rest.matchAll(/([\w.]+)=(?:"([^"]*)"|(\S*))/g)];
  return Object.fromEntries(pairs.map(([, key = "", quoted, bare]) => [key, quoted ?? bare ?? ""]));
}

/** An instruction in exec form, `["a", "b"]`; undefined in shell form. */
export function execForm(rest: string): string[] | undefined {
  try {
    const words: unknown = JSON.parse(rest);
    return Array.isArray(words) && words.every((word) => typeof word === "string") ? words : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Whether a `.dockerignore` of the form "everything but what is named" (`*`, then `!name` lines) lets a path through.
 * Throws on any other pattern, so that this reading is never wrong in silence.
 */
export function isInContext(dockerignore: string, path: string): boolean {
  const [everything, ...exceptions] = dockerignore
    .split("\n")
    .filter((line) => line.trim() !== "" && !line.startsWith("#"));
  if (everything !== "*") throw new Error('.dockerignore must begin with "*"');
  return exceptions.some((line) => {
    if (!/^![\w.-]+$/.test(line)) throw new Error(`.dockerignore: "${line}" is more than this reader knows`);
    return path === line.slice(1) || path.startsWith(`${line.slice(1)}/`);
  });
}
