import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { closeListener, openListener } from "../listener.ts";
import { silentLog } from "../log.ts";
import type { Log } from "../log.ts";
import { AdminQueryError, blankSecrets, parseExplainQuery, parseRoutesQuery } from "./admin-query.ts";
import type { AdminSource } from "./admin-source.ts";
import type { ApiError, ApiErrorCode } from "./api-types.ts";
import { indexHtml, indexText } from "./index-page.ts";

/** Options of {@link createAdminServer}. */
export interface AdminServerOptions {
  readonly source: AdminSource;
  /** Lychgate's version, for the index page. */
  readonly version: string;
  /** Address to listen on. Defaults to all addresses, since Prometheus scrapes from elsewhere. */
  readonly host?: string;
  /** Port to listen on; 0 lets the system choose. Defaults to 9902. */
  readonly port?: number;
  /** Connections at one time; more are closed at once. Defaults to 64. */
  readonly maxConnections?: number;
  /** Defaults to silence. */
  readonly log?: Log;
}

/** The server for people and for Prometheus. */
export interface AdminServer {
  /** Resolves once connections are accepted; rejects with the system's error as `cause`. Call it once. */
  listen(): Promise<AddressInfo>;
  /** Accepts no more and closes what is open, answers under way after a second. Resolves when all is closed. */
  close(): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const DEFAULT_PORT = 9902;
const JSON_TYPE = "application/json; charset=utf-8";
const TEXT_TYPE = "text/plain; charset=utf-8";
/** The text format's media type; its version matters to Prometheus. */
const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";
const REQUEST_TIMEOUT_MS = 10_000;
/** A reader that takes nothing for so long is cut. */
const IDLE_TIMEOUT_MS = 30_000;
/** Longer than common scrape intervals, so that a scraper keeps its connection. */
const KEEP_ALIVE_TIMEOUT_MS = 120_000;
const CLOSE_GRACE_MS = 1_000;

const COMMON_HEADERS = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
} as const;

/**
 * The admin port: `/metrics`, `/api/overview`, `/api/routes`, `/api/explain`, `/healthz` and an index at `/`. GET and
 * HEAD only; it changes nothing. Errors are JSON ({@link ApiError}).
 */
export function createAdminServer(options: AdminServerOptions): AdminServer {
  const { source, version, host, port = DEFAULT_PORT, maxConnections = 64, log = silentLog } = options;
  const server = createServer(
    {
      requestTimeout: REQUEST_TIMEOUT_MS,
      headersTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: 1_000,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    },
    (request, response) => {
      answer(request, source, version)
        .catch((error: unknown) => failure(error, log))
        .then((reply) => send(response, reply))
        .catch((error: unknown) => log.error("writing an admin answer failed", { error }));
    },
  );
  server.timeout = IDLE_TIMEOUT_MS;
  server.maxConnections = maxConnections;
  return {
    listen: () => openListener(server, "admin", { host, port }),
    close: () => closeListener(server, CLOSE_GRACE_MS),
  };
}

async function answer(request: IncomingMessage, source: AdminSource, version: string): Promise<Answer> {
  const { method, url = "/" } = request;
  const mark = url.indexOf("?");
  const path = mark < 0 ? url : url.slice(0, mark);
  const query = new URLSearchParams(mark < 0 ? "" : url.slice(mark + 1));
  const respond = pathAnswer(path, query, request, source, version);
  if (respond === undefined)
    return problem(404, "not_found", "there is no such page: see / for what there is");
  if (method !== "GET" && method !== "HEAD") {
    const refusal = problem(405, "method_not_allowed", "the admin port changes nothing: use GET or HEAD");
    return { ...refusal, headers: { allow: "GET, HEAD" } };
  }
  return respond();
}

/** What answers a path; undefined when nothing does. */
function pathAnswer(
  path: string,
  query: URLSearchParams,
  request: IncomingMessage,
  source: AdminSource,
  version: string,
): (() => Answer | Promise<Answer>) | undefined {
  switch (path) {
    case "/":
      return () =>
        (request.headers.accept ?? "").includes("text/html")
          ? { status: 200, type: "text/html; charset=utf-8", body: indexHtml(version) }
          : { status: 200, type: TEXT_TYPE, body: indexText(version) };
    case "/healthz":
      return () => ({ status: 200, type: TEXT_TYPE, body: "ok\n" });
    case "/metrics":
      return async () => ({ status: 200, type: METRICS_TYPE, body: await source.metrics() });
    case "/api/overview":
      return () => json(200, source.overview());
    case "/api/routes":
      return async () => json(200, await source.routes(parseRoutesQuery(query)));
    case "/api/explain":
      return () => {
        const input = parseExplainQuery(query);
        return json(200, { ...source.explain(input), input: blankSecrets(input) });
      };
    default:
      return undefined;
  }
}

function failure(error: unknown, log: Log): Answer {
  if (error instanceof AdminQueryError) return problem(400, error.code, error.message);
  log.error("answering on the admin port failed", { error });
  return problem(500, "internal", "internal error: the log says more");
}

function problem(status: number, code: ApiErrorCode, message: string): Answer {
  const error: ApiError = { code, message };
  return json(status, error);
}

function json(status: number, value: unknown): Answer {
  return { status, type: JSON_TYPE, body: `${JSON.stringify(value)}\n` };
}

function send(response: ServerResponse, { status, type, body, headers }: Answer): void {
  response.writeHead(status, {
    ...COMMON_HEADERS,
    ...headers,
    "content-type": type,
    "content-length": Buffer.byteLength(body),
  });
  // Node leaves the body out when the method is HEAD.
  response.end(body);
}
