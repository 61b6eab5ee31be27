import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

/** Who a pod says it is, in every answer. */
export interface PodIdentity {
  readonly podUid: string;
  readonly sandboxId: string;
  readonly namespace: string;
  readonly name: string;
  readonly ip: string;
}

const MAX_SIZE_BYTES = 2 ** 30;
const MAX_WAIT_MS = 60 * 60 * 1000;
const BLOCK = Buffer.alloc(64 * 1024, "lychgate ");

/**
 * What a pod answers over HTTP: its identity, whatever it is asked, with the header `x-pod-uid` on everything.
 *
 * | path | answer |
 * |---|---|
 * | `/events?everyMs=1000&count=N` | server-sent events with a running number |
 * | `/slow?ms=N` | the identity, N ms later |
 * | `/echo` | the request body, as it comes, with its content type |
 * | `/status/CODE` | the identity with that status |
 * | `/size/BYTES` | so many bytes |
 * | any other | the identity, the method, the path and the Host as they arrived |
 */
export async function answerAsPod(
  request: IncomingMessage,
  response: ServerResponse,
  identity: PodIdentity,
): Promise<void> {
  // Not through `new URL`: any target that Node lets in is answered, `//` and `*` too.
  const [path = "", search = ""] = (request.url ?? "/").split("?", 2);
  const query = new URLSearchParams(search);
  const [, first = "", second] = path.split("/");
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  response.setHeader("x-pod-uid", identity.podUid);
  switch (first) {
    case "events":
      await sendEvents(response, identity, {
        everyMs: wholeNumber(query.get("everyMs"), MAX_WAIT_MS, 1000),
        count: wholeNumber(query.get("count"), Number.MAX_SAFE_INTEGER, Infinity),
        signal: gone.signal,
      });
      return;
    case "slow":
      await sleep(wholeNumber(query.get("ms"), MAX_WAIT_MS, 1000), undefined, {
        signal: gone.signal,
      });
      break;
    case "echo":
      response.setHeader("content-type", request.headers["content-type"] ?? "application/octet-stream");
      // Sent before the first byte of the body: an echo must not wait for the end of what it echoes.
      response.flushHeaders();
      request.pipe(response);
      return;
    case "status": {
      const status = wholeNumber(second, 599, 400);
      response.statusCode = status < 200 ? 400 : status;
      break;
    }
    case "size":
      await sendBytes(response, wholeNumber(second, MAX_SIZE_BYTES, 0), gone.signal);
      return;
  }
  const body = {
    ...identity,
    port: request.socket.localPort,
    method: request.method,
    path: request.url,
    host: request.headers.host,
  };
  // Whatever was sent along is read and dropped, so that the connection can be used again.
  request.resume();
  response.setHeader("content-type", "application/json");
  response.end(`${JSON.stringify(body)}\n`);
}

async function sendEvents(
  response: ServerResponse,
  identity: PodIdentity,
  { everyMs, count, signal }: { everyMs: number; count: number; signal: AbortSignal },
): Promise<void> {
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  for (let n = 1; n <= count; n++) {
    await write(response, Buffer.from(`id: ${n}\ndata: ${JSON.stringify({ ...identity, n })}\n\n`), signal);
    if (n < count) await sleep(everyMs, undefined, { signal });
  }
  response.end();
}

async function sendBytes(response: ServerResponse, bytes: number, signal: AbortSignal): Promise<void> {
  response.writeHead(200, { "content-type": "application/octet-stream", "content-length": bytes });
  for (let left = bytes; left > 0 && !signal.aborted; left -= BLOCK.length) {
    await write(response, left < BLOCK.length ? BLOCK.subarray(0, left) : BLOCK, signal);
  }
  response.end();
}

/** Writes, and waits for a reader that is behind. */
async function write(response: ServerResponse, chunk: Buffer, signal: AbortSignal): Promise<void> {
  if (response.write(chunk) || signal.aborted) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      response.off("drain", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    response.once("drain", done);
    signal.addEventListener("abort", done);
  });
}

function wholeNumber(text: string | null | undefined, max: number, otherwise: number): number {
  return text && /^\d{1,15}$/.test(text) ? Math.min(Number(text), max) : otherwise;
}
