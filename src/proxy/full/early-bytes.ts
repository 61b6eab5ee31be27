import type { Socket } from "node:net";

/** Bytes that a client may send before the pod has agreed. */
const MAX_EARLY_BYTES = 65_536;

/** What a client sends of another protocol before the pod has agreed to it. Read, so that the client's end is seen. */
export class EarlyBytes {
  readonly #client: Socket;
  readonly #chunks: Buffer[] = [];
  #length = 0;

  /** `head` is what came after the request. */
  constructor(client: Socket, head: Buffer) {
    this.#client = client;
    if (head.length > 0) this.#onData(head);
  }

  /** Reads from now on. A client that ends is destroyed: nobody waits for the answer. */
  start(): void {
    this.#client.on("data", this.#onData).once("end", this.#onEnd);
  }

  /** Reads no more. */
  stop(): void {
    this.#client.off("data", this.#onData).off("end", this.#onEnd);
  }

  /** Reads no more, and puts back what was read: the socket is paused. */
  putBack(): void {
    this.stop();
    this.#client.pause();
    if (this.#chunks.length > 0) this.#client.unshift(Buffer.concat(this.#chunks));
    this.#chunks.length = 0;
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    if (this.#length > MAX_EARLY_BYTES) this.#client.pause();
  };

  readonly #onEnd = (): void => {
    this.#client.destroy();
  };
}
