/*
 * Talking to the router: JSON by `ask`, and server-sent events by `listen`. Not EventSource: that can't send the token.
 */

const TOKEN = "lychgate-token";
const RETRY_MS = 1_000;
const MAX_RETRY_MS = 10_000;

/** The router refused, with its words. */
export class RouterError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

let askForToken = () => Promise.reject(new Error("no login"));

/** Who asks the person for the token. */
export function onUnauthorized(handler) {
  askForToken = handler;
}

export function setToken(token) {
  sessionStorage.setItem(TOKEN, token);
}

function headers() {
  const token = sessionStorage.getItem(TOKEN);
  return token ? { authorization: `Bearer ${token}` } : {};
}

async function get(path, signal) {
  for (let tries = 0; ; tries++) {
    const sent = headers();
    const response = await fetch(path, { headers: sent, signal, cache: "no-store" });
    if (response.status !== 401) return response;
    await askForToken(tries > 0 || sent.authorization !== undefined);
  }
}

/** `GET path`, with a query; JSON. */
export async function ask(path, query = {}, signal) {
  const given = Object.entries(query).flatMap(([name, value]) =>
    Array.isArray(value) ? value.map((each) => [name, each]) : [[name, value]],
  );
  const search = new URLSearchParams(given).toString();
  const response = await get(search ? `${path}?${search}` : path, signal);
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new RouterError(response.status, body.message ?? `status ${response.status}`);
  return body;
}

/** Calls `onStatus` for each status, and `onState` with `on`, or `off` and why. Never ends; begins anew when it breaks. */
export async function listen(onStatus, onState) {
  let wait = RETRY_MS;
  for (;;) {
    try {
      const response = await get("/api/live");
      if (!response.ok) {
        const body = await response.json().catch(() => ({}));
        throw new RouterError(response.status, body.message ?? `status ${response.status}`);
      }
      for await (const data of events(response.body)) {
        wait = RETRY_MS;
        onState("on");
        onStatus(JSON.parse(data));
      }
      onState("off", "the router ended the stream");
    } catch (error) {
      onState("off", error instanceof RouterError ? error.message : "the router does not answer");
    }
    await new Promise((resolve) => setTimeout(resolve, wait));
    wait = Math.min(wait * 2, MAX_RETRY_MS);
  }
}

/** The data of each event of a stream. */
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const parts = text.split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const data = part.split("\n").filter((line) => line.startsWith("data:"));
      if (data.length > 0) yield data.map((line) => line.slice(5).trim()).join("\n");
    }
  }
}
