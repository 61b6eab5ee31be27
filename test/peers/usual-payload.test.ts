import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeAnyPayload, decodeRefreshPayload } from "../../src/peers/refresh-payload.ts";
import { emptyPayload } from "../../src/peers/payload.ts";
import { readUsualPayload } from "../../src/peers/usual-payload.ts";
import { pushOf } from "./peer-fixture.ts";

// docs/peers.md#post-refresh: what managers send is read in one pass; all else by the decoder that knows what Go takes.

const isUsual = (body: string): boolean => readUsualPayload(Buffer.from(body), emptyPayload());

test("a push as Go's encoding/json writes OpenKruise's struct is of the usual shape, with any member left out", () => {
  const all = pushOf({ accessToken: "secret", requireTrafficAuth: true, wakeOnTraffic: true });
  expect(isUsual(JSON.stringify(all))).toBe(true);
  for (const left of Object.keys(all)) {
    const { [left]: _, ...rest } = all;
    // JSON.stringify keeps the order. Without its last member the usual shape ends with a text.
    expect([left, isUsual(JSON.stringify(rest))]).toEqual([left, true]);
  }
});

test.each([
  ["another order", '{"id":"a","ip":"b"}'],
  ["a member twice", '{"id":"a","id":"b"}'],
  ["an escape", String.raw`{"id":"a\n"}`],
  ["a text that is not ASCII", '{"id":"é"}'],
  ["a control character", '{"id":"a\tb"}'],
  ["a space", '{"id": "a"}'],
  ["another spelling", '{"ID":"a"}'],
  ["another type", '{"id":1}'],
  ["null", '{"id":null}'],
  ["an unknown member", '{"id":"a","later":true}'],
  ["a flag twice", '{"wakeOnTraffic":true,"wakeOnTraffic":false}'],
  ["flags in another order", '{"wakeOnTraffic":true,"requireTrafficAuth":true}'],
  ["something behind", '{"id":"a"} '],
  ["an end too early", '{"id":"a"'],
  ["a comma too many", '{"id":"a",}'],
  ["no members", "{}"],
  ["nothing", ""],
])("left to the decoder: %s", (_, body) => {
  expect(isUsual(body)).toBe(false);
  expect(decodeRefreshPayload(Buffer.from(body))).toEqual(decodeAnyPayload(Buffer.from(body)));
});

test("whatever the body, both readers say the same", () => {
  const text = fc.oneof(fc.string({ maxLength: 8 }), fc.string({ unit: "binary", maxLength: 4 }));
  const payload = fc.record(
    Object.fromEntries(
      Object.entries(emptyPayload()).map(([key, value]) => [
        key,
        typeof value === "string" ? text : fc.boolean(),
      ]),
    ),
    { requiredKeys: [] },
  );
  const edit = fc.record({
    at: fc.nat(300),
    drop: fc.integer({ min: 0, max: 2 }),
    put: fc.constantFrom("", '"', ",", "}", "{", "\\", " ", "null", ':"', '"id":"x",', "1"),
  });
  fc.assert(
    fc.property(payload, fc.array(edit, { maxLength: 2 }), (value, edits) => {
      let json = JSON.stringify(value);
      for (const { at, drop, put } of edits) json = json.slice(0, at) + put + json.slice(at + drop);
      const body = Buffer.from(json);
      expect(decodeRefreshPayload(body)).toEqual(decodeAnyPayload(body));
    }),
    { numRuns: 2_000 },
  );
});
