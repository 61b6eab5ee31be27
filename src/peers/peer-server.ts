import { ByteBudget } from "../system/byte-budget.ts";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { boundConnections } from "../system/bounded-connections.ts";
import { systemClock } from "../system/clock.ts";
import type { Clock, Milliseconds } from "../system/clock.ts";
import { closeListener, openListener } from "../system/listener.ts";
import { silentLog } from "../system/log.ts";
import type { Log } from "../system/log.ts";
import { remoteAddressOf } from "../system/ip-address.ts";
import { PacedLog } from "../system/paced-log.ts";
import { readBoundedBody } from "./bounded-body.ts";
import { createFirstByteServer } from "./first-byte.ts";
import type { PeerObserver } from "./peer-observer.ts";
import { HmacVerifier, type HmacVerifierOptions } from "./proof/hmac-verifier.ts";
import { PeerTls, type PeerTlsOptions } from "./proof/peer-tls.ts";
import type { ProofMethod, ProofResult } from "./proof/proof-results.ts";
import { type ProofObserver, PushProofs, type RequiredProof } from "./proof/push-proofs.ts";
import { type Admission, PushBudget, type PushRates } from "./push-budget.ts";
import type { PushSink } from "./push-sink.ts";
import { askReadiness } from "./readiness.ts";
import type { ReadinessCheck } from "./readiness.ts";
import { type ReplicaAnswers, replicaRequestListener } from "./replica-requests.ts";
import { handleRefresh } from "./refresh-handler.ts";

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
   * {@link boundConnections} for what becomes of more.
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
/** Longer than the 90 seconds for which Go's HTTP client keeps an idle connection, so that it closes first. */
const KEEP_ALIVE_TIMEOUT_MS = 120_000;
const CLOSE_GRACE_MS = 1_000;
/** At most one line of a kind in this time: senders decide how many pushes are refused. */
const REFUSAL_LOG_INTERVAL_MS = 60_000;

const TEXT_HEADERS = {
  "content-type": "text/plain; charset=utf-8",
  "x-content-type-options": "nosniff",
} as const;

/** What a 401 must name (RFC 9110 11.6.1). */
const CHALLENGES = { hmac: "Lychgate-HMAC-SHA256", mtls: "Mutual-TLS" } as const;

const NOT_PROVEN = { kind: "open", proven: false } as const;

const RETRY_LATER = { connection: "close", "retry-after": "1" } as const;

/**
 * The server for `POST /refresh` (byte for byte as docs/peers.md#post-refresh), `GET /healthz` and `GET /readyz` (503
 * `gateway is not ready`; `?verbose` lists the checks). Other paths and methods are answered as Go's ServeMux does.
 * Who may push, and how much, is judged before a push is read.
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
  const { host, port, requestTimeoutMs = 10_000 } = options;
  const { proof, clock = systemClock, log = silentLog } = options;
  const tls =
    proof?.tls &&
    new PeerTls(
      {
        ...proof.tls,
        maxHandshakes: options.maxConnections,
        evicted: () => options.connectionEvicted?.(),
        clock,
        log,
      },
      (socket) => server.emit("connection", socket),
    );
  const server = createServer(
    {
      requestTimeout: requestTimeoutMs,
      headersTimeout: Math.min(requestTimeoutMs, 5_000),
      connectionsCheckingInterval: Math.min(requestTimeoutMs, 1_000),
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    },
    peerRequestListener(options, tls),
  );
  boundConnections(server, {
    maxConnections: options.maxConnections,
    maxConnectionsPerAddress: options.maxConnectionsPerAddress,
    evicted: () => options.connectionEvicted?.(),
    clock,
    log,
  });
  if (!tls) {
    return {
      listen: () => openListener(server, "peers", { host, port }),
      close: () => closeListener(server, CLOSE_GRACE_MS),
    };
  }
  const front = createFirstByteServer({
    tls: (socket) => tls.take(socket),
    plain: (socket) => server.emit("connection", socket),
    timeoutMs: Math.min(requestTimeoutMs, 5_000),
    maxSilent: options.maxConnections,
    evicted: () => options.connectionEvicted?.(),
    clock,
  });
  // Without it node:http does not look for late heads.
  server.emit("listening");
  return {
    listen: () => openListener(front.server, "peers", { host, port }),
    close() {
      tls.stop();
      return new Promise((resolve) => {
        const cut = setTimeout(() => {
          server.closeAllConnections();
          resolve();
        }, CLOSE_GRACE_MS);
        // The connections are counted where they were accepted.
        front.close(() => {
          clearTimeout(cut);
          resolve();
        });
        server.close();
      });
    },
  };
}

function peerRequestListener(options: PeerServerOptions, tls: PeerTls | undefined) {
  const { sink, readinessChecks = [], clock = systemClock, log = silentLog } = options;
  const { maxBodyBytes = MIB, maxBufferedBytes = 32 * MIB, mayPush = () => true, rates } = options;
  const budget = rates && new PushBudget(rates, clock.monotonicMs());
  const refusals = new PacedLog(log, clock, REFUSAL_LOG_INTERVAL_MS);
  const observer = options.observer ?? { pushed() {} };
  const { proof } = options;
  const proofs =
    proof &&
    new PushProofs({
      require: proof.require,
      hmac: proof.hmac && new HmacVerifier({ ...proof.hmac, clock }),
      tls,
      observer: proof.observer ?? (() => {}),
    });
  const limits = {
    maxBytes: maxBodyBytes,
    drainBytes: 8 * MIB,
    budget: new ByteBudget(maxBufferedBytes),
  };

  /** Answers a push that is more than `admission` allows; returns whether it is one. */
  function isOver(admission: Admission | undefined, from: string, response: ServerResponse): boolean {
    switch (admission) {
      case "sender":
        refusals.tell("warn", "pushes refused: more than peers.maxPush… allows one address", () => ({
          from,
        }));
        observer.pushed("rate_limited");
        // Managers do not try again after a 4xx: the informer will tell.
        replyText(response, 429, "too many pushes from this address\n", RETRY_LATER);
        return true;
      case "all":
        refusals.tell("warn", "pushes refused: more than peers.maxTotalPush… allows all addresses", () => ({
          from,
        }));
        observer.pushed("overloaded");
        // As likely the fault of others: managers try again after a 5xx, and may find room.
        replyText(response, 503, "too many pushes at once\n", RETRY_LATER);
        return true;
      case "admitted":
      case undefined:
        return false;
    }
  }

  /** Answers a push whose sender has not proved that it may push. */
  function refuse(
    { method, result }: { readonly method: ProofMethod; readonly result: ProofResult },
    from: string,
    { socket }: IncomingMessage,
    response: ServerResponse,
  ): void {
    if (result === "overloaded") {
      isOver("all", from, response);
      return;
    }
    const isListed = result !== "not_listed";
    refusals.tell(
      "warn",
      isListed
        ? "pushes refused: their sender did not prove who it is (peers.require)"
        : "pushes refused: no name of their sender's certificate is in peers.tlsNames",
      () => ({ from, proof: method, why: result, ...(!isListed && { names: tls?.namesOf(socket) }) }),
      `${method} ${result}`,
    );
    observer.pushed(isListed ? "unproven" : "not_listed");
    proof?.refused?.(from);
    if (!isListed) replyText(response, 403, "not allowed to push routes\n", { connection: "close" });
    else {
      replyText(response, 401, "who pushes routes must prove it\n", {
        connection: "close",
        "www-authenticate": CHALLENGES[method],
      });
    }
  }

  async function refresh(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const from = remoteAddressOf(request.socket) || "unknown";
    if (!mayPush(from)) {
      refusals.tell("warn", "pushes refused: their sender is not in peers.allowFrom", () => ({ from }));
      observer.pushed("forbidden");
      proof?.refused?.(from);
      replyText(response, 403, "not allowed to push routes\n", { connection: "close" });
      return;
    }
    const head = proofs?.ofHead(request) ?? NOT_PROVEN;
    if (head.kind === "refused") {
      refuse(head, from, request, response);
      return;
    }
    if (isOver(budget?.admitPush(from, clock.monotonicMs()), from, response)) return;
    const read = await readBoundedBody(request, limits);
    const admission = budget?.admitBody(from, read.bytes, clock.monotonicMs());
    if (read.kind === "complete" && isOver(admission, from, response)) return;
    switch (read.kind) {
      case "incomplete":
        observer.pushed("incomplete");
        return;
      case "too_large":
        observer.pushed("too_large");
        replyText(response, 413, "route refresh payload too large\n", { connection: "close" });
        return;
      case "overloaded":
        observer.pushed("overloaded");
        replyText(response, 503, "too many pushes at once\n", RETRY_LATER);
        return;
      case "complete": {
        const whole = proofs?.ofBody(head, request, read.body) ?? { kind: "done", proven: false };
        if (whole.kind === "refused") {
          refuse(whole, from, request, response);
          return;
        }
        const { status, body } = handleRefresh(read.body, {
          sink,
          observer,
          clock,
          log,
          refusals,
          from,
          proven: whole.proven,
        });
        if (status === 204) response.writeHead(204).end();
        else replyText(response, status, body);
      }
    }
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

/** Replies as Go's http.Error does. */
function replyText(
  response: ServerResponse,
  status: number,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { ...TEXT_HEADERS, ...headers, "content-length": Buffer.byteLength(body) });
  response.end(body);
}

/** Path and query of a request target, in absolute form too: a server must take that (RFC 9112 3.2.2). */
function splitQuery(target: string): [path: string, query?: string] {
  const url = target.replace(/^https?:\/\/[^/?]*/i, "");
  const mark = url.indexOf("?");
  return mark < 0 ? [url] : [url.slice(0, mark), url.slice(mark + 1)];
}
