import { messageOf } from "../../system/error-text.ts";
import { ByteBudget } from "../../system/byte-budget.ts";
import { createSocket, type RemoteInfo, type Socket as UdpSocket } from "node:dgram";
import { connect, createServer, isIPv6, type Server, type Socket } from "node:net";
import type { Clock, Milliseconds } from "../../system/clock.ts";
import { GrowingBytes } from "../../system/growing-bytes.ts";
import { canonicalAddress } from "../../system/ip-address.ts";
import { type Endpoint, endpointText } from "./endpoint.ts";
import type { StreamMessage } from "./messages.ts";
import { Refused, refusalReasonOf } from "./refused.ts";
import type { Bounds } from "./settings.ts";
import { StreamReader } from "./stream.ts";
import type { Transport, TransportHandler } from "./transport.ts";
import type { Wrapping } from "./wrapping.ts";

/** Options of {@link openSockets}. */
export interface SocketOptions {
  /** IP address to listen on, UDP and TCP. */
  readonly host: string;
  /** 0 lets the system choose one that is free for both. */
  readonly port: number;
  readonly wrapping: Wrapping;
  readonly bounds: Bounds;
  /** Longest time for a stream that somebody else opened. */
  readonly streamTimeoutMs: Milliseconds;
  readonly clock: Clock;
}

/** Open sockets of one member. */
export interface Sockets {
  readonly port: number;
  /** Hands in what arrives from now on. Call it once. */
  connect(handler: TransportHandler): Transport;
  /** Cuts what is under way. Resolves when the port is free. May be called again. */
  close(): Promise<void>;
}

/** Streams from others at a time; more are closed at once. memberlist takes 128. */
const MAX_STREAMS = 128;
/** Memory for all streams that are being read. */
const STREAM_BUFFER_BYTES = 32 * 1024 * 1024;
const FIRST_BUFFER_BYTES = 4_096;
/** A peer in the same network answers within milliseconds; an address that is gone often never does. */
const CONNECT_TIMEOUT_MS = 3_000;
/** What the kernel keeps while this process is busy. As memberlist, which asks for 2 MiB and takes less. */
const UDP_BUFFER_BYTES = 2 * 1024 * 1024;
/** Ports that are tried when the system chooses: the one that it gave for UDP may be taken for TCP. */
const PORT_TRIES = 10;

/**
 * Listens for packets and streams on one address. Rejects with the system's error as `cause` when it is taken.
 */
export async function openSockets(options: SocketOptions): Promise<Sockets> {
  const { host, port } = options;
  for (let tries = 1; ; tries += 1) {
    const udp = createSocket({ type: isIPv6(host) ? "udp6" : "udp4", recvBufferSize: UDP_BUFFER_BYTES });
    const tcp = createServer();
    try {
      const boundPort = await bindUdp(udp, host, port);
      await listenTcp(tcp, host, boundPort);
      return new SocketPair(options, udp, tcp, boundPort);
    } catch (cause) {
      closeQuietly(udp);
      if (port === 0 && tries < PORT_TRIES) continue;
      const detail = messageOf(cause);
      throw new Error(`listening for members on ${endpointText({ host, port })} failed: ${detail}`, {
        cause,
      });
    }
  }
}

class SocketPair implements Sockets, Transport {
  readonly port: number;
  readonly #options: SocketOptions;
  readonly #udp: UdpSocket;
  readonly #tcp: Server;
  readonly #open = new Set<Socket>();
  readonly #budget = new ByteBudget(STREAM_BUFFER_BYTES);
  #handler: TransportHandler | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: SocketOptions, udp: UdpSocket, tcp: Server, port: number) {
    this.#options = options;
    this.#udp = udp;
    this.#tcp = tcp;
    this.port = port;
    udp.on("message", (packet, from) => this.#packet(packet, from));
    // What a receiver's host says about a packet (ECONNREFUSED) is of no use: probes find out.
    udp.on("error", () => {});
    tcp.maxConnections = MAX_STREAMS;
    tcp.on("connection", (socket) => this.#accept(socket));
    tcp.on("drop", () => this.#handler?.refused("overloaded"));
    // Only accept() can fail by now (EMFILE): the next connection tries again.
    tcp.on("error", () => {});
  }

  connect(handler: TransportHandler): Transport {
    this.#handler = handler;
    return this;
  }

  send(packet: Buffer, to: Endpoint): void {
    if (this.#closing) return;
    this.#udp.send(packet, to.port, to.host, () => {});
  }

  exchange(request: Buffer, to: Endpoint, timeoutMs: Milliseconds): Promise<StreamMessage> {
    if (this.#closing) return Promise.reject(new Error("the sockets are closed"));
    const { clock } = this.#options;
    return new Promise((resolve, reject) => {
      const socket = connect({ host: to.host, port: to.port });
      const connectTimer = clock.setTimeout(
        () => socket.destroy(new Error("connecting took too long")),
        Math.min(CONNECT_TIMEOUT_MS, timeoutMs),
      );
      socket.once("connect", () => {
        connectTimer.clear();
        socket.write(request);
      });
      const fail = (error: Error): void => {
        connectTimer.clear();
        reject(new Error(`exchanging with ${endpointText(to)} failed: ${error.message}`, { cause: error }));
      };
      this.#read(socket, "connects", timeoutMs, {
        message(message) {
          connectTimer.clear();
          socket.destroy();
          resolve(message);
        },
        failed: fail,
      });
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#handler = undefined;
    for (const socket of this.#open) socket.destroy();
    await Promise.all([
      new Promise<void>((resolve) => {
        this.#udp.close(() => resolve());
      }),
      new Promise<void>((resolve) => {
        this.#tcp.close(() => resolve());
      }),
    ]);
  }

  #packet(packet: Buffer, { address, port }: RemoteInfo): void {
    const host = canonicalAddress(address);
    // Port 0 can't be answered: only a forger sends from it. A link-local address with a zone is no member's.
    if (host !== undefined && port !== 0) this.#handler?.packet(packet, { host, port });
  }

  #accept(socket: Socket): void {
    const host = canonicalAddress(socket.remoteAddress ?? "");
    const from = host !== undefined && { host, port: socket.remotePort ?? 0 };
    if (!from || !this.#handler?.admitStream(from)) {
      socket.destroy();
      return;
    }
    this.#read(socket, "answers", this.#options.streamTimeoutMs, {
      message: (message) => {
        const answer = this.#handler?.stream(message, from);
        if (answer) socket.end(answer);
        else socket.destroy();
      },
      failed() {},
    });
  }

  /**
   * Reads one message, within `timeoutMs` for the whole life of the socket. Calls one of `then`'s functions once. What
   * can't be read is counted, and the socket is closed.
   */
  #read(
    socket: Socket,
    side: "connects" | "answers",
    timeoutMs: Milliseconds,
    then: { readonly message: (message: StreamMessage) => void; readonly failed: (error: Error) => void },
  ): void {
    const { wrapping, bounds, clock } = this.#options;
    const limits = { maxBytes: bounds.maxStreamBytes, maxStates: bounds.maxMembers * 4 };
    const reader = new StreamReader(wrapping, limits, side);
    const held = new GrowingBytes({
      firstBytes: FIRST_BUFFER_BYTES,
      maxBytes: limits.maxBytes,
      budget: this.#budget,
    });
    let done = false;
    this.#open.add(socket);

    const release = (): void => {
      done = true;
      held.release();
    };
    const fail = (error: Error): void => {
      if (done) return;
      release();
      if (error instanceof Refused) this.#handler?.refused(error.reason);
      socket.destroy();
      then.failed(error);
    };
    const append = (chunk: Buffer): void => {
      if (held.length + chunk.length > limits.maxBytes)
        throw new Refused("too_large", "the stream is too long");
      if (!held.append(chunk)) throw new Refused("overloaded", "no memory left for streams");
    };
    socket.on("data", (chunk: Buffer) => {
      if (done) return;
      let message: StreamMessage | undefined;
      try {
        append(chunk);
        message = reader.read(held.bytes);
      } catch (error) {
        refusalReasonOf(error);
        fail(error as Refused);
        return;
      }
      if (!message) return;
      release();
      then.message(message);
    });
    const timer = clock.setTimeout(() => {
      fail(new Refused("incomplete", "the message took too long"));
      socket.destroy();
    }, timeoutMs);
    socket.on("error", (error) => fail(error));
    socket.on("close", () => {
      timer.clear();
      this.#open.delete(socket);
      // Health checks connect and say nothing.
      fail(
        held.length === 0
          ? new Error("it closed the connection")
          : new Refused("incomplete", "the message is not whole"),
      );
    });
  }
}

function bindUdp(socket: UdpSocket, address: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.bind({ address, port }, () => {
      socket.off("error", reject);
      resolve(socket.address().port);
    });
  });
}

function listenTcp(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

function closeQuietly(socket: UdpSocket): void {
  try {
    socket.close();
  } catch {
    // It was never open.
  }
}
