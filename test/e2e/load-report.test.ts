import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { reportHtml } from "../../lab/load/report.ts";
import type { Answer } from "../../lab/load/answer.ts";
import { loadResult } from "../lab/load/support.ts";
import { CHROMIUM, openBrowser } from "../support/browser.ts";

// The report of `lychgate load` in a real browser.

const PAGE_CHECKS = readFileSync(new URL("../support/page-checks.js", import.meta.url), "utf8").replaceAll(
  /^export /gm,
  "",
);
const other: Answer = { target: 0, sentMs: 0, answeredMs: 1, outcome: { kind: "timeout" } };

test.skipIf(CHROMIUM === undefined)(
  "the load report fits a phone, in both schemes: its wide tables are moved by the keyboard, not the page",
  async () => {
    const browser = await openBrowser();
    try {
      for (const colorScheme of ["light", "dark"] as const) {
        const page = await browser.newPage({ colorScheme, viewport: { width: 390, height: 844 } });
        const reports = [
          loadResult({ right: 100, refused: 4 }),
          loadResult({ right: 5 }),
          loadResult({
            right: 100,
            others: [[other, { kind: "misroute", detail: "a was answered by b".repeat(20) }]],
          }),
        ];
        for (const report of reports) {
          await page.setContent(reportHtml(report));
          expect(await page.evaluate<number>("document.documentElement.scrollWidth")).toBe(390);
          expect(await page.evaluate<string[]>(`${PAGE_CHECKS}; unnamed()`)).toEqual([]);
          expect(await page.evaluate<string[]>(`${PAGE_CHECKS}; faint()`)).toEqual([]);
          expect(await page.evaluate<string[]>(`${PAGE_CHECKS}; misnamed()`)).toEqual([]);
          const phases = page.getByRole("region", { name: "Phases", exact: true });
          await phases.focus();
          await page.keyboard.press("ArrowRight");
          await expect
            .poll(() => phases.evaluate((box) => (box as { scrollLeft: number }).scrollLeft))
            .toBeGreaterThan(0);
        }
        await page.close();
      }
    } finally {
      await browser.close();
    }
  },
);
