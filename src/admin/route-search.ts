import type { Clock, Milliseconds } from "../system/clock.ts";
import { isServable } from "../routes/incarnations.ts";
import type { ObjectKey } from "../routes/route.ts";
import type { RouteTable } from "../routes/table.ts";
import type { EntryView } from "../routes/table-view.ts";
import type { RoutesFound } from "./api-types.ts";
import { routeView } from "./route-views.ts";

/** Which routes, and which of them to show. */
export interface SearchQuery {
  /** In namespace/name, ID, IP, owner or UID, ignoring case; `""` finds all. */
  readonly text: string;
  /** Only routes in this state; `""` for any. */
  readonly state: string;
  /** Only those that requests are sent to, or not. */
  readonly served: boolean | undefined;
  readonly offset: number;
  /** At least 1. */
  readonly limit: number;
}

interface Search {
  readonly startedMs: Milliseconds;
  readonly keys: Promise<readonly ObjectKey[]>;
}

/** How long a search stands: someone who scrolls should not see the rows jump. */
const LASTS_MS: Milliseconds = 5_000;
/** Searches kept for others: a few people with a few filters. */
const MAX_SEARCHES = 8;
/** Traffic waits at most so long. */
const SLICE_MS: Milliseconds = 4;
const LOOK_AT_CLOCK_EVERY = 64;
const SORT_RUN = 2_048;

/**
 * Finds routes in a table of any size without holding up traffic: what takes long is done in slices of some
 * milliseconds. Which routes match is remembered for some seconds, what is told of each is this moment's.
 */
export class RouteSearch {
  readonly #table: RouteTable;
  readonly #clock: Clock;
  readonly #searches = new Map<string, Search>();
  /** One after the other: two at a time would take twice the time of each. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(table: RouteTable, clock: Clock) {
    this.#table = table;
    this.#clock = clock;
  }

  async find(query: SearchQuery): Promise<RoutesFound> {
    const { startedMs, keys } = this.#searchOf(query);
    const found = await keys;
    const routes = found.slice(query.offset, query.offset + query.limit).map((key) => {
      // It may be gone since.
      return routeView(this.#table.inspect(key) ?? goneView(key));
    });
    const ageMs = Math.round(this.#clock.monotonicMs() - startedMs);
    return { total: found.length, offset: query.offset, ageMs, routes };
  }

  #searchOf({ text, state, served }: SearchQuery): Search {
    const nowMs = this.#clock.monotonicMs();
    for (const [id, { startedMs }] of this.#searches) {
      if (nowMs - startedMs >= LASTS_MS) this.#searches.delete(id);
    }
    const id = JSON.stringify([text, state, served]);
    const known = this.#searches.get(id);
    if (known) return known;
    const keys = this.#last.then(() => this.#collect({ text: text.toLowerCase(), state, served }));
    this.#last = keys.catch(() => {});
    const search = { startedMs: nowMs, keys };
    this.#searches.set(id, search);
    const [oldest] = this.#searches.keys();
    if (this.#searches.size > MAX_SEARCHES && oldest !== undefined) this.#searches.delete(oldest);
    return search;
  }

  async #collect(filter: Filter): Promise<readonly ObjectKey[]> {
    const pause = this.#pauses();
    const matching: ObjectKey[] = [];
    const needsEntry = filter.text !== "" || filter.state !== "" || filter.served !== undefined;
    // A Map's own order: what is added or removed meanwhile is seen or not.
    for (const key of this.#table.keys()) {
      const entry = needsEntry ? this.#table.inspect(key) : undefined;
      if (!needsEntry || (entry && matches(entry, filter))) matching.push(key);
      const wait = pause();
      if (wait) await wait;
    }
    return sorted(matching, pause);
  }

  /** What to await from time to time: lets others run when a slice is over. */
  #pauses(): () => Promise<void> | undefined {
    let sliceEndsMs = this.#clock.monotonicMs() + SLICE_MS;
    let steps = 0;
    return () => {
      if (++steps % LOOK_AT_CLOCK_EVERY !== 0 || this.#clock.monotonicMs() < sliceEndsMs) return undefined;
      return new Promise((resolve) => {
        setImmediate(() => {
          sliceEndsMs = this.#clock.monotonicMs() + SLICE_MS;
          resolve();
        });
      });
    };
  }
}

type Filter = Pick<SearchQuery, "text" | "state" | "served">;

function matches(entry: EntryView, { text, state, served }: Filter): boolean {
  const { inEffect } = entry;
  if (state !== "" && (inEffect?.state ?? "dead") !== state) return false;
  if (served !== undefined && served !== isServed(entry)) return false;
  if (text === "" || entry.key.toLowerCase().includes(text)) return true;
  if (!inEffect) return false;
  const { id, ip, owner, uid } = inEffect.route;
  return [id, ip, owner, uid].some((field) => field.toLowerCase().includes(text));
}

/** As `routeView` has it, but without reading `incarnation`: a search must not make one for each route. */
function isServed({ inEffect, idConflict }: EntryView): boolean {
  if (inEffect === undefined || idConflict || inEffect.ipReassigned) return false;
  return isServable(inEffect.route, inEffect.state);
}

/** Merge sort, in slices: sorting a large table at once would hold up traffic for a tenth of a second. */
async function sorted(
  keys: readonly ObjectKey[],
  pause: () => Promise<void> | undefined,
): Promise<readonly ObjectKey[]> {
  let runs: ObjectKey[][] = [];
  for (let start = 0; start < keys.length; start += SORT_RUN) {
    runs.push(keys.slice(start, start + SORT_RUN).sort());
    // A run takes about a millisecond: each is a step of its own.
    for (let step = 0; step < LOOK_AT_CLOCK_EVERY; step++) {
      const wait = pause();
      if (wait) await wait;
    }
  }
  while (runs.length > 1) {
    const merged: ObjectKey[][] = [];
    for (let index = 0; index < runs.length; index += 2) {
      merged.push(await merge(runs[index] ?? [], runs[index + 1] ?? [], pause));
    }
    runs = merged;
  }
  return runs[0] ?? [];
}

async function merge(
  left: readonly ObjectKey[],
  right: readonly ObjectKey[],
  pause: () => Promise<void> | undefined,
): Promise<ObjectKey[]> {
  const merged: ObjectKey[] = [];
  let [l, r] = [0, 0];
  while (l < left.length && r < right.length) {
    const [fromLeft, fromRight] = [left[l], right[r]];
    if (fromLeft === undefined || fromRight === undefined) break;
    if (fromLeft <= fromRight) {
      merged.push(fromLeft);
      l++;
    } else {
      merged.push(fromRight);
      r++;
    }
    const wait = pause();
    if (wait) await wait;
  }
  for (; l < left.length; l++) merged.push(left[l] as ObjectKey);
  for (; r < right.length; r++) merged.push(right[r] as ObjectKey);
  return merged;
}

function goneView(key: ObjectKey): EntryView {
  return { key, facts: [], inEffect: undefined, idConflict: false, doubt: undefined };
}
