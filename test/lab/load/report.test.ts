import { expect, test } from "vitest";
import type { Answer } from "../../../lab/load/answer.ts";
import { reportHtml } from "../../../lab/load/report.ts";
import { loadResult } from "./support.ts";

const other: Answer = { target: 0, sentMs: 0, answeredMs: 1, outcome: { kind: "timeout" } };

test("the page needs nothing from elsewhere, follows both color schemes and runs no script", () => {
  const html = reportHtml(loadResult({ right: 100, refused: 4 }));
  expect(html).toMatch(/^<!doctype html>/);
  expect(html).not.toMatch(/https?:|\bsrc=|<link|@import|url\(|<script/);
  expect(html).toContain("prefers-color-scheme: dark");
  expect(html.match(/<svg /g)).toHaveLength(4);
  expect(html).not.toMatch(/NaN|undefined|Infinity/);
});

test("it says the verdict, the figures of each phase and the guards", () => {
  const html = reportHtml({
    ...loadResult({ right: 100, refused: 4 }),
    stopped: [{ source: "peer", guard: "watermark", count: 7 }],
  });
  expect(html).toContain("Passed: 0 misroutes in 104 requests");
  expect(html).toContain("watermark (peer)");
  expect(html).toMatch(/<th scope="row">churn<\/th><td>1\.0 s<\/td><td>54<\/td>/);
});

test("a run that proved too little is no green page", () => {
  const html = reportHtml(loadResult({ right: 5 }));
  expect(html).toContain(
    '<div class="verdict inconclusive"><strong>Inconclusive: fewer than 20 right answers',
  );
  expect(html).toContain("<title>lychgate load: inconclusive: fewer than 20");
});

test("each table that may be wider than the page is reached by the keyboard and has a name of its own", () => {
  const misroute = { kind: "misroute", detail: "x" } as const;
  const html = reportHtml(loadResult({ right: 100, others: [[other, misroute]] }));
  const regions = html.match(/<div class="card scroll"[^>]*>/g) ?? [];
  expect(regions.length).toBeGreaterThanOrEqual(4);
  const names = regions.map((region) => /role="region" aria-label="([^"]+)" tabindex="0"/.exec(region)?.[1]);
  expect(names).not.toContain(undefined);
  expect(new Set(names).size).toBe(names.length);
});

test("what a pod said stands in it as text", () => {
  const detail = "a was answered by <script>alert(1)</script>\"'&";
  const html = reportHtml(loadResult({ right: 100, others: [[other, { kind: "misroute", detail }]] }));
  expect(html).toContain("Failed: 1 misroute");
  expect(html).not.toContain("<script>");
  expect(html).toContain("a was answered by &#60;script&#62;alert(1)&#60;/script&#62;&#34;&#39;&#38;");
});

test("a run that broke at once is a page, too", () => {
  const html = reportHtml({
    ...loadResult({}),
    points: [],
    phases: [],
    broken: "the router ended by itself (1)",
  });
  expect(html).toContain("the router ended by itself (1)");
  expect(html).not.toMatch(/NaN|undefined|Infinity/);
});
