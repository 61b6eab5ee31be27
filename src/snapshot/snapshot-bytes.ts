import { createHash } from "node:crypto";
import type { TableSnapshot } from "../routes/object-facts.ts";
import { SnapshotFault } from "./snapshot-fault.ts";
import { SnapshotLines, type SnapshotSource } from "./snapshot-format.ts";

const CHECKSUM = "sha256 ";
/** A route has 16 KiB of text at most, and there are two in a line. */
const MAX_LINE_BYTES = 1 << 20;

/** The line that ends a snapshot wherever it goes: a checksum of all lines before it. */
export class SnapshotChecksum {
  readonly #hash = createHash("sha256");

  /** Adds whole lines. */
  add(lines: string): void {
    this.#hash.update(lines);
  }

  /** The line itself, with its end. Nothing can be added afterwards. */
  line(): string {
    return `${CHECKSUM}${this.#hash.digest("hex")}\n`;
  }
}

/** Reads the bytes of a snapshot as they come. All methods throw {@link SnapshotFault}; then nothing of it is to be believed. */
export class SnapshotBytes {
  readonly #lines: SnapshotLines;
  readonly #checksum = new SnapshotChecksum();
  #rest = Buffer.alloc(0);
  /** The last line that was read: it is the checksum when no other follows. */
  #last: string | undefined;

  /** @param expected whose snapshot it must be. */
  constructor(expected: SnapshotSource) {
    this.#lines = new SnapshotLines(expected);
  }

  take(chunk: Uint8Array): void {
    const bytes = Buffer.concat([this.#rest, chunk]);
    const end = bytes.lastIndexOf(10) + 1;
    for (const line of bytes.toString("utf8", 0, end).split("\n").slice(0, -1)) {
      if (this.#last !== undefined) {
        this.#lines.take(this.#last);
        this.#checksum.add(`${this.#last}\n`);
      }
      this.#last = line;
    }
    this.#rest = bytes.subarray(end);
    if (this.#rest.length > MAX_LINE_BYTES) throw new SnapshotFault("damaged", "a line does not end");
  }

  /** The whole, once every byte was taken. */
  finish(): TableSnapshot {
    if (this.#last === undefined || this.#rest.length > 0)
      throw new SnapshotFault("damaged", "it is cut off");
    const snapshot = this.#lines.finish();
    if (`${this.#last}\n` !== this.#checksum.line())
      throw new SnapshotFault("damaged", "its checksum does not match what it holds");
    return snapshot;
  }
}
