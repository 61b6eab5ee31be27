const LINKS = [
  ["/metrics", "metrics, in Prometheus's text format"],
  ["/api/overview", "version, uptime, readiness, counts"],
  ["/api/routes", "every route, with the facts that it follows from (?limit=&after=)"],
  [
    "/api/explain?host=3000-id.example.com",
    "what would happen to a request, step by step (host, path, header=name:value)",
  ],
  ["/healthz", "the process answers"],
] as const;

/** The links of the admin port as plain text, for a terminal. */
export function indexText(version: string): string {
  return [`lychgate ${version}`, "", ...LINKS.map(([href, text]) => `${href.padEnd(40)} ${text}`), ""].join(
    "\n",
  );
}

/** The same as a page that loads nothing else. `version` is Lychgate's own. */
export function indexHtml(version: string): string {
  const items = LINKS.map(
    ([href, text]) => `<li><a href="${escapeHtml(href)}">${escapeHtml(href)}</a> ${escapeHtml(text)}`,
  );
  return [
    "<!doctype html>",
    '<html lang="en"><meta charset="utf-8"><title>Lychgate</title>',
    "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:45em;margin:3em auto;padding:0 1em}</style>",
    `<h1>Lychgate ${escapeHtml(version)}</h1>`,
    `<ul>${items.join("")}</ul>`,
    "</html>",
    "",
  ].join("\n");
}

function escapeHtml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
