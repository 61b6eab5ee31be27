import { createHash } from "node:crypto";
import { once } from "node:events";
import type { Socket } from "node:net";
import { createSharedBufferServer } from "./shared-buffer-server.ts";
import { bodyOf, sandboxId, sandboxIndexAt } from "./sandboxes.ts";

/** All pods of the benchmark: one listener on all loopback addresses. */
export interface Pods {
  readonly port: number;
  /** Responses with status 200 that they have sent so far. */
  answered(): number;
  close(): void;
}

const MAX_HEAD_BYTES = 16_384;
const WEBSOCKET_KEY_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/**
 * Starts pods that answer with as little work as can be: `/r/<bytes>` with the sandbox's prebuilt body, the same with
 * `/close` at its end and then closing, and WebSockets with an echo. Which sandbox a connection is for is told by
 * the address it was made to. An upload is compared with the bytes that it must hold; a wrong one is answered 500.
 */
export async function startPods(): Promise<Pods> {
  const connections = new Set<Socket>();
  let answered = 0;
  const server = createSharedBufferServer((socket) => {
    connections.add(socket);
    socket.on("close", () => connections.delete(socket));
    const pod = new PodConnection(socket, () => (answered += 1));
    return (buffer, length) => pod.feed(buffer, length);
  });
  server.listen({ port: 0, host: "0.0.0.0", backlog: 4096 });
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the pods' listener has no port");
  return {
    port: address.port,
    answered: () => answered,
    close() {
      server.close();
      for (const each of connections) each.destroy();
    },
  };
}

/** Responses by sandbox and path. */
const responses = new Map<string, Buffer>();
const uploads = new Map<string, Buffer>();

function responseOf(index: number, path: string): Buffer | undefined {
  const key = `${index} ${path}`;
  let response = responses.get(key);
  if (response === undefined) {
    const [, bytes, close] = /^\/r\/(\d{1,8})(\/close)?$/.exec(path) ?? [];
    if (bytes === undefined || index < 0) return undefined;
    const connection = close === undefined ? "" : "Connection: close\r\n";
    const head = `HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: ${bytes}\r\n${connection}\r\n`;
    response = Buffer.concat([Buffer.from(head, "latin1"), bodyOf(index, Number(bytes))]);
    responses.set(key, response);
  }
  return response;
}

function uploadOf(index: number, bytes: number): Buffer {
  const key = `${index} ${bytes}`;
  let upload = uploads.get(key);
  if (upload === undefined) uploads.set(key, (upload = bodyOf(index, bytes)));
  return upload;
}

class PodConnection {
  readonly #socket: Socket;
  readonly #index: number;
  /** Called for each 200. */
  readonly #answers: () => void;
  #state: "head" | "body" | "echo" | "ended" = "head";
  #partial: Buffer | undefined;
  #path = "";
  #response: Buffer | undefined;
  #closes = false;
  #upload: Buffer = Buffer.alloc(0);
  #uploaded = 0;
  #uploadIsWrong = false;

  constructor(socket: Socket, answers: () => void) {
    this.#socket = socket;
    this.#answers = answers;
    this.#index = sandboxIndexAt(socket.localAddress ?? "");
  }

  feed(buffer: Buffer, length: number): void {
    if (this.#state === "head") this.#head(buffer, length);
    else if (this.#state === "body") this.#body(buffer, 0, length);
    else if (this.#state === "echo") this.#echo(buffer, length);
  }

  #head(buffer: Buffer, length: number): void {
    // A GET whose head came whole and alone: nearly all of them.
    if (this.#partial === undefined && endsHead(buffer, length) && buffer[0] === 0x47) {
      this.#route(buffer);
      if (this.#response !== undefined) return this.#respond();
    }
    const all =
      this.#partial === undefined
        ? buffer.subarray(0, length)
        : Buffer.concat([this.#partial, buffer.subarray(0, length)]);
    const end = all.indexOf("\r\n\r\n", 0, "latin1");
    if (end < 0) {
      if (all.length > MAX_HEAD_BYTES) return this.#refuse(431, "the head is too long");
      this.#partial = Buffer.from(all);
      return;
    }
    this.#partial = undefined;
    const head = all.toString("latin1", 0, end + 2);
    if (/\r\nupgrade: *websocket *\r\n/i.test(head)) return this.#upgrade(head);
    if (/\r\ntransfer-encoding:/i.test(head)) return this.#refuse(501, "a chunked request");
    this.#route(all);
    if (this.#response === undefined) return this.#refuse(404, `no such path at ${this.#index}`);
    this.#closes ||= /\r\nconnection: *close *\r\n/i.test(head);
    const bytes = Number(/\r\ncontent-length: *(\d+) *\r\n/i.exec(head)?.[1] ?? 0);
    this.#upload = uploadOf(this.#index, bytes);
    this.#uploaded = 0;
    this.#uploadIsWrong = false;
    this.#state = "body";
    this.#body(all, end + 4, all.length);
  }

  /** Finds the response for the head's path. */
  #route(head: Buffer): void {
    const start = head.indexOf(0x20) + 1;
    const path = head.toString("latin1", start, head.indexOf(0x20, start));
    if (path === this.#path) return;
    this.#path = path;
    this.#response = responseOf(this.#index, path);
    this.#closes = path.endsWith("/close");
  }

  #body(buffer: Buffer, start: number, end: number): void {
    const from = this.#uploaded;
    const to = from + (end - start);
    if (to > this.#upload.length) return this.#refuse(400, "more bytes than the Content-Length");
    if (buffer.compare(this.#upload, from, to, start, end) !== 0) this.#uploadIsWrong = true;
    this.#uploaded = to;
    if (to < this.#upload.length) return;
    this.#state = "head";
    if (this.#uploadIsWrong) return this.#refuse(500, `the upload to ${sandboxId(this.#index)} is damaged`);
    this.#respond();
  }

  #respond(): void {
    if (this.#response === undefined) return;
    this.#answers();
    if (this.#closes) {
      this.#state = "ended";
      this.#socket.end(this.#response);
    } else this.#socket.write(this.#response);
  }

  #refuse(status: number, message: string): void {
    this.#state = "ended";
    this.#socket.end(
      `HTTP/1.1 ${status} Refused\r\nContent-Length: ${message.length}\r\nConnection: close\r\n\r\n${message}`,
    );
  }

  #upgrade(head: string): void {
    const key = /\r\nsec-websocket-key: *(\S+) *\r\n/i.exec(head)?.[1];
    if (key === undefined || this.#index < 0) return this.#refuse(400, "no WebSocket");
    const accept = createHash("sha1").update(`${key}${WEBSOCKET_KEY_SUFFIX}`).digest("base64");
    this.#state = "echo";
    this.#socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nX-Sandbox: ${sandboxId(this.#index)}\r\n\r\n`,
    );
  }

  /** Sends back each masked frame unmasked. Frames are short and their heads 6 bytes, as the load generator's are. */
  #echo(buffer: Buffer, length: number): void {
    const fresh = buffer.subarray(0, length);
    const all = this.#partial === undefined ? fresh : Buffer.concat([this.#partial, fresh]);
    this.#partial = undefined;
    let at = 0;
    while (at < all.length) {
      const payloadBytes = (all[at + 1] ?? 0) & 0x7f;
      const next = at + 6 + payloadBytes;
      if (all.length < at + 2 || next > all.length) break;
      if (payloadBytes > 125 || all[at] !== 0x82) return void this.#socket.destroy();
      const echo = Buffer.allocUnsafe(2 + payloadBytes);
      echo[0] = 0x82;
      echo[1] = payloadBytes;
      for (let each = 0; each < payloadBytes; each += 1) {
        echo[2 + each] = all[at + 6 + each]! ^ all[at + 2 + (each & 3)]!;
      }
      this.#socket.write(echo);
      at = next;
    }
    if (at < all.length) this.#partial = Buffer.from(all.subarray(at));
  }
}

function endsHead(buffer: Buffer, length: number): boolean {
  return length > 20 && buffer[length - 1] === 10 && buffer[length - 2] === 13 && buffer[length - 3] === 10;
}
