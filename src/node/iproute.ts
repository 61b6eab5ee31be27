import type { IpFamily } from "./cidr.ts";
import {
  classify,
  failure,
  IpRouteError,
  NEEDED_VERSION,
  NO_JSON,
  NOT_FOUND_BY_SHELL,
} from "./iproute-error.ts";
import { ipIn, type NetworkNamespace, pathOfNamespace, shellIn } from "./network-namespace.ts";
import { endsOf, type Ended, quoted, scriptOf, type Task } from "./shell-script.ts";
import type { ShellSession } from "./shell-session.ts";
import { type RunProgram, spawnProgram } from "./spawn-program.ts";

/** A line of a batch that the kernel refused. */
export interface BatchFailure {
  /** Index into the lines that were given. */
  readonly index: number;
  readonly error: IpRouteError;
}

/** Tasks that find out a `T` each. */
export type Tasks<T extends readonly unknown[]> = readonly [...{ readonly [K in keyof T]: Task<T[K]> }];

/** Options of {@link IpRoute}. */
export interface IpRouteOptions {
  /** Default: this process's own. */
  readonly namespace?: NetworkNamespace;
  /** Longest time that a call may take. Default 30 s. */
  readonly timeoutMs?: number;
  /** A shell that starts the programs, in whatever namespace it is itself. Default: this process does. */
  readonly session?: ShellSession | undefined;
}

/**
 * iproute2 in one network namespace: its JSON for reading, its batch mode for writing (docs/architecture.md#node). Each call
 * is one short-lived process, about 3 ms (docs/node/kernel.md#iproute2). Changing anything needs CAP_NET_ADMIN; a namespace
 * that isn't this process's needs CAP_SYS_ADMIN as well.
 */
export class IpRoute {
  readonly namespace: NetworkNamespace;
  /** {@link namespace}, as who runs programs has to enter it. */
  readonly #entered: NetworkNamespace;
  readonly #timeoutMs: number;
  readonly #runProgram: RunProgram;

  constructor(options: IpRouteOptions = {}) {
    this.namespace = options.namespace ?? { kind: "own" };
    this.#timeoutMs = options.timeoutMs ?? 30_000;
    this.#runProgram = options.session?.runProgram ?? spawnProgram;
    // The shell's own is another one.
    this.#entered = options.session
      ? { kind: "path", path: pathOfNamespace(this.namespace) }
      : this.namespace;
  }

  /**
   * What a command that lists things prints, parsed: `json(["route", "show", "table", "all"])`. Numbers and details are asked for,
   * since filters and defaults drop fields. A table that was never made is empty. Throws {@link IpRouteError}.
   */
  async json(args: readonly string[]): Promise<readonly unknown[]> {
    let stdout = "";
    try {
      ({ stdout } = await this.#ip([...JSON_OPTIONS, ...args]));
    } catch (error) {
      if (error instanceof IpRouteError && error.said.includes("FIB table does not exist")) return [];
      if (error instanceof IpRouteError && NO_JSON.test(error.said)) throw await this.#noJson(args, error);
      throw error;
    }
    return this.#parsed(args, stdout);
  }

  async #parsed(args: readonly string[], text: string): Promise<readonly unknown[]> {
    if (text.trim() === "") return [];
    try {
      const parsed: unknown = JSON.parse(withEncapsulationNames(text));
      return Array.isArray(parsed) ? parsed : [parsed];
    } catch (cause) {
      throw await this.#noJson(args, cause);
    }
  }

  /** An `ip` that can't do what is asked of it. Names its version. */
  async #noJson(args: readonly string[], cause: unknown): Promise<IpRouteError> {
    const version = await this.#ip(["-V"]).then(
      ({ stdout }) => stdout.trim(),
      () => "its version is unknown",
    );
    return new IpRouteError({
      reason: "unsupported",
      command: args.join(" "),
      said: `this ip prints no JSON (${version.split("\n")[0] ?? ""})`,
      cause,
      fix: `${NEEDED_VERSION} or newer is needed, and found first in PATH`,
    });
  }

  /** Runs one command: `run(["route", "replace", …])`. Resolves to what it printed. Throws {@link IpRouteError}. */
  async run(args: readonly string[]): Promise<string> {
    return (await this.#ip(args)).stdout;
  }

  /**
   * Runs all `lines`, in order, in one process; goes on after a line that the kernel refuses and returns those. Arguments must have
   * been checked before: a line that iproute2 itself can't read ends the batch (docs/node/kernel.md#iproute2), which throws
   * `bad_argument`, as do line breaks in a line. `family` is for lines that don't tell it themselves, by an address or a prefix.
   */
  async batch(lines: readonly string[], family?: IpFamily): Promise<readonly BatchFailure[]> {
    if (lines.length === 0) return [];
    return (await this.#batchEnded(lines, await this.#batch(familyOption(family), lines))).failures;
  }

  /**
   * Runs commands in this namespace one after the other, in one process of this one: starting a process costs Node more than the process
   * (docs/node/link.md#what-a-move-does). Resolves to what each one found out. Throws what the first one throws, or why none could run.
   */
  async together<T extends readonly unknown[]>(tasks: Tasks<T>): Promise<T> {
    return this.after([], tasks);
  }

  /** As {@link together}, with `first` before, whose findings are of no use. */
  async after<T extends readonly unknown[]>(first: readonly Task<unknown>[], tasks: Tasks<T>): Promise<T> {
    const all: readonly Task<unknown>[] = [...first, ...tasks];
    if (all.length === 0) return [] as unknown as T;
    const [program, ...args] = shellIn(this.#entered);
    const script = await this.#runProgram(program, args, scriptOf(all), this.#timeoutMs);
    const ends = endsOf(script);
    const found: unknown[] = [];
    for (const [at, task] of all.entries()) {
      const end = ends[at];
      // It could not begin, or was killed.
      if (!end) throw failure("-batch", { ...script, stderr: script.stderr.split("\0").at(-1) ?? "" });
      found.push(await task.read(end));
    }
    return found.slice(first.length) as unknown as T;
  }

  /** {@link run} for {@link together}. Tasks that follow are not begun when it fails. */
  runTask(args: readonly string[]): Task<string> {
    return {
      command: ["ip", ...args].map(quoted).join(" "),
      input: "",
      isVital: true,
      read(ended) {
        if (ended.code !== 0) throw failure(args.join(" "), ended);
        return ended.stdout;
      },
    };
  }

  /** {@link batch} for {@link together}. Tasks that follow are not begun when a line fails: `read` must throw then. */
  batchTask(lines: readonly string[], family?: IpFamily): Task<readonly BatchFailure[]> {
    return {
      ...batchCommand(familyOption(family), lines),
      isVital: true,
      read: async (ended) => (await this.#batchEnded(lines, ended)).failures,
    };
  }

  /** {@link jsonBatch} for {@link together}. Tasks that follow are begun in any case. */
  jsonBatchTask(
    lines: readonly string[],
    family?: IpFamily,
  ): Task<readonly (readonly unknown[] | IpRouteError)[]> {
    return {
      ...batchCommand([...familyOption(family), ...JSON_OPTIONS], lines),
      isVital: false,
      read: (ended) => this.#answers(lines, ended),
    };
  }

  async #batch(options: readonly string[], lines: readonly string[]): Promise<Ended> {
    return this.#spawn([...options, ...BATCH_OPTIONS], inputOf(lines));
  }

  async #batchEnded(
    lines: readonly string[],
    { code, stdout, stderr }: Ended,
  ): Promise<{ readonly stdout: string; readonly failures: readonly BatchFailure[] }> {
    if (code === 0) return { stdout, failures: [] };
    if (code === NOT_FOUND_BY_SHELL) throw failure("-batch", { code, stdout, stderr });
    const { failures, rest } = batchFailures(stderr, lines);
    // Without "Command failed" for the last words, iproute2 gave up in the middle and said nothing of the lines that follow.
    if (rest !== "" || failures.length === 0) {
      if (NO_JSON.test(rest)) throw await this.#noJson(["-batch"], rest);
      const reason = classify(rest);
      throw new IpRouteError({
        reason: reason === "other" ? "bad_argument" : reason,
        command: "-batch",
        said: rest || "ended in the middle of the batch",
        exitCode: code,
      });
    }
    return { stdout, failures };
  }

  /**
   * As {@link json}, for many questions in one process: `["route get 10.0.0.1", …]`. Resolves to what each one was answered, in order: the
   * entries, or the kernel's refusal. Throws when iproute2 gave up in the middle.
   */
  async jsonBatch(
    lines: readonly string[],
    family?: IpFamily,
  ): Promise<readonly (readonly unknown[] | IpRouteError)[]> {
    if (lines.length === 0) return [];
    return this.#answers(lines, await this.#batch([...familyOption(family), ...JSON_OPTIONS], lines));
  }

  async #answers(
    lines: readonly string[],
    ended: Ended,
  ): Promise<readonly (readonly unknown[] | IpRouteError)[]> {
    const { stdout, failures } = await this.#batchEnded(lines, ended);
    const refused = new Map(failures.map(({ index, error }) => [index, error]));
    const documents = stdout.split("\n").filter((line) => line.trim() !== "");
    if (documents.length + refused.size !== lines.length)
      throw await this.#noJson(["-batch"], `${documents.length} answers to ${lines.length} questions`);
    let next = 0;
    const answers: (readonly unknown[] | IpRouteError)[] = [];
    for (const index of lines.keys()) {
      const error = refused.get(index);
      if (error) answers.push(error);
      else answers.push(await this.#parsed(["-batch"], documents[next++] ?? ""));
    }
    return answers;
  }

  async #ip(args: readonly string[]): Promise<{ readonly stdout: string }> {
    const ended = await this.#spawn(args, "");
    if (ended.code === 0) return ended;
    throw failure(args.join(" "), ended);
  }

  #spawn(args: readonly string[], input: string): Promise<Ended> {
    const [program, ...rest] = ipIn(this.#entered, args);
    return this.#runProgram(program, rest, input, this.#timeoutMs);
  }
}

const JSON_OPTIONS = ["-json", "-details", "-N"];
const BATCH_OPTIONS = ["-force", "-batch", "-"];

function batchCommand(
  options: readonly string[],
  lines: readonly string[],
): Pick<Task<unknown>, "command" | "input"> {
  return { command: ["ip", ...options, ...BATCH_OPTIONS].join(" "), input: inputOf(lines) };
}

/** Throws when a line is none. */
function inputOf(lines: readonly string[]): string {
  const broken = lines.find((line) => /[\r\n]/.test(line) || line.trim() === "");
  if (broken !== undefined) {
    throw new IpRouteError({ reason: "bad_argument", command: broken, said: "not one line" });
  }
  return `${lines.join("\n")}\n`;
}

function familyOption(family: IpFamily | undefined): readonly string[] {
  return family === undefined ? [] : [`-${family}`];
}

/**
 * iproute2 prints an `encap ip` into the object of its route, with names that the route has too: `"dst"` a second time is the tunnel's, and JSON
 * takes the last. Those are renamed.
 */
function withEncapsulationNames(text: string): string {
  if (!text.includes('"encap":')) return text;
  return text.replaceAll(
    /"encap":"[^"]*"[^[\]{}]*?(?="(?:gateway|via|dev|flags|table)":|[[\]{}])/g,
    (encap) => encap.replaceAll(/"(dst|src|tos|ttl|id)":/g, '"encap_$1":'),
  );
}

/** `-force` prints the kernel's words for a line, then `Command failed -:LINE`. */
function batchFailures(
  stderr: string,
  lines: readonly string[],
): { readonly failures: readonly BatchFailure[]; readonly rest: string } {
  const failures: BatchFailure[] = [];
  let words: string[] = [];
  for (const line of stderr.split("\n")) {
    const failed = /^Command failed -:(\d+)$/.exec(line);
    if (!failed) {
      if (line.trim() !== "") words.push(line.trim());
      continue;
    }
    const index = Number(failed[1]) - 1;
    const said = words.join(" ");
    const command = lines[index] ?? "-batch";
    failures.push({ index, error: new IpRouteError({ reason: classify(said), command, said }) });
    words = [];
  }
  return { failures, rest: words.join(" ") };
}
