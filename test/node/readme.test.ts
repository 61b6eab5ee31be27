import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "vitest";

const root = resolve(import.meta.dirname, "../..");
const page = readFileSync(resolve(root, "docs/node/README.md"), "utf8");

/** `file` and the words of a test's title, from the last column of the tables of incidents. */
const shownBy = page.split("\n").flatMap((line) => {
  const cells = line.split("|").map((cell) => cell.trim());
  if (cells.length !== 5 || cells[3] === "shown by" || !cells[3]?.includes("`")) return [];
  return cells[3].split(";").flatMap((part) => {
    const [, file = "", words = ""] = /`([\w/-]+)`(?:: (.*))?/.exec(part) ?? [];
    return file === "" ? [] : [{ file, words: words.trim() }];
  });
});

test("the table of incidents names tests that there are", () => {
  expect(shownBy.length).toBeGreaterThan(30);
  for (const { file, words } of shownBy) {
    const paths = ["test/e2e/", "test/node/", "test/node/link/", "test/"].map(
      (folder) => `${folder}${file}.test.ts`,
    );
    const path = paths.find((one) => existsSync(resolve(root, one)));
    expect(path, file).toBeDefined();
    expect(readFileSync(resolve(root, path ?? ""), "utf8"), `${file}: ${words}`).toContain(words);
  }
});
