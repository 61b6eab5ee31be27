import http from "node:http";
import https from "node:https";
import { text } from "node:stream/consumers";
import { flagOf, settingOf } from "../config/settings.ts";
import { localUrl, parseListenAddress } from "../config/listen-address.ts";
import type { CommandFlag, Invocation } from "./command.ts";
import { CommandError, EXIT } from "./command.ts";
import { printable } from "./printable.ts";

/** What a running router answered. */
export interface RouterReply {
  readonly status: number;
  readonly body: string;
}

/** `--admin`, for commands that ask a running router. */
export const ADMIN_FLAG: CommandFlag = {
  name: "admin",
  kind: "text",
  placeholder: "<url>",
  description: "Base URL of the router's admin port. Default: this machine, at the port of adminListen.",
};

/**
 * Base URL, without a slash at its end, of one of a running router's listeners: from the command's own flag `flag`, else
 * from the setting `key`, seen from this machine.
 */
export function baseUrl(
  { flags, load }: Invocation,
  flag: string,
  key: "adminListen" | "peerListen",
): string {
  const given = flags.own.get(flag)?.at(-1);
  if (given !== undefined) {
    const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(given) ? given : `http://${given}`);
    if (!url || !["http:", "https:"].includes(url.protocol)) {
      throw new CommandError(
        EXIT.usage,
        `--${flag} must be a URL such as ${localUrlOf(settingOf(key)?.default)}; it is "${given}"`,
      );
    }
    return `${url.origin}${url.pathname}`.replace(/\/+$/, "");
  }
  const url = localUrlOf(load().config[key]);
  if (url) return url;
  throw new CommandError(
    EXIT.usage,
    `${flagOf(key)} has port 0, so only the router knows its port: use --${flag} <url>`,
  );
}

function localUrlOf(listen: unknown): string | undefined {
  const address = parseListenAddress(String(listen));
  return "fault" in address ? undefined : localUrl(address);
}

/**
 * `GET url`. Any status is a reply. Throws {@link CommandError} when there is none within `timeoutMs`.
 */
export async function get(url: string, timeoutMs: number): Promise<RouterReply> {
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    return await request(url, signal);
  } catch (error) {
    throw failure(url, signal.aborted ? `no answer within ${timeoutMs} ms` : reasonOf(error), error);
  }
}

/** Not `fetch`: that refuses ports which browsers keep for other protocols, 6000 and 10080 among them. */
function request(url: string, signal: AbortSignal): Promise<RouterReply> {
  const { get: httpGet } = url.startsWith("https:") ? https : http;
  return new Promise((resolve, reject) => {
    httpGet(url, { headers: { accept: "application/json" }, agent: false, signal }, (response) => {
      text(response).then((body) => resolve({ status: response.statusCode ?? 0, body }), reject);
    }).on("error", reject);
  });
}

/** `GET url`, which must answer 200 with JSON. The caller knows the type by the path. */
export async function getJson<T>(url: string, timeoutMs: number): Promise<T> {
  const { status, body } = await get(url, timeoutMs);
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch (error) {
    throw failure(url, `the answer (status ${status}) is not JSON: is it the admin port?`, error);
  }
  if (status === 200) return value as T;
  const { message } = (typeof value === "object" && value !== null ? value : {}) as {
    readonly message?: unknown;
  };
  throw failure(url, printable(typeof message === "string" ? message : `status ${status}`));
}

/** Says nothing of the query: that may hold the headers that `explain` was given, and so a token. */
function failure(url: string, what: string, cause?: unknown): CommandError {
  return new CommandError(EXIT.fault, `asking ${url.replace(/\?.*$/, "")}: ${what}`, { cause });
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code, message } = error as NodeJS.ErrnoException;
  return code === "ECONNREFUSED"
    ? "connection refused: is the router running there?"
    : message || String(code);
}
