import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import { hostname } from "node:os";
import type { ApiErrorCode } from "./api-types.ts";

/** Who may ask what. */
export interface AdminAccessOptions {
  /** Asked for on everything that shows data. Absent: nothing is asked for. */
  readonly token?: string | undefined;
  /** Names under which the port is opened in browsers, lower-case, beside addresses and this machine's own names. */
  readonly hosts?: readonly string[] | undefined;
}

/** Why a request is refused. */
export interface Refusal {
  readonly status: 401 | 403;
  readonly code: ApiErrorCode;
  readonly message: string;
}

/**
 * What a path is: `open` is the page itself, without data; `probe` and `metrics` are for programs, which find the port
 * under any name; `data` is everything else.
 */
export type PathKind = "open" | "probe" | "metrics" | "data";

/** Decides about requests, before anything is read of them. */
export class AdminAccess {
  #expected: Buffer | undefined;
  #names: ReadonlySet<string> = new Set();

  constructor(options: AdminAccessOptions) {
    this.change(options);
  }

  /** Asks for other things from now on. Requests and streams that passed already go on. */
  change({ token, hosts = [] }: AdminAccessOptions): void {
    this.#expected = token === undefined ? undefined : digest(token);
    this.#names = new Set(["localhost", hostname().toLowerCase(), ...hosts]);
  }

  /** A token is asked for: whoever passes has it. */
  get asksForToken(): boolean {
    return this.#expected !== undefined;
  }

  /** Undefined: it may pass. */
  refusalOf(request: IncomingMessage, kind: PathKind): Refusal | undefined {
    if (kind === "probe") return undefined;
    const expected = this.#expected;
    if (expected) return kind === "open" || isAuthorized(request, expected) ? undefined : UNAUTHORIZED;
    // With a token there is nothing to get by what follows: a strange page does not have it.
    if (kind === "metrics") return undefined;
    if (!isKnownHost(request.headers.host, this.#names)) return UNKNOWN_HOST;
    return kind === "data" && isFromStrangePage(request) ? CROSS_SITE : undefined;
  }
}

const UNAUTHORIZED: Refusal = {
  status: 401,
  code: "unauthorized",
  message: "give the token of admin.token or admin.tokenFile, as in Authorization: Bearer <token>",
};

const UNKNOWN_HOST: Refusal = {
  status: 403,
  code: "unknown_host",
  message: "this name of the admin port is not known: use its address, or name it in admin.hosts",
};

const CROSS_SITE: Refusal = {
  status: 403,
  code: "cross_site",
  message: "another site's page asked for this: open the status page itself",
};

function isAuthorized({ headers: { authorization = "" } }: IncomingMessage, expected: Buffer): boolean {
  const [, given = ""] = /^bearer +([\x21-\x7e]+) *$/i.exec(authorization) ?? [];
  // Digests are of one length, so the time tells nothing of the token's.
  return timingSafeEqual(digest(given), expected);
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

/** A page of another site can give a name of its own this machine's address, but no address: that has no owner. */
function isKnownHost(host: string | undefined, names: ReadonlySet<string>): boolean {
  // Browsers always send it.
  if (host === undefined || host === "") return true;
  const name = host.toLowerCase().replace(/:\d*$/, "").replace(/\.$/, "");
  if (isIP(name.replace(/^\[(.*)\]$/, "$1")) !== 0) return true;
  return names.has(name) || name.endsWith(".localhost");
}

/** It could not read the answer, but it could keep connections open. Links that people follow are fine. */
function isFromStrangePage({ headers }: IncomingMessage): boolean {
  return headers["sec-fetch-site"] === "cross-site" && headers["sec-fetch-mode"] !== "navigate";
}
