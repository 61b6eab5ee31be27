import type { HeadScan } from "../http1/head-scan.ts";
import type { TargetParser, TargetResult } from "./target.ts";

/** What a Host, and the fields beside it that name sandboxes, say of a request. */
export interface HostTarget {
  readonly host: string;
  /** Of the fields of {@link HostTargets.routing}, by their order; `undefined` for one that is not there. */
  readonly values: readonly (string | undefined)[];
  /** Its path is not the request's. */
  readonly target: TargetResult;
  /** See `hostFields`. */
  readonly hostFields: string;
}

export interface HostTargetOptions {
  readonly parseTarget: TargetParser;
  /** Lower-case names of the fields that name sandboxes, but Host. */
  readonly routing: readonly string[];
  /** The scan notes the first of these under this number, and the others under those that follow. */
  readonly firstNote: number;
  /** Makes {@link HostTarget.hostFields}. */
  readonly hostFields: (host: string) => string;
}

/** How many are remembered. Clients choose them, so there is an end to it: then all are forgotten. */
const MAX_KNOWN = 20_000;
const MAX_KEY_LENGTH = 320;

/**
 * The targets of requests whose path names none (see {@link TargetParser.fields}), worked out once for each Host and what else
 * names a sandbox.
 */
export class HostTargets {
  readonly #options: HostTargetOptions;
  /** Bits of `HeadScan.seen`. */
  readonly #notes: number;
  readonly #known = new Map<string, HostTarget>();

  constructor(options: HostTargetOptions) {
    this.#options = options;
    this.#notes = ((1 << options.routing.length) - 1) << options.firstNote;
  }

  /**
   * The target of the head `text`, which began at `start` for `scan` and has a Host. `last`: the answer to the request before,
   * which is nearly always this one's too.
   */
  of(text: string, start: number, scan: HeadScan, last: HostTarget | undefined): HostTarget {
    if (last !== undefined && this.#isFor(last, text, start, scan)) return last;
    const host = text.slice(scan.hostStart - start, scan.hostEnd - start);
    const key = (scan.seen & this.#notes) === 0 ? host : this.#keyOf(host, text, start, scan);
    return this.#known.get(key) ?? this.#add(key, host, text, start, scan);
  }

  #isFor({ host, values }: HostTarget, text: string, start: number, scan: HeadScan): boolean {
    const { hostStart, hostEnd, notes, seen } = scan;
    if (host.length !== hostEnd - hostStart || !text.startsWith(host, hostStart - start)) return false;
    const { firstNote } = this.#options;
    if ((seen & this.#notes) === 0) return values.length === 0;
    if (values.length === 0) return false;
    for (let i = 0; i < values.length; i++) {
      const note = firstNote + i;
      const value = values[i];
      if (!scan.has(note)) {
        if (value !== undefined) return false;
        continue;
      }
      const at = notes[2 * note] ?? 0;
      if (value?.length !== (notes[2 * note + 1] ?? 0) - at || !text.startsWith(value, at - start))
        return false;
    }
    return true;
  }

  /** No value holds a line feed. */
  #keyOf(host: string, text: string, start: number, scan: HeadScan): string {
    const { firstNote, routing } = this.#options;
    let key = host;
    for (let i = 0; i < routing.length; i++) {
      if (scan.has(firstNote + i)) key += `\n${i}${scan.valueOf(firstNote + i, text, start)}`;
    }
    return key;
  }

  #add(key: string, host: string, text: string, start: number, scan: HeadScan): HostTarget {
    const { firstNote, hostFields, parseTarget, routing } = this.#options;
    const isRouted = (scan.seen & this.#notes) !== 0;
    const values = isRouted ? routing.map((_, i) => scan.valueOf(firstNote + i, text, start)) : NONE;
    const rawHeaders = ["Host", host];
    for (const [i, value] of values.entries()) {
      if (value !== undefined) rawHeaders.push(routing[i] ?? "", value);
    }
    const target = parseTarget({ method: "GET", target: "/", rawHeaders });
    const found: HostTarget = { host, values, target, hostFields: hostFields(host) };
    if (key.length > MAX_KEY_LENGTH) return found;
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#known.set(key, found);
    return found;
  }
}

const NONE: readonly undefined[] = [];
