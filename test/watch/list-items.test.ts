import fc from "fast-check";
import { expect, test } from "vitest";
import { ListItems } from "../../src/watch/list-items.ts";

/** Reads `bytes` in pieces of the lengths in `pieces`, in turn, each in a buffer that is overwritten afterwards. */
function readInPieces(bytes: Buffer, pieces: readonly number[]): { items: unknown[]; list: unknown } {
  const items: unknown[] = [];
  const reader = new ListItems((item) => void items.push(item));
  const buffer = Buffer.alloc(bytes.length);
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const end = Math.min(bytes.length, at + (pieces[turn % pieces.length] ?? 1));
    const piece = buffer.subarray(0, bytes.copy(buffer, 0, at, end));
    reader.push(piece);
    piece.fill("{");
    at = end;
  }
  return { items, list: reader.end() };
}

const pieces = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 });
/** With what a reader that looks only for brackets, commas and names would stumble over. */
const text = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.constantFrom("items", "]}", '",', '\\"', "\\", ":[", "ü€😀"),
);
/**
 * V8 (Node 24.21) takes the name `",` for `\\"` where the object before had that one: JSON.parse('{"a":1,"\\\\\\"":1}') and then
 * JSON.parse('{"a":1,"\\",":1}') give two objects with the same names. No field of Kubernetes has such a name.
 */
const name = text.filter((name) => !name.includes("\\"));
const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    text,
    fc.array(fc.jsonValue({ maxDepth: 0 }), { maxLength: 3 }),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(name, tie("value"), { maxKeys: 4 }),
  ),
}));
const field = fc.tuple(fc.oneof(name, fc.constantFrom("kind", "metadata")), value);
const list = fc
  .record({
    before: fc.array(field, { maxLength: 3 }),
    items: fc.array(value),
    after: fc.array(field, { maxLength: 3 }),
  })
  .map(({ before, items, after }) => {
    const others = (fields: typeof before) =>
      fields.filter(([name]) => name !== "items" && name !== "__proto__");
    return Object.fromEntries([...others(before), ["items", items], ...others(after)]) as {
      items: unknown[];
    };
  });
const indent = fc.constantFrom(undefined, 1, "\t");

test("whatever a list holds and wherever its bytes are cut, its items and the rest are as they were sent", () => {
  fc.assert(
    fc.property(list, indent, pieces, (sent, space, lengths) => {
      const whole = JSON.parse(JSON.stringify(sent)) as { items: unknown[] };
      const read = readInPieces(Buffer.from(JSON.stringify(sent, undefined, space)), lengths);
      expect(read).toEqual({ items: whole.items, list: { ...whole, items: [] } });
    }),
    { numRuns: 500 },
  );
});

test("a cut within a string of the last item leaves no trace behind the items", () => {
  const sent = { items: [{ a: "b" }], c: [{ "]": 1 }], items2: [2] };
  for (let piece = 1; piece < 30; piece += 1) {
    const { items, list: rest } = readInPieces(Buffer.from(JSON.stringify(sent)), [piece]);
    expect([items, rest]).toEqual([sent.items, { ...sent, items: [] }]);
  }
});

test("what JSON.parse refuses as a whole is refused in parts", () => {
  const garbage = fc.constantFrom("", "[", "]", "{", "}", ",", ":", '"', "\\", "1", "items", "\u0001");
  fc.assert(
    fc.property(
      list,
      indent,
      pieces,
      fc.nat(),
      fc.nat(3),
      garbage,
      (sent, space, lengths, where, cut, instead) => {
        const good = JSON.stringify(sent, undefined, space);
        const at = where % good.length;
        const bad = good.slice(0, at) + instead + good.slice(at + cut);
        fc.pre(!isJson(bad));
        expect(() => readInPieces(Buffer.from(bad), lengths)).toThrow(SyntaxError);
      },
    ),
    { numRuns: 1_000 },
  );
});

test.each([
  "",
  "null",
  "[]",
  '{"items":null}',
  '{"items":{"a":[1]}}',
  '{"a":{"items":[1]}}',
  '{"a":"items","b":[1]}',
])("%s has no items, and is left as it is", (sent) => {
  if (sent === "") expect(() => readInPieces(Buffer.from(sent), [1])).toThrow(SyntaxError);
  else expect(readInPieces(Buffer.from(sent), [1])).toEqual({ items: [], list: JSON.parse(sent) });
});

test("items under a name that is written with escapes stay in the list", () => {
  const sent = String.raw`{"\u0069tems":[1,2]}`;
  expect(readInPieces(Buffer.from(sent), [3])).toEqual({ items: [], list: { items: [1, 2] } });
});

function isJson(sent: string): boolean {
  try {
    JSON.parse(sent);
    return true;
  } catch {
    return false;
  }
}
