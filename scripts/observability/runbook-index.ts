import { markdownTable } from "../markdown-table.ts";
import { ALERTS } from "./alerts.ts";

/** `docs/runbooks/README.md`: every alert. */
export function runbookIndex(): string {
  const rows = ALERTS.map(({ name, severity, summary }) => [
    `[${name}](${name}.md)`,
    severity,
    summary.replaceAll(/\{\{ \$labels\.(\w+) \}\}/g, "*$1*"),
  ]);
  return [
    "<!-- Made by scripts/observability/generate.ts. Do not edit: change what it is made from and run it again. -->",
    "# Runbooks",
    "",
    "One for each alert: what it means, how to look, what to do. `critical` is for a person now, `warning` for today.",
    "",
    ...markdownTable(["alert", "severity", "says"], rows),
    "",
  ].join("\n");
}
