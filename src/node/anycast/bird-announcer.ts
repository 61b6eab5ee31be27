import { randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../../system/error-text.ts";
import type { Milliseconds } from "../../system/clock.ts";
import { parseAddress } from "../cidr.ts";
import { NodeToolError } from "../node-tool-error.ts";
import { isV6 } from "./backend.ts";
import { type BirdReply, type BirdSession, withBird } from "./bird-control.ts";

/** How BIRD took a change. */
export type BirdResult = "ok" | "refused" | "unreachable";

/** A change that BIRD did not take. */
export class BirdError extends NodeToolError {
  readonly result: Exclude<BirdResult, "ok">;

  constructor(
    result: Exclude<BirdResult, "ok">,
    message: string,
    options: ErrorOptions & { readonly fix?: string },
  ) {
    super("failed", message, options);
    this.name = "BirdError";
    this.result = result;
  }
}

/** Options of {@link BirdAnnouncer}. */
export interface BirdAnnouncerOptions {
  readonly controlSocket: string;
  /** A file that BIRD's configuration includes, and that nobody else writes. */
  readonly includeFile: string;
  /** Begins the names of our protocols: letters and underscores, at most 24. */
  readonly prefix: string;
  /** Longest wait for each answer of BIRD. */
  readonly timeoutMs: Milliseconds;
}

/** Pause between looks whether BIRD has in its tables what it has taken. */
const SETTLE_MS = 5;
/** How long it may take for that, and more for each address: what never settles must not keep others waiting. */
const SETTLE_WITHIN_MS = 200;
const SETTLE_EACH_MS = 5;

/**
 * Addresses announced by BIRD 2: one `static` protocol with one blackhole route for each, in a file that BIRD's configuration
 * includes. (The route is never given to the kernel: it is there to be exported.) One protocol for each address, since
 * a protocol can be disabled at once, even while BIRD refuses its configuration because of someone else's mistake.
 */
export class BirdAnnouncer {
  readonly #options: BirdAnnouncerOptions;

  constructor(options: BirdAnnouncerOptions) {
    this.#options = options;
  }

  /** What BIRD has in its tables of ours. Rejects with {@link BirdError} `unreachable`. */
  announced(): Promise<ReadonlySet<string>> {
    return this.#talk((bird) => this.#routes(bird));
  }

  /**
   * Whether exactly the protocols of `target` are up, of ours. Cheap, unlike {@link announced}: BIRD's tables may hold a million routes of others, and it
   * goes through all of them. Rejects with {@link BirdError} `unreachable`.
   */
  async isUp(target: ReadonlySet<string>): Promise<boolean> {
    const { lines } = await this.#talk((bird) => bird.command(`show protocols ${this.#ours()}`));
    const prefix = `${this.#options.prefix}_`;
    const ours = lines.map((line) => line.split(/\s+/)).filter(([name = ""]) => name.startsWith(prefix));
    const up = new Set(ours.flatMap(([name = "", , , state]) => (state === "up" ? [name] : [])));
    return up.size === target.size && [...target].every((address) => up.has(this.#protocol(address)));
  }

  /** What the included file says, which is what BIRD will have when it starts; empty without a file. */
  async inFile(): Promise<ReadonlySet<string>> {
    const text = await readOrNothing(this.#options.includeFile);
    return new Set(
      [...(text ?? "").matchAll(/^ {2}route (\S+)\/\d+ blackhole;$/gm)].map(([, route = ""]) => route),
    );
  }

  /**
   * Makes BIRD announce `target` and nothing else of ours, and resolves when it does: writes the file (atomically), lets BIRD
   * check its whole configuration, and only then use it. Rejects with {@link BirdError}:
   *
   * - `refused`: the configuration has a fault. The file is put back as it was. What is not in `target` is withdrawn all the
   *   same, by disabling its protocol; nothing is added.
   * - `unreachable`: the file says `target`, so BIRD has it when it starts.
   */
  async announce(target: ReadonlySet<string>): Promise<void> {
    const { includeFile } = this.#options;
    const before = await readOrNothing(includeFile);
    const text = this.#render(target);
    if (before !== text) await writeAtomically(includeFile, text);
    await this.#talk(async (bird) => {
      const fault =
        (await this.#refusal(bird, "configure check")) ?? (await this.#refusal(bird, "configure"));
      if (fault !== undefined) {
        await putBack(includeFile, before, text);
        await this.#disableAllBut(bird, target);
        throw new BirdError("refused", `BIRD refused its configuration: ${fault}`, {
          fix: `correct it (birdc configure check); ${includeFile} is as it was, nothing was added, and what had to be withdrawn was, by disabling its protocol`,
        });
      }
      await this.#settle(bird, target);
    });
  }

  /**
   * Withdraws all of ours, without a look at BIRD's configuration: the file is emptied for BIRD's next start, and the protocols are disabled at once.
   * {@link announce} enables them again. Rejects with {@link BirdError} `unreachable`.
   */
  async withdrawAll(): Promise<void> {
    const { includeFile } = this.#options;
    const text = this.#render(new Set());
    const before = await readOrNothing(includeFile);
    if (before !== undefined && before !== text) await writeAtomically(includeFile, text);
    await this.#talk((bird) => bird.command(`disable ${this.#ours()}`));
  }

  /** Waits for BIRD's tables to have `target`, enabling and disabling what someone else did with birdc. */
  async #settle(bird: BirdSession, target: ReadonlySet<string>): Promise<void> {
    const untilMs = performance.now() + SETTLE_WITHIN_MS + SETTLE_EACH_MS * target.size;
    let enabled = false;
    do {
      const routes = await this.#routes(bird);
      const isMissing = [...target].some((address) => !routes.has(address));
      const extra = [...routes].filter((address) => !target.has(address));
      if (!isMissing && extra.length === 0) return;
      // One command for all: each of many would be asked for many times while BIRD is still at work.
      if (isMissing && !enabled) {
        await bird.command(`enable ${this.#ours()}`);
        enabled = true;
      }
      for (const address of extra) await bird.command(`disable ${this.#protocol(address)}`);
      await sleep(SETTLE_MS);
    } while (performance.now() < untilMs);
    throw new BirdError("refused", "BIRD took its configuration and does not announce what it should", {
      fix: `does its configuration have include "${this.#options.includeFile}"; and a channel for both families?`,
    });
  }

  async #disableAllBut(bird: BirdSession, target: ReadonlySet<string>): Promise<void> {
    for (const address of await this.#routes(bird)) {
      if (!target.has(address)) await bird.command(`disable ${this.#protocol(address)}`);
    }
  }

  /** What BIRD says against its configuration; `undefined` when it takes it. */
  async #refusal(bird: BirdSession, command: string): Promise<string | undefined> {
    const reply = await bird.command(command);
    return isGood(reply) ? undefined : (reply.lines.at(-1) ?? reply.code);
  }

  async #routes(bird: BirdSession): Promise<ReadonlySet<string>> {
    const { lines } = await bird.command(`show route where proto ~ ${this.#ours()}`);
    return new Set(lines.flatMap((line) => /^(\S+)\/(?:32|128)\s+blackhole\s/.exec(line)?.[1] ?? []));
  }

  /** Pattern of the names of our protocols. */
  #ours(): string {
    return `"${this.#options.prefix}_*"`;
  }

  #render(target: ReadonlySet<string>): string {
    const protocols = [...target].sort().map((address) => {
      const [channel, bits] = isV6(address) ? ["ipv6", 128] : ["ipv4", 32];
      return `protocol static ${this.#protocol(address)} {\n  ${channel};\n  route ${address}/${bits} blackhole;\n}\n`;
    });
    return `# Written by lychgate: changes are lost.\n${protocols.join("")}`;
  }

  /** `lychgate_anycast_192_0_2_10`; an IPv6 address as its 32 digits. */
  #protocol(address: string): string {
    const value = parseAddress(address)?.value ?? 0n;
    const name = isV6(address) ? value.toString(16).padStart(32, "0") : address.replaceAll(".", "_");
    return `${this.#options.prefix}_${name}`;
  }

  async #talk<T>(talk: (bird: BirdSession) => Promise<T>): Promise<T> {
    const { controlSocket, timeoutMs } = this.#options;
    try {
      return await withBird(controlSocket, timeoutMs, talk);
    } catch (error) {
      if (error instanceof BirdError || !(error instanceof NodeToolError)) throw error;
      throw new BirdError("unreachable", error.message, { cause: error, fix: error.fix });
    }
  }
}

/** `0…`, also "in progress" and "queued": BIRD has taken it. But not 0006, "shutting down". */
function isGood({ code }: BirdReply): boolean {
  return code.startsWith("0") && code !== "0006";
}

async function readOrNothing(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw cannot("reading", path, error);
  }
}

/** One level, such as /run/lychgate after a boot. Not `recursive`: Node tries that for ever below /proc. */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  }
}

async function writeAtomically(path: string, text: string): Promise<void> {
  // Not `NAME.conf.tmp`: BIRD's configuration may include by a pattern.
  const draft = `${dirname(path)}/.lychgate-${randomUUID()}`;
  try {
    await makeFolder(dirname(path));
    // BIRD may have dropped its privileges, and reads the file then.
    await writeFile(draft, text, { mode: 0o644 });
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw cannot("writing", path, error);
  }
}

async function putBack(path: string, before: string | undefined, after: string): Promise<void> {
  if (before === undefined) await rm(path, { force: true });
  else if (before !== after) await writeAtomically(path, before);
}

function cannot(doing: string, path: string, cause: unknown): NodeToolError {
  return new NodeToolError("failed", `${doing} ${path}: ${messageOf(cause)}`, {
    cause,
    fix: "may this user write there?",
  });
}
