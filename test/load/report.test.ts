import { expect, test } from "vitest";
import type { Answer } from "../../src/load/answer.ts";
import { reportHtml } from "../../src/load/report.ts";
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

test("what a pod said stands in it as text", () => {
  const detail = "a was answered by <script>alert(1)</script>\"'&";
  const html = reportHtml(loadResult({ right: 10, others: [[other, { kind: "misroute", detail }]] }));
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
