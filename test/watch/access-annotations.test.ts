import { expect, test } from "vitest";
import { readAccess } from "../../src/watch/access-annotations.ts";

// docs/access.md#private-or-open

const access = (value: unknown) => readAccess({ "lychgate.dev/access": value }).access;

test.each<[unknown, string | undefined]>([
  [undefined, undefined],
  ["open", "open"],
  ["private", "private"],
  ["private-ports=8080", "8080"],
  ["private-ports=8080, 3000,8080", "3000,8080"],
  ["private-ports=1,65535", "1,65535"],
])("%j is %s", (value, expected) => {
  expect(access(value)).toBe(expected);
});

test.each([
  "",
  "Open",
  " open",
  "public",
  "private-ports=",
  "private-ports=0",
  "private-ports=65536",
  "private-ports=80;443",
  "private-ports=a",
  1,
  null,
  ["open"],
  `private-ports=${Array.from({ length: 65 }, (_, i) => i + 1).join(",")}`,
])("%j can't be read, so the sandbox is private", (value) => {
  expect(access(value)).toBe("private");
});

test("an epoch is any text; long ones are told apart too", () => {
  const epoch = (value: unknown) => readAccess({ "lychgate.dev/preview-epoch": value }).previewEpoch;
  expect([epoch(undefined), epoch(""), epoch("2")]).toEqual([undefined, "", "2"]);
  expect(epoch(`${"x".repeat(100)}1`)).toMatch(/^[0-9a-f]{64}$/);
  expect(epoch(`${"x".repeat(100)}1`)).not.toBe(epoch(`${"x".repeat(100)}2`));
});
