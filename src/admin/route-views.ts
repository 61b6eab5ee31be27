import { DOUBTED, IP_NOT_ALLOWED, KNOWN_STATES, namespaceAndName, type ObjectKey } from "../routes/route.ts";
import type { RouteTable } from "../routes/table.ts";
import type { EntryView, TableStats } from "../routes/table-view.ts";
import type { RouteCounts, RouteView } from "./api-types.ts";

function whyGone(facts: EntryView["facts"]): string {
  if (facts.some(({ kind }) => kind === "tombstone")) return "a peer pushed its deletion";
  if (facts.every(({ kind }) => kind === "read")) return "a read of the API server shows no such object";
  return "it is being deleted";
}

/** A table's entry as the admin API shows it, be a route in effect or not. */
export function routeView(entry: EntryView): RouteView {
  const { inEffect, facts } = entry;
  const [namespace, name] = namespaceAndName(entry.key);
  const newest = facts.at(-1)?.resourceVersion ?? "";
  if (!inEffect) {
    const why = whyGone(facts);
    const nothing = { id: "", uid: "", owner: "", ip: "" };
    return {
      namespace,
      name,
      ...nothing,
      state: "dead",
      servable: false,
      why,
      resourceVersion: newest,
      facts,
    };
  }
  const { route, state, incarnation } = inEffect;
  const why = whyNotServed(entry);
  return {
    namespace,
    name,
    id: route.id,
    uid: route.uid,
    owner: route.owner,
    ip: route.ip,
    state,
    ...(incarnation && { incarnation: incarnation.number }),
    servable: why === undefined,
    ...(why !== undefined && { why }),
    resourceVersion: route.resourceVersion,
    facts,
  };
}

function whyNotServed({ inEffect, idConflict }: EntryView): string | undefined {
  if (!inEffect) return "no route is in effect";
  if (inEffect.state === DOUBTED)
    return "a peer pushed that it ended or moved, or that another has its pod IP, and the API server does not answer";
  if (inEffect.state === IP_NOT_ALLOWED) {
    return "no pod can have its pod IP: it is special, this router's own or outside routes.podCidrs";
  }
  if (inEffect.state !== "running") return `its state is ${inEffect.state}`;
  if (idConflict) return "another living sandbox claims the same ID";
  if (inEffect.ipReassigned) return "another sandbox has, or may have, its pod IP";
  return inEffect.incarnation ? undefined : "it has no valid pod IP";
}

/** One page of a table's entries, ordered by key, by code unit. `after` is the key of the last one seen. */
export function pageOfRoutes(
  table: RouteTable,
  { limit, after }: { readonly limit: number; readonly after?: string | undefined },
): { readonly routes: RouteView[]; readonly next?: string } {
  // The `limit` lowest keys above `after`, found in one pass; sorting all of a large table would block for longer.
  const page: ObjectKey[] = [];
  // Once enough keys are known, most of the others are above all of them and cost one comparison.
  let highest: ObjectKey | undefined;
  for (const key of table.keys()) {
    if ((after !== undefined && key <= after) || (highest !== undefined && key >= highest)) continue;
    page.push(key);
    if (page.length < 4 * (limit + 1)) continue;
    keepLowest(page, limit + 1);
    highest = page[limit];
  }
  keepLowest(page, limit + 1);
  const last = page[limit - 1];
  const routes = page.slice(0, limit).flatMap((key) => {
    const entry = table.inspect(key);
    return entry ? [routeView(entry)] : [];
  });
  return page.length > limit && last ? { routes, next: last } : { routes };
}

function keepLowest(keys: ObjectKey[], count: number): void {
  keys.sort();
  keys.length = Math.min(keys.length, count);
}

/** A table's sizes as the admin API shows them. */
export function routeCounts(stats: TableStats): RouteCounts {
  const states: Record<string, number> = {
    ...Object.fromEntries(KNOWN_STATES.map((state) => [state, 0])),
    other: 0,
  };
  let routes = 0;
  for (const [state, count] of stats.states) {
    const word = (KNOWN_STATES as readonly string[]).includes(state) ? state : "other";
    states[word] = (states[word] ?? 0) + count;
    routes += count;
  }
  const { servable, hints, tombstones, idConflicts, ipConflicts } = stats;
  return { routes, servable, hints, tombstones, idConflicts, ipConflicts, states };
}

/** The watermark of each scope that was listed. */
export function watermarks(stats: TableStats): Record<string, string> {
  return Object.fromEntries(
    stats.scopes.filter(({ synced }) => synced).map(({ name, watermark }) => [name, watermark]),
  );
}
