import fc from "fast-check";
import { expect, test } from "vitest";
import { responseTo } from "./grammar.ts";
import { Random } from "./random.ts";

test("the fuzzed pod answers whatever a mutated target asks for, with a body of a bounded size", () => {
  const size = fc.oneof(fc.integer().map(String), fc.double().map(String), fc.string());
  fc.assert(
    fc.property(size, fc.constantFrom("length", "chunked", "close", "none"), (asked, manner) => {
      const { text } = responseTo("GET", `/1/2/?${manner}&${asked}`, new Random(1));
      expect(text.startsWith("HTTP/1.1 ")).toBe(true);
      // A body of 300,000 at most, and what chunks of one octet add to it.
      expect(text.length).toBeLessThan(4_000_000);
    }),
    { examples: [["-7", "length"]] },
  );
});
