import type { Socket } from "node:net";
import { getSystemErrorName } from "node:util";

import { rawHandleOf } from "./undocumented-node.ts";
import type { PendingWrite } from "./undocumented-node.ts";

/**
 * Writes to a socket, without the machinery of streams while the kernel takes all at once: that costs half a microsecond and
 * more per write. What the kernel leaves, and all that follows until it is gone, goes the ordinary way. The order is that of the calls, with
 * the socket's own `write` and `end` between them too, and what the socket tells is the same: `drain` after a write that did not
 * flow, and the error of a write that failed.
 */
export class SocketWriter {
  readonly #socket: Socket;
  readonly #isDirect: boolean;
  /** Of the direct write that is under way; 0 for none. */
  #left = 0;
  #needsDrain = false;

  /** `isDirect`: it is a plain TCP socket, and this Node can do it. Otherwise each write is the socket's own. */
  constructor(socket: Socket, isDirect: boolean) {
    this.#socket = socket;
    this.#isDirect = isDirect;
  }

  /** Bytes that were written and that the kernel has not taken, as far as is known: a write in part counts as a whole. */
  get pending(): number {
    return this.#left + this.#socket.writableLength;
  }

  /** A write did not flow, and there was no `drain` since. */
  get needsDrain(): boolean {
    return this.#needsDrain || this.#socket.writableNeedDrain;
  }

  /** Writes a character as a byte. False: wait for `drain` before more is written. */
  text(text: string): boolean {
    const socket = this.#socket;
    if (this.#isDirect && this.#left === 0 && socket.writableLength === 0 && socket.writable) {
      const handle = socket.connecting ? null : rawHandleOf(socket);
      if (handle !== null) {
        const result = handle.writeLatin1String(null, text);
        if (result === 0) return true;
        if (typeof result === "object") return this.#wait(result, text.length, undefined);
        // The kernel took nothing. The socket's own write fails in the same way, and tells of it.
      }
    }
    return socket.write(text, "latin1");
  }

  /** The same for bytes. They must not change before {@link pending} is 0. */
  bytes(bytes: Buffer): boolean {
    const socket = this.#socket;
    if (this.#isDirect && this.#left === 0 && socket.writableLength === 0 && socket.writable) {
      const handle = socket.connecting ? null : rawHandleOf(socket);
      if (handle !== null) {
        const result = handle.writeBuffer(null, bytes);
        if (result === 0) return true;
        if (typeof result === "object") return this.#wait(result, bytes.length, bytes);
      }
    }
    return socket.write(bytes);
  }

  #wait(write: PendingWrite, length: number, bytes: Buffer | undefined): boolean {
    const socket = this.#socket;
    this.#left = length;
    this.#needsDrain = length >= socket.writableHighWaterMark;
    write.buffer = bytes;
    write.oncomplete = (status) => {
      const { needsDrain } = this;
      this.#left = 0;
      this.#needsDrain = false;
      // A socket that was destroyed meanwhile has told its end.
      if (socket.destroyed) return;
      if (status < 0) {
        const code = getSystemErrorName(status);
        socket.destroy(Object.assign(new Error(`write ${code}`), { code, errno: status, syscall: "write" }));
      } else if (needsDrain) {
        socket.emit("drain");
      }
    };
    return !this.#needsDrain;
  }
}
