import type { RouteView, RoutesPage } from "../admin/api-types.ts";
import type { Command } from "./command.ts";
import { EXIT, JSON_FLAG } from "./command.ts";
import { printable, table } from "./printable.ts";
import { ADMIN_FLAG, ADMIN_SETTINGS, adminPort, getJson } from "./router-client.ts";

const TIMEOUT_MS = 10_000;
const PAGE_SIZE = 1000;

/** `lychgate routes`. */
export const routes: Command = {
  name: "routes",
  summary: "list the routes of a running router",
  details:
    "Asks the admin port of a running router for its route table. The table goes to standard output, a summary to standard error. Long tables are fetched in pages, so they are not one moment's picture.",
  arguments: [],
  flags: [ADMIN_FLAG, JSON_FLAG],
  settings: ADMIN_SETTINGS,
  examples: [
    ["routes", "the router on this machine"],
    ["routes --json | jq '.routes[] | select(.servable | not)'", "what is not served, and why"],
  ],
  async run(invocation) {
    const { io, flags } = invocation;
    const admin = adminPort(invocation);
    const found: RouteView[] = [];
    let page: RoutesPage;
    let after: string | undefined;
    do {
      const query = new URLSearchParams({ limit: String(PAGE_SIZE), ...(after !== undefined && { after }) });
      page = await getJson<RoutesPage>(admin, `/api/routes?${query.toString()}`, TIMEOUT_MS);
      found.push(...page.routes);
      after = page.next;
    } while (after !== undefined);

    if (flags.own.has("json")) {
      const { next: _, ...whole } = { ...page, routes: found };
      io.stdout.write(`${JSON.stringify(whole, undefined, 2)}\n`);
      return EXIT.ok;
    }
    const heading = ["NAMESPACE", "NAME", "ID", "STATE", "POD IP", "INCARNATION", "VERSION", "NOT SERVED"];
    io.stdout.write(table([heading, ...found.map(row)]));
    io.stderr.write(summary(page));
    return EXIT.ok;
  },
};

function row(route: RouteView): string[] {
  const { namespace, name, id, state, ip, incarnation, resourceVersion, why } = route;
  return [namespace, name, id, state, ip, String(incarnation ?? ""), resourceVersion, why ?? ""];
}

function summary({ synced, counts, watermarks }: RoutesPage): string {
  const scopes = Object.entries(watermarks).map(
    ([scope, version]) => `${scope || "all namespaces"} at ${version}`,
  );
  const parts = [
    `${counts.routes} ${counts.routes === 1 ? "route" : "routes"}, ${counts.servable} served`,
    `${counts.claims} claims`,
    `${counts.tombstones} tombstones`,
    synced ? "synced" : "not synced",
    ...scopes,
  ];
  return `${printable(parts.join("; "))}\n`;
}
