import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ROOT } from "./citations.ts";

test("CONTRIBUTING: each of the ten questions is answered by one file that exists", () => {
  const page = readFileSync(join(ROOT, "CONTRIBUTING.md"), "utf8");
  const answers = [...page.matchAll(/^\| .*\? \| `([^`]+)` \|$/gm)].map(([, path = ""]) => path);
  expect(answers.length).toBe(10);
  expect(answers.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
});
