import { readFileSync, statSync } from "node:fs";
import type { Clock, Milliseconds } from "../system/clock.ts";
import { CredentialsError } from "./api-credentials.ts";

/** A file is read again after this time even if it looks unchanged: some network file systems report stale times. */
const REREAD_AFTER_MS: Milliseconds = 60_000;

/** A file that changed less than this before it was read may change once more without a new timestamp. */
const TIMESTAMP_GRAIN_MS: Milliseconds = 2_000;

/** What tells two states of a file apart without reading it. */
interface FileState {
  readonly sign: string;
  /** When it changed last, in milliseconds since the epoch. */
  readonly changedAtMs: Milliseconds;
}

/**
 * A file that somebody else renews while the router runs: the kubelet a service account's token, cert-manager a client
 * certificate. Reading it costs one `stat` while it does not change.
 */
export class RenewedFile {
  readonly path: string;
  readonly #clock: Clock;
  readonly #stateOf: (path: string) => FileState;
  #last: { readonly bytes: Buffer; readonly sign: string; readonly atMs: Milliseconds } | undefined;

  /** `stateOf` is for tests. */
  constructor(path: string, clock: Clock, stateOf = fileState) {
    this.path = path;
    this.#clock = clock;
    this.#stateOf = stateOf;
  }

  /**
   * The content: from disk if the file changed, if the last read is a minute old, or if `force`. The same Buffer as
   * before if the bytes are the same.
   * @throws {CredentialsError} `file_unreadable`.
   */
  read(force: boolean): Buffer {
    try {
      const { sign, changedAtMs } = this.#stateOf(this.path);
      const atMs = this.#clock.monotonicMs();
      const last = this.#last;
      if (!force && last?.sign === sign && atMs - last.atMs < REREAD_AFTER_MS) return last.bytes;
      const read = readFileSync(this.path);
      const bytes = last?.bytes.equals(read) ? last.bytes : read;
      const mayChangeUnseen = this.#clock.nowMs() - changedAtMs < TIMESTAMP_GRAIN_MS;
      this.#last = { bytes, sign: mayChangeUnseen ? UNKNOWN : sign, atMs };
      return bytes;
    } catch (error) {
      throw unreadable(this.path, error);
    }
  }

  /**
   * As {@link RenewedFile.read} without `force`, but while the file can't be read, or `isGood` refuses its content, the last
   * good content stands: a file that is not replaced atomically is missing or cut for a moment.
   * @throws {CredentialsError} `file_unreadable` if there is no last good content.
   */
  readOrKeep(isGood: (bytes: Buffer) => boolean): Buffer {
    const last = this.#last;
    try {
      const bytes = this.read(false);
      if (last === undefined || bytes === last.bytes || isGood(bytes)) return bytes;
    } catch (error) {
      if (last === undefined) throw error;
    }
    this.#last = { ...last, sign: UNKNOWN };
    return last.bytes;
  }
}

/** No file's sign: the next call reads. */
const UNKNOWN = "";

/** A Kubernetes volume swaps a symbolic link, which changes the inode; a writer in place changes times or size. */
function fileState(path: string): FileState {
  const { dev, ino, size, mtimeNs, ctimeNs, mtimeMs, ctimeMs } = statSync(path, { bigint: true });
  const changedAtMs = Number(mtimeMs > ctimeMs ? mtimeMs : ctimeMs);
  return { sign: `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`, changedAtMs };
}

function unreadable(path: string, error: unknown): CredentialsError {
  const code = (error as NodeJS.ErrnoException).code ?? "unknown error";
  return new CredentialsError(
    "file_unreadable",
    `${path}, which the credentials name, cannot be read: ${code}`,
    {
      cause: error,
    },
  );
}

/** A bearer token in a file, which usually ends with a newline. */
export class TokenFile {
  readonly #file: RenewedFile;

  constructor(path: string, clock: Clock) {
    this.#file = new RenewedFile(path, clock);
  }

  /**
   * The token: at most a minute old, or as it is on disk now if `force`. Without `force`, an unreadable or empty file leaves the
   * last token in use, as in client-go: it may still be good, and a 401 says if not.
   * @throws {CredentialsError} `file_unreadable`, or `auth_failed` for an empty file.
   */
  read(force: boolean): string {
    const bytes = force ? this.#file.read(true) : this.#file.readOrKeep((read) => textOf(read) !== "");
    const token = textOf(bytes);
    if (token !== "") return token;
    throw new CredentialsError("auth_failed", `the token file ${this.#file.path} is empty`);
  }
}

function textOf(bytes: Buffer): string {
  return bytes.toString().trim();
}
