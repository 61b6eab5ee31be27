import type { RouteView, RoutesFound, RoutesPage } from "../admin/api-types.ts";
import type { Command, Invocation } from "./command.ts";
import { CommandError, EXIT, JSON_FLAG } from "./command.ts";
import { printable, table } from "./printable.ts";
import { ADMIN_FLAG, ADMIN_SETTINGS, type AdminPort, adminPort, getJson } from "./router-client.ts";

const TIMEOUT_MS = 10_000;
const PAGE_SIZE = 1000;
const SEARCH_PAGE_SIZE = 500;

const FILTERS = ["search", "state", "served"] as const;

/** `lychgate routes`. */
export const routes: Command = {
  name: "routes",
  summary: "list the routes of a running router",
  details:
    "Asks the admin port of a running router for its route table. The table goes to standard output, a summary to standard error. Long tables are fetched in pages, so they are not one moment's picture. With --search, --state or --served only the routes that match all of them are listed, and the summary says how many match.",
  arguments: [],
  flags: [
    ADMIN_FLAG,
    {
      name: "search",
      kind: "text",
      placeholder: "<text>",
      description: "Only routes with this text in name, ID, pod IP, owner or UID.",
    },
    {
      name: "state",
      kind: "text",
      placeholder: "<state>",
      description: "Only routes in this state: running, paused, creating, available, dead, or another word.",
    },
    {
      name: "served",
      kind: "text",
      placeholder: "true|false",
      description: "Only routes that requests are sent to, or only the others.",
    },
    {
      name: "limit",
      kind: "text",
      placeholder: "<number>",
      description: "List at most so many, the first by namespace and name. (default all)",
    },
    JSON_FLAG,
  ],
  settings: ADMIN_SETTINGS,
  examples: [
    ["routes", "the router on this machine"],
    ["routes --search hello", "one sandbox by a part of its name, ID, IP, owner or UID"],
    ["routes --state paused --limit 20", "the first paused ones"],
    ["routes --json | jq '.routes[] | select(.servable | not)'", "what is not served, and why"],
  ],
  async run(invocation) {
    const { io, flags } = invocation;
    const admin = adminPort(invocation);
    const limit = limitOf(invocation);
    const isSearch = FILTERS.some((name) => flags.own.has(name));
    const { routes: found, ...rest } = isSearch
      ? await search(admin, filterOf(invocation), limit)
      : await listAll(admin, limit);
    if (flags.own.has("json")) {
      io.stdout.write(`${JSON.stringify({ ...rest, routes: found }, undefined, 2)}\n`);
      return EXIT.ok;
    }
    const heading = ["NAMESPACE", "NAME", "ID", "STATE", "POD IP", "INCARNATION", "VERSION", "NOT SERVED"];
    io.stdout.write(table([heading, ...found.map(row)]));
    io.stderr.write("total" in rest ? searchSummary(rest.total, found.length) : summary(rest, found.length));
    return EXIT.ok;
  },
};

/** Everything, in pages, up to `limit` routes. */
async function listAll(admin: AdminPort, limit: number): Promise<Omit<RoutesPage, "next">> {
  const found: RouteView[] = [];
  let after: string | undefined;
  for (;;) {
    const size = String(Math.min(PAGE_SIZE, limit - found.length));
    const query = new URLSearchParams({ limit: size, ...(after !== undefined && { after }) });
    const page = await getJson<RoutesPage>(admin, `/api/routes?${query.toString()}`, TIMEOUT_MS);
    found.push(...page.routes);
    after = page.next;
    if (after !== undefined && found.length < limit) continue;
    const { next: _, ...whole } = page;
    return { ...whole, routes: found };
  }
}

/** What matches, in windows, up to `limit` routes. */
async function search(
  admin: AdminPort,
  filter: Readonly<Record<string, string>>,
  limit: number,
): Promise<{ readonly total: number; readonly routes: readonly RouteView[] }> {
  const found: RouteView[] = [];
  for (;;) {
    const query = new URLSearchParams({
      ...filter,
      offset: String(found.length),
      limit: String(Math.min(SEARCH_PAGE_SIZE, limit - found.length)),
    });
    const { total, routes } = await getJson<RoutesFound>(
      admin,
      `/api/search?${query.toString()}`,
      TIMEOUT_MS,
    );
    found.push(...routes);
    if (routes.length === 0 || found.length >= Math.min(total, limit)) return { total, routes: found };
  }
}

function limitOf({ flags }: Invocation): number {
  const given = flags.own.get("limit")?.at(-1);
  if (given === undefined) return Number.POSITIVE_INFINITY;
  if (/^\d{1,9}$/.test(given) && Number(given) > 0) return Number(given);
  throw new CommandError(EXIT.usage, `--limit must be a whole number from 1 on; it is "${printable(given)}"`);
}

function filterOf({ flags }: Invocation): Readonly<Record<string, string>> {
  const [text, state, served] = FILTERS.map((name) => flags.own.get(name)?.at(-1));
  if (served !== undefined && served !== "true" && served !== "false") {
    throw new CommandError(EXIT.usage, `--served must be true or false; it is "${printable(served)}"`);
  }
  return {
    ...(text !== undefined && { text }),
    ...(state !== undefined && { state }),
    ...(served !== undefined && { served }),
  };
}

function row(route: RouteView): string[] {
  const { namespace, name, id, state, ip, incarnation, resourceVersion, why } = route;
  return [namespace, name, id, state, ip, String(incarnation ?? ""), resourceVersion, why ?? ""];
}

function searchSummary(total: number, shown: number): string {
  const what = `${total} ${total === 1 ? "route matches" : "routes match"}`;
  return `${what}${shown < total ? `; the first ${shown} are listed` : ""}\n`;
}

function summary(
  { synced, counts, watermarks }: Pick<RoutesPage, "synced" | "counts" | "watermarks">,
  shown: number,
): string {
  const scopes = Object.entries(watermarks).map(
    ([scope, version]) => `${scope || "all namespaces"} at ${version}`,
  );
  const parts = [
    ...(shown < counts.routes ? [`the first ${shown} are listed`] : []),
    `${counts.routes} ${counts.routes === 1 ? "route" : "routes"}, ${counts.servable} served`,
    `${counts.hints} hints`,
    `${counts.tombstones} tombstones`,
    synced ? "synced" : "not synced",
    ...scopes,
  ];
  return `${printable(parts.join("; "))}\n`;
}
