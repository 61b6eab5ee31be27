import fc from "fast-check";
import { expect, test } from "vitest";

import { certificateChooser } from "../../../src/proxy/tls/certificate-choice.ts";

const label = fc.constantFrom("a", "b", "c");
const name = fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => labels.join("."));
const pattern = fc.tuple(fc.boolean(), name).map(([wild, rest]) => (wild ? `*.${rest}` : rest));

test("exact first, then wildcard, then the first certificate, as a plain search finds it", () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(pattern, { maxLength: 3 }), { minLength: 1, maxLength: 4 }),
      name,
      (names, asked) => {
        const exact = names.findIndex((each) => each.includes(asked));
        const wildcard = names.findIndex(
          (each) => each.includes(asked.replace(/^[^.]*/, "*")) && asked.includes("."),
        );
        const expected = exact !== -1 ? exact : wildcard !== -1 ? wildcard : 0;
        expect(certificateChooser(names)(asked)).toBe(expected);
        expect(certificateChooser(names)(asked.toUpperCase())).toBe(expected);
      },
    ),
  );
});

test("a wildcard stands for one label, and for none that is empty", () => {
  const choose = certificateChooser([["first"], ["*.example.com"]]);
  expect(choose("x.example.com")).toBe(1);
  expect(choose("x.y.example.com")).toBe(0);
  expect(choose("example.com")).toBe(0);
  expect(choose(".example.com")).toBe(0);
  expect(choose(undefined)).toBe(0);
});
