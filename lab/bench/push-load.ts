import { createHash } from "node:crypto";
import type { Socket } from "node:net";
import { connectToProxy } from "./load-connection.ts";
import { HOT_SANDBOXES, podAddress, sandboxId } from "./sandboxes.ts";

/** Flags of a lychgate that is pushed to as fast as it can take it. */
export const PUSHES_WITHOUT_LIMIT = [
  "--peers-max-pushes-per-second=0",
  "--peers-max-push-bytes-per-second=0",
  "--peers-max-total-pushes-per-second=0",
  "--peers-max-total-push-bytes-per-second=0",
];

/** Number of routes that every proxy gets. */
export const ROUTES = 10_000;

/** `POST /refresh` for one sandbox, as a sandbox-manager sends it: with the fields of Go's HTTP client. */
export function pushRequest(
  index: number,
  resourceVersion: number,
  state: "running" | "paused" = "running",
): string {
  const id = sandboxId(index);
  const body = JSON.stringify({
    ip: podAddress(index),
    id,
    namespace: "bench",
    name: id,
    uid: uidOf(index),
    owner: "bench",
    state,
    resourceVersion: String(resourceVersion),
  });
  const fields = `User-Agent: Go-http-client/1.1\r\nContent-Length: ${body.length}\r\nContent-Type: application/json\r\nAccept-Encoding: gzip`;
  return `POST /refresh HTTP/1.1\r\nHost: 10.0.0.9:7789\r\n${fields}\r\n\r\n${body}`;
}

const uids = new Map<number, string>();

function uidOf(index: number): string {
  const known = uids.get(index);
  if (known !== undefined) return known;
  const hex = createHash("sha1").update(`bench ${index}`).digest("hex");
  const uid = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
  uids.set(index, uid);
  return uid;
}

/** A connection to `/refresh` that pushes one after the other. */
export class PushConnection {
  readonly #socket: Socket;
  #text = "";
  #waiting: { done: () => void; fail: (error: Error) => void } | undefined;
  #ended: Error | undefined;

  constructor(port: number) {
    this.#socket = connectToProxy(port, {
      read: (buffer, length) => this.#read(buffer.toString("latin1", 0, length)),
      closed: (error) => this.#end(error ?? new Error("the peer listener closed the connection")),
    });
  }

  /** Resolves when the push was answered 204, else rejects. One at a time. */
  push(request: string): Promise<void> {
    return new Promise((done, fail) => {
      if (this.#ended !== undefined) return fail(this.#ended);
      this.#waiting = { done, fail };
      this.#text = "";
      this.#socket.write(request, "latin1");
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(text: string): void {
    this.#text += text;
    // A 204 has no body, so it ends with its head.
    if (!this.#text.includes("\r\n\r\n")) return;
    if (this.#text.startsWith("HTTP/1.1 204 ")) {
      const waiting = this.#waiting;
      this.#waiting = undefined;
      waiting?.done();
    } else this.#end(new Error(`a push was answered: ${this.#text.slice(0, 200)}`));
  }

  #end(error: Error): void {
    this.#ended ??= error;
    this.#waiting?.fail(this.#ended);
    this.#waiting = undefined;
    this.#socket.destroy();
  }
}

/** Pushes the routes of all {@link ROUTES} sandboxes. */
export async function pushRoutes(peerPort: number): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    const connection = new PushConnection(peerPort);
    for (let index = next++; index < ROUTES; index = next++) {
      await connection.push(pushRequest(index, index + 1));
    }
    connection.close();
  };
  await Promise.all(Array.from({ length: 8 }, work));
}

/** Pushes that go on at a given pace. */
export interface PushLoad {
  /** Pushes that were answered so far. */
  readonly answered: number;
  stop(): void;
}

const PUSH_CONNECTIONS = 16;
let lastVersion = 1_000_000;

/** Changes sandboxes that get no requests, `perSecond` times a second: each is paused and resumed in turn. */
export function startPushLoad(port: number, perSecond: number, failed: (message: string) => void): PushLoad {
  let sent = 0;
  const startedMs = performance.now();
  const load = {
    answered: 0,
    stopped: false,
    stop() {
      load.stopped = true;
      for (const each of connections) each.close();
    },
  };
  const connections = Array.from({ length: PUSH_CONNECTIONS }, () => new PushConnection(port));
  const work = async (connection: PushConnection): Promise<void> => {
    while (!load.stopped) {
      const dueMs = startedMs + (sent / perSecond) * 1000;
      const waitMs = dueMs - performance.now();
      sent += 1;
      if (waitMs > 0) await new Promise((done) => setTimeout(done, waitMs));
      if (load.stopped) return;
      const cold = HOT_SANDBOXES + (Math.trunc(lastVersion / 2) % (ROUTES - HOT_SANDBOXES));
      lastVersion += 1;
      await connection.push(pushRequest(cold, lastVersion, lastVersion % 2 === 0 ? "paused" : "running"));
      load.answered += 1;
    }
  };
  for (const each of connections) {
    work(each).catch((error: unknown) => {
      if (!load.stopped) failed(`pushing: ${String(error)}`);
    });
  }
  return load;
}
