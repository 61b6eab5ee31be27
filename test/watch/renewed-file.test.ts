import { rmSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { type Clock, systemClock } from "../../src/system/clock.ts";
import { RenewedFile, TokenFile } from "../../src/watch/renewed-file.ts";
import { Scratch } from "./support/kubeconfig.ts";

/** A file whose state and age are what the test says, whatever is written. */
function renewed(scratch: Scratch) {
  const path = scratch.write("file", "one");
  const now = { monotonicMs: 0, sign: "first" };
  const clock: Clock = { ...systemClock, nowMs: () => 1_000_000, monotonicMs: () => now.monotonicMs };
  let ageMs = 2_000;
  const file = new RenewedFile(path, clock, () => ({ sign: now.sign, changedAtMs: 1_000_000 - ageMs }));
  const age = (ms: number): void => void (ageMs = ms);
  return { path, file, now, age, text: (force = false) => file.read(force).toString() };
}

test("a file is read when it changed, once a minute, and when forced; in between not", () => {
  using scratch = new Scratch();
  const { path, now, text } = renewed(scratch);
  expect(text()).toBe("one");
  writeFileSync(path, "two");
  now.monotonicMs = 59_999;
  expect(text()).toBe("one");
  now.monotonicMs = 60_000;
  expect(text()).toBe("two");
  writeFileSync(path, "three");
  expect(text()).toBe("two");
  now.sign = "second";
  expect(text()).toBe("three");
  writeFileSync(path, "four");
  expect(text()).toBe("three");
  expect(text(true)).toBe("four");
});

test("a file that changed within the last two seconds is read each time: it may change again within one timestamp", () => {
  using scratch = new Scratch();
  const { path, age, text } = renewed(scratch);
  age(1_999);
  expect(text()).toBe("one");
  writeFileSync(path, "two");
  expect(text()).toBe("two");
  age(2_000);
  expect(text()).toBe("two");
  writeFileSync(path, "six");
  expect(text()).toBe("two");
});

test("the same bytes are the same Buffer, however often they are read", () => {
  using scratch = new Scratch();
  const { file } = renewed(scratch);
  expect(file.read(true)).toBe(file.read(true));
});

test("what is not good leaves the last good content in use until there is a better one", () => {
  using scratch = new Scratch();
  const { path, now, file } = renewed(scratch);
  const text = () => file.readOrKeep((bytes) => bytes.length > 0).toString();
  expect(text()).toBe("one");
  now.sign = "second";
  writeFileSync(path, "");
  expect(text()).toBe("one");
  rmSync(path);
  expect(text()).toBe("one");
  // Also within one timestamp.
  writeFileSync(path, "two");
  expect(text()).toBe("two");
});

test("a token file that cannot be read, or is empty, at first", () => {
  using scratch = new Scratch();
  const path = `${scratch.path}/token`;
  const token = new TokenFile(path, systemClock);
  expect(() => token.read(false)).toThrow(
    expect.objectContaining({
      code: "file_unreadable",
      message: `${path}, which the credentials name, cannot be read: ENOENT`,
    }),
  );
  writeFileSync(path, " \n");
  const empty = expect.objectContaining({ code: "auth_failed", message: `the token file ${path} is empty` });
  expect(() => token.read(false)).toThrow(empty);
  expect(() => token.read(true)).toThrow(empty);
  writeFileSync(path, "t\n");
  expect(token.read(false)).toBe("t");
});
