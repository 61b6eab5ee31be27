import { connect } from "node:net";
import type { AddressInfo } from "node:net";
import { createPeerServer } from "../../src/peers/peer-server.ts";
import type { PeerServer, PeerServerOptions } from "../../src/peers/peer-server.ts";
import type { JudgedPush, PushResult } from "../../src/peers/peer-observer.ts";
import type { PushSink } from "../../src/peers/push-sink.ts";
import type { PushedDeletion, PushedRoute } from "../../src/routes/push.ts";
import { CONNECTIONS } from "../support/defaults.ts";
import type { Outcome } from "../../src/routes/outcome.ts";

export type SinkCall =
  | { readonly kind: "update"; readonly route: PushedRoute }
  | { readonly kind: "delete"; readonly push: PushedDeletion };

/** A sink that writes down what it is asked and answers as told. */
export class ScriptedSink implements PushSink {
  readonly calls: SinkCall[] = [];
  updateOutcome: Outcome = "applied";
  deleteOutcome: Outcome = "applied";

  pushUpdate(route: PushedRoute): Outcome {
    this.calls.push({ kind: "update", route });
    return this.updateOutcome;
  }

  pushDelete(push: PushedDeletion): Outcome {
    this.calls.push({ kind: "delete", push });
    return this.deleteOutcome;
  }
}

export interface PeerFixture extends AsyncDisposable {
  readonly sink: ScriptedSink;
  readonly results: { readonly result: PushResult; readonly push: JudgedPush | undefined }[];
  readonly server: PeerServer;
  readonly port: number;
  readonly url: string;
  /** POSTs to /refresh; an object is sent as JSON. */
  push(body: unknown): Promise<{ status: number; text: string; headers: Headers }>;
}

/** A real peer server on a port of its own. */
export async function startPeerServer(options: Partial<PeerServerOptions> = {}): Promise<PeerFixture> {
  const sink = new ScriptedSink();
  const results: PeerFixture["results"] = [];
  const observer = {
    pushed: (result: PushResult, push?: JudgedPush) => void results.push({ result, push }),
  };
  const server = createPeerServer({
    ...CONNECTIONS.peers,
    sink,
    observer,
    host: "127.0.0.1",
    port: 0,
    ...options,
  });
  const address: AddressInfo = await server.listen();
  const url = `http://127.0.0.1:${address.port}`;
  return {
    sink,
    results,
    server,
    port: address.port,
    url,
    async push(body) {
      const raw = typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body);
      const response = await fetch(`${url}/refresh`, { method: "POST", body: raw as string });
      return { status: response.status, text: await response.text(), headers: response.headers };
    },
    [Symbol.asyncDispose]: () => server.close(),
  };
}

/**
 * Sends `bytes` on a new connection and returns everything the server sends until it closes. `later`: what follows in a packet of
 * its own; then the connection's half is closed.
 */
export function exchange(port: number, bytes: string | Buffer, later?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect({ port, host: "127.0.0.1", noDelay: true }, () => {
      socket.write(bytes);
      if (later !== undefined) setTimeout(() => socket.end(later), 5);
    });
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("close", () => resolve(Buffer.concat(chunks).toString("latin1")));
    socket.on("error", reject);
  });
}

/** The route that the test cases in words push, as a manager writes it. */
export function pushOf(changes: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    ip: "10.0.0.1",
    id: "short",
    namespace: "ns",
    name: "sandbox",
    uid: "uid",
    owner: "owner",
    state: "running",
    resourceVersion: "2",
    ...changes,
  };
}
