import net from "node:net";
import tls from "node:tls";
import type { ObjectStore, StoredSandbox } from "./sandbox-store.ts";

/** What goes wrong with one request; every other request is answered as Kubernetes would. */
export type Fault =
  /** An HTTP error with a Status body. */
  | {
      readonly kind: "status";
      readonly code: number;
      readonly headers?: Record<string, string>;
      readonly message?: string;
    }
  /** An ERROR event as the first thing in the watch. */
  | { readonly kind: "error-event"; readonly code: number; readonly reason?: string }
  /** Any bytes as the body, then the watch goes on (or a list is what was given). */
  | { readonly kind: "body"; readonly bytes: string | Buffer; readonly end?: boolean }
  /** The request is read and never answered. */
  | { readonly kind: "silent" }
  /** The head is sent and then nothing, not even events; the socket stays open. */
  | { readonly kind: "stall" }
  /** The body is cut after so many bytes, by FIN or RST. `afterEvents` instead lets whole events pass. */
  | {
      readonly kind: "cut";
      readonly afterBytes?: number;
      readonly afterEvents?: number;
      readonly by?: "fin" | "rst";
    }
  /** RST before the head. */
  | { readonly kind: "reset" }
  /** In a streamed list, after so many objects: bytes of the test's, or an end in good order; `noEnd`: nothing more of the list. */
  | {
      readonly kind: "in-list";
      readonly afterEvents: number;
      readonly bytes?: string;
      readonly end?: boolean;
      readonly meanwhile?: () => void;
      readonly noEnd?: boolean;
    }
  /** The watch ends in good order at once. */
  | { readonly kind: "end" }
  /** The body dribbles: so many bytes every so many milliseconds. */
  | { readonly kind: "slow"; readonly bytes: number; readonly everyMs: number };

export interface Request {
  /**
   * `check`: a list of one object, which asks for the present version. `ready`: of `/readyz`. `stream`: a watch that begins with a list.
   */
  readonly kind: "list" | "watch" | "stream" | "check" | "ready";
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: ReadonlyMap<string, string>;
  /** Counts connections, to tell reuse. */
  readonly connection: number;
}

interface Options {
  readonly bookmarkEveryMs?: number;
  /**
   * What it makes of `sendInitialEvents`. `yes` (default): as Kubernetes 1.34. `refused`: 422, as with the feature gate off. `ignored`: as
   * before 1.27, all objects and no bookmark that ends them.
   */
  readonly streamsLists?: "yes" | "refused" | "ignored";
  readonly tls?: tls.TlsOptions;
}

const EXPIRED = {
  kind: "Status",
  apiVersion: "v1",
  code: 410,
  reason: "Expired",
  message: "too old resource version",
};

/**
 * The list and watch of a Kubernetes API server over raw sockets, with the faults that a test asks for. Requests take
 * their fault from `faults` in order, then from `chooseFault`.
 */
export class FaultyApiServer {
  readonly store: ObjectStore;
  readonly faults: Record<Request["kind"], Fault[]> = {
    list: [],
    watch: [],
    stream: [],
    check: [],
    ready: [],
  };
  chooseFault: (request: Request) => Fault | undefined = () => undefined;
  /** Called before a request is answered; what it does to the store is then what the request sees. */
  onRequest: (request: Request) => void = () => {};
  readonly requests: Request[] = [];
  readonly sockets = new Set<net.Socket>();
  readonly #server: net.Server;
  readonly #options: Options;
  #connections = 0;
  /** Watches that were answered and are open on both sides. */
  openWatches = 0;
  /** Snapshots by continue token, so that pages are consistent. */
  readonly #snapshots = new Map<string, { version: number; rest: StoredSandbox[] }>();
  #tokens = 0;

  private constructor(store: ObjectStore, options: Options) {
    this.store = store;
    this.#options = options;
    const accept = (socket: net.Socket): void => this.#accept(socket);
    this.#server = options.tls ? tls.createServer(options.tls, accept) : net.createServer(accept);
  }

  static async start(store: ObjectStore, options: Options = {}): Promise<FaultyApiServer> {
    const server = new FaultyApiServer(store, options);
    await server.listen(0);
    return server;
  }

  get url(): URL {
    return new URL(`${this.#options.tls ? "https" : "http"}://127.0.0.1:${this.port}`);
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  async listen(port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(port, "127.0.0.1", () => resolve());
    });
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise<void>((resolve) => void this.#server.close(() => resolve()));
  }

  count(kind: Request["kind"]): number {
    return this.requests.filter((request) => request.kind === kind).length;
  }

  /** Ends every watch in good order, as its timeoutSeconds would. */
  endWatches: () => void = () => {};

  #accept(socket: net.Socket): void {
    const connection = ++this.#connections;
    this.sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("close", () => this.sockets.delete(socket));
    socket.on("error", () => {});
    let head = "";
    socket.on("data", (data) => {
      head += data.toString("latin1");
      for (let end = head.indexOf("\r\n\r\n"); end !== -1; end = head.indexOf("\r\n\r\n")) {
        const request = parseRequest(head.slice(0, end), connection);
        head = head.slice(end + 4);
        this.requests.push(request);
        this.onRequest(request);
        this.#answer(socket, request, this.faults[request.kind].shift() ?? this.chooseFault(request));
      }
    });
  }

  #answer(socket: net.Socket, request: Request, fault: Fault | undefined): void {
    if (fault?.kind === "silent") return;
    if (fault?.kind === "reset") {
      socket.resetAndDestroy();
    } else if (fault?.kind === "status") {
      const body = { kind: "Status", code: fault.code, message: fault.message ?? "made to fail" };
      sendWhole(socket, fault.code, JSON.stringify(body), fault.headers);
    } else if (request.kind === "ready") {
      sendWhole(socket, 200, "ok");
    } else if (request.kind === "stream" && this.#options.streamsLists === "refused") {
      const message = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
      sendWhole(socket, 422, JSON.stringify({ kind: "Status", code: 422, reason: "Invalid", message }));
    } else if (request.kind === "list" || request.kind === "check") {
      this.#list(socket, request, fault);
    } else {
      this.#watch(socket, request, fault);
    }
  }

  #scoped(path: string, query: URLSearchParams): (object: StoredSandbox) => boolean {
    const scope = /\/namespaces\/([^/]+)\//.exec(path)?.[1];
    const [label, value] = query.get("labelSelector")?.split("=") ?? [];
    // The one field selector that pods have and that is used here.
    const [, node] = query.get("fieldSelector")?.split("spec.nodeName=") ?? [];
    return (object) =>
      (scope === undefined || object.metadata.namespace === scope) &&
      (label === undefined || object.metadata.labels[label] === value) &&
      (node === undefined || (object["spec"] as { readonly nodeName?: string }).nodeName === node);
  }

  #list(socket: net.Socket, { path, query }: Request, fault: Fault | undefined): void {
    const token = query.get("continue");
    const matches = this.#scoped(path, query);
    const from = token === null ? undefined : this.#snapshots.get(token);
    if (token !== null && from === undefined) {
      sendWhole(socket, 410, JSON.stringify(EXPIRED));
      return;
    }
    const { version, rest } = from ?? {
      version: this.store.version,
      rest: [...this.store.objects.values()].filter(matches),
    };
    const limit = Number(query.get("limit") ?? 0) || rest.length;
    const next = rest.length > limit ? `token-${++this.#tokens}` : undefined;
    if (next !== undefined) this.#snapshots.set(next, { version, rest: rest.slice(limit) });
    const body = JSON.stringify({
      kind: "SandboxList",
      metadata: { resourceVersion: String(version), ...(next === undefined ? {} : { continue: next }) },
      items: rest.slice(0, limit),
    });
    if (fault?.kind === "body") {
      sendWhole(socket, 200, fault.bytes.toString());
    } else if (fault?.kind === "stall") {
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body.slice(0, 10)}`);
    } else if (fault?.kind === "cut") {
      socket.write(
        `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body.slice(0, fault.afterBytes ?? 20)}`,
      );
      if (fault.by === "rst") setTimeout(() => socket.resetAndDestroy(), 5);
      else socket.end();
    } else if (fault?.kind === "slow") {
      dribble(socket, body, fault);
    } else {
      sendWhole(socket, 200, body);
    }
  }

  #watch(socket: net.Socket, { kind, path, query }: Request, fault: Fault | undefined): void {
    const { store } = this;
    const matches = this.#scoped(path, query);
    const isStream = kind === "stream";
    let sent = isStream ? store.version : Number(query.get("resourceVersion"));
    if (!isStream && sent < store.compactedAt) {
      sendWhole(socket, 410, JSON.stringify(EXPIRED));
      return;
    }
    socket.write("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n");
    if (fault?.kind === "stall") return;

    let open = true;
    this.openWatches += 1;
    let bytes = 0;
    let events = 0;
    const close = (): void => {
      if (open) this.openWatches -= 1;
      open = false;
      unsubscribe();
      clearInterval(bookmarks);
    };
    const cut = (by: "fin" | "rst" | undefined): void => {
      close();
      // Let what was written arrive before the RST discards it.
      if (by === "rst") setTimeout(() => socket.resetAndDestroy(), 5);
      else socket.end();
    };
    const write = (data: string | Buffer): void => {
      if (!open || socket.destroyed) return;
      let chunk = Buffer.from(data);
      const limit = fault?.kind === "cut" ? fault.afterBytes : undefined;
      const over = limit !== undefined && bytes + chunk.length > limit;
      if (over) chunk = chunk.subarray(0, limit - bytes);
      bytes += chunk.length;
      if (chunk.length > 0)
        socket.write(Buffer.concat([Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, CRLF]));
      if (over && fault?.kind === "cut") cut(fault.by);
    };
    const end = (): void => {
      if (!open) return;
      close();
      socket.write("0\r\n\r\n");
    };
    const listFirst = (): void => {
      const version = store.version;
      for (const object of [...store.objects.values()].filter(matches)) {
        write(`${JSON.stringify({ type: "ADDED", object })}\n`);
        events += 1;
        if (fault?.kind === "cut" && fault.afterEvents === events) cut(fault.by);
        if (fault?.kind === "in-list" && fault.afterEvents === events) {
          write(fault.bytes ?? "");
          if (fault.end) end();
          // What the test does now happens in the middle of the list.
          fault.meanwhile?.();
          if (fault.noEnd) return;
        }
      }
      if (this.#options.streamsLists === "ignored") return;
      const annotations = { "k8s.io/initial-events-end": "true" };
      const metadata = { resourceVersion: String(Math.max(version, sent)), annotations };
      write(`${JSON.stringify({ type: "BOOKMARK", object: { kind: "Sandbox", metadata } })}\n`);
    };
    const pump = (): void => {
      for (const entry of store.history) {
        if (!open) return;
        if (entry.version <= sent) continue;
        sent = entry.version;
        if (!matches(entry.object)) continue;
        write(`${JSON.stringify({ type: entry.type, object: entry.object })}\n`);
        events += 1;
        if (fault?.kind === "cut" && fault.afterEvents === events) cut(fault.by);
      }
    };
    const bookmark = (): void => {
      // As Kubernetes: nothing is said below the version that the watch began at, or has reached.
      if (store.version < sent) return;
      sent = Math.max(sent, store.version);
      write(
        `${JSON.stringify({ type: "BOOKMARK", object: { kind: "Sandbox", metadata: { resourceVersion: String(store.version) } } })}\n`,
      );
    };
    const unsubscribe = store.onChange(pump);
    const bookmarks = setInterval(bookmark, this.#options.bookmarkEveryMs ?? 60_000);
    const endEarlier = this.endWatches;
    this.endWatches = () => {
      endEarlier();
      end();
    };
    socket.once("close", close);

    if (fault?.kind === "error-event") {
      const status = {
        kind: "Status",
        code: fault.code,
        reason: fault.reason ?? "",
        message: "made to fail",
      };
      write(`${JSON.stringify({ type: "ERROR", object: status })}\n`);
      end();
    } else if (fault?.kind === "body") {
      write(fault.bytes);
      if (fault.end) end();
      else pump();
    } else if (fault?.kind === "end") {
      end();
    } else {
      if (isStream) listFirst();
      pump();
    }
  }
}

const CRLF = Buffer.from("\r\n");

function parseRequest(head: string, connection: number): Request {
  const [line = "", ...fields] = head.split("\r\n");
  const url = new URL(line.split(" ")[1] ?? "/", "http://api");
  const headers = new Map(
    fields.map((field) => {
      const colon = field.indexOf(":");
      return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()] as const;
    }),
  );
  const isCheck = url.searchParams.get("limit") === "1" && !url.searchParams.has("continue");
  const isWatch = url.searchParams.get("watch") === "true";
  const isStream = url.searchParams.get("sendInitialEvents") === "true";
  const watch = isStream ? "stream" : "watch";
  const kind = url.pathname.endsWith("/readyz") ? "ready" : isWatch ? watch : isCheck ? "check" : "list";
  return { kind, path: url.pathname, query: url.searchParams, headers, connection };
}

function sendWhole(
  socket: net.Socket,
  code: number,
  body: string,
  headers: Record<string, string> = {},
): void {
  const extra = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const bytes = Buffer.from(body);
  socket.write(`HTTP/1.1 ${code} Whatever\r\ncontent-length: ${bytes.length}\r\n${extra.join("")}\r\n`);
  socket.write(bytes);
}

function dribble(
  socket: net.Socket,
  body: string,
  pace: { readonly bytes: number; readonly everyMs: number },
): void {
  const bytes = Buffer.from(body);
  socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${bytes.length}\r\n\r\n`);
  let at = 0;
  const timer = setInterval(() => {
    socket.write(bytes.subarray(at, at + pace.bytes));
    at += pace.bytes;
    if (at >= bytes.length || socket.destroyed) clearInterval(timer);
  }, pace.everyMs);
}
