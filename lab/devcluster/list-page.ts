import type { ResourceVersion } from "../../src/routes/resource-version.ts";
import { parseResourceVersion } from "../../src/routes/resource-version.ts";
import { ApiError } from "./api-error.ts";
import { type ObjectStore, tooLargeVersion, versionText } from "./object-store.ts";
import type { StoredSandbox } from "./sandbox.ts";
import type { Selector } from "./selector.ts";

/** One page of a list. All pages of one list show the same moment. */
export interface ListPage {
  readonly version: ResourceVersion;
  readonly items: readonly StoredSandbox[];
  /** Present when more follow: the client sends it back. */
  readonly continueToken?: string;
  /** How many more follow; unknown with a selector, as in Kubernetes. */
  readonly remainingItemCount?: number;
}

/** What a continue token says: the list's version and the last key of the page before. */
interface ContinueToken {
  readonly rv: string;
  readonly after: string;
}

/**
 * Lists as the API conventions say: `resourceVersion` absent or `0` is the newest state, another means "not
 * older than" unless `resourceVersionMatch=Exact`; `limit` cuts into pages, and `continue` reads the next page of
 * the same moment.
 * @throws ApiError Expired (410) when that moment was compacted, Timeout when it has not come, BadRequest
 * @see https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
 */
export function listPage(
  store: ObjectStore,
  selects: Selector,
  query: URLSearchParams,
  isSelective: boolean,
): ListPage {
  const limit = wholeNumber(query, "limit") ?? 0;
  const token = query.get("continue") ? decodeToken(query.get("continue") ?? "") : undefined;
  const wanted = query.get("resourceVersion") ?? "";
  if (token && wanted !== "" && wanted !== "0") {
    throw new ApiError("BadRequest", "specifying resource version is not allowed when using continue");
  }
  const version = token ? BigInt(token.rv) : versionToRead(store, wanted, query.get("resourceVersionMatch"));
  const snapshot = store.snapshot(version);
  const page: StoredSandbox[] = [];
  let more = false;
  let read = token ? firstAfter(snapshot.items, token.after) : 0;
  for (; read < snapshot.items.length; read++) {
    const sandbox = snapshot.items[read];
    if (!sandbox || !selects(sandbox)) continue;
    more = limit > 0 && page.length === limit;
    if (more) break;
    page.push(sandbox);
  }
  const last = page.at(-1);
  return {
    version: versionText(version),
    items: page,
    ...(more && last && { continueToken: encodeToken({ rv: String(version), after: keyOf(last) }) }),
    ...(more && !isSelective && { remainingItemCount: snapshot.items.length - read }),
  };
}

/** A non-negative whole number in a query, or `undefined` when it is absent or empty. */
export function wholeNumber(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null || text === "") return undefined;
  if (!/^\d{1,9}$/.test(text))
    throw new ApiError("BadRequest", `${name} must be a whole number, not ${JSON.stringify(text)}`);
  return Number(text);
}

function versionToRead(store: ObjectStore, wanted: string, match: string | null): bigint {
  if (wanted === "" || wanted === "0") return store.version;
  if (parseResourceVersion(wanted) === undefined) {
    throw new ApiError("BadRequest", `invalid resource version ${JSON.stringify(wanted)}`);
  }
  const version = BigInt(wanted);
  if (match === "Exact") return version;
  if (version > store.version) throw tooLargeVersion(version, store.version);
  return store.version;
}

function keyOf(sandbox: StoredSandbox): string {
  return `${sandbox.metadata.namespace}/${sandbox.metadata.name}`;
}

function firstAfter(items: readonly StoredSandbox[], key: string): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const item = items[middle];
    if (item && keyOf(item) <= key) low = middle + 1;
    else high = middle;
  }
  return low;
}

function encodeToken(token: ContinueToken): string {
  return Buffer.from(JSON.stringify({ v: "meta.k8s.io/v1", ...token })).toString("base64url");
}

function decodeToken(text: string): ContinueToken {
  try {
    const token = JSON.parse(Buffer.from(text, "base64url").toString()) as Partial<ContinueToken>;
    if (typeof token.after === "string" && parseResourceVersion(token.rv)) {
      return { rv: String(token.rv), after: token.after };
    }
  } catch {
    // Not one of ours: answered below.
  }
  throw new ApiError("BadRequest", "continue key is not valid: start a new list");
}
