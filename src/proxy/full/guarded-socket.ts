import { ResponseGuard } from "./response-guard.ts";
import type { ReadFeed } from "../transport/undocumented-node.ts";
import { UpstreamError } from "../upstream/upstream-error.ts";
import { UpstreamSocket } from "../upstream/upstream-socket.ts";

/** All read into the same: what is read on is copied out of it before the next read. */
const READ_BUFFER = Buffer.allocUnsafeSlow(65_536);

/** A TCP socket to a pod whose bytes are read through a {@link ResponseGuard}. A fault destroys it, as its error. */
export class GuardedSocket extends UpstreamSocket {
  readonly guard: ResponseGuard;
  /** Called when {@link ResponseGuard.isSpoilt}, perhaps again and again. An answer may still wait to be read. */
  spoilt: (() => void) | undefined;
  /** Takes the bytes from now on, in place of guard and stream: to be set when the guard lets everything through. */
  through: ReadFeed | undefined;

  /** `maxHeadBytes`: the largest head of a response. */
  constructor(maxHeadBytes: number) {
    super({
      onread: {
        buffer: () => this.through?.buffer() ?? READ_BUFFER,
        callback: (length, bytes) => this.#onRead(length, bytes as Buffer),
      },
    });
    this.guard = new ResponseGuard(maxHeadBytes);
  }

  /** False: read no more for now. */
  #onRead(length: number, read: Buffer): boolean {
    if (this.through !== undefined) {
      this.through.onRead(read, length);
      return true;
    }
    const bytes = this.guard.feed(read.subarray(0, length));
    if (bytes instanceof UpstreamError) {
      this.destroy(bytes);
      return true;
    }
    const flows = bytes.length === 0 || this.push(bytes);
    if (this.guard.isSpoilt) this.spoilt?.();
    return flows;
  }
}
