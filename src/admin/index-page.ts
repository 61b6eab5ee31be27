const LINKS = [
  ["/", "the status page, for a browser"],
  ["/metrics", "metrics, in Prometheus's text format"],
  ["/api/status", "health and why, watch, peers, workers, traffic and churn of the last minutes"],
  ["/api/live", "the same each second, as server-sent events"],
  ["/api/overview", "version, uptime, readiness, counts"],
  ["/api/routes", "every route, with the facts that it follows from (?limit=&after=)"],
  ["/api/search", "routes that match (?text=&state=&served=&offset=&limit=)"],
  ["/api/history?namespace=NAMESPACE&name=NAME", "what the table was told of one object, in order"],
  ["/api/peers", "who pushes, and the members of the memberlist"],
  [
    "/api/explain?host=3000-id.example.com",
    "what would happen to a request, step by step (host, path, header=name:value)",
  ],
  ["POST /api/preview", "makes a link that lets its holder in to one port of a sandbox"],
  ["/api/config", "the configuration in effect, and where each value comes from"],
  ["/healthz", "the process answers"],
] as const;

/** What there is on the admin port, as plain text for a terminal. */
export function indexText(version: string): string {
  return [`lychgate ${version}`, "", ...LINKS.map(([href, text]) => `${href.padEnd(44)} ${text}`), ""].join(
    "\n",
  );
}
