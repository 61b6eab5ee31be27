import type { FaultKind } from "./fault.ts";

/**
 * How a list is read. `stream`: as the first events of a watch, which then goes on (WatchList). `paged`: page by page, and a watch
 * is opened afterwards. A closed list: these are metric labels, and the values of `watch.list`.
 */
export const LIST_WAYS = ["stream", "paged"] as const;

/** One of {@link LIST_WAYS}. */
export type ListWay = (typeof LIST_WAYS)[number];

/**
 * Faults that say nothing about streaming: the server is away or starting, refuses whoever asks, or the list came and was not
 * taken. All others may be the stream's own, so that the next try asks for pages: a list must come in whatever stands between.
 */
const NOT_OF_THE_STREAM: ReadonlySet<FaultKind> = new Set<FaultKind>([
  "unreachable",
  "unavailable",
  "throttled",
  "unauthorized",
  "forbidden",
  "not_found",
  "credentials",
  "behind",
  "internal",
]);

/** Decides which way the next list of one scope is read. */
export class ListWays {
  #streams: boolean;
  #pagedOnce = false;

  /** `preferred`: `paged` never streams. */
  constructor(preferred: ListWay) {
    this.#streams = preferred === "stream";
  }

  /** The way of the next list. */
  get next(): ListWay {
    return this.#streams && !this.#pagedOnce ? "stream" : "paged";
  }

  /** The server can't stream lists: it is not asked again in the life of this process. */
  refused(): void {
    this.#streams = false;
  }

  /** A list that was streamed failed. */
  failed(fault: FaultKind): void {
    if (!NOT_OF_THE_STREAM.has(fault)) this.#pagedOnce = true;
  }

  /** A list was taken, in whatever way: the next one may be streamed again. */
  taken(): void {
    this.#pagedOnce = false;
  }
}
