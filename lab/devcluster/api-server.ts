import { createHash, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Clock, Milliseconds } from "../../src/system/clock.ts";
import { silentLog, type Log } from "../../src/system/log.ts";
import { ApiError, toApiError } from "./api-error.ts";
import { discover } from "./discovery.ts";
import { findNamespaces, type NamespaceFacts } from "./namespaces.ts";
import type { ObjectStore } from "./object-store.ts";
import { openApi } from "./openapi.ts";
import type { Random } from "./random.ts";
import { type ApiRequest, type SandboxPath, SandboxResource } from "./sandbox-resource.ts";
import { SandboxWatches } from "./sandbox-watches.ts";
import { SANDBOX_RESOURCE, type ServedCrd } from "./sandbox.ts";
import type { WatchStream } from "./watch-stream.ts";

/** How the API is served. Everything but the first three has a default. */
export interface ApiServerOptions {
  readonly store: ObjectStore;
  /** Objects of another CRD that is served beside that of `store`. Default: none. */
  readonly otherStore?: ObjectStore | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log?: Log;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 0: any free one. */
  readonly port?: number;
  /**
   * When set, each request must carry it as bearer token; 401 otherwise. kubectl never sends a token over plain
   * HTTP, so this is for other clients.
   */
  readonly token?: string;
  /** Namespaces that exist although no sandbox is in them. Default: `default`. */
  readonly namespaces?: readonly string[];
  /** How often a watch that allows bookmarks gets one. Default 10 s; a real server sends them about every minute. */
  readonly bookmarkIntervalMs?: Milliseconds;
  /** Bigger request bodies are refused with 413. Default 3 MiB, as kube-apiserver. */
  readonly maxBodyBytes?: number;
  /** A watcher that lets more bytes than this wait is cut off. Default 8 MiB. */
  readonly maxWatchBufferBytes?: number;
  /** How a watch from a compacted version is refused: ERROR event (default) or HTTP 410. */
  readonly expiredAs?: "event" | "status";
  /** Whether a watch may begin with a list (WatchList). Default true, as Kubernetes 1.34. */
  readonly watchList?: boolean;
}

/**
 * A way in which the API is away. `refuse`: connections break and new ones are refused. `stall`: connections
 * stay and nothing is answered or sent until the end. `unavailable`: 503 to everything, watches end.
 */
export type Outage = "none" | "refuse" | "stall" | "unavailable";

const MAX_PARKED_REQUESTS = 10_000;

/**
 * A Sandbox API over HTTP/1.1: discovery, and the `sandboxes` of `agents.kruise.io/v1alpha1` with list, watch and
 * all other verbs, as the Kubernetes API concepts page specifies them, so that kubectl and client libraries work.
 * @see https://kubernetes.io/docs/reference/using-api/api-concepts/
 */
export class ApiServer {
  readonly #options: ApiServerOptions;
  readonly #log: Log;
  readonly #server: Server;
  readonly #crds: readonly ServedStore[];
  readonly #parked = new Set<() => void>();
  readonly #startedAtMs: number;
  #address: { readonly host: string; readonly port: number };
  #token: string | undefined;
  #outage: Outage = "none";
  #watchDelayMs: Milliseconds = 0;

  private constructor(options: ApiServerOptions) {
    this.#options = options;
    this.#log = options.log ?? silentLog;
    this.#token = options.token;
    this.#address = { host: options.host ?? "127.0.0.1", port: options.port ?? 0 };
    this.#startedAtMs = options.clock.nowMs();
    const stores = [options.store, ...(options.otherStore ? [options.otherStore] : [])];
    this.#crds = stores.map((store) => ({
      path: sandboxPathOf(store.crd),
      crd: store.crd,
      sandboxes: new SandboxResource(store, options.clock),
      watches: new SandboxWatches(store, options.clock, options.random),
    }));
    this.#server = createServer((request, response) => this.#receive(request, response));
  }

  /** Starts to serve; rejects when the address can't be taken. */
  static async start(options: ApiServerOptions): Promise<ApiServer> {
    const api = new ApiServer(options);
    await api.#listen();
    return api;
  }

  /** Where it listens, `http://127.0.0.1:PORT`. The same after an outage. */
  get url(): string {
    return `http://${this.#address.host}:${this.#address.port}`;
  }

  /** Number of open watches. */
  get watchCount(): number {
    return this.#openWatches().length;
  }

  /** From now on requests need this bearer token (`undefined`: none). Open watches go on. */
  setToken(token: string | undefined): void {
    this.#token = token;
  }

  /** Events reach all watchers, present and future, so much later; their order stays. 0 flushes what waits. */
  setWatchDelayMs(delayMs: Milliseconds): void {
    this.#watchDelayMs = delayMs;
    for (const watch of this.#openWatches()) watch.setDelayMs(delayMs);
  }

  /** Begins or (`none`) ends an outage. After `stall`, what was asked meanwhile is answered. */
  async setOutage(outage: Outage): Promise<void> {
    if (outage === this.#outage) return;
    const before = this.#outage;
    this.#outage = outage;
    if (outage === "refuse") await this.#close();
    else if (before === "refuse") await this.#listen();
    if (outage === "unavailable") this.endWatches();
    for (const watch of this.#openWatches()) watch.setHeld(outage === "stall");
    const parked = [...this.#parked];
    this.#parked.clear();
    for (const answer of parked) answer();
  }

  /** Ends every watch cleanly, as a server does when it restarts: clients resume from their version. */
  endWatches(): void {
    for (const watch of this.#openWatches()) watch.finish();
  }

  /** Closes every connection and the port. */
  async stop(): Promise<void> {
    this.#parked.clear();
    if (this.#server.listening) await this.#close();
  }

  #openWatches(): readonly WatchStream[] {
    return this.#crds.flatMap(({ watches }) => [...watches.open]);
  }

  async #listen(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(this.#address.port, this.#address.host, () => {
        this.#server.off("error", reject);
        resolve();
      });
    });
    this.#address = { ...this.#address, port: (this.#server.address() as AddressInfo).port };
  }

  async #close(): Promise<void> {
    for (const watch of this.#openWatches()) watch.cut();
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  #receive(request: IncomingMessage, response: ServerResponse): void {
    response.on("error", () => response.destroy());
    if (this.#outage !== "stall") {
      void this.#answer(request, response);
      return;
    }
    if (this.#parked.size >= MAX_PARKED_REQUESTS) {
      response.destroy();
      return;
    }
    const resume = (): void => this.#receive(request, response);
    this.#parked.add(resume);
    response.once("close", () => this.#parked.delete(resume));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      if (this.#outage === "unavailable") throw new ApiError("ServiceUnavailable", "the API server is away");
      this.#authenticate(request.headers.authorization);
      await this.#route(request, response);
    } catch (error) {
      const refusal = toApiError(error);
      if (refusal.code === "InternalError") this.#log.error("dev API: request failed", { error });
      if (refusal.code === "RequestEntityTooLarge") response.shouldKeepAlive = false;
      const retry = refusal.code === "ServiceUnavailable" ? { "retry-after": "1" } : {};
      reply(response, refusal.httpStatus, JSON.stringify(refusal.toStatus()), "application/json", retry);
    }
  }

  #authenticate(authorization: string | undefined): void {
    if (this.#token === undefined) return;
    if (!timingSafeEqual(digest(authorization ?? ""), digest(`Bearer ${this.#token}`))) {
      throw new ApiError("Unauthorized", "Unauthorized");
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = parseTarget(request.url ?? "/");
    const api: ApiRequest = {
      method: request.method ?? "GET",
      query: searchParams,
      accept: request.headers.accept,
      contentType: (request.headers["content-type"] ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "",
      body: () => readJson(request, this.#options.maxBodyBytes ?? 3 * 1024 * 1024),
    };
    for (const { path, sandboxes, watches } of this.#crds) {
      const sandboxPath = parseSandboxPath(path, pathname);
      if (!sandboxPath) continue;
      const isWatch = api.method === "GET" && isTrue(searchParams.get("watch"));
      if (isWatch) this.#watch(watches, sandboxPath, api, response);
      else {
        const { status, text } = await sandboxes.handle(sandboxPath, api);
        reply(response, status, text);
      }
      return;
    }
    if (api.method !== "GET") throw notFound();
    if (["/healthz", "/livez", "/readyz"].includes(pathname)) {
      reply(response, 200, "ok", "text/plain");
      return;
    }
    const found =
      discover(
        pathname,
        api.accept,
        this.#crds.map(({ crd }) => crd),
      ) ??
      asJson(openApi(pathname)) ??
      asJson(findNamespaces(pathname, api, this.#options.store, this.#namespaces()));
    if (!found) throw notFound();
    reply(response, 200, JSON.stringify(found.body), found.contentType);
  }

  #watch(watches: SandboxWatches, path: SandboxPath, request: ApiRequest, response: ServerResponse): void {
    const { name, namespace } = path;
    // A watch on one object is a watch on the collection with a field selector.
    if (name !== undefined) request.query.set("fieldSelector", `metadata.name=${name}`);
    const { query, accept } = request;
    watches.serve({ ...(namespace !== undefined && { namespace }), query, accept }, response, {
      bookmarkIntervalMs: this.#options.bookmarkIntervalMs ?? 10_000,
      maxBufferedBytes: this.#options.maxWatchBufferBytes ?? 8 * 1024 * 1024,
      expiredAs: this.#options.expiredAs ?? "event",
      watchList: this.#options.watchList ?? true,
      delayMs: this.#watchDelayMs,
      held: this.#outage === "stall",
    });
  }

  #namespaces(): NamespaceFacts {
    const { namespaces = ["default"], clock } = this.#options;
    return { fixed: namespaces, startedAtMs: this.#startedAtMs, nowMs: clock.nowMs() };
  }
}

function parseTarget(target: string): URL {
  try {
    return new URL(target, "http://api");
  } catch {
    throw new ApiError("BadRequest", "the request target is not a path");
  }
}

/** What serves the objects of one CRD. */
interface ServedStore {
  readonly path: RegExp;
  readonly crd: ServedCrd;
  readonly sandboxes: SandboxResource;
  readonly watches: SandboxWatches;
}

function sandboxPathOf({ apiVersion }: ServedCrd): RegExp {
  return new RegExp(
    `^/apis/${apiVersion}/(?:namespaces/([^/]+)/)?${SANDBOX_RESOURCE}(?:/([^/]+)(/status)?)?$`,
  );
}

function parseSandboxPath(path: RegExp, pathname: string): SandboxPath | undefined {
  const match = path.exec(pathname);
  if (!match) return undefined;
  const [, namespace, name, status] = match;
  if (name !== undefined && namespace === undefined) return undefined;
  return {
    ...(namespace !== undefined && { namespace }),
    ...(name !== undefined && { name }),
    ...(status !== undefined && { subresource: "status" as const }),
  };
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

function isTrue(parameter: string | null): boolean {
  return parameter === "true" || parameter === "1";
}

function asJson(
  body: Readonly<Record<string, unknown>> | undefined,
): { contentType: string; body: Readonly<Record<string, unknown>> } | undefined {
  return body && { contentType: "application/json", body };
}

function notFound(): ApiError {
  return new ApiError("NotFound", "the server could not find the requested resource");
}

function reply(
  response: ServerResponse,
  status: number,
  text: string,
  contentType = "application/json",
  headers: Readonly<Record<string, string>> = {},
): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const body = Buffer.from(text);
  response.writeHead(status, { "content-type": contentType, "content-length": body.length, ...headers });
  response.end(body);
}

async function readJson(request: IncomingMessage, maxBytes: number): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  // Not destroyed when it is too big: the client must get its 413.
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) {
      throw new ApiError("RequestEntityTooLarge", `the request body is bigger than ${maxBytes} bytes`);
    }
    chunks.push(chunk);
  }
  if (bytes === 0) return undefined;
  const type = request.headers["content-type"] ?? "application/json";
  if (!type.includes("json") || type.includes("strategic")) {
    throw new ApiError(
      "UnsupportedMediaType",
      "the body of the request was in an unknown format - accepted media types include: application/json, application/json-patch+json, application/merge-patch+json",
    );
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch {
    throw new ApiError("BadRequest", "the body of the request is not JSON");
  }
}
