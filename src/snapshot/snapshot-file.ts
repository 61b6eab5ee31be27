import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { messageOf } from "../system/error-text.ts";
import type { TableSnapshot } from "../routes/object-facts.ts";
import { SnapshotBytes, SnapshotChecksum } from "./snapshot-bytes.ts";
import { SnapshotFault } from "./snapshot-fault.ts";
import type { SnapshotSource } from "./snapshot-format.ts";

/** Only the router's user may read it: it holds access tokens. */
const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;
const READ_BYTES = 256 * 1024;

/**
 * A snapshot that is being written: a draft beside the file, which takes its place when it is whole, on the disk and checksummed.
 * Until then, and after a crash, the file is what it was. One at a time for each path.
 */
export class SnapshotDraft {
  readonly #path: string;
  readonly #draft: string;
  readonly #file: FileHandle;
  readonly #checksum = new SnapshotChecksum();
  #bytes = 0;

  private constructor(path: string, draft: string, file: FileHandle) {
    this.#path = path;
    this.#draft = draft;
    this.#file = file;
  }

  /** Begins one; makes the file's folder, but not the one above. Rejects with the system's error. */
  static async create(path: string): Promise<SnapshotDraft> {
    const draft = join(dirname(path), `.${basename(path)}.draft`);
    await mkdir(dirname(path), { mode: FOLDER_MODE }).catch((error: unknown) => {
      if (!isCode(error, "EEXIST")) throw error;
    });
    // What a crash has left. The new one must not exist: neither a wider mode nor a link is taken over.
    await rm(draft, { force: true });
    return new SnapshotDraft(path, draft, await open(draft, "wx", FILE_MODE));
  }

  /** Adds whole lines. */
  async write(text: string): Promise<void> {
    this.#checksum.add(text);
    this.#bytes += Buffer.byteLength(text);
    await this.#file.appendFile(text);
  }

  /** Puts it in the place of the file, durably. Resolves to its size in bytes. */
  async publish(): Promise<number> {
    await this.#file.appendFile(this.#checksum.line());
    await this.#file.sync();
    await this.#file.close();
    await rename(this.#draft, this.#path);
    const folder = await open(dirname(this.#path), "r");
    try {
      // The new name must be on the disk too.
      await folder.sync();
    } finally {
      await folder.close();
    }
    return this.#bytes;
  }

  /** Gives it up. Never rejects. */
  async discard(): Promise<void> {
    await this.#file.close().catch(() => {});
    await rm(this.#draft, { force: true }).catch(() => {});
  }
}

/** What was read of a file. */
export interface ReadSnapshot {
  readonly snapshot: TableSnapshot;
  /** Others than the file's owner may read it, and so the tokens in it. */
  readonly isExposed: boolean;
}

/**
 * Reads a snapshot whole, in slices; `undefined` when there is no file.
 * @throws {SnapshotFault} when it can't be used; nothing of it is to be believed then.
 */
export async function readSnapshot(
  path: string,
  expected: SnapshotSource,
): Promise<ReadSnapshot | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, "r");
  } catch (error) {
    if (isCode(error, "ENOENT")) return undefined;
    throw unreadable(error);
  }
  try {
    const status = await file.stat();
    if (!status.isFile()) throw new SnapshotFault("unreadable", "it is no file");
    return { snapshot: await readBytes(file, expected), isExposed: (status.mode & 0o077) !== 0 };
  } catch (error) {
    throw error instanceof SnapshotFault ? error : unreadable(error);
  } finally {
    await file.close();
  }
}

async function readBytes(file: FileHandle, expected: SnapshotSource): Promise<TableSnapshot> {
  const bytes = new SnapshotBytes(expected);
  const chunk = Buffer.allocUnsafe(READ_BYTES);
  for (;;) {
    const { bytesRead } = await file.read(chunk, 0, chunk.length);
    if (bytesRead === 0) return bytes.finish();
    bytes.take(chunk.subarray(0, bytesRead));
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

function unreadable(cause: unknown): SnapshotFault {
  return new SnapshotFault("unreadable", messageOf(cause), { cause });
}
