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
        `--${flag} must be a URL such as http://127.0.0.1:9902; it is "${given}"`,
      );
    }
    return `${url.origin}${url.pathname}`.replace(/\/+$/, "");
  }
  const address = parseListenAddress(load().config[key]);
  const url = "fault" in address ? undefined : localUrl(address);
  if (url) return url;
  const setting = settingOf(key)?.flag ?? flagOf(key);
  throw new CommandError(
    EXIT.usage,
    `${setting} has port 0, so only the router knows its port: use --${flag} <url>`,
  );
}

/**
 * `GET url`. Any status is a reply. Throws {@link CommandError} when there is none within `timeoutMs`.
 */
export async function get(url: string, timeoutMs: number): Promise<RouterReply> {
  try {
    const response = await fetch(url, {
      headers: { accept: "application/json" },
      redirect: "error",
      signal: AbortSignal.timeout(timeoutMs),
    });
    return { status: response.status, body: await response.text() };
  } catch (error) {
    throw new CommandError(EXIT.fault, `asking ${url}: ${reasonOf(error, timeoutMs)}`, { cause: error });
  }
}

/** `GET url`, which must answer 200 with JSON. The caller knows the type by the path. */
export async function getJson<T>(url: string, timeoutMs: number): Promise<T> {
  const { status, body } = await get(url, timeoutMs);
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch (error) {
    throw new CommandError(
      EXIT.fault,
      `asking ${url}: the answer (status ${status}) is not JSON: is it the admin port?`,
      {
        cause: error,
      },
    );
  }
  if (status === 200) return value as T;
  const { message } = (typeof value === "object" && value !== null ? value : {}) as {
    readonly message?: unknown;
  };
  throw new CommandError(
    EXIT.fault,
    `asking ${url}: ${printable(typeof message === "string" ? message : `status ${status}`)}`,
  );
}

function reasonOf(error: unknown, timeoutMs: number): string {
  if (error instanceof Error && error.name === "TimeoutError") return `no answer within ${timeoutMs} ms`;
  const cause = error instanceof Error ? error.cause : undefined;
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  if (code === "ECONNREFUSED") return "connection refused: is the router running there?";
  return cause instanceof Error ? cause.message || String(code) : String(error);
}
