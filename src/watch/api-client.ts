import { Pool } from "undici";
import { messageOf } from "../system/error-text.ts";
import type { Clock, Milliseconds, TimerHandle } from "../system/clock.ts";
import type { ApiCredentials, ApiTls, AuthHeaders } from "./api-credentials.ts";
import { expiredNote } from "./credential-expiry.ts";
import type { JsonObject } from "./json-fields.ts";
import { ApiFault, parseRetryAfter, statusFault } from "./fault.ts";

/** One request. */
export interface ApiRequest {
  /** Absolute path with query; the server URL's own path is put before it. */
  readonly path: string;
  /** Longest wait for the credentials, and then for the head of the answer, connecting included. */
  readonly firstByteTimeoutMs: Milliseconds;
  /** Longest silence within the body; a function is asked again after each chunk was taken. */
  readonly idleTimeoutMs: Milliseconds | (() => Milliseconds);
  /** Read the credentials again before asking. A 401 to a request without it is asked once more with it, at once. */
  readonly reloadCredentials: boolean;
  /** Aborts the request and its body at any point. */
  readonly signal: AbortSignal;
}

/** A 200. Its body must be read to the end, or left by ending the iteration early. */
export interface ApiResponse {
  /**
   * The body as it comes. Throws {@link ApiFault} `reset` when it is cut and `stalled` after `idleTimeoutMs`
   * without a byte.
   */
  readonly chunks: AsyncGenerator<Buffer, void, undefined>;
}

/** Requests to one API server, over one pool of kept connections. */
export interface ApiClient {
  /** @throws {ApiFault} for everything but a 200. */
  get(request: ApiRequest): Promise<ApiResponse>;
  /**
   * A PATCH with a JSON merge patch (RFC 7396).
   *
   * @throws {ApiFault} for everything but a 200.
   */
  mergePatch(request: ApiRequest, patch: JsonObject): Promise<ApiResponse>;
  /** Ends every request and connection; resolves when the sockets are closed. */
  close(): Promise<void>;
}

/** Options of {@link createApiClient}. */
export interface ApiClientOptions {
  readonly credentials: ApiCredentials;
  readonly clock: Clock;
  /** Longest wait for a TCP and TLS handshake. Default 10 s. */
  readonly connectTimeoutMs?: Milliseconds;
}

/** `patch`: it is a PATCH. */
interface Message {
  readonly request: ApiRequest;
  readonly patch?: JsonObject;
}

/** Answers other than 200 are read up to here, for their message. */
const MAX_STATUS_BYTES = 64 * 1024;

/** An API client that lives as long as its informer. Nothing connects before the first `get`. */
export function createApiClient(options: ApiClientOptions): ApiClient {
  const { credentials, clock, connectTimeoutMs = 10_000 } = options;
  const basePath = credentials.server.pathname.replace(/\/$/, "");
  let tls = credentials.tls;
  let pool = openPool(credentials.server, tls, connectTimeoutMs);
  const retired = new Set<Promise<void>>();

  /** The pool, made anew when the client certificate or the CA changed. */
  function currentPool(): Pool {
    if (credentials.tls !== tls) {
      tls = credentials.tls;
      // Closes when its last request ends; each of those has a signal of its own.
      const closing = pool.close().then(() => void retired.delete(closing));
      retired.add(closing);
      pool = openPool(credentials.server, tls, connectTimeoutMs);
    }
    return pool;
  }

  async function send(
    { request, patch }: Message,
    reload: boolean,
    watchdog: Watchdog,
  ): Promise<ApiResponse> {
    const { firstByteTimeoutMs } = request;
    watchdog.expectWithin(
      firstByteTimeoutMs,
      new ApiFault("credentials", `the credentials took longer than ${firstByteTimeoutMs} ms`),
    );
    const auth = await watchdog.guard(readAuthHeaders(credentials, reload));
    watchdog.expectWithin(firstByteTimeoutMs, silent("no answer", firstByteTimeoutMs));
    const connections = currentPool();
    const note = (): string => expiredNote(auth["authorization"], tls.certExpiresAtMs, clock.nowMs());
    const response = await watchdog
      .guard(
        connections.request({
          method: patch === undefined ? "GET" : "PATCH",
          path: basePath + request.path,
          headers: {
            accept: "application/json",
            "user-agent": "lychgate",
            ...(patch !== undefined && { "content-type": "application/merge-patch+json" }),
            ...auth,
          },
          ...(patch !== undefined && { body: JSON.stringify(patch) }),
          signal: watchdog.signal,
          // The watchdog's timers, on the injected clock, stand for undici's own.
          headersTimeout: 0,
          bodyTimeout: 0,
        }),
      )
      .catch((error: unknown) => {
        throw watchdog.reason ?? unreachable(error, note());
      });
    const chunks = readChunks(response.body, watchdog, request.idleTimeoutMs);
    if (response.statusCode === 200) return { chunks };
    const retryAfter = response.headers["retry-after"];
    const retryAfterMs = parseRetryAfter(
      typeof retryAfter === "string" ? retryAfter : undefined,
      clock.nowMs(),
    );
    const fault = statusFault(response.statusCode, await readStatus(chunks), retryAfterMs);
    throw fault.code === "unauthorized"
      ? new ApiFault(fault.code, fault.message + note(), { retryAfterMs })
      : fault;
  }

  async function attempt(message: Message, reload: boolean): Promise<ApiResponse> {
    const watchdog = new Watchdog(clock, message.request.signal);
    try {
      return await send(message, reload, watchdog);
    } catch (error) {
      watchdog.release();
      throw error;
    }
  }

  async function ask(message: Message): Promise<ApiResponse> {
    const { reloadCredentials } = message.request;
    try {
      return await attempt(message, reloadCredentials);
    } catch (error) {
      // Most likely the token was replaced, or has expired: not worth an outage.
      const isRefused = error instanceof ApiFault && error.code === "unauthorized";
      if (!isRefused || reloadCredentials) throw error;
      return await attempt(message, true);
    }
  }

  return {
    get: (request) => ask({ request }),
    mergePatch: (request, patch) => ask({ request, patch }),
    async close() {
      credentials.close?.();
      await pool.destroy();
      await Promise.all(retired);
    },
  };
}

function openPool(server: URL, tls: ApiTls, connectTimeoutMs: Milliseconds): Pool {
  return new Pool(server.origin, {
    // One connection per concurrent watch: over HTTP/2 one half-open connection would blind every scope at once.
    allowH2: false,
    connect: {
      ...(tls.ca === undefined ? {} : { ca: tls.ca }),
      ...(tls.cert === undefined ? {} : { cert: tls.cert }),
      ...(tls.key === undefined ? {} : { key: tls.key }),
      ...(tls.servername === undefined ? {} : { servername: tls.servername }),
      rejectUnauthorized: !tls.insecureSkipVerify,
      timeout: connectTimeoutMs,
      keepAlive: true,
      // As client-go: below the 60 s after which load balancers forget an idle connection.
      keepAliveInitialDelay: 30_000,
    },
  });
}

async function readAuthHeaders(credentials: ApiCredentials, reload: boolean): Promise<AuthHeaders> {
  let headers: AuthHeaders;
  try {
    headers = await credentials.authHeaders(reload);
  } catch (error) {
    throw new ApiFault("credentials", error instanceof Error ? error.message : "unreadable", {
      cause: error,
    });
  }
  for (const [name, value] of Object.entries(headers)) {
    // undici would refuse it too, but its message would show the value.
    if ([value].flat().some((text) => /[^\t\u0020-\u007e\u0080-\u00ff]/.test(text))) {
      throw new ApiFault(
        "credentials",
        `the credentials' ${name} header holds a character that no header may hold`,
      );
    }
  }
  return headers;
}

function unreachable(error: unknown, note: string): ApiFault {
  if (error instanceof ApiFault) return error;
  const reason = error instanceof Error ? error.message || error.name : String(error);
  return new ApiFault("unreachable", `the API server cannot be reached: ${reason}${note}`, { cause: error });
}

function silent(what: string, afterMs: Milliseconds): ApiFault {
  return new ApiFault("stalled", `${what} from the API server for ${afterMs} ms`);
}

async function* readChunks(
  body: AsyncIterable<unknown>,
  watchdog: Watchdog,
  idleTimeoutMs: ApiRequest["idleTimeoutMs"],
): AsyncGenerator<Buffer, void, undefined> {
  let withinMs = -1;
  let stalled: ApiFault;
  const expectBytes = (): void => {
    const nowWithinMs = typeof idleTimeoutMs === "number" ? idleTimeoutMs : idleTimeoutMs();
    if (nowWithinMs !== withinMs) {
      withinMs = nowWithinMs;
      stalled = silent("no bytes", withinMs);
    }
    watchdog.expectWithin(withinMs, stalled);
  };
  try {
    expectBytes();
    for await (const chunk of body) {
      yield chunk as Buffer;
      expectBytes();
    }
  } catch (error) {
    const reason = messageOf(error);
    throw (
      watchdog.reason ?? new ApiFault("reset", `the API server's answer was cut: ${reason}`, { cause: error })
    );
  } finally {
    watchdog.release();
  }
}

/** The body as JSON, when it is short and is JSON; the rest is not needed to know what an answer means. */
async function readStatus(chunks: AsyncIterable<Buffer>): Promise<unknown> {
  const parts: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of chunks) {
      bytes += chunk.length;
      if (bytes > MAX_STATUS_BYTES) return undefined;
      parts.push(chunk);
    }
    return JSON.parse(Buffer.concat(parts).toString());
  } catch {
    return undefined;
  }
}

/** One abort signal out of two causes: the caller's signal, and a timer that is wound up again and again. */
class Watchdog {
  readonly #clock: Clock;
  readonly #outer: AbortSignal;
  readonly #controller = new AbortController();
  #timer: TimerHandle | undefined;
  readonly #onAbort = (): void => this.#controller.abort(new ApiFault("closed", "stopped"));

  constructor(clock: Clock, outer: AbortSignal) {
    this.#clock = clock;
    this.#outer = outer;
    outer.addEventListener("abort", this.#onAbort, { once: true });
    if (outer.aborted) this.#onAbort();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Why it aborted, if it did. */
  get reason(): ApiFault | undefined {
    return this.signal.aborted ? (this.signal.reason as ApiFault) : undefined;
  }

  /** Winds the timer up: aborts with `fault` unless called again, or released, within `timeoutMs`. */
  expectWithin(timeoutMs: Milliseconds, fault: ApiFault): void {
    this.#timer?.clear();
    this.#timer = this.#clock.setTimeout(() => this.#controller.abort(fault), timeoutMs);
  }

  /** `promise`, or the reason for the abort when that comes first. */
  async guard<T>(promise: Promise<T>): Promise<T> {
    const { signal } = this;
    const aborted = Promise.withResolvers<never>();
    const onAbort = (): void => aborted.reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    try {
      return await Promise.race([promise, aborted.promise]);
    } finally {
      signal.removeEventListener("abort", onAbort);
      aborted.promise.catch(() => {});
      promise.catch(() => {});
    }
  }

  release(): void {
    this.#timer?.clear();
    this.#outer.removeEventListener("abort", this.#onAbort);
  }
}
