import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { summaryTable } from "./config-reference.ts";
import { metricsSummaryTable } from "./metrics-reference.ts";
import { repliesTable } from "./replies-reference.ts";

/** The README, whose tables are made here. */
export const README_FILE = fileURLToPath(new URL("../README.md", import.meta.url));

/** `text` with each of its tables as the code has it now; everything else stays. */
export function withTables(text: string): string {
  const tables = {
    configuration: summaryTable(),
    replies: repliesTable(),
    metrics: metricsSummaryTable(),
  };
  let result = text;
  for (const [name, table] of Object.entries(tables)) {
    const pattern = new RegExp(`(<!-- ${name}:begin [^>]*-->\n)[^]*?(<!-- ${name}:end -->)`);
    if (!pattern.test(result)) throw new Error(`README.md has no place for the table "${name}"`);
    result = result.replace(
      pattern,
      (_, begin: string, end: string) => `${begin}${table.join("\n")}\n${end}`,
    );
  }
  return result;
}

if (import.meta.main) writeFileSync(README_FILE, withTables(readFileSync(README_FILE, "utf8")));
