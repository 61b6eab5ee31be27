import http from "node:http";
import https from "node:https";
import { text } from "node:stream/consumers";
import { AdminTokenError, adminTokenOf } from "../config/admin-token.ts";
import { flagOf, settingOf, SETTINGS } from "../config/settings.ts";
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

/** The settings that commands read who ask the admin port: where it is, and its token. */
export const ADMIN_SETTINGS = SETTINGS.filter(({ key }) =>
  ["adminListen", "admin.token", "admin.tokenFile"].includes(key),
);

/** A router's admin port. */
export interface AdminPort {
  /** Without a slash at its end. */
  readonly url: string;
  readonly token: string | undefined;
}

/** The admin port that a command asks: from `--admin` and the settings. */
export function adminPort(invocation: Invocation): AdminPort {
  const url = baseUrl(invocation, "admin", "adminListen");
  try {
    return { url, token: adminTokenOf(invocation.load().config, invocation.io.readFile) };
  } catch (error) {
    if (error instanceof AdminTokenError) throw new CommandError(EXIT.fault, error.message, { cause: error });
    throw error;
  }
}

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
export async function get(url: string, timeoutMs: number, token?: string): Promise<RouterReply> {
  return ask(url, timeoutMs, token, undefined);
}

/** The same; with a `body` it is a POST of that JSON. */
async function ask(
  url: string,
  timeoutMs: number,
  token: string | undefined,
  body: string | undefined,
): Promise<RouterReply> {
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    return await request(url, signal, token, body);
  } catch (error) {
    throw failure(url, signal.aborted ? `no answer within ${timeoutMs} ms` : reasonOf(error), error);
  }
}

/** Not `fetch`: that refuses ports which browsers keep for other protocols, 6000 and 10080 among them. */
function request(
  url: string,
  signal: AbortSignal,
  token: string | undefined,
  posted: string | undefined,
): Promise<RouterReply> {
  const client = url.startsWith("https:") ? https : http;
  const headers = {
    accept: "application/json",
    ...(token !== undefined && { authorization: `Bearer ${token}` }),
    ...(posted !== undefined && { "content-type": "application/json" }),
  };
  const method = posted === undefined ? "GET" : "POST";
  return new Promise((resolve, reject) => {
    const asking = client.request(url, { method, headers, agent: false, signal }, (response) => {
      text(response).then((body) => resolve({ status: response.statusCode ?? 0, body }), reject);
    });
    asking.on("error", reject).end(posted);
  });
}

/**
 * `GET path` of the admin port, which must answer 200 with JSON; with `input` it is a POST of that as JSON. The caller knows the type
 * by the path.
 */
export async function getJson<T>(
  { url: base, token }: AdminPort,
  path: string,
  timeoutMs: number,
  input?: object,
): Promise<T> {
  const url = base + path;
  const { status, body } = await ask(url, timeoutMs, token, input && JSON.stringify(input));
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
