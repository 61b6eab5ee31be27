import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { REFERENCE_FILE, renderReference, summaryTable } from "../../scripts/config-reference.ts";
import { SETTINGS } from "../../src/config/settings.ts";

test("docs/reference/configuration.md is what the schema says (else run: node scripts/config-reference.ts)", () => {
  expect(readFileSync(REFERENCE_FILE, "utf8")).toBe(renderReference());
});

test("the reference and the README's table name every key", () => {
  const reference = renderReference();
  const summary = summaryTable().join("\n");
  for (const { key, flag, variable } of SETTINGS) {
    for (const name of [key, flag, variable]) expect(reference).toContain(`| \`${name}\` |`);
    expect(summary).toContain(`| \`${key}\` |`);
  }
});
