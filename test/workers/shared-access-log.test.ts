import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const WRITER = fileURLToPath(new URL("support/log-writer.ts", import.meta.url));
const COUNT = 4_000;

test("lines of several workers stand whole in the pipe that they share, though its reader is slow", async () => {
  const writers = ["a", "b", "c", "d"].map((name) => `"${process.execPath}" "${WRITER}" ${name} ${COUNT} &`);
  // A reader that takes little at a time makes room for a part of a write again and again.
  const pipeline = `(${writers.join(" ")} wait) | (sleep 0.3; dd bs=300 2>/dev/null)`;
  const { stdout } = await promisify(execFile)("sh", ["-c", pipeline], { maxBuffer: 64 * 1024 * 1024 });
  const ids = stdout
    .trimEnd()
    .split("\n")
    .map((line) => (JSON.parse(line) as { request_id: string }).request_id);
  expect(new Set(ids).size).toBe(ids.length);
  // What a reader has not taken a second after the end is given up.
  expect(ids.length).toBeGreaterThan(COUNT);
});
