import fc from "fast-check";
import { expect, test } from "vitest";
import { LineSplitter } from "../../src/watch/watch-lines.ts";

/** Feeds `bytes` cut at `cuts` and returns the lines. */
function split(bytes: Buffer, cuts: readonly number[], maxLineBytes = 1_000_000): string[] {
  const splitter = new LineSplitter(maxLineBytes);
  const ends = [...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
  const lines: string[] = [];
  let start = 0;
  for (const end of ends) {
    lines.push(...splitter.push(bytes.subarray(start, end)));
    start = end;
  }
  return lines;
}

test("lines arrive whole however the bytes are cut, within characters as well", () => {
  const line = fc.string({ unit: "grapheme", minLength: 1 }).filter((text) => !text.includes("\n"));
  fc.assert(
    fc.property(fc.array(line), fc.array(fc.nat()), (lines, cuts) => {
      const bytes = Buffer.from(lines.map((text) => `${text}\n`).join(""));
      // A decoder drops a byte order mark at the start of a line; JSON has none.
      const expected = lines.map((text) => text.replace(/^\uFEFF/, "")).filter((text) => text !== "");
      expect(split(bytes, cuts).filter((text) => text !== "")).toEqual(expected);
    }),
  );
});

test("empty lines are left out, and what has no newline yet is pending", () => {
  const splitter = new LineSplitter(100);
  expect([...splitter.push(Buffer.from("\n\na\n\nbc"))]).toEqual(["a"]);
  expect(splitter.pendingBytes).toBe(2);
  expect([...splitter.push(Buffer.from("d\n"))]).toEqual(["bcd"]);
  expect(splitter.pendingBytes).toBe(0);
});

test.each([
  ["in one chunk", []],
  ["in many chunks", [1, 2, 3, 4, 5, 6, 7, 8, 9]],
])("a line may have the limit's length, %s, and no byte more", (_, cuts) => {
  expect(split(Buffer.from("12345\n12345\n"), cuts, 5)).toEqual(["12345", "12345"]);
  expect(() => split(Buffer.from("123456\n"), cuts, 5)).toThrow(
    expect.objectContaining({ code: "oversized" }),
  );
  expect(() => split(Buffer.from("123456"), cuts, 5)).toThrow(expect.objectContaining({ code: "oversized" }));
});

test("lines before an oversized or undecodable one are still yielded", () => {
  for (const bad of [Buffer.alloc(20, "x"), Buffer.from([0xc3, 0x28, 0x0a])]) {
    const lines: string[] = [];
    expect(() => {
      for (const line of new LineSplitter(10).push(Buffer.concat([Buffer.from("good\n"), bad])))
        lines.push(line);
    }).toThrow();
    expect(lines).toEqual(["good"]);
  }
});
