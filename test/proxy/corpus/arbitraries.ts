import fc from "fast-check";
import type { Arbitrary } from "fast-check";

/** The bytes of latin1 text. */
export function latin1(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

/** Something that is easily told from what it surrounds. */
export const HEX: Buffer = Buffer.from("f00dbabe", "hex");

const token = fc.string({
  unit: fc.constantFrom(..."!#$%&'*+-.^_`|~09azAZ".split("")),
  minLength: 1,
  maxLength: 12,
});
const valueText = fc.string({
  unit: fc.constantFrom(...'aZ09 \t,;:="/()[]{}\\~\x80\xff'.split("")),
  maxLength: 20,
});
const blanks = fc.constantFrom("", " ", "\t", "  ", " \t ");

/** `name` in some case. */
function anyCase(name: string): Arbitrary<string> {
  return fc.constantFrom(
    name,
    name.toLowerCase(),
    name.toUpperCase(),
    name.replace(/^./, (char) => char.toUpperCase()),
  );
}

function line(name: Arbitrary<string>, value: Arbitrary<string>): Arbitrary<string> {
  return fc
    .tuple(name, blanks, value, blanks)
    .map(([name, before, value, after]) => `${name}:${before}${value}${after}\r\n`);
}

function known(name: string, ...values: string[]): Arbitrary<string> {
  return line(anyCase(name), fc.constantFrom(...values));
}

const plainLine = line(token, valueText);
const connectionLine = known(
  "connection",
  "close",
  "keep-alive",
  "Close",
  "Keep-Alive",
  "close, te",
  "X-Hop",
  "upgrade",
  "",
);
const keepAliveLine = known("keep-alive", "timeout=5", "max=3");

const requestLines = fc.oneof(
  { weight: 4, arbitrary: plainLine },
  known("host", "8080-box.example.com", "", "[::1]:80", "a b"),
  connectionLine,
  keepAliveLine,
  known("content-length", "0", "5", "007", "123456789012345", "1234567890123456", "+5", "5,5", ""),
  known("transfer-encoding", "chunked", "Chunked", "gzip", "gzip, chunked", "xchunked", ""),
  known("te", "trailers", "Trailers", "gzip", "gzip, trailers"),
  known("upgrade", "websocket", "h2c"),
  known("expect", "100-continue"),
  known("x-request-id", "abc", "not sane", "", "x".repeat(129)),
  known("x-forwarded-for", "1.2.3.4"),
  known("x-forwarded-host", "evil"),
  known("forwarded", "for=1.2.3.4"),
  known("x_forwarded_for", "1.2.3.4"),
  known("x-forwarded_host", "evil"),
  known(`x-forwarded-${"y".repeat(60)}`, "1"),
  known("x-real-ip", "1.2.3.4"),
  known("x_real-ip", "1.2.3.4"),
  known("x-original-url", "/evil"),
  known("x_request_id", "1"),
  known("via", "1.1 front", "1.1 front, 1.1 lychgate-0123", "1.1 lychgate-01234", "lychgate-012"),
  known("max-forwards", "0", "1"),
  known("e2b-sandbox-id", "box"),
  known("x-sandbox-id", "box"),
  known("proxy-authorization", "Basic x"),
  known("cookie", "a=1"),
  known("date", "now"),
  known("x".repeat(70), "1"),
  // Names with the length and first letter of ones with a rule.
  known("hast", "1"),
  known("connectio-", "1"),
  known("content-lengtg", "1"),
  known("transfer_encoding", "chunked"),
  known("kept-alive", "1"),
  // Such with the last octet too.
  known("x-access-token", "1"),
  known("x-repuest-id", "1"),
  known("x-forworded-for", "1"),
);

/** Legal request heads, and heads that are legal in form but say what can't be. */
export const requestHeads: Arbitrary<string> = fc
  .tuple(
    fc.oneof(fc.constantFrom("GET", "HEAD", "POST", "OPTIONS", "M-SEARCH", "get"), token),
    fc.oneof(
      {
        weight: 6,
        arbitrary: fc.constantFrom("/", "/a/../b?c=%00&&", "//x", '/"<>\\^`{|}', "/kruise/box/80/x"),
      },
      fc.constantFrom("*", "http://a/b", "a:80"),
    ),
    fc.oneof({ weight: 9, arbitrary: fc.constant("1") }, fc.constantFrom("0", "2", "9")),
    fc.array(requestLines, { maxLength: 10 }),
  )
  .map(([method, target, minor, lines]) => `${method} ${target} HTTP/1.${minor}\r\n${lines.join("")}\r\n`);

/** Fields that are cut, kept or added to, as long as each is there once. */
const ruledLine = fc.oneof(
  known("connection", "close, te", "te", "", "keep-alive,,te"),
  known("te", "trailers", "TRAILERS"),
  known("via", "1.1 front", "1.0 a, 1.1 b"),
  known("x-request-id", "abc", "0af7651916cd43dd8448eb211c80319c"),
  known("x-forwarded-for", "192.0.2.1", "192.0.2.1, 2001:db8::1", ""),
  known("x-forwarded-host", "front.example.com", "front.example.com:8443", "a, b", ""),
  known("x-forwarded-proto", "https", "http", "WSS", "https, http", ""),
  known("x-forwarded-port", "8443", ""),
  known("x-forwarded-prefix", "/a", "/a/b//", "/", ""),
  known("x-forwarded-client-cert", "x"),
  known("x-forwarded_for", "192.0.2.1"),
  known("x_forwarded_my_own", "1"),
  known("forwarded", "for=192.0.2.1"),
  known("x-real-ip", "192.0.2.1"),
  known("x_real_ip", "192.0.2.1"),
  known("x_request_id", "1"),
  known("proxy-authorization", "Basic x"),
  known("proxy_authorization", "Basic x"),
  known("x-access-token", "secret"),
  known("e2b-sandbox-id", "box"),
);

/** Request heads that need not be taken apart: their fields pass as they are, or are cut, or are added to. */
export const plainRequestHeads: Arbitrary<string> = fc
  .tuple(
    fc.constantFrom("GET", "HEAD", "POST", "frob"),
    fc.constantFrom("/", "/a/../b?c=%00&&", '/"<>\\^`{|}'),
    fc.array(
      fc.oneof(
        { weight: 4, arbitrary: plainLine },
        { weight: 4, arbitrary: ruledLine },
        known("connection", "close", "keep-alive"),
        keepAliveLine,
        known("date", "now"),
        known("cookie", "a=1"),
      ),
      { maxLength: 10 },
    ),
    known("host", "8080-box.example.com", ""),
    fc.oneof(
      fc.constant(""),
      known("content-length", "5", "005"),
      known("transfer-encoding", "chunked", "CHUNKED"),
    ),
    fc.nat(10),
  )
  .map(([method, target, lines, host, framing, at]) => {
    const all = [...lines.slice(0, at), host, framing, ...lines.slice(at)];
    return `${method} ${target} HTTP/1.1\r\n${all.join("")}\r\n`;
  });

const responseLines = fc.oneof(
  { weight: 4, arbitrary: plainLine },
  connectionLine,
  keepAliveLine,
  known("content-length", "0", "5", "005", "+5", "5, 5", "1234567890123456"),
  known("transfer-encoding", "chunked", "CHUNKED", "gzip, chunked", "identity"),
  known("upgrade", "websocket"),
  known("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
  known("set-cookie", "a=1"),
  known("trailer", "X-Sum"),
  known("proxy-authenticate", "Basic"),
  known("x-lychgate-reason", "ok"),
);

/** The same for responses. */
export const responseHeads: Arbitrary<string> = fc
  .tuple(
    fc.oneof({ weight: 9, arbitrary: fc.constant("1") }, fc.constant("0")),
    fc.constantFrom(100, 101, 103, 200, 204, 304, 404, 599, 999),
    fc.constantFrom("", " ", " OK", " Sch\xf6n  so", " a\tb"),
    fc.array(responseLines, { maxLength: 10 }),
  )
  .map(([minor, status, phrase, lines]) => `HTTP/1.${minor} ${status}${phrase}\r\n${lines.join("")}\r\n`);

const chunkData = fc.string({
  unit: fc.constantFrom("a", "0", "\r", "\n", "\r\n", "\0", "\xff"),
  minLength: 1,
  maxLength: 40,
});
const chunkSize = (size: number) =>
  fc.tuple(fc.constantFrom("", "0", "000"), fc.boolean()).map(([zeros, upper]) => {
    const digits = size.toString(16);
    return zeros + (upper ? digits.toUpperCase() : digits);
  });
const extension = fc.oneof(
  { weight: 3, arbitrary: fc.constant("") },
  fc.constantFrom(";a", ";a=b", '; a = "b;\\" c"', ";;;", ";\xff\t"),
);

/** Chunked bodies with extensions; `data` is what they carry, `trailers` the field lines at their end. */
export const chunkedBodies: Arbitrary<{
  readonly text: string;
  readonly data: string;
  readonly trailers: string;
}> = fc
  .tuple(
    fc.array(
      chunkData.chain((data) =>
        fc
          .tuple(chunkSize(data.length), extension)
          .map(([size, extension]) => ({ data, text: `${size}${extension}\r\n${data}\r\n` })),
      ),
      { maxLength: 5 },
    ),
    fc.tuple(fc.constantFrom("0", "000"), extension).map(([zeros, extension]) => `${zeros}${extension}\r\n`),
    fc.constantFrom("", "", "X-Sum: 1\r\n", "a:\r\nB: \xe9\r\n"),
  )
  .map(([chunks, last, trailers]) => ({
    text: `${chunks.map(({ text }) => text).join("")}${last}${trailers}\r\n`,
    data: chunks.map(({ data }) => data).join(""),
    trailers,
  }));

const SPLINTERS = [
  "\r",
  "\n",
  "\r\n",
  "\0",
  " ",
  "\t",
  ":",
  ";",
  "0",
  "5",
  "f",
  "0x",
  "-",
  "+",
  ",",
  "#",
  "\x7f",
  "\x80",
  "\xff",
  "HTTP/1.1",
  "\r\n\r\n",
  "\r\n ",
  "Content-Length: 3\r\n",
  "Transfer-Encoding: chunked\r\n",
] as const;

interface Wound {
  readonly at: number;
  readonly drop: number;
  readonly put: string;
}

/** The texts with up to three places hurt: something dropped, something else put there. */
export function mutated(texts: Arbitrary<string>): Arbitrary<string> {
  const wound: Arbitrary<Wound> = fc.record({
    at: fc.nat(10_000),
    drop: fc.nat(2),
    put: fc.oneof(fc.constant(""), fc.constantFrom(...SPLINTERS)),
  });
  return fc.tuple(texts, fc.array(wound, { minLength: 1, maxLength: 3 })).map(([text, wounds]) => {
    let hurt = text;
    for (const { at, drop, put } of wounds) {
      const place = at % (hurt.length + 1);
      hurt = hurt.slice(0, place) + put + hurt.slice(place + drop);
    }
    return hurt;
  });
}
