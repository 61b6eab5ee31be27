import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Ended, endsOf, quoted, scriptOf, type Task } from "../../src/node/shell-script.ts";

function task(command: string, input = "", isVital = true): Task<Ended> {
  return { command, input, isVital, read: (ended) => ended };
}

function run(tasks: readonly Task<unknown>[]): readonly Ended[] {
  const { stdout, stderr, status } = spawnSync("sh", { input: scriptOf(tasks), encoding: "utf8" });
  return endsOf({ stdout, stderr, code: status ?? -1 });
}

test("each command has its own input, output, errors and exit code", () => {
  expect(
    run([task("cat", "one\n"), task("echo two >&2; cat"), task("printf three; sh -c 'exit 7'")]),
  ).toEqual([
    { code: 0, stdout: "one\n", stderr: "" },
    { code: 0, stdout: "", stderr: "two\n" },
    { code: 7, stdout: "three", stderr: "" },
  ]);
});

test("nothing is begun after a vital command that failed; after another one it goes on", () => {
  expect(run([task("false", "", false), task("true"), task("false"), task("echo never")])).toMatchObject([
    { code: 1 },
    { code: 0 },
    { code: 1 },
  ]);
});

test("a program that is not there ends with 127", () => {
  expect(run([task("lych-no-such-program")])).toMatchObject([{ code: 127 }]);
});

test("input longer than a pipe holds arrives whole, and is taken literally", () => {
  const lines = Array.from({ length: 20_000 }, (_, at) => `line ${at} $HOME \`id\` \\ 'a' "b"\n`).join("");
  expect(run([task("cat", lines), task("cat", "after\n")]).map(({ stdout }) => stdout)).toEqual([
    lines,
    "after\n",
  ]);
});

test("a quoted word is one word, literally", () => {
  const word = fc.string({ unit: "binary-ascii" }).filter((text) => !text.includes("\0"));
  fc.assert(
    fc.property(fc.array(word, { maxLength: 5 }), (words) => {
      const [end] = run([task(`printf '%s\\001' x ${words.map(quoted).join(" ")}`)]);
      expect(end?.stdout).toBe(["x", ...words].map((one) => `${one}\u0001`).join(""));
    }),
    { numRuns: 40 },
  );
});
