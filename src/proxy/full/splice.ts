import type { Socket } from "node:net";

import { ReadSlot, SMALL_READ_BYTES } from "../transport/read-buffers.ts";
import type { SocketWriter } from "../transport/socket-writer.ts";
import type { Transport } from "../transport/transport.ts";
import { feedFrom } from "../transport/undocumented-node.ts";
import type { ReadFeed } from "../transport/undocumented-node.ts";
import type { GuardedSocket } from "./guarded-socket.ts";

/**
 * Passes the bytes of a tunnel both ways, from the reads of one socket to the writes of the other, without the streams between. A
 * side that takes no more stops the reading of the other. The end of one side is passed on; errors and closes are the tunnel's
 * matter.
 */
export class Splice {
  readonly #client: Socket;
  readonly #pod: GuardedSocket;
  readonly #fromClient: Direction;
  readonly #fromPod: Direction;

  /** `onPodBytes` sees what the pod sends, before it is passed on. */
  constructor(
    client: Socket,
    pod: GuardedSocket,
    transport: Transport,
    onPodBytes: ((bytes: Buffer) => void) | undefined,
  ) {
    this.#client = client;
    this.#pod = pod;
    this.#fromClient = new Direction(client, pod, transport.podWriter(pod), transport);
    this.#fromPod = new Direction(pod, client, transport.clientWriter(client), transport, onPodBytes);
  }

  /** Takes both sockets from whoever piped them, with what waits in them to be read. Call once, before {@link passPod}. */
  start(): void {
    const client = this.#client;
    const pod = this.#pod;
    client.unpipe();
    pod.unpipe();
    client.once("close", () => this.#fromClient.close());
    pod.once("close", () => this.#fromPod.close());
    this.#fromClient.start();
    // Not earlier: `read` emits `data` too.
    if (!feedFrom(client, this.#fromClient)) client.on("data", this.#fromClient.onData);
  }

  /** Passes on what the pod sends. */
  passPod(): void {
    this.#fromPod.start();
    this.#pod.through = this.#fromPod;
  }

  /** Passes on nothing more of what the pod sends, its end included: that is the pod socket's `data` from now on. */
  releasePod(): void {
    this.#pod.through = undefined;
    this.#fromPod.stop();
  }
}

/** One way of a tunnel. */
class Direction implements ReadFeed {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #writer: SocketWriter;
  readonly #reads: ReadSlot;
  readonly #seen: ((bytes: Buffer) => void) | undefined;

  constructor(
    from: Socket,
    to: Socket,
    writer: SocketWriter,
    transport: Transport,
    seen?: (bytes: Buffer) => void,
  ) {
    this.#from = from;
    this.#to = to;
    this.#writer = writer;
    this.#reads = new ReadSlot(transport.buffers);
    this.#seen = seen;
  }

  start(): void {
    const from = this.#from;
    from.on("end", this.#onEnd);
    this.#to.on("drain", this.#onDrain);
    from.pause();
    // What was read before comes first. `read` gives one piece at a time since Node 26.
    for (let piece: unknown = from.read(); Buffer.isBuffer(piece); piece = from.read()) this.onData(piece);
    if (!this.#writer.needsDrain) from.resume();
  }

  stop(): void {
    this.#from.off("end", this.#onEnd);
    this.#to.off("drain", this.#onDrain);
    this.close();
  }

  /** Nothing more is read. */
  close(): void {
    this.#reads.letGo(true);
  }

  buffer(): Buffer {
    return this.#reads.current;
  }

  onRead(bytes: Buffer, length: number): void {
    const read = bytes.subarray(0, length);
    const own = this.#reads.current;
    const isLong = length > SMALL_READ_BYTES;
    this.#seen?.(read);
    // Short reads are copied by the write; a buffer that only this connection reads into may wait in it.
    if (!isLong) this.#pass(read.toString("latin1"));
    else this.#pass(bytes === own ? read : Buffer.from(read));
    this.#reads.choose(isLong || length === own.length ? "long" : "short", this.#writer.pending > 0);
  }

  /** `bytes` are nobody else's. */
  readonly onData = (bytes: Buffer): void => {
    this.#seen?.(bytes);
    this.#pass(bytes);
  };

  #pass(bytes: Buffer | string): void {
    // What a side that has closed is still sent goes nowhere.
    if (!this.#to.writable) return;
    const writer = this.#writer;
    const flows = typeof bytes === "string" ? writer.text(bytes) : writer.bytes(bytes);
    // A long write does not flow by itself: what counts is whether the kernel took it.
    if (!flows && writer.pending > 0) this.#from.pause();
  }

  readonly #onDrain = (): void => {
    this.#from.resume();
  };

  readonly #onEnd = (): void => {
    this.#to.end();
  };
}
