import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { expect, test } from "vitest";

const SCRIPT = fileURLToPath(new URL("support/loads-after-listening.ts", import.meta.url));

test("all that the full lane needs is loaded before the router listens: its first request makes nobody wait", async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [SCRIPT], { timeout: 60_000 });
  const { before, after, answers } = JSON.parse(stdout) as Record<"before" | "after" | "answers", string[]>;
  expect(answers).toEqual(["200", "200", "101"]);
  const isLibrary = (url: string) => url.includes("/node_modules/");
  expect(before.some((url) => url.includes("/undici/"))).toBe(true);
  expect(before.some((url) => url.includes("/http-proxy-3/"))).toBe(true);
  // undici compiles its parser for its first connection, which takes some milliseconds.
  expect(after.filter(isLibrary).filter((url) => !url.includes("/undici/lib/llhttp/"))).toEqual([]);
  expect(after.filter((url) => url.includes("/src/"))).toEqual([]);
}, 90_000);
