import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { anchorsOf, citingFiles, faultsOf, ROOT, ruleNumbers } from "./citations.ts";

// A comment that cites a page which nobody can read is worth less than none.

const files = citingFiles();

test("the walk sees source, tests and pages, and citations in them", () => {
  expect(files.length).toBeGreaterThan(400);
  const texts = files.map((file) => readFileSync(join(ROOT, file), "utf8"));
  const cited = texts.flatMap((text) => text.match(/docs\/[\w/-]+\.md#[\w-]+/g) ?? []);
  expect(cited.length).toBeGreaterThan(40);
});

test("every page, anchor, rule and setting that is cited exists, and every link between pages leads somewhere", () => {
  const faults = files.flatMap((file) => faultsOf(file, readFileSync(join(ROOT, file), "utf8")));
  expect(faults).toEqual([]);
});

test("rules 1 to 14 each have an anchor", () => {
  expect(ruleNumbers()).toEqual(Array.from({ length: 14 }, (_, index) => index + 1));
});

test("the index of pages names every page", () => {
  const index = readFileSync(join(ROOT, "docs/README.md"), "utf8");
  const pages = readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".md") && path !== "README.md")
    // These have an index of their own.
    .filter((path) => !path.startsWith("runbooks/") || path === "runbooks/README.md");
  expect(pages.filter((page) => !index.includes(`(${page})`))).toEqual([]);
  expect(readFileSync(join(ROOT, "README.md"), "utf8").includes("(docs/README.md)")).toBe(true);
});

describe("a wrong citation is found", () => {
  const wrong: readonly (readonly [what: string, file: string, line: string, fault: string])[] = [
    ["a page", "src/a.ts", " * See docs/nowhere.md.", "there is no docs/nowhere.md"],
    ["an anchor", "src/a.ts", " * (docs/route-table.md#rule-15)", "has no anchor #rule-15"],
    ["a rule", "src/routes/a.ts", " * (rule 15)", "there is no rule 15"],
    ["rules", "src/routes/a.ts", " * rules 1 to 15", "there is no rule 15"],
    ["a setting", "src/a.ts", " * (`watch.pages`)", "there is no setting watch.pages"],
    ["a note from outside", "src/a.ts", " * (design.md 3.2)", "is not in the repository"],
    ["facts from outside", "src/a.ts", " * (kernel-facts 5)", "is not in the repository"],
    ["a link", "docs/a.md", "[x](node/nowhere.md)", "there is no docs/node/nowhere.md"],
    ["a link to an anchor", "docs/a.md", "[x](route-table.md#nowhere)", "has no anchor #nowhere"],
    ["a link within a page", "docs/route-table.md", "[x](#nowhere)", "has no anchor #nowhere"],
  ];
  for (const [what, file, line, fault] of wrong) {
    test(what, () => {
      const faults = faultsOf(file, `first line\n${line}`);
      expect(faults).toHaveLength(1);
      expect(faults[0]).toContain(`${file}:2: `);
      expect(faults[0]).toContain(fault);
    });
  }

  test("right ones are not", () => {
    expect(
      faultsOf(
        "src/routes/a.ts",
        " * (`watch.pageSize`, `target.ts`, docs/route-table.md#rule-13), rules 1 to 13, docs/README.md",
      ),
    ).toEqual([]);
    expect(
      faultsOf("docs/a.md", "[x](route-table.md#rule-4), [y](images/ways.svg), [z](https://x.y/z#a)"),
    ).toEqual([]);
    expect(faultsOf("src/node/a.ts", " * rule 100 of the kernel")).toEqual([]);
  });
});

test("anchors are spelt as GitHub spells them", () => {
  expect([...anchorsOf("docs/peers.md")]).toContain("post-refresh");
  expect([...anchorsOf("docs/route-table.md")]).toContain("when-the-api-server-does-not-answer");
});
