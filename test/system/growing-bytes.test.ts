import fc from "fast-check";
import { expect, test } from "vitest";
import { ByteBudget } from "../../src/system/byte-budget.ts";
import { GrowingBytes } from "../../src/system/growing-bytes.ts";

const AROUND = Buffer.from("around");
const pieces = fc.array(fc.uint8Array({ maxLength: 3000 }), { minLength: 1, maxLength: 8 });

test("held bytes are those that were given, in order, and no longer those of the giver", () => {
  fc.assert(
    fc.property(pieces, (all) => {
      const given = all.map((piece) => Buffer.concat([AROUND, piece, AROUND]));
      const [first = AROUND, ...more] = given;
      const held = GrowingBytes.of(first, AROUND.length, first.length - AROUND.length);
      first.fill(0);
      for (const piece of more) {
        expect(held.append(piece, AROUND.length, piece.length - AROUND.length)).toBe(true);
        piece.fill(0);
      }
      expect(held.bytes.equals(Buffer.concat(all))).toBe(true);
      held.clear();
      held.append(AROUND);
      expect(held.bytes.equals(AROUND)).toBe(true);
    }),
    { numRuns: 200 },
  );
});

test("a budget is never overdrawn, a piece is held whole or not at all, and all is given back", () => {
  fc.assert(
    fc.property(pieces, fc.nat(20_000), (all, bytes) => {
      const budget = new ByteBudget(bytes);
      const held = new GrowingBytes({ firstBytes: 512, budget });
      const expected: Uint8Array[] = [];
      for (const piece of all) {
        if (held.append(piece)) expected.push(piece);
        expect(budget.free).toBeGreaterThanOrEqual(0);
        expect(bytes - budget.free).toBeGreaterThanOrEqual(held.length);
        expect(held.bytes.equals(Buffer.concat(expected))).toBe(true);
      }
      held.release();
      held.release();
      expect([held.length, budget.free]).toEqual([0, bytes]);
    }),
    { numRuns: 200 },
  );
});

test("it takes no more memory than the longest that may be held", () => {
  const budget = new ByteBudget(10_000);
  const held = new GrowingBytes({ firstBytes: 512, maxBytes: 3000, budget });
  held.append(new Uint8Array(2000));
  expect(budget.free).toBe(8000);
  held.append(new Uint8Array(1000));
  expect(budget.free).toBe(7000);
});
