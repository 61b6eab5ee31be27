import type { Socket } from "node:net";
import { connectToProxy } from "./load-connection.ts";
import type { Load } from "./http-load.ts";
import type { LoadPlan } from "./load-plan.ts";
import type { LoadTally } from "./load-tally.ts";
import { sandboxes } from "./sandboxes.ts";
import type { Sandbox } from "./sandboxes.ts";

const PAYLOAD_BYTES = 32;
const MASK = Buffer.from([0x11, 0x22, 0x33, 0x44]);

/** What decides a load of WebSockets. */
export type WebSocketPlan = Pick<LoadPlan, "port" | "hosts" | "connections">;

/** Opens WebSockets and sends on each the next small frame `pauseMs` after the last one came back; by default at once. */
export function startWebSocketLoad(
  plan: WebSocketPlan,
  podPort: number,
  tally: LoadTally,
  pauseMs = 0,
): Load {
  const targets = sandboxes(plan.hosts, podPort);
  let stopped = false;
  const connections = Array.from(
    { length: plan.connections },
    (_, index) =>
      new WebSocketConnection(plan.port, targets[index % targets.length]!, tally, pauseMs, () => stopped),
  );
  return {
    async stop() {
      stopped = true;
      await new Promise((done) => setTimeout(done, 20));
      for (const each of connections) each.close();
    },
  };
}

class WebSocketConnection {
  readonly #socket: Socket;
  readonly #sandbox: Sandbox;
  readonly #tally: LoadTally;
  readonly #pauseMs: number;
  readonly #isStopped: () => boolean;
  #open = false;
  #failed = false;
  #head = "";
  readonly #frame: Buffer;
  readonly #echo: Buffer;
  #received = 0;
  #sentMs = 0;

  constructor(port: number, sandbox: Sandbox, tally: LoadTally, pauseMs: number, isStopped: () => boolean) {
    this.#sandbox = sandbox;
    this.#tally = tally;
    this.#pauseMs = pauseMs;
    this.#isStopped = isStopped;
    const payload = Buffer.from(sandbox.id.padEnd(PAYLOAD_BYTES, "."), "latin1");
    this.#frame = Buffer.concat([
      Buffer.from([0x82, 0x80 | PAYLOAD_BYTES]),
      MASK,
      payload.map((byte, at) => byte ^ MASK[at & 3]!),
    ]);
    this.#echo = Buffer.concat([Buffer.from([0x82, PAYLOAD_BYTES]), payload]);
    this.#socket = connectToProxy(port, {
      read: (buffer, length) => this.#read(buffer, length),
      closed: (error) => this.#fail(`the WebSocket ended${error ? `: ${error.message}` : ""}`),
    });
    this.#socket.write(
      `GET /ws HTTP/1.1\r\nHost: ${sandbox.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
    );
  }

  close(): void {
    this.#socket.destroy();
  }

  #send(): void {
    if (this.#isStopped() || this.#failed) return;
    this.#received = 0;
    this.#sentMs = performance.now();
    this.#socket.write(this.#frame);
  }

  #read(buffer: Buffer, length: number): void {
    if (!this.#open) return this.#handshake(buffer.toString("latin1", 0, length));
    const to = this.#received + length;
    if (to > this.#echo.length || buffer.compare(this.#echo, this.#received, to, 0, length) !== 0) {
      return this.#fail("the echo differs from what was sent");
    }
    this.#received = to;
    if (to < this.#echo.length) return;
    this.#tally.answered(performance.now() - this.#sentMs);
    if (this.#pauseMs > 0) setTimeout(() => this.#send(), this.#pauseMs);
    else this.#send();
  }

  #handshake(text: string): void {
    this.#head += text;
    if (!this.#head.includes("\r\n\r\n")) return;
    const head = this.#head.toLowerCase();
    if (!head.startsWith("http/1.1 101 ") || !head.includes(`x-sandbox: ${this.#sandbox.id}\r\n`)) {
      return this.#fail(`the handshake's reply was: ${this.#head.slice(0, 200)}`);
    }
    this.#open = true;
    this.#send();
  }

  #fail(message: string): void {
    if (this.#failed || this.#isStopped()) return;
    this.#failed = true;
    this.#tally.failed(message);
    this.#socket.destroy();
  }
}
