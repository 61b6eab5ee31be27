import { HTTP_TOKEN } from "../system/http-token.ts";
import type { RoutesQuery } from "./admin-source.ts";
import type { ExplainInput } from "./api-types.ts";
import type { SearchQuery } from "./route-search.ts";

/** A query that can't be answered. The message names the parameter and the fix. */
export class AdminQueryError extends Error {
  readonly code = "bad_request";

  constructor(message: string) {
    super(message);
    this.name = "AdminQueryError";
  }
}

/** Routes per page when `limit` is not given. */
const DEFAULT_LIMIT = 1_000;
/** Most routes per page: what can be found and written without holding up traffic. */
const MAX_LIMIT = 2_000;

/** As long as a name in Kubernetes. */
const MAX_SEARCH_CHARACTERS = 253;
const MAX_SEARCH_LIMIT = 500;

const MAX_EXPLAIN_HEADERS = 50;
const DIGITS = /^[0-9]{1,9}$/;

/** Reads the query of `/api/routes`: `limit` (1 to 2,000, default 1,000) and `after` (a `next` of an earlier page). */
export function parseRoutesQuery(query: URLSearchParams): RoutesQuery {
  refuseUnknown(query, ["limit", "after"]);
  const text = single(query, "limit") ?? String(DEFAULT_LIMIT);
  const limit = DIGITS.test(text) ? Number(text) : 0;
  if (limit < 1 || limit > MAX_LIMIT) {
    throw new AdminQueryError(`limit must be a whole number from 1 to ${MAX_LIMIT}`);
  }
  const after = single(query, "after");
  return after === undefined ? { limit } : { limit, after };
}

/**
 * Reads the query of `/api/search`: at will `text` (at most 253 characters), `state`, `served` (true or false), `offset`
 * and `limit` (1 to 500, default 100).
 */
export function parseSearchQuery(query: URLSearchParams): SearchQuery {
  refuseUnknown(query, ["text", "state", "served", "offset", "limit"]);
  const text = single(query, "text") ?? "";
  const state = single(query, "state") ?? "";
  if (text.length > MAX_SEARCH_CHARACTERS || state.length > MAX_SEARCH_CHARACTERS) {
    throw new AdminQueryError(`text and state must be at most ${MAX_SEARCH_CHARACTERS} characters long`);
  }
  const served = single(query, "served") ?? "";
  if (!["", "true", "false"].includes(served)) throw new AdminQueryError("served must be true or false");
  const offset = single(query, "offset") ?? "0";
  if (!DIGITS.test(offset)) throw new AdminQueryError("offset must be a whole number");
  const limit = single(query, "limit") ?? "100";
  if (!DIGITS.test(limit) || Number(limit) < 1 || Number(limit) > MAX_SEARCH_LIMIT) {
    throw new AdminQueryError(`limit must be a whole number from 1 to ${MAX_SEARCH_LIMIT}`);
  }
  return {
    text,
    state,
    served: served === "" ? undefined : served === "true",
    offset: Number(offset),
    limit: Number(limit),
  };
}

/** Reads the query of `/api/history`: `namespace` and `name`. */
export function parseHistoryQuery(query: URLSearchParams): {
  readonly namespace: string;
  readonly name: string;
} {
  refuseUnknown(query, ["namespace", "name"]);
  const namespace = single(query, "namespace") ?? "";
  const name = single(query, "name") ?? "";
  if (namespace === "" || name === "") {
    throw new AdminQueryError("namespace and name are needed: those of the Sandbox object");
  }
  return { namespace, name };
}

/** Refuses any query: for what takes none. */
export function parseNothing(query: URLSearchParams): void {
  if (query.size > 0) throw new AdminQueryError("there are no parameters here");
}

/** Reads the query of `/api/explain`: `host`, and at will `path` (default `/`) and up to 50 `header=name:value`. */
export function parseExplainQuery(query: URLSearchParams): ExplainInput {
  refuseUnknown(query, ["host", "path", "header"]);
  const host = single(query, "host");
  if (host === undefined) {
    throw new AdminQueryError(
      "host is missing: give the Host of the request, as in ?host=3000-id.example.com",
    );
  }
  const path = single(query, "path") ?? "/";
  if (!path.startsWith("/")) throw new AdminQueryError("path must begin with /");
  const lines = query.getAll("header");
  if (lines.length > MAX_EXPLAIN_HEADERS) {
    throw new AdminQueryError(`header is given more than ${MAX_EXPLAIN_HEADERS} times`);
  }
  return { host, path, headers: lines.map(parseHeader) };
}

/** `input` as it may be shown: header values and the path's query blanked, since they may hold tokens. */
export function blankSecrets({ host, path, headers }: ExplainInput): ExplainInput {
  const mark = path.indexOf("?");
  return {
    host,
    path: mark < 0 ? path : `${path.slice(0, mark)}?…`,
    headers: headers.map(([name]) => [name, "…"] as const),
  };
}

function parseHeader(line: string): readonly [name: string, value: string] {
  const colon = line.indexOf(":");
  const name = line.slice(0, Math.max(colon, 0));
  if (!HTTP_TOKEN.test(name)) throw new AdminQueryError("header must be written as name:value");
  return [name, line.slice(colon + 1).trim()];
}

function single(query: URLSearchParams, name: string): string | undefined {
  const [value, ...others] = query.getAll(name);
  if (others.length > 0) throw new AdminQueryError(`${name} is given more than once`);
  return value;
}

function refuseUnknown(query: URLSearchParams, known: readonly string[]): void {
  for (const name of query.keys()) {
    if (!known.includes(name)) {
      // The name is not repeated: it may be a value that went to the wrong place.
      throw new AdminQueryError(`unknown parameter: there are ${known.join(", ")}`);
    }
  }
}
