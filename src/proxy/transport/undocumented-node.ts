import { once } from "node:events";
import { connect, createServer, Socket } from "node:net";
import type { AddressInfo, Server, SocketConstructorOpts } from "node:net";

/*
 * The one place where Lychgate uses what Node does not document (docs/architecture.md#undocumented-node). `findShortcuts` tries
 * on loopback connections what this Node can do; nothing else here is to be called for what was not found to work.
 */

/** What of it works with this Node. */
export interface Shortcuts {
  /** {@link acceptWithSharedBuffer}. */
  readonly reads: boolean;
  /** {@link rawHandleOf}. */
  readonly writes: boolean;
}

/** The documented ways alone. */
export const NO_SHORTCUTS: Shortcuts = { reads: false, writes: false };

/** Where the bytes of an accepted connection go. */
export interface ReadFeed {
  /** Where the next bytes are read to. */
  buffer(): Buffer;
  /** `length` bytes of `bytes` are there; they may be overwritten as soon as this returns. */
  onRead(bytes: Buffer, length: number): void;
}

/** A write that the kernel did not take at once. */
export interface PendingWrite {
  /** Called once, with 0 or libuv's error number. */
  oncomplete: ((status: number) => void) | undefined;
  /** What is being written. libuv reads it until the write is complete, so it must be kept. */
  buffer: unknown;
}

/**
 * The TCP handle below a socket. Each write returns 0 when the kernel has taken all of it, an error number below 0 when it took nothing,
 * else the write that goes on. Writes are done in the order of the calls, those of the socket included.
 */
export interface RawHandle {
  writeLatin1String(request: null, text: string): number | PendingWrite;
  writeBuffer(request: null, bytes: Uint8Array): number | PendingWrite;
}

interface RawServer {
  readonly _handle?: { onconnection?: (this: unknown, status: number, connection: unknown) => void };
  _connections: number;
}

interface RawSocket {
  readonly _handle: RawHandle | null;
}

/** A socket that was accepted with a shared buffer. */
class FedSocket extends Socket {
  /** `undefined`: it is a stream with `data` events. */
  feed: ReadFeed | undefined = undefined;
}

/**
 * Makes a listening server accept its connections with a read buffer of the caller's, as `onread` does for outgoing ones: Node's own
 * server is asked for the raw connection before it makes a socket of it. `buffer`: where the first bytes of a connection are read
 * to. False when this Node can't do that; then nothing has changed.
 */
export function acceptWithSharedBuffer(server: Server, buffer: Buffer): boolean {
  const raw = server as unknown as RawServer;
  const handle = raw._handle;
  const accept = handle?.onconnection;
  if (handle === undefined || typeof accept !== "function" || typeof raw._connections !== "number")
    return false;
  // The same for all sockets: closures for each cost time and memory where a connection serves one request. Node asks for the next
  // buffer right after each read.
  let next = buffer;
  const onread = {
    buffer: () => next,
    callback(this: FedSocket, length: number, bytes: Buffer): boolean {
      const { feed } = this;
      if (feed === undefined) {
        next = buffer;
        return this.push(Buffer.from(bytes.subarray(0, length)));
      }
      feed.onRead(bytes, length);
      next = this.feed?.buffer() ?? buffer;
      return true;
    },
  };
  handle.onconnection = function onconnection(status, connection) {
    if (status !== 0 && status !== undefined) {
      accept.call(this, status, connection);
      return;
    }
    next = buffer;
    const options = { handle: connection, allowHalfOpen: true, onread };
    const socket = new FedSocket(options as unknown as SocketConstructorOpts);
    // As Node does it: the server is closed when its connections are.
    raw._connections += 1;
    Object.assign(socket, { server, _server: server });
    server.emit("connection", socket);
    socket.read(0);
  };
  return true;
}

/** `socket` was accepted with a shared buffer: so it is plain TCP. */
export function hasSharedBuffer(socket: Socket): boolean {
  return socket instanceof FedSocket;
}

/** Has the bytes of `socket` told to `feed`. False when it was not accepted with a shared buffer: then it has `data` events. */
export function feedFrom(socket: Socket, feed: ReadFeed): boolean {
  if (!(socket instanceof FedSocket)) return false;
  socket.feed = feed;
  return true;
}

/** Makes `socket` a stream with `data` events again, if it was not one. */
export function stopFeeding(socket: Socket): void {
  if (socket instanceof FedSocket) socket.feed = undefined;
}

/** The handle of a plain TCP socket, for writes without the stream between; `null` when the socket has none any more. */
export function rawHandleOf(socket: Socket): RawHandle | null {
  return (socket as unknown as RawSocket)._handle;
}

/** Shorter, and a busy machine would be taken for a Node that can't. */
const PROBE_TIMEOUT_MS = 10_000;
let found: Promise<Shortcuts> | undefined;

/** Tries on loopback connections what this Node can do, once per process: some milliseconds. Never rejects. */
export function findShortcuts(): Promise<Shortcuts> {
  found ??= tryShortcuts();
  return found;
}

async function tryShortcuts(): Promise<Shortcuts> {
  const probe = new Probe();
  let reads = false;
  try {
    reads = await probe.reads();
    return { reads, writes: reads && (await probe.writes()) };
  } catch {
    return { reads, writes: false };
  } finally {
    probe.close();
  }
}

/** A server and its clients on loopback. */
class Probe {
  readonly #late = new AbortController();
  readonly #signal = this.#late.signal;
  readonly #timer = setTimeout(() => this.#late.abort(), PROBE_TIMEOUT_MS);
  readonly #server = createServer({ allowHalfOpen: true });
  readonly #buffer = Buffer.alloc(64);
  readonly #sockets: Socket[] = [];
  /** What was asked for last, made for it. */
  #asked = this.#buffer;

  async reads(): Promise<boolean> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening", { signal: this.#signal });
    if (!acceptWithSharedBuffer(this.#server, this.#buffer)) return false;
    const { client, accepted } = await this.#connect();
    client.write("one");
    if ((await this.#read(accepted, this.#buffer)) !== "one") return false;
    // The buffer that was asked for right after that read. Otherwise two connections could come to read into one.
    client.write("two");
    return (await this.#read(accepted, this.#asked)) === "two";
  }

  async writes(): Promise<boolean> {
    const { client, accepted } = await this.#connect();
    let text = "";
    const whole = new Promise<void>((resolve) => {
      client.on("data", (bytes) => {
        text += bytes.toString("latin1");
        if (text.length >= "one two three four".length) resolve();
      });
    });
    if (!writesWithoutRequest(accepted)) return false;
    const handle = rawHandleOf(accepted);
    handle?.writeLatin1String(null, "three ");
    handle?.writeBuffer(null, Buffer.from("four"));
    await this.#inTime(whole);
    if (text !== "one two three four") return false;
    // What is written while the socket still connects can't be complete at once.
    let completed: Promise<number> = Promise.resolve(-1);
    const second = await this.#connect((socket) => {
      const write = rawHandleOf(socket)?.writeLatin1String(null, "five");
      if (typeof write !== "object" || !("oncomplete" in write)) return;
      completed = new Promise((resolve) => {
        write.oncomplete = resolve;
      });
    });
    return (
      (await this.#read(second.accepted, this.#buffer)) === "five" && (await this.#inTime(completed)) === 0
    );
  }

  close(): void {
    clearTimeout(this.#timer);
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  async #connect(
    early?: (client: Socket) => void,
  ): Promise<{ readonly client: Socket; readonly accepted: Socket }> {
    const { port } = this.#server.address() as AddressInfo;
    const client = connect(port, "127.0.0.1").on("error", () => {});
    this.#sockets.push(client);
    const connected = once(this.#server, "connection", { signal: this.#signal });
    // Node sends the SYN in the next tick.
    await new Promise<void>((resolve) => process.nextTick(resolve));
    early?.(client);
    const [accepted] = (await connected) as [Socket];
    this.#sockets.push(accepted.on("error", () => {}));
    return { client, accepted };
  }

  /** What is read next, if it is read to `expected`. */
  #read(socket: Socket, expected: Buffer): Promise<string> {
    const read = new Promise<string>((resolve) => {
      feedFrom(socket, {
        buffer: () => {
          this.#asked = Buffer.alloc(64);
          return this.#asked;
        },
        onRead: (bytes, length) =>
          resolve(bytes === expected ? bytes.toString("latin1", 0, length) : "another buffer"),
      });
    });
    return this.#inTime(read);
  }

  #inTime<T>(done: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#signal.addEventListener("abort", () => reject(new Error("too late")), { once: true });
      void done.then(resolve);
    });
  }
}

/**
 * Node itself passes no request object to its handle's writes. Where it does (up to Node 25), a write without one would end the
 * process: so this looks at what Node does before anything else is tried.
 */
function writesWithoutRequest(socket: Socket): boolean {
  const handle = rawHandleOf(socket);
  if (handle === null) return false;
  const requests: unknown[] = [];
  const results: unknown[] = [];
  const watch = (name: keyof RawHandle) => {
    const original: unknown = handle[name];
    if (typeof original !== "function") return;
    Object.defineProperty(handle, name, {
      configurable: true,
      value(request: unknown, ...rest: unknown[]): unknown {
        requests.push(request);
        const result: unknown = Reflect.apply(original, this, [request, ...rest]);
        results.push(result);
        return result;
      },
    });
  };
  watch("writeLatin1String");
  watch("writeBuffer");
  socket.write("one ", "latin1");
  socket.write(Buffer.from("two "));
  delete (handle as Partial<RawHandle>).writeLatin1String;
  delete (handle as Partial<RawHandle>).writeBuffer;
  const isNull = requests.length === 2 && requests.every((request) => request === null);
  return isNull && results.every((result) => result === 0);
}
