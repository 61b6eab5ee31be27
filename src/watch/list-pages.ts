import {
  compareResourceVersions,
  parseResourceVersion,
  type ResourceVersion,
} from "../routes/resource-version.ts";
import { ApiFault, faultFrom } from "./fault.ts";
import { arrayOrEmpty, isJsonObject, objectOrEmpty, stringOrEmpty } from "./json-fields.ts";
import { ListItems } from "./list-items.ts";

/** Options of {@link listPages}. */
export interface ListOptions {
  /** Asks for one page; throws {@link ApiFault}. */
  readonly getPage: (limit: number, continueToken: string) => Promise<AsyncIterable<Buffer>>;
  /** Told of each object as soon as its bytes are there; nothing else keeps it. */
  readonly onObject: (object: unknown) => void;
  /** Called before a list is read from its beginning, also the first time: forget what was told. */
  readonly onRestart: () => void;
  /** Objects per page, at least 1. */
  readonly pageSize: number;
  /** Largest page. */
  readonly maxPageBytes: number;
}

/** Restarts with pages before everything is asked for at once. client-go does so after the first. */
const PAGED_RESTARTS = 2;

/**
 * Reads a whole consistent list and returns its version. Memory is bounded by one object and by what `onObject`
 * keeps. When the continue token expires between two pages (410), reading starts again, and after two such
 * restarts without pages. The token that such a 410 offers is not used: it goes on at the present version, with which the pages that
 * were read do not agree. When a page is above `maxPageBytes`, it starts again with pages half as long.
 * @throws {ApiFault} for everything else.
 */
export async function listPages(options: ListOptions): Promise<ResourceVersion> {
  let limit = options.pageSize;
  let expired = 0;
  for (;;) {
    options.onRestart();
    const reader = new PageReader(options, limit);
    try {
      return await reader.readAll();
    } catch (error) {
      const fault = faultFrom(error);
      if (fault.code === "expired" && reader.pages > 0) {
        expired += 1;
        if (expired > PAGED_RESTARTS) limit = 0;
      } else if (fault.code === "oversized" && limit > 1) {
        limit = Math.floor(limit / 2);
      } else {
        throw fault;
      }
    }
  }
}

/**
 * The version that the first page of a list is at; ask with a limit of 1 for the server's present version. Objects are left
 * aside.
 * @throws {ApiFault} `oversized` above `maxPageBytes`, `protocol`, or what `getPage` throws.
 */
export async function readVersion(
  options: Pick<ListOptions, "getPage" | "maxPageBytes">,
): Promise<ResourceVersion> {
  const reader = new PageReader({ ...options, onObject() {}, onRestart() {}, pageSize: 1 }, 1);
  return (await reader.readPage("")).version;
}

/** One go at a list. */
class PageReader {
  readonly #options: ListOptions;
  readonly #limit: number;
  /** Pages that were read whole. */
  pages = 0;

  constructor(options: ListOptions, limit: number) {
    this.#options = options;
    this.#limit = limit;
  }

  async readAll(): Promise<ResourceVersion> {
    let version: ResourceVersion | undefined;
    let token = "";
    do {
      const page = await this.readPage(token);
      this.pages += 1;
      // All pages of a consistent list carry one version. Should one not, a watch from the oldest misses nothing.
      if (version === undefined || compareResourceVersions(page.version, version) < 0) version = page.version;
      if (page.continueToken !== "" && page.continueToken === token) {
        throw new ApiFault("protocol", "the API server sent the same continue token twice");
      }
      token = page.continueToken;
    } while (token !== "");
    return version;
  }

  /** Reads one page: the first for an empty token. */
  async readPage(token: string): Promise<Page> {
    const { getPage, maxPageBytes, onObject } = this.#options;
    const items = new ListItems(onObject);
    let bytes = 0;
    for await (const chunk of await getPage(this.#limit, token)) {
      bytes += chunk.length;
      if (bytes > maxPageBytes)
        throw new ApiFault("oversized", `a page of the list is above ${maxPageBytes} bytes`);
      asJson(() => items.push(chunk));
    }
    const page = pageOf(asJson(() => items.end()));
    // Items under a key that is written with escapes.
    page.items.forEach(onObject);
    return page;
  }
}

interface Page {
  readonly version: ResourceVersion;
  readonly continueToken: string;
  readonly items: readonly unknown[];
}

function asJson<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    // Without the parser's message: it quotes what it could not read.
    throw new ApiFault("protocol", "the list is not JSON");
  }
}

function pageOf(list: unknown): Page {
  if (!isJsonObject(list) || !(Array.isArray(list["items"]) || list["items"] === null)) {
    throw new ApiFault("protocol", "the list has no items");
  }
  const metadata = objectOrEmpty(list["metadata"]);
  const version = parseResourceVersion(metadata["resourceVersion"]);
  if (version === undefined) {
    throw new ApiFault("protocol", "the list's metadata.resourceVersion is not a positive decimal integer");
  }
  return { version, continueToken: stringOrEmpty(metadata["continue"]), items: arrayOrEmpty(list["items"]) };
}
