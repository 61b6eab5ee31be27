import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { boundConnections } from "../system/bounded-connections.ts";
import { systemClock } from "../system/clock.ts";
import { closeListener, openListener } from "../system/listener.ts";
import { silentLog } from "../system/log.ts";
import type { Log } from "../system/log.ts";
import { AdminAccess, type AdminAccessOptions, type PathKind } from "./admin-access.ts";
import {
  AdminQueryError,
  blankSecrets,
  parseExplainQuery,
  parseHistoryQuery,
  parseNothing,
  parseRoutesQuery,
  parseSearchQuery,
} from "./admin-query.ts";
import type { AdminSource } from "./admin-source.ts";
import type { ApiError, ApiErrorCode } from "./api-types.ts";
import { indexText } from "./index-page.ts";
import { parsePreviewInput } from "./preview-input.ts";
import { LiveStreams } from "./live-streams.ts";
import { isPageFile, PAGE_POLICY, pageFile } from "./page-files.ts";

/** Options of {@link createAdminServer}. */
export interface AdminServerOptions extends AdminAccessOptions {
  readonly source: AdminSource;
  /** Lychgate's version, for the index. */
  readonly version: string;
  /** Address to listen on. Defaults to all addresses, since Prometheus scrapes from elsewhere. */
  readonly host?: string;
  /** Port to listen on; 0 lets the system choose. */
  readonly port: number;
  /**
   * Connections at one time, in all and from one address (`admin.maxConnections` and `admin.maxConnectionsPerAddress`); see
   * {@link boundConnections} for what becomes of more.
   */
  readonly maxConnections: number;
  readonly maxConnectionsPerAddress: number;
  /** A connection was closed to make room for a newer one. Defaults to nobody. */
  readonly connectionEvicted?: () => void;
  /** Defaults to silence. */
  readonly log?: Log;
}

/** The server for people and for Prometheus. */
export interface AdminServer {
  /** Resolves once connections are accepted; rejects with the system's error as `cause`. Call it once. */
  listen(): Promise<AddressInfo>;
  /** Asks for another token, or takes other names, from now on. Live streams end: their readers ask again. */
  changeAccess(access: AdminAccessOptions): void;
  /** Accepts no more and closes what is open, answers under way after a second. Resolves when all is closed. */
  close(): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const JSON_TYPE = "application/json; charset=utf-8";
const EVENTS_TYPE = "text/event-stream; charset=utf-8";
const TEXT_TYPE = "text/plain; charset=utf-8";
/** The text format's media type; its version matters to Prometheus. */
const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";
const REQUEST_TIMEOUT_MS = 10_000;
/** A reader that takes nothing for so long is cut. */
const IDLE_TIMEOUT_MS = 30_000;
/** Longer than common scrape intervals, so that a scraper keeps its connection. */
const KEEP_ALIVE_TIMEOUT_MS = 120_000;
const CLOSE_GRACE_MS = 1_000;
const MAX_PREVIEW_INPUT_BYTES = 16_384;

const COMMON_HEADERS = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
} as const;

/**
 * The admin port: the status page at `/`, `/metrics`, `/healthz` and `/api/…` (see `INDEX`). GET and HEAD only, but for
 * `POST /api/preview`; it changes nothing. Errors are JSON ({@link ApiError}).
 */
export function createAdminServer(options: AdminServerOptions): AdminServer {
  const { source, host, port, log = silentLog } = options;
  const access = new AdminAccess(options);
  const respond = responder(options, access);
  const streams = new LiveStreams(source, log);
  const server = createServer(
    {
      requestTimeout: REQUEST_TIMEOUT_MS,
      headersTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: 1_000,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    },
    (request, response) => {
      respond(request)
        .catch((error: unknown) => failure(error, log))
        .then((reply) => {
          if (reply !== "live") send(response, reply);
          else if (streams.isFull) send(response, TOO_MANY_STREAMS);
          else if (request.method === "HEAD") send(response, { status: 200, type: EVENTS_TYPE, body: "" });
          else streams.open(response, COMMON_HEADERS);
        })
        .catch((error: unknown) => log.error("writing an admin answer failed", { error }));
    },
  );
  server.timeout = IDLE_TIMEOUT_MS;
  boundConnections(server, {
    maxConnections: options.maxConnections,
    maxConnectionsPerAddress: options.maxConnectionsPerAddress,
    evicted: () => options.connectionEvicted?.(),
    clock: systemClock,
    log,
  });
  return {
    listen: () => openListener(server, "admin", { host, port }),
    changeAccess(changed) {
      access.change(changed);
      // Whoever looks comes back by itself, with the new token.
      streams.close();
    },
    close() {
      streams.close();
      return closeListener(server, CLOSE_GRACE_MS);
    },
  };
}

/** Decides what a request gets; `live` is a stream. */
function responder(
  options: AdminServerOptions,
  access: AdminAccess,
): (request: IncomingMessage) => Promise<Answer | "live"> {
  const { source, version } = options;
  return async (request) => {
    const { method, url = "/" } = request;
    const mark = url.indexOf("?");
    const path = mark < 0 ? url : url.slice(0, mark);
    const refusal = access.refusalOf(request, kindOf(path));
    if (refusal) {
      const { status, code, message } = refusal;
      const reply = problem(status, code, message);
      return status === 401
        ? { ...reply, headers: { "www-authenticate": 'Bearer realm="lychgate"' } }
        : reply;
    }
    const query = new URLSearchParams(mark < 0 ? "" : url.slice(mark + 1));
    if (path === "/api/preview") return previewAnswer(request, source, access);
    const answer = pathAnswer(path, query, request, source, version);
    if (answer === undefined)
      return problem(404, "not_found", "there is no such page: see / for what there is");
    if (method !== "GET" && method !== "HEAD") {
      const refusal = problem(405, "method_not_allowed", "the admin port changes nothing: use GET or HEAD");
      return { ...refusal, headers: { allow: "GET, HEAD" } };
    }
    return answer();
  };
}

/** Makes a preview link. It changes nothing here, but lets somebody in: so only who has the token may ask. */
async function previewAnswer(
  request: IncomingMessage,
  source: AdminSource,
  access: AdminAccess,
): Promise<Answer> {
  if (request.method !== "POST") {
    return {
      ...problem(405, "method_not_allowed", "preview links are made by POST"),
      headers: { allow: "POST" },
    };
  }
  if (!access.asksForToken) {
    return problem(
      403,
      "unauthorized",
      "preview links are made only where admin.token or admin.tokenFile is set",
    );
  }
  if (source.preview === undefined) {
    return problem(404, "not_found", "there are no preview links: set access.previewKeyFiles");
  }
  return json(200, source.preview(parsePreviewInput(await smallBody(request, MAX_PREVIEW_INPUT_BYTES))));
}

/** A request's body as text. Throws {@link AdminQueryError} when it is longer. */
async function smallBody(request: IncomingMessage, maxBytes: number): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > maxBytes) throw new AdminQueryError(`the body must be at most ${maxBytes} bytes long`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

const PAGE_PREFIX = "/page/";

/** The page itself holds no data: it asks for it, with the token. */
function kindOf(path: string): PathKind {
  if (path === "/" || path.startsWith(PAGE_PREFIX)) return "open";
  // Probes and scrapers find the port under any name.
  return path === "/metrics" ? "metrics" : path === "/healthz" ? "probe" : "data";
}

/** What answers a path; undefined when nothing does. */
function pathAnswer(
  path: string,
  query: URLSearchParams,
  request: IncomingMessage,
  source: AdminSource,
  version: string,
): (() => Answer | "live" | Promise<Answer>) | undefined {
  switch (path) {
    case "/":
      return () =>
        (request.headers.accept ?? "").includes("text/html")
          ? page("index.html")
          : { status: 200, type: TEXT_TYPE, body: indexText(version) };
    case "/healthz":
      return () => ({ status: 200, type: TEXT_TYPE, body: "ok\n" });
    case "/metrics":
      return async () => ({ status: 200, type: METRICS_TYPE, body: await source.metrics() });
    case "/api/overview":
      return () => json(200, source.overview());
    case "/api/status":
      return async () => {
        parseNothing(query);
        return json(200, await source.status());
      };
    case "/api/live":
      return () => "live";
    case "/api/routes":
      return async () => json(200, await source.routes(parseRoutesQuery(query)));
    case "/api/search":
      return async () => json(200, await source.search(parseSearchQuery(query)));
    case "/api/history":
      return () => {
        const { namespace, name } = parseHistoryQuery(query);
        return json(200, source.history(namespace, name));
      };
    case "/api/peers":
      return () => {
        parseNothing(query);
        return json(200, source.peers());
      };
    case "/api/explain":
      return () => {
        const input = parseExplainQuery(query);
        return json(200, { ...source.explain(input), input: blankSecrets(input) });
      };
    case "/api/config":
      return () => {
        parseNothing(query);
        return json(200, source.config());
      };
    default: {
      const name = path.startsWith(PAGE_PREFIX) ? path.slice(PAGE_PREFIX.length) : "";
      return isPageFile(name) ? () => page(name) : undefined;
    }
  }
}

async function page(name: string): Promise<Answer> {
  const { type, text } = await pageFile(name);
  return { status: 200, type, body: text, headers: { "content-security-policy": PAGE_POLICY } };
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

const TOO_MANY_STREAMS = problem(
  503,
  "too_many",
  "too many status pages are open: close one, or ask /api/status from time to time",
);

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
