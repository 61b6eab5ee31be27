import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { dashboardJson } from "./dashboard.ts";
import { drillMarkdown } from "./drill.ts";
import { NODE } from "./node-dashboard.ts";
import { OVERVIEW } from "./overview-dashboard.ts";
import { ROUTES } from "./routes-dashboard.ts";
import { prometheusRuleYaml, rulesTestYaml, rulesYaml } from "./rules-files.ts";
import { runbookIndex } from "./runbook-index.ts";

/** Every dashboard. */
export const DASHBOARDS = [OVERVIEW, ROUTES, NODE];

/** A file that is made, by its path below the repository's root. */
export type MadeFiles = Readonly<Record<string, string>>;

/** All dashboards and rules. Run this file to write them; a test compares them. */
export function madeFiles(): MadeFiles {
  return {
    ...Object.fromEntries(DASHBOARDS.map((spec) => [`dashboards/${spec.uid}.json`, dashboardJson(spec)])),
    "deploy/prometheus/lychgate.rules.yaml": rulesYaml(),
    "deploy/prometheus/lychgate.rules.test.yaml": rulesTestYaml("lychgate.rules.yaml"),
    "deploy/prometheus/prometheusrule.yaml": prometheusRuleYaml(),
    "docs/drill.md": drillMarkdown(),
    "docs/runbooks/README.md": runbookIndex(),
  };
}

if (import.meta.main) {
  for (const [path, text] of Object.entries(madeFiles())) {
    const url = new URL(`../../${path}`, import.meta.url);
    await mkdir(dirname(url.pathname), { recursive: true });
    await writeFile(url, text);
  }
}
