import { type FSWatcher, watch } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { z } from "zod";
import { messageOf } from "../../system/error-text.ts";
import type { Clock } from "../../system/clock.ts";
import type { Log } from "../../system/log.ts";
import { describeNodeToolError, NodeToolError } from "../node-tool-error.ts";
import { type Backend, backendState, canonicalAddress } from "./backend.ts";
import { faultsOf, parseYaml } from "./spec.ts";

const address = z.string().transform((text, context) => {
  const canonical = canonicalAddress(text);
  if (canonical !== undefined) return canonical;
  context.addIssue({ code: "custom", message: `${JSON.stringify(text)} is no IP address` });
  return z.NEVER;
});

const file = z.strictObject({
  backends: z
    .array(
      z.strictObject({
        name: z.string().min(1),
        /** The anycast addresses that it binds. */
        addresses: z.array(address).min(1),
        /** Its own addresses, at most one of each family. */
        nexthops: z.array(address).min(1),
        ready: z.boolean().default(true),
        /** It was told to end. */
        terminating: z.boolean().default(false),
      }),
    )
    .max(10_000),
});

/** Reads a file of backends. Throws {@link NodeToolError} `invalid` that names the file and each field. */
export function parseBackends(text: string, path: string): readonly Backend[] {
  const parsed = file.safeParse(parseYaml(text, path) ?? {});
  if (!parsed.success) {
    throw new NodeToolError("invalid", `${path}: ${faultsOf(parsed.error)}`, {
      fix: "write backends: [{name, addresses, nexthops, ready}]",
    });
  }
  const names = parsed.data.backends.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) < index);
  if (twice !== undefined) throw new NodeToolError("invalid", `${path}: two backends are called ${twice}`);
  return parsed.data.backends.map(({ name, addresses, nexthops, ready, terminating }) => ({
    key: `file ${name}`,
    addresses,
    nexthops,
    state: backendState(ready, terminating),
  }));
}

const SETTLE_MS = 5;

/**
 * A file of backends, read at first and whenever something happens in its folder: so it may be replaced by a rename, or by
 * the change of a symbolic link as a ConfigMap's. A file that can't be read, or is malformed, changes nothing and is logged.
 */
export class BackendsFile {
  readonly #path: string;
  readonly #changed: (backends: readonly Backend[]) => void;
  readonly #clock: Clock;
  readonly #log: Log;
  #watcher: FSWatcher | undefined;
  #text: string | undefined;
  #fault = "";
  #pending = false;
  #closed = false;

  constructor(options: {
    readonly path: string;
    /** Called with all backends of the file, when they may have changed. */
    readonly changed: (backends: readonly Backend[]) => void;
    readonly clock: Clock;
    readonly log: Log;
  }) {
    this.#path = options.path;
    this.#changed = options.changed;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  /** Reads and begins to watch. Rejects with {@link NodeToolError} when the file is missing or malformed. */
  async start(): Promise<void> {
    // Watched before it is read: a change in between is seen.
    this.#watcher = watch(dirname(this.#path), { persistent: false }, () => this.#soon());
    this.#watcher.on("error", () => {});
    try {
      await this.#read();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** What is wrong with the file now; empty when nothing is. */
  get fault(): string {
    return this.#fault;
  }

  /** Reads again, as after an event of the folder. Never rejects. */
  async refresh(): Promise<void> {
    try {
      await this.#read();
      this.#fault = "";
    } catch (error) {
      const fault = describeNodeToolError(error);
      if (fault !== this.#fault) {
        this.#log.error("the backends file was not taken; what it said before stays in force", { fault });
      }
      this.#fault = fault;
    }
  }

  close(): void {
    this.#closed = true;
    this.#watcher?.close();
  }

  #soon(): void {
    if (this.#pending || this.#closed) return;
    this.#pending = true;
    this.#clock.setTimeout(() => {
      this.#pending = false;
      if (!this.#closed) void this.refresh();
    }, SETTLE_MS);
  }

  async #read(): Promise<void> {
    let text: string;
    try {
      text = await readFile(this.#path, "utf8");
    } catch (cause) {
      throw new NodeToolError("not_found", `reading ${this.#path}: ${messageOf(cause)}`, {
        cause,
        fix: "make the file, or take backendsFile out of the spec",
      });
    }
    if (text === this.#text || this.#closed) return;
    const backends = parseBackends(text, this.#path);
    this.#text = text;
    this.#changed(backends);
  }
}
