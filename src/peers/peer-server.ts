import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer as createNetServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { BoundedConnections } from "../system/bounded-connections.ts";
import { ByteBudget } from "../system/byte-budget.ts";
import { systemClock } from "../system/clock.ts";
import type { Clock, Milliseconds } from "../system/clock.ts";
import { openListener } from "../system/listener.ts";
import { silentLog } from "../system/log.ts";
import type { Log } from "../system/log.ts";
import { remoteAddressOf } from "../system/ip-address.ts";
import { PacedLog } from "../system/paced-log.ts";
import { type BodyLimits, readBoundedBody } from "./bounded-body.ts";
import { createFirstByteServer, type FirstByteServer } from "./first-byte.ts";
import type { PeerObserver } from "./peer-observer.ts";
import { HmacVerifier, type HmacVerifierOptions } from "./proof/hmac-verifier.ts";
import { PeerTls, type PeerTlsOptions } from "./proof/peer-tls.ts";
import { type ProofObserver, PushProofs, type RequiredProof } from "./proof/push-proofs.ts";
import { PushBudget, type PushRates } from "./push-budget.ts";
import { PushJudge } from "./push-judge.ts";
import type { PushSink } from "./push-sink.ts";
import { askReadiness } from "./readiness.ts";
import type { ReadinessCheck } from "./readiness.ts";
import { type ReplicaAnswers, replicaRequestListener } from "./replica-requests.ts";
import { KEEP_ALIVE_TIMEOUT_MS, type PeerReply, TEXT_FIELDS } from "./wire/peer-reply.ts";
import { PushWire } from "./wire/push-wire.ts";

/** Options of {@link createPeerServer}. */
export interface PeerServerOptions {
  /** Where pushes go. */
  readonly sink: PushSink;
  /** Told of every push. Defaults to nobody. */
  readonly observer?: PeerObserver;
  /** What `/readyz` asks, in this order. Defaults to nothing, which is ready. Pushes are taken before readiness. */
  readonly readinessChecks?: readonly (ReadinessCheck | undefined)[];
  /** Address to listen on. Defaults to all addresses. */
  readonly host?: string;
  /** Port to listen on; 0 lets the system choose. */
  readonly port: number;
  /** Whether this address may push; others get 403. Defaults to all. Probes may come from anywhere. */
  readonly mayPush?: (address: string) => boolean;
  /** How peers prove who they are. Defaults to not at all. */
  readonly proof?: PeerProofOptions;
  /** Answers `GET /anti-entropy/…` of those that may push; only with `mayPush`, since the answers hold tokens. Absent: 404. */
  readonly replicas?: ReplicaAnswers;
  /** What may come to `/refresh` in a second; above, a push gets 429 or 503 and is not read. Defaults to no limit. */
  readonly rates?: PushRates;
  /** Longest body of a push, in bytes. Defaults to 1 MiB, the limit of the gateway that Lychgate replaces. */
  readonly maxBodyBytes?: number;
  /** Memory for all bodies that are being read, in bytes. Beyond it a push gets 503. Defaults to 32 MiB. */
  readonly maxBufferedBytes?: number;
  /** Longest time for a request to arrive whole, from its first byte, in milliseconds. Defaults to 10 seconds. */
  readonly requestTimeoutMs?: Milliseconds;
  /**
   * Connections at one time, in all and from one address (`peers.maxConnections` and `peers.maxConnectionsPerAddress`); see
   * {@link BoundedConnections} for what becomes of more.
   */
  readonly maxConnections: number;
  readonly maxConnectionsPerAddress: number;
  /** A connection was closed to make room for a newer one. Defaults to nobody. */
  readonly connectionEvicted?: () => void;
  /** Defaults to the machine's own clock. */
  readonly clock?: Clock;
  /** Defaults to silence. */
  readonly log?: Log;
}

/** How peers of a server prove who they are (docs/peers.md#proof). */
export interface PeerProofOptions {
  readonly require: RequiredProof;
  /** The keys that are taken now, and how far clocks may differ. Absent: signatures are not looked at. */
  readonly hmac?: Omit<HmacVerifierOptions, "clock">;
  /** Absent: the port has no TLS. Present: it has TLS and plain HTTP. */
  readonly tls?: Omit<PeerTlsOptions, "clock" | "log" | "maxHandshakes" | "evicted">;
  readonly observer?: ProofObserver;
  /** A push from this address was refused with 401 or 403. */
  readonly refused?: (address: string) => void;
}

/** The server that peers and probes talk to. */
export interface PeerServer {
  /** Resolves once connections are accepted; rejects with the system's error as `cause`. Call it once. */
  listen(): Promise<AddressInfo>;
  /** Accepts no more, lets requests that have arrived finish, and cuts the rest. Resolves when all is closed. */
  close(): Promise<void>;
}

const MIB = 1 << 20;
const CLOSE_GRACE_MS = 1_000;
/** At most one line of a kind in this time: senders decide how many pushes are refused. */
const REFUSAL_LOG_INTERVAL_MS = 60_000;

/**
 * The server for `POST /refresh` (byte for byte as docs/peers.md#post-refresh), `GET /healthz` and `GET /readyz` (503
 * `gateway is not ready`; `?verbose` lists the checks). Other paths and methods are answered as Go's ServeMux does.
 * Who may push, and how much, is judged before a push is read. Ordinary pushes are read by {@link PushWire}, all else by node:http.
 * Nothing that a peer sends makes it throw, hold more memory than the options say, or write a token anywhere.
 * @throws Error when the files of `proof.tls` are of no use. It names the setting.
 *
 * @example
 * ```ts
 * import { createPeerServer } from "./peer-server.ts";
 *
 * const server = createPeerServer({
 *   host: "127.0.0.1",
 *   port: 0,
 *   maxConnections: 100,
 *   maxConnectionsPerAddress: 10,
 *   sink: { pushUpdate: () => "applied", pushDelete: () => "applied" },
 * });
 * const { port } = await server.listen();
 * const body = JSON.stringify({ id: "a--b", namespace: "a", name: "b", uid: "u", state: "dead", resourceVersion: "7" });
 * console.log((await fetch(`http://127.0.0.1:${port}/refresh`, { method: "POST", body })).status);
 * // 204
 * await server.close();
 * ```
 */
export function createPeerServer(options: PeerServerOptions): PeerServer {
  const { host, port, requestTimeoutMs = 10_000, clock = systemClock, log = silentLog, proof } = options;
  const headerTimeoutMs = Math.min(requestTimeoutMs, 5_000);
  const evicted = () => options.connectionEvicted?.();
  const { maxConnections, maxConnectionsPerAddress } = options;
  const bounds = new BoundedConnections({ maxConnections, maxConnectionsPerAddress, evicted, clock, log });
  const accept = (socket: Socket): void => wire.take(socket, bounds.add(socket));
  const tls =
    proof?.tls && new PeerTls({ ...proof.tls, maxHandshakes: maxConnections, evicted, clock, log }, accept);
  const limits = bodyLimitsOf(options);
  const judge = pushJudgeOf(options, tls);
  const http = createServer(
    {
      requestTimeout: requestTimeoutMs,
      headersTimeout: headerTimeoutMs,
      connectionsCheckingInterval: Math.min(requestTimeoutMs, 1_000),
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    },
    peerRequestListener(options, judge, limits),
  );
  http.on("request", (request, response) => bounds.requested(request, response));
  // It never listens. Without this it does not look for late heads.
  http.emit("listening");
  const wire = new PushWire({
    handler: judge,
    maxBodyBytes: limits.maxBytes,
    budget: limits.budget,
    headerTimeoutMs,
    requestTimeoutMs,
    clock,
    other: (socket) => http.emit("connection", socket),
  });
  const front = tls
    ? createFirstByteServer({
        tls: (socket) => tls.take(socket),
        plain: accept,
        timeoutMs: headerTimeoutMs,
        maxSilent: maxConnections,
        evicted,
        clock,
      })
    : directServer(accept);
  return {
    listen: () => openListener(front.server, "peers", { host, port }),
    close() {
      tls?.stop();
      return new Promise((resolve) => {
        const cut = setTimeout(() => {
          wire.cut();
          http.closeAllConnections();
          resolve();
        }, CLOSE_GRACE_MS);
        // The connections are counted where they were accepted.
        front.close(() => {
          clearTimeout(cut);
          resolve();
        });
        wire.close();
        http.close();
      });
    },
  };
}

/** A server whose connections are taken at once, as node:http's own are. */
function directServer(accept: (socket: Socket) => void): Pick<FirstByteServer, "server" | "close"> {
  const server = createNetServer({ allowHalfOpen: true, noDelay: true }, accept);
  return { server, close: (closed) => void server.close(() => closed()) };
}

/** Limits of bodies of pushes, whoever reads them. */
function bodyLimitsOf({ maxBodyBytes = MIB, maxBufferedBytes = 32 * MIB }: PeerServerOptions): BodyLimits {
  return { maxBytes: maxBodyBytes, drainBytes: 8 * MIB, budget: new ByteBudget(maxBufferedBytes) };
}

function pushJudgeOf(options: PeerServerOptions, tls: PeerTls | undefined): PushJudge {
  const { sink, clock = systemClock, log = silentLog, mayPush = () => true, rates, proof } = options;
  const { observer = { pushed() {} } } = options;
  return new PushJudge({
    sink,
    observer,
    mayPush,
    proofs:
      proof &&
      new PushProofs({
        require: proof.require,
        hmac: proof.hmac && new HmacVerifier({ ...proof.hmac, clock }),
        tls,
        observer: proof.observer ?? (() => {}),
      }),
    tls,
    refused: proof?.refused,
    budget: rates && new PushBudget(rates, clock.monotonicMs()),
    refusals: new PacedLog(log, clock, REFUSAL_LOG_INTERVAL_MS),
    clock,
    log,
  });
}

function peerRequestListener(options: PeerServerOptions, judge: PushJudge, limits: BodyLimits) {
  const { readinessChecks = [], clock = systemClock, log = silentLog } = options;

  async function refresh(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket, method = "", url: target = "" } = request;
    const from = remoteAddressOf(socket) || "unknown";
    const admitted = judge.admit({ socket, from, method, target, fields: () => request.headers });
    if (admitted.kind === "refused") {
      sendReply(response, admitted.reply);
      return;
    }
    const reply = judge.decide(admitted.push, await readBoundedBody(request, limits));
    if (reply) sendReply(response, reply);
  }

  function readyz(query: string, response: ServerResponse): void {
    const verbose = new URLSearchParams(query).has("verbose");
    const { ready, lines, remarks } = askReadiness(readinessChecks, verbose);
    const yes = remarks.length === 0 ? "ok\n" : `ok, but ${remarks.join("; ")}\n`;
    const details = verbose ? lines.map((line) => `${line}\n`).join("") : "";
    replyText(response, ready ? 200 : 503, details + (ready ? yes : "gateway is not ready\n"));
  }

  const { replicas } = options;
  const answerExchange =
    replicas &&
    options.mayPush &&
    replicaRequestListener({ answers: replicas, mayAsk: options.mayPush, clock });

  async function route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path, query = ""] = splitQuery(request.url ?? "/");
    const { method } = request;
    const isRead = method === "GET" || method === "HEAD";
    if (path === "/refresh") {
      if (method === "POST") await refresh(request, response);
      else replyText(response, 405, "Method Not Allowed\n", { allow: "POST" });
    } else if (path === "/healthz" || path === "/readyz") {
      if (!isRead) replyText(response, 405, "Method Not Allowed\n", { allow: "GET, HEAD" });
      else if (path === "/healthz") replyText(response, 200, "ok\n");
      else readyz(query, response);
    } else if (answerExchange && path.startsWith("/anti-entropy/")) {
      answerExchange(request, response, path, query);
    } else {
      replyText(response, 404, "404 page not found\n");
    }
  }

  return (request: IncomingMessage, response: ServerResponse): void => {
    route(request, response).catch((error: unknown) => {
      log.error("answering a peer failed", { error });
      if (response.headersSent) response.destroy();
      else replyText(response, 500, "internal error\n", { connection: "close" });
    });
  };
}

function sendReply(response: ServerResponse, { status, body, fields }: PeerReply): void {
  if (status === 204) response.writeHead(204).end();
  else replyText(response, status, body, fields);
}

/** Replies as Go's http.Error does. */
function replyText(
  response: ServerResponse,
  status: number,
  body: string,
  fields: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { ...TEXT_FIELDS, ...fields, "content-length": Buffer.byteLength(body) });
  response.end(body);
}

/** Path and query of a request target, in absolute form too: a server must take that (RFC 9112 3.2.2). */
function splitQuery(target: string): [path: string, query?: string] {
  const url = target.replace(/^https?:\/\/[^/?]*/i, "");
  const mark = url.indexOf("?");
  return mark < 0 ? [url] : [url.slice(0, mark), url.slice(mark + 1)];
}
