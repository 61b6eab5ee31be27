import { type ChildProcessWithoutNullStreams, execFileSync, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { onTestFinished } from "vitest";
import { eventually } from "../../support/eventually.ts";

const sources = resolve(import.meta.dirname, "memberlist-peer");

/** Why there can be no Go peer; undefined when there can. */
export const NO_GO = spawnSync("go", ["version"]).status === 0 ? undefined : "go is not installed";

/** Builds the peer, once for each version of its sources. Returns its path. */
export function buildPeer(): string {
  const hash = createHash("sha256");
  for (const name of readdirSync(sources).sort()) hash.update(name).update(readFileSync(join(sources, name)));
  const cache = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "lychgate");
  const binary = join(cache, `memberlist-peer-${hash.digest("hex").slice(0, 12)}`);
  if (existsSync(binary)) return binary;
  mkdirSync(cache, { recursive: true });
  const made = `${binary}.${process.pid}`;
  execFileSync("go", ["build", "-o", made, "."], { cwd: sources, stdio: "pipe" });
  renameSync(made, binary);
  return binary;
}

/** Options of {@link startPeer}; see memberlist-peer/main.go. */
export interface PeerOptions {
  readonly name: string;
  readonly addr: string;
  readonly port: number;
  /** `host:port` each. */
  readonly join?: readonly string[];
  readonly keys?: readonly Buffer[];
  readonly label?: string;
  readonly noCompress?: boolean;
  /** Share of its packets that are lost. */
  readonly loss?: number;
}

interface PeerEvent {
  readonly event: "ready" | "join" | "leave" | "update" | "joined" | "members" | "left" | "pushed";
  readonly name?: string;
  readonly addr?: string;
  readonly joined?: number;
  readonly error?: string;
  readonly members?: readonly string[];
  readonly health?: number;
  readonly push?: number;
  readonly answers?: Readonly<Record<string, number>>;
}

/** A member in hashicorp/memberlist, in a process of its own. */
export interface GoPeer {
  readonly options: PeerOptions;
  /** All that it said, in order. */
  readonly events: readonly PeerEvent[];
  readonly process: ChildProcessWithoutNullStreams;
  /** `name address` of all that it holds for alive, sorted. */
  members(): Promise<string[]>;
  /**
   * Pushes a route, one line of JSON, to port 7789 of all others that it holds for alive, as a manager does. Resolves to each one's
   * status, by address; 0 when all tries failed.
   */
  push(route: string): Promise<Readonly<Record<string, number>>>;
  /** Says that it leaves; resolves when that is told. */
  leave(): Promise<void>;
  /** kill -9. Resolves when it is gone. */
  kill(): Promise<void>;
}

/** Starts a peer; resolves when it listens. It is killed when the test is over. */
export async function startPeer(options: PeerOptions): Promise<GoPeer> {
  const { keys, ...rest } = options;
  const given = { ...rest, ...(keys && { keys: keys.map((key) => key.toString("base64")) }) };
  const child = spawn(buildPeer(), [JSON.stringify(given)]);
  const events: PeerEvent[] = [];
  let errors = "";
  let pushes = 0;
  createInterface(child.stdout).on("line", (line) => events.push(JSON.parse(line) as PeerEvent));
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  child.stdin.on("error", () => {});
  const exited = new Promise<void>((done) => child.once("exit", () => done()));
  const kill = async (): Promise<void> => {
    child.kill("SIGKILL");
    await exited;
  };
  onTestFinished(kill);
  const ask = async (command: string, event: PeerEvent["event"], push?: number): Promise<PeerEvent> => {
    const from = events.length;
    child.stdin.write(`${command}\n`);
    return eventually(
      () =>
        events.slice(from).find((said) => said.event === event && said.push === push) ??
        fail(`no answer to ${command}: ${errors}`),
      { timeoutMs: 20_000 },
    );
  };
  await eventually(() => events.some(({ event }) => event === "ready") || fail(`not ready: ${errors}`), {
    timeoutMs: 20_000,
  });
  return {
    options,
    events,
    process: child,
    members: async () => [...((await ask("members", "members")).members ?? [])].sort(),
    push: async (route) => (await ask(`push ${route}`, "pushed", ++pushes)).answers ?? {},
    async leave() {
      const { error } = await ask("leave", "left");
      if (error) fail(error);
    },
    kill,
  };
}

function fail(message: string): never {
  throw new Error(message);
}
