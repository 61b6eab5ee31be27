import fc from "fast-check";
import { expect, test } from "vitest";

import { requestRule, RESPONSE_FIELDS } from "../../src/proxy/forwarding/field-rules.ts";
import { NOTE, requestFields as fieldsOfRequests } from "../../src/proxy/forwarding/request-fields.ts";
import { ChunkScanner } from "../../src/proxy/http1/chunk-scanner.ts";
import { FieldIndex } from "../../src/proxy/http1/field-index.ts";
import { FieldMemory } from "../../src/proxy/http1/field-memory.ts";
import { HeadScan, TRAIT } from "../../src/proxy/http1/head-scan.ts";
import {
  INCOMPLETE,
  MALFORMED,
  OTHER_VERSION,
  scanRequestHead,
  scanResponseHead,
  UNUSUAL,
} from "../../src/proxy/http1/head-scanner.ts";
import { readTrailers } from "../../src/proxy/forwarding/trailer-section.ts";
import { chunkedBodies, latin1, mutated, requestHeads, responseHeads } from "./corpus/arbitraries.ts";
import { readChunked, readHead, valuesOf } from "./support/reference-http.ts";
import type { ReferenceHead } from "./support/reference-http.ts";
import { newTargetParser } from "../support/defaults.ts";

const PSEUDONYM = "lychgate-0123";
const ROUTING = ["e2b-sandbox-id", "x-sandbox-id"];
const requestFields = fieldsOfRequests({
  routing: new Set(["host", ...ROUTING]),
  trustForwarded: false,
  viaPseudonym: PSEUDONYM,
}).index;
const responseFields = new FieldIndex(RESPONSE_FIELDS);

type Kind = "request" | "response";

function scanOf(kind: Kind, bytes: Buffer, start = 0): { readonly end: number; readonly scan: HeadScan } {
  const scan = new HeadScan();
  const end =
    kind === "request"
      ? scanRequestHead(bytes, start, bytes.length, requestFields, scan)
      : scanResponseHead(bytes, start, bytes.length, responseFields, scan);
  return { end, scan };
}

/** What of a scan means something. */
function told(scan: HeadScan): object {
  const {
    cuts,
    cutCount,
    hostStart,
    hostEnd,
    keepAliveStart,
    keepAliveEnd,
    notes,
    seen,
    status: _,
    ...rest
  } = scan;
  return {
    ...rest,
    notes: Array.from({ length: 16 }, (_, note) =>
      (seen & (1 << note)) === 0 ? undefined : [notes[2 * note], notes[2 * note + 1]],
    ),
    cuts: cuts.slice(0, cutCount),
    host: hostStart < 0 ? undefined : [hostStart, hostEnd],
    keepAlive: keepAliveStart < 0 ? undefined : [keepAliveStart, keepAliveEnd],
  };
}

test("a scan that remembers the fields before finds what one that does not finds", () => {
  // Long enough to be remembered; few of them in a row, so that each comes again behind itself and behind others.
  const padded = requestHeads.map((text) => text.replace("\r\n", `\r\nX-Long: ${"l".repeat(220)}\r\n`));
  const rows = fc.array(fc.oneof(padded, mutated(padded)), { minLength: 1, maxLength: 3 }).chain((heads) =>
    fc.array(
      fc.tuple(
        fc.constantFrom(...heads),
        fc.nat(3),
        fc.constantFrom("GET / HTTP/1.1", "POST /longer/path HTTP/1.3"),
      ),
      {
        minLength: 2,
        maxLength: 8,
      },
    ),
  );
  let recalled = 0;
  fc.assert(
    fc.property(rows, (row) => {
      const memory = new FieldMemory();
      const scan = new HeadScan();
      for (const [head, ahead, line] of row) {
        const text = head.replace(/^\S+ \/[^ ]* HTTP\/1\.[1-9](?=\r)/, line);
        const bytes = latin1(`${"-".repeat(ahead)}${text}and what follows`);
        const end = scanRequestHead(bytes, ahead, bytes.length, requestFields, scan, memory);
        const plain = scanOf("request", bytes, ahead);
        expect(end).toBe(plain.end);
        if (end <= 0) continue;
        expect(told(scan)).toEqual(told(plain.scan));
        recalled += memory.recall(bytes, scan.fieldsStart, bytes.length, new HeadScan()) > 0 ? 1 : 0;
      }
    }),
    { numRuns: 300 },
  );
  expect(recalled).toBeGreaterThan(100);
});

/** What the scanners refuse beyond the grammar, so that the reference can be asked for the rest. */
function isRefusedFor(kind: Kind, { fields, method }: ReferenceHead): boolean {
  const lengths = valuesOf(fields, "content-length");
  const codings = valuesOf(fields, "transfer-encoding");
  if (lengths.some((length) => !/^[0-9]{1,15}$/.test(length))) return true;
  if (codings.some((coding) => coding.toLowerCase() !== "chunked") || codings.length > 1) return true;
  if (new Set(lengths.map(Number)).size > 1) return true;
  if (kind === "response") return false;
  return method.length > 64 || lengths.length > 1 || (lengths.length > 0 && codings.length > 0);
}

/** Said as soon as the request line is there: the rest is not for this scanner. */
function isUnusualLine(text: string): boolean {
  const line = readHead(`${text.split("\r\n", 1)[0]}\r\n\r\n`, 0, "request");
  if (line.kind !== "ok" || line.value.method.length > 64 || !text.includes("\r\n")) return false;
  return line.value.minor === 0 || !line.value.target.startsWith("/");
}

/** Holds the scanner against the reference, for the whole head and each way to cut it in two. */
function check(kind: Kind, text: string): void {
  const bytes = latin1(text);
  const whole = scanOf(kind, bytes);
  const reference = readHead(text, 0, kind);
  if (kind === "request" && isUnusualLine(text)) {
    expect(whole.end).toBe(UNUSUAL);
  } else if (reference.kind === "ok" && !isRefusedFor(kind, reference.value)) {
    expect(whole.end).toBe(reference.value.end);
    agree(kind, text, reference.value, whole.scan);
  } else if (reference.kind === "incomplete") {
    expect(whole.end).toBeLessThanOrEqual(INCOMPLETE);
  } else {
    // Where a target holds octets above ASCII, node:http has the last word.
    const isLater = kind === "request" && /^[^\r\n]* HTTP\/[2-9]\.[0-9]\r\n/.test(text);
    if (isLater) expect([OTHER_VERSION, MALFORMED, UNUSUAL]).toContain(whole.end);
    else expect([MALFORMED, ...(/^[^\r\n]*[\x7f-\xff]/.test(text) ? [UNUSUAL] : [])]).toContain(whole.end);
  }
  let before = INCOMPLETE;
  for (let cut = 0; cut < bytes.length; cut++) {
    const { end } = scanOf(kind, bytes.subarray(0, cut));
    // What was once refused stays refused, in the same way.
    const allowed =
      whole.end > INCOMPLETE
        ? [cut < whole.end ? INCOMPLETE : whole.end]
        : before === INCOMPLETE
          ? [INCOMPLETE, whole.end]
          : [before];
    if (!allowed.includes(end)) throw new Error(`cut at ${cut}: ${end}, and whole: ${whole.end}`);
    before = end;
  }
  // Where it stands among other bytes does not matter.
  expect(scanOf(kind, Buffer.concat([latin1("xy\r\n"), bytes]), 4).end).toBe(
    whole.end > INCOMPLETE ? whole.end + 4 : whole.end,
  );
}

function agree(kind: Kind, text: string, head: ReferenceHead, scan: HeadScan): void {
  const { fields } = head;
  const [length] = valuesOf(fields, "content-length");
  expect(scan.contentLength).toBe(length === undefined ? -1 : Number(length));
  expect(scan.chunked).toBe(valuesOf(fields, "transfer-encoding").length > 0);
  expect(scan.hasDate).toBe(valuesOf(fields, "date").length > 0);
  if (kind === "request") {
    expect(text.slice(0, scan.methodEnd)).toBe(head.method);
    expect(text.slice(scan.targetStart, scan.targetEnd)).toBe(head.target);
    const host = valuesOf(fields, "host").at(-1);
    expect(scan.hostStart < 0 ? undefined : text.slice(scan.hostStart, scan.hostEnd)).toBe(host);
    expect((scan.traits & TRAIT.later) !== 0).toBe(head.minor > 1);
    expect((scan.traits & TRAIT.upgrade) !== 0).toBe(valuesOf(fields, "upgrade").length > 0);
    expect((scan.traits & TRAIT.expect) !== 0).toBe(valuesOf(fields, "expect").length > 0);
  } else {
    expect(scan.status).toBe(head.status);
    expect((scan.traits & TRAIT.old) !== 0).toBe(head.minor === 0);
  }
  const lists = valuesOf(fields, "connection").map((value) =>
    value
      .toLowerCase()
      .split(",")
      .map((item) => item.replace(/^[ \t]+|[ \t]+$/g, "")),
  );
  const isUsual = (list: readonly string[]) =>
    list.every((item) => ["", "close", "keep-alive", "te"].includes(item));
  expect((scan.traits & TRAIT.connection) !== 0).toBe(!lists.every(isUsual));
  if (lists.every(isUsual)) expect(scan.close).toBe(lists.flat().includes("close"));
  if ((scan.traits & (TRAIT.special | TRAIT.connection)) !== 0) return;
  let kept = "";
  let from = 0;
  for (let i = 0; i < scan.cutCount; i += 2) {
    kept += text.slice(from, scan.cuts[i]);
    from = scan.cuts[i + 1] ?? 0;
  }
  kept += text.slice(from, head.end);
  const left = readHead(kept, 0, kind);
  const isKept = kind === "request" ? isKeptOfRequest : isKeptOfResponse;
  expect(left.kind === "ok" && left.value.fields).toEqual(
    fields.filter(([name]) => isKept(name.toLowerCase())),
  );
  if (kind === "request") agreeOnNotes(text, head, scan);
}

/** By the rules for fields, for a client that is not trusted. */
function isKeptOfRequest(name: string): boolean {
  if (["transfer-encoding", "upgrade", "expect"].includes(name)) return true;
  const rule = requestRule(name);
  expect(rule).not.toBe("max_forwards");
  return rule === undefined || ["host", "essential", "request_id"].includes(rule);
}

function isKeptOfResponse(name: string): boolean {
  if (["transfer-encoding", "upgrade", "expect"].includes(name)) return true;
  expect(
    RESPONSE_FIELDS.filter((special) => special !== "connection" && special !== "keep-alive"),
  ).not.toContain(name);
  return name !== "connection" && name !== "keep-alive";
}

/** What is noted of a head that is not special is there once, and in order. */
function agreeOnNotes(text: string, { fields }: ReferenceHead, scan: HeadScan): void {
  const noted: readonly (readonly [string, number])[] = [
    ["x-request-id", NOTE.requestId],
    ["te", NOTE.te],
    ...ROUTING.map((name, i) => [name, NOTE.routing + i] as const),
  ];
  for (const [name, note] of noted) {
    const values = valuesOf(fields, name);
    expect(values.length).toBeLessThanOrEqual(1);
    expect(scan.valueOf(note, text, 0)).toBe(values[0]);
  }
  for (const id of valuesOf(fields, "x-request-id")) expect(id).toMatch(/^[\x21-\x7e]{1,128}$/);
  for (const te of valuesOf(fields, "te")) expect(te.toLowerCase()).toBe("trailers");
  for (const via of valuesOf(fields, "via")) expect(via).not.toContain(PSEUDONYM);
}

test("request heads: what a plain reading says, and INCOMPLETE for every part of one", () => {
  fc.assert(
    fc.property(requestHeads, (head) => check("request", head)),
    { numRuns: 300 },
  );
});

test("response heads: what a plain reading says, and INCOMPLETE for every part of one", () => {
  fc.assert(
    fc.property(responseHeads, (head) => check("response", head)),
    { numRuns: 300 },
  );
});

test("heads with something wrong in them are refused whenever a plain reading refuses them, and stay refused", () => {
  fc.assert(
    fc.property(mutated(requestHeads), (head) => check("request", head)),
    { numRuns: 1000 },
  );
  fc.assert(
    fc.property(mutated(responseHeads), (head) => check("response", head)),
    // A status line that ends before its status.
    { numRuns: 1000, examples: [["HTTP/1.0\r\n\r\n"]] },
  );
});

/** Feeds a body in pieces, as a lane does: up to its trailers, or its end. */
function feedAll(
  bytes: Buffer,
  cuts: readonly number[],
): { end: number; data: number; scanner: ChunkScanner } {
  const scanner = new ChunkScanner();
  let data = 0;
  let from = 0;
  for (const to of [...new Set([...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].sort(
    (a, b) => a - b,
  )) {
    const end = scanner.feed(bytes, from, to);
    data += scanner.dataBytes;
    if (end === -1 || scanner.done || scanner.atTrailers) return { end, data, scanner };
    expect(end).toBe(to);
    from = to;
  }
  return { end: from, data, scanner };
}

const cuts = fc.array(fc.nat(400), { maxLength: 12 });

test("chunked bodies: consumed, counted and ended the same however they are cut", () => {
  fc.assert(
    fc.property(chunkedBodies, cuts, fc.string({ maxLength: 8 }), ({ text, data, trailers }, cuts, after) => {
      const bytes = latin1(text + after);
      const { end, data: counted, scanner } = feedAll(bytes, cuts);
      expect(counted).toBe(data.length);
      if (trailers === "") {
        expect({ end, done: scanner.done }).toEqual({ end: text.length, done: true });
      } else {
        expect({ end, at: scanner.atTrailers }).toEqual({ end: text.length - trailers.length - 2, at: true });
        const section = readTrailers(bytes.subarray(end), 65_536);
        expect(section).toMatchObject({ kind: "trailers", length: trailers.length + 2 });
      }
      const read = readChunked(text, 0);
      expect(read.kind === "ok" && read.value.body).toBe(data);
    }),
    { numRuns: 500 },
  );
});

test("chunked bodies with something wrong in them: nothing is taken that a plain reading refuses", () => {
  fc.assert(
    fc.property(mutated(chunkedBodies.map(({ text }) => text)), cuts, (text, cuts) => {
      const { end, data, scanner } = feedAll(latin1(text), cuts);
      const read = readChunked(text, 0);
      if (scanner.atTrailers) {
        const section = readTrailers(latin1(text).subarray(end), 65_536);
        expect(section.kind).toBe(read.kind === "ok" ? "trailers" : read.kind);
        if (read.kind === "ok" && section.kind === "trailers")
          expect(end + section.length).toBe(read.value.end);
      } else if (scanner.done) {
        expect(read).toMatchObject({ kind: "ok", value: { end } });
        if (read.kind === "ok") expect(data).toBe(read.value.body.length);
      } else if (end === -1) {
        // An incomplete one may be refused early.
        expect(read.kind).not.toBe("ok");
      } else {
        expect(read.kind).not.toBe("ok");
      }
    }),
    { numRuns: 2000 },
  );
});

test.each([
  "0x5\r\nhello\r\n0\r\n\r\n",
  "+5\r\nhello\r\n0\r\n\r\n",
  "-1\r\n",
  "5 \r\nhello\r\n0\r\n\r\n",
  " 5\r\nhello\r\n0\r\n\r\n",
  "5\nhello\n0\n\n",
  "5\r\nhello\n0\r\n\r\n",
  "5\r\nhello0\r\n\r\n",
  "5\rhello\r\n0\r\n\r\n",
  "\r\n0\r\n\r\n",
  ";a=b\r\n",
  "5;a\nb\r\nhello\r\n0\r\n\r\n",
  "5;a\0b\r\nhello\r\n0\r\n\r\n",
  "FFFFFFFFFFFFFFFFF\r\n",
  "10000000000000005\r\nhello\r\n0\r\n\r\n",
  "0000000000000\r\n\r\n",
  `5;${"x".repeat(1025)}\r\nhello\r\n0\r\n\r\n`,
  "0\r\n \r\n\r\n",
  "0\r\n\n",
  "0\r\n\rX",
])("the chunked body %j is refused", (text) => {
  expect(feedAll(latin1(text), []).end).toBe(-1);
  expect(
    feedAll(
      latin1(text),
      Array.from(text, (_, i) => i),
    ).end,
  ).toBe(-1);
});

test("trailers with a bare LF are refused at once, wherever it stands and however they come", () => {
  for (const text of ["X: 1\n\r\n", "X: 1\r\n\n", "\n", "X: 1\n", "X: 1\r\nY: 2\n"]) {
    expect(readTrailers(latin1(text), 65_536).kind).toBe("malformed");
    const bare = text.search(/(?<!\r)\n/);
    expect(readTrailers(latin1(text.slice(0, bare + 1)), 65_536, bare).kind).toBe("malformed");
  }
  expect(readTrailers(latin1("X: 1\r\n"), 65_536).kind).toBe("incomplete");
  expect(readTrailers(latin1("X: 1\r"), 65_536).kind).toBe("incomplete");
});

test("trailers: incomplete until their empty line, then the same however much follows", () => {
  const names = fc.constantFrom("X-Sum", "x", "Server-Timing");
  const lines = fc.array(fc.tuple(names, fc.constantFrom("", " 1", "\t\xe9 ", "a: b")), {
    minLength: 1,
    maxLength: 5,
  });
  fc.assert(
    fc.property(lines, fc.string({ maxLength: 5 }), (lines, after) => {
      const text = `${lines.map(([name, value]) => `${name}:${value}\r\n`).join("")}\r\n`;
      const whole = readTrailers(latin1(text + after), 65_536);
      const passed = lines.map(([name, value]) => `${name}: ${value.replace(/^[ \t]+|[ \t]+$/g, "")}\r\n`);
      expect(whole).toEqual({ kind: "trailers", length: text.length, text: `${passed.join("")}\r\n` });
      for (let cut = 0; cut < text.length; cut++) {
        expect(readTrailers(latin1(text.slice(0, cut)), 65_536)).toEqual({ kind: "incomplete" });
      }
      expect(readTrailers(latin1(text), text.length - 1).kind).toBe("malformed");
    }),
    { numRuns: 200 },
  );
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom("a", ":", " ", "\r", "\n", "\0", "\x7f", "\r\n") }),
      (text) => {
        const section = readTrailers(latin1(`${text}\r\n\r\n`), 65_536);
        const read = readChunked(`0\r\n${text}\r\n\r\n`, 0);
        expect(section.kind).toBe(read.kind === "ok" ? "trailers" : "malformed");
      },
    ),
    { numRuns: 500 },
  );
});

test.each([
  ["curl", ["User-Agent: curl/8.5.0", "Accept: */*"]],
  [
    "an E2B SDK",
    [
      "X-Access-Token: 0123456789abcdef",
      "User-Agent: e2b-python-sdk/1.5.0",
      "Accept: */*",
      "Accept-Encoding: gzip, deflate, br",
      "Connection: keep-alive",
      "Content-Type: application/json",
      "Authorization: Bearer x",
    ],
  ],
  [
    "a browser",
    [
      "Connection: keep-alive",
      'sec-ch-ua: "Chromium";v="130"',
      "sec-ch-ua-mobile: ?0",
      'sec-ch-ua-platform: "Linux"',
      "Upgrade-Insecure-Requests: 1",
      "User-Agent: Mozilla/5.0",
      "Accept: text/html",
      "Sec-Fetch-Site: none",
      "Sec-Fetch-Mode: navigate",
      "Sec-Fetch-User: ?1",
      "Sec-Fetch-Dest: document",
      "Accept-Encoding: gzip, deflate, br, zstd",
      "Accept-Language: en",
      "Cookie: a=1; b=2",
      "Referer: http://example.com/",
      "If-None-Match: x",
      "X-Requested-With: XMLHttpRequest",
      "X-CSRF-Token: x",
      "DNT: 1",
    ],
  ],
  [
    "a client that is traced",
    ["traceparent: 00-0af7-b7ad-01", "tracestate: a=b", "baggage: c=d", "x-datadog-trace-id: 1"],
  ],
])("the head of %s has nothing in it that must be looked at as fields", (_name, lines) => {
  const head = `GET /x?y=1 HTTP/1.1\r\n${["Host: 3000-a.example.com", ...lines].join("\r\n")}\r\n\r\n`;
  const { index } = fieldsOfRequests({
    routing: newTargetParser({}).fields,
    trustForwarded: false,
    viaPseudonym: PSEUDONYM,
  });
  const scan = new HeadScan();
  expect(scanRequestHead(latin1(head), 0, head.length, index, scan)).toBe(head.length);
  expect(scan.traits).toBe(0);
});
