import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";

import { eventually } from "../../support/eventually.ts";

/** One end of a TCP connection that speaks raw bytes and remembers what it heard. Text is latin1: a byte, a character. */
export class RawPeer {
  readonly socket: Socket;
  received = "";
  /** A FIN came. */
  ended = false;
  closed = false;
  /** Code of the error that closed it: `ECONNRESET` after a RST. */
  errorCode: string | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk) => {
      this.received += chunk.toString("latin1");
    });
    socket.on("end", () => {
      this.ended = true;
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      this.errorCode = error.code;
    });
    socket.on("close", () => {
      this.closed = true;
    });
  }

  /** `allowHalfOpen`: a FIN is not answered with one. */
  static async connect(port: number, allowHalfOpen = false): Promise<RawPeer> {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen, noDelay: true });
    await new Promise((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return new RawPeer(socket);
  }

  write(text: string): void {
    this.socket.write(text, "latin1");
  }

  end(text = ""): void {
    this.socket.end(text, "latin1");
  }

  /** Sends a RST. */
  reset(): void {
    this.socket.resetAndDestroy();
  }

  /** Waits until the bytes heard so far match, and returns them. */
  async until(what: string | RegExp): Promise<string> {
    await eventually(
      () => (typeof what === "string" ? this.received.includes(what) : what.test(this.received)),
      {
        everyMs: 2,
      },
    ).catch((error: unknown) => {
      throw new Error(`waited for ${String(what)}, heard: ${this.received.slice(0, 2000)}`, { cause: error });
    });
    return this.received;
  }

  async untilClosed(): Promise<void> {
    await eventually(() => this.closed, { everyMs: 2 });
  }

  /** The bytes heard so far; forgets them. */
  take(): string {
    const { received } = this;
    this.received = "";
    return received;
  }
}

/** A server that accepts connections and leaves the talking to the test. */
export class RawPod {
  readonly #server: Server;
  readonly connections: RawPeer[] = [];
  /** Called for each connection, to answer by script. */
  onConnection: ((peer: RawPeer) => void) | undefined;

  private constructor() {
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      const peer = new RawPeer(socket);
      this.connections.push(peer);
      this.onConnection?.(peer);
    });
  }

  /** Listens on a free port, or on the given one. */
  static async listen(host = "127.0.0.1", port = 0): Promise<RawPod> {
    const pod = new RawPod();
    await new Promise<void>((resolve, reject) => {
      pod.#server.once("error", reject);
      pod.#server.listen(port, host, resolve);
    });
    return pod;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The connection with this number, from 0, once it is there. */
  async connection(number: number): Promise<RawPeer> {
    return eventually(() => this.connections[number] ?? false, { everyMs: 2 }) as Promise<RawPeer>;
  }

  get openConnections(): number {
    return this.connections.filter((peer) => !peer.closed).length;
  }

  /** Answers each complete head without a body, on every connection, with these bytes. */
  answerAll(response: string | ((head: string, peer: RawPeer) => string)): void {
    this.onConnection = (peer) => {
      peer.socket.on("data", () => {
        for (;;) {
          const end = peer.received.indexOf("\r\n\r\n");
          if (end === -1) return;
          const head = peer.received.slice(0, end + 4);
          peer.received = peer.received.slice(end + 4);
          peer.write(typeof response === "string" ? response : response(head, peer));
        }
      });
    };
  }

  async close(): Promise<void> {
    for (const { socket } of this.connections) socket.destroy();
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
  }
}

/** A small response with a length. */
export const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
