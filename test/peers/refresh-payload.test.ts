import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeUtf8LikeGo } from "../../src/peers/decode-utf8.ts";
import { decodeRefreshPayload, MAX_NESTING_DEPTH } from "../../src/peers/refresh-payload.ts";
import type { RefreshPayload } from "../../src/peers/payload.ts";
import type { DecodedRefresh } from "../../src/peers/refresh-payload.ts";

const EMPTY: RefreshPayload = {
  ip: "",
  id: "",
  namespace: "",
  name: "",
  uid: "",
  owner: "",
  state: "",
  resourceVersion: "",
  accessToken: "",
  requireTrafficAuth: false,
  wakeOnTraffic: false,
};
const TEXT_FIELDS = Object.keys(EMPTY).filter(
  (field) => field !== "requireTrafficAuth" && field !== "wakeOnTraffic",
);

const decode = (text: string | Buffer): DecodedRefresh => decodeRefreshPayload(Buffer.from(text as string));
const escaped = (letter: string) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`;
const bytes = (latin1: string) => Buffer.from(latin1, "latin1");
const nested = (depth: number) => `{"x":${"[".repeat(depth - 1)}${"]".repeat(depth - 1)}}`;

// Each line was run through Go's json.Decoder; the right side is what it said.
describe("a push is read as Go's encoding/json reads it", () => {
  it.each<[string | Buffer, Partial<RefreshPayload>]>([
    ["{}", {}],
    ["null", {}],
    ["nullx", {}],
    [' \t\r\n{ "id" : "a" } ', { id: "a" }],
    ['{"id":"a","ID":null}', { id: "a" }],
    ['{"id":"a","ID":"b","id":"c"}', { id: "c" }],
    ['{"ID":"b","id":""}', { id: "" }],
    ['{"\u017Ftate":"x"}', { state: "x" }],
    ['{"\\u017ftate":"x"}', { state: "x" }],
    ['{"acce\u017F\u017FTo\u212Aen":"x"}', { accessToken: "x" }],
    ['{"i\\u0064":"k"}', { id: "k" }],
    ['{"\u0131d":"k","\u0130d":"k"}', {}],
    ['{"id":"a"} junk', { id: "a" }],
    ['{"id":"a"}}', { id: "a" }],
    [bytes('{"id":"a"}\xFF'), { id: "a" }],
    [bytes('{"id":"\xE2\x82z"}'), { id: "\uFFFD\uFFFDz" }],
    [bytes('{"id":"\xED\xB0\x80"}'), { id: "\uFFFD\uFFFD\uFFFD" }],
    [bytes('{"id":"\xF0\x9F\x98"}'), { id: "\uFFFD\uFFFD\uFFFD" }],
    [bytes('{"id\xFF":"z","id":"q"}'), { id: "q" }],
    ['{"id":"\\ud800"}', { id: "\uFFFD" }],
    ['{"id":"\\ud83d\\ude00\\ude00"}', { id: "\u{1F600}\uFFFD" }],
    ['{"id":"\\ud800\\u0041"}', { id: "\uFFFDA" }],
    ['{"id":"a\u007F"}', { id: "a\u007F" }],
    ['{"":"x","id":"k"}', { id: "k" }],
    ['{"x":1e999,"id":"k"}', { id: "k" }],
    ['{"x":{"id":"no"},"id":"k","y":[{"id":"no"}]}', { id: "k" }],
    ['{"__proto__":{"id":"q"},"constructor":1}', {}],
    ['{"wakeOnTraffic":true,"requireTrafficAuth":true}', { requireTrafficAuth: true, wakeOnTraffic: true }],
    ['{"WAKEONTRAFFIC":true}', { wakeOnTraffic: true }],
    ['{"requireTrafficAuth":true,"REQUIRETRAFFICAUTH":false}', { requireTrafficAuth: false }],
    ['{"requireTrafficAuth":true,"requireTrafficAuth":null}', { requireTrafficAuth: true }],
    ['{"resourceVersion":"99999999999999999999999"}', { resourceVersion: "99999999999999999999999" }],
    [nested(MAX_NESTING_DEPTH), {}],
  ])("%j is taken", (body, expected) => {
    expect(decode(body)).toEqual({ kind: "payload", payload: { ...EMPTY, ...expected } });
  });

  it.each<[string | Buffer]>([
    [""],
    [" "],
    ["nul"],
    ["[]"],
    ['[{"id":"a"}]'],
    ['"x"'],
    ["12"],
    ["true"],
    ["\uFEFF{}"],
    ["\u00A0{}"],
    ["{"],
    ['{"id":"a"'],
    ['{"id":"a'],
    ['{"id"}'],
    ['{"id":"k",}'],
    ["{'id':\"k\"}"],
    ['{"id":"a\u0001"}'],
    ['{"id":"a\\\'"}'],
    ['{"id":"\\u12"}'],
    ['{"x":[1,],"id":"k"}'],
    ['{"x":01}'],
    ['{"x":-}'],
    ['{"x":[}]}'],
    ['{"id":1}'],
    ['{"id":{},"name":"q"}'],
    ['{"id":1,"id":"x"}'],
    ['{"resourceVersion":42}'],
    ['{"requireTrafficAuth":"true"}'],
    ['{"requireTrafficAuth":1}'],
    ['{"wakeOnTraffic":"true"}'],
    [nested(MAX_NESTING_DEPTH + 1)],
    ["[".repeat(1 << 20)],
    ['{"x":'.repeat(1 << 17)],
  ])("%j is refused", (body) => {
    expect(decode(body).kind).toBe("malformed");
  });

  it("says which field has the wrong type, and quotes nothing of the body", () => {
    expect(decode('{"accessToken":["sekrit"]}')).toEqual({
      kind: "malformed",
      fault: "accessToken has the wrong type",
    });
    expect(JSON.stringify(decode('{"accessToken":"sekrit",,}'))).not.toContain("sekrit");
  });

  it("a character matches a letter of a key only by case, and for s and k by ſ and K", () => {
    const matches: string[] = [];
    for (let code = 0; code < 0x10000; code += 1) {
      const key = JSON.stringify(`acces${String.fromCharCode(code)}To\u212Aen`);
      const decoded = decode(`{${key}:"x"}`);
      if (decoded.kind === "payload" && decoded.payload.accessToken === "x") {
        matches.push(String.fromCharCode(code));
      }
    }
    expect(matches).toEqual(["S", "s", "\u017F"]);
  });
});

/** The field's name in other letters that Go takes for the same. */
const spelling = (field: string) =>
  fc.tuple(fc.infiniteStream(fc.nat(3)), fc.boolean()).map(([stream, escapes]) => {
    const letters = field.split("").map((letter) => {
      const choice = stream.next().value ?? 0;
      if (choice === 1) return letter.toUpperCase();
      if (choice === 2 && letter.toLowerCase() === "s") return "\u017F";
      if (choice === 3 && letter.toLowerCase() === "k") return "\u212A";
      return letter;
    });
    return escapes ? letters.map(escaped).join("") : letters.join("");
  });

describe("any push", () => {
  const text = fc.string({ unit: "binary" });
  const textMember = fc.constantFrom(...TEXT_FIELDS).chain((field) =>
    fc.record({
      field: fc.constant(field),
      key: spelling(field),
      value: fc.option<unknown>(text, { freq: 4 }),
    }),
  );
  const flagMember = fc.constantFrom("requireTrafficAuth", "wakeOnTraffic").chain((field) =>
    fc.record({
      field: fc.constant(field),
      key: spelling(field),
      value: fc.option<unknown>(fc.boolean()),
    }),
  );
  const otherMember = fc.record({
    field: fc.constant(""),
    key: fc.string().map((key) => JSON.stringify(`other ${key}`).slice(1, -1)),
    value: fc.jsonValue(),
  });
  const space = fc.stringMatching(/^[ \t\r\n]{0,3}$/);
  const members = fc.array(
    fc.tuple(fc.oneof(textMember, flagMember, otherMember), space, space, space, space),
    { maxLength: 20 },
  );

  it("reads the last value of each field, whatever the spelling, order, spaces, strangers and tail", () => {
    fc.assert(
      fc.property(members, fc.string(), (list, tail) => {
        const expected: Record<string, unknown> = { ...EMPTY };
        const rendered = list.map(([{ field, key, value }, a, b, c, d]) => {
          if (field !== "" && value !== null) {
            expected[field] = typeof value === "string" ? value.toWellFormed() : value;
          }
          return `${a}"${key}"${b}:${c}${JSON.stringify(value)}${d}`;
        });
        expect(decode(`{${rendered.join(",")}}${tail}`)).toEqual({ kind: "payload", payload: expected });
      }),
      { numRuns: 500 },
    );
  });

  it("is refused when the value of any field has another type, wherever it stands", () => {
    const wrong = fc.oneof(
      fc.integer(),
      fc.array(fc.string()),
      fc.dictionary(fc.string(), fc.string()),
      fc.boolean(),
    );
    fc.assert(
      fc.property(members, members, fc.constantFrom(...TEXT_FIELDS), wrong, (before, after, field, value) => {
        const render = (list: typeof before) =>
          list.map(([{ key, value }]) => `"${key}":${JSON.stringify(value)}`);
        const all = [...render(before), `"${field}":${JSON.stringify(value)}`, ...render(after)];
        expect(decode(`{${all.join(",")}}`).kind).toBe("malformed");
      }),
      { numRuns: 300 },
    );
  });

  it("of arbitrary text is taken exactly when it begins with a JSON object of the right types", () => {
    const noise = fc.string({
      unit: fc.constantFrom(
        ...'{}[]:,"\\ \n0-1.eE'.split(""),
        "null",
        "true",
        '"id"',
        '"x"',
        '"id":"v"',
        "é",
        "\u0000",
      ),
      maxLength: 14,
    });
    fc.assert(
      fc.property(
        noise.map((rest) => `{${rest}`),
        (body) => {
          const prefix = firstObject(body);
          const id = prefix?.["id"] ?? "";
          const expected = prefix === undefined || typeof id !== "string" ? "malformed" : "payload";
          const decoded = decode(body);
          // JSON.parse keeps only the last of duplicates, so an earlier fault may be hidden from it.
          if (expected === "payload" && decoded.kind === "malformed") {
            expect(decoded.fault).toBe("id has the wrong type");
          } else expect(decoded.kind).toBe(expected);
        },
      ),
      { numRuns: 20_000 },
    );
  });

  it("of arbitrary bytes never throws", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (body) => {
        expect(["payload", "malformed"]).toContain(decodeRefreshPayload(Buffer.from(body)).kind);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("bytes that are not UTF-8", () => {
  it("become one U+FFFD each; well-formed text stays", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.string({ unit: "binary" }).map((value) => Buffer.from(value.toWellFormed())),
            fc.uint8Array({ maxLength: 6 }).map((value) => Buffer.from(value)),
          ),
        ),
        (parts) => {
          const body = Buffer.concat(parts);
          expect(decodeUtf8LikeGo(body)).toBe(byteByByte(body));
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

/** The naive reading: the shortest prefix of at most four bytes that decodes strictly, else one bad byte. */
function byteByByte(body: Buffer): string {
  const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let text = "";
  for (let at = 0; at < body.length;) {
    let length = 0;
    for (let end = at + 1; end <= Math.min(at + 4, body.length) && length === 0; end += 1) {
      try {
        text += strict.decode(body.subarray(at, end));
        length = end - at;
      } catch {
        // Try one byte more.
      }
    }
    if (length === 0) text += "\uFFFD";
    at += Math.max(length, 1);
  }
  return text;
}

/** The JSON object that `body` begins with, found by trying every prefix. */
function firstObject(body: string): Record<string, unknown> | undefined {
  for (let end = 1; end <= body.length; end += 1) {
    if (body[end - 1] !== "}") continue;
    try {
      return JSON.parse(body.slice(0, end)) as Record<string, unknown>;
    } catch {
      // Not the end of it.
    }
  }
  return undefined;
}
