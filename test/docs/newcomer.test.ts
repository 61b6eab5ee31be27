import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ROOT } from "./citations.ts";

test("architecture.md: each file that it sends a reader to exists", () => {
  const page = readFileSync(join(ROOT, "docs/architecture.md"), "utf8");
  const table = page.slice(page.indexOf("## Where do I look for"));
  const paths = [...table.matchAll(/`([\w/-]+\.ts)`/g)].map(([, path = ""]) => path);
  expect(paths.length).toBeGreaterThan(30);
  expect(paths.filter((path) => path.includes("/") && !existsSync(join(ROOT, "src", path)))).toEqual([]);
});

test("CONTRIBUTING: each of the ten questions is answered by one file that exists", () => {
  const page = readFileSync(join(ROOT, "CONTRIBUTING.md"), "utf8");
  const answers = [...page.matchAll(/^\| .*\? \| `([^`]+)` \|$/gm)].map(([, path = ""]) => path);
  expect(answers.length).toBe(10);
  expect(answers.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
});
