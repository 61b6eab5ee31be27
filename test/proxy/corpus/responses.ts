/** What a pod sends in answer to `request`, and what it does then. Text is latin1. */
export interface ResponseCase {
  readonly name: string;
  readonly text: string;
  /** Default `keep`. */
  readonly after?: "keep" | "close" | "reset";
  /** Default a GET. */
  readonly request?: string;
  /**
   * Why the lanes may differ: in whether the client's connection goes on, in whether the pod's does, in what else the client
   * is told, or in all.
   */
  readonly differs?: { readonly in: "connection" | "connects" | "answers" | "all"; readonly why: string };
}

const ok = (fields: string, body = "") => `HTTP/1.1 200 OK\r\n${fields}\r\n\r\n${body}`;
const chunked = (body: string) => ok("Transfer-Encoding: chunked", body);
const to = (method: string) => `${method} /r HTTP/1.1\r\nHost: HOST\r\n\r\n`;

const UNTIL_CLOSE = {
  in: "connection",
  why: "the full lane puts it in chunks, the fast lane passes it on as it is, and closes",
} as const;
const WHEN_CUT = {
  in: "all",
  why: "how much of it reached the client before it was cut depends on reads",
} as const;
const UNDICI_CLOSES = {
  in: "connects",
  why: "undici does not use a connection again after HEAD, nor when a 204 or 304 tells a length",
} as const;
const OLD_KEPT = {
  in: "connects",
  why: "undici keeps such a connection, the fast lane none of HTTP/1.0",
} as const;
const HEAD_FRAMING = {
  in: "all",
  why: "a body where none can be: what the pod's connection is worth is found out sooner or later",
} as const;

export const RESPONSES: readonly ResponseCase[] = [
  { name: "a length", text: ok("Content-Length: 5", "hello") },
  { name: "nothing", text: ok("Content-Length: 0") },
  { name: "a length with zeros", text: ok("Content-Length: 0005", "hello") },
  {
    name: "fields of all sorts",
    text: ok(
      "X-OdD: 1\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nX-Empty:\r\nX-Latin: \xe9\xff\r\n!#$%&'*+-.^_`|~: x\r\nContent-Length: 2\r\nX-Spaces: \t a  b \t",
      "ok",
    ),
  },
  { name: "a Date of its own", text: ok("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 2", "ok") },
  {
    name: "hop-by-hop fields",
    text: ok(
      "Connection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nProxy-Authenticate: y\r\nUpgrade: h2c\r\nTE: z\r\nContent-Length: 2",
      "ok",
    ),
  },
  { name: "Connection: close", text: ok("Connection: close\r\nContent-Length: 2", "ok"), after: "close" },
  { name: "Connection: close, and it does not", text: ok("Connection: close\r\nContent-Length: 2", "ok") },
  {
    name: "Connection nominates the length",
    text: ok("Connection: Content-Length\r\nContent-Length: 2", "ok"),
  },
  { name: "our own reason from a pod", text: ok("X-Lychgate-Reason: ok\r\nContent-Length: 2", "ok") },
  { name: "chunked", text: chunked("5\r\nhello\r\n0\r\n\r\n") },
  { name: "chunked, of nothing", text: chunked("0\r\n\r\n") },
  { name: "chunk extensions and zeros", text: chunked("005;a=b\r\nhello\r\n000;c\r\n\r\n") },
  {
    name: "trailers",
    text: ok("Trailer: X-Sum\r\nTransfer-Encoding: chunked", "2\r\nhi\r\n0\r\nX-Sum: 1\r\nX-Two:2\r\n\r\n"),
  },
  {
    name: "trailers that must not pass",
    text: chunked("2\r\nhi\r\n0\r\nX-Sum: 1\r\nSet-Cookie: a\r\nX-Lychgate-Reason: ok\r\n\r\n"),
  },
  { name: "a large body", text: ok("Content-Length: 300000", "z".repeat(300_000)) },
  {
    name: "a large body in chunks",
    text: chunked(`${"10000\r\n" + "y".repeat(0x10000)}\r\n`.repeat(3) + "0\r\n\r\n"),
  },
  { name: "until close", text: ok("X: 1", "hello"), after: "close", differs: UNTIL_CLOSE },
  { name: "until close, of nothing", text: ok("X: 1"), after: "close", differs: UNTIL_CLOSE },
  { name: "until close, and a RST", text: ok("X: 1", "hello"), after: "reset", differs: WHEN_CUT },
  { name: "HTTP/1.0", text: "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", after: "close" },
  {
    name: "HTTP/1.0 until close",
    text: "HTTP/1.0 200 OK\r\n\r\nhello",
    after: "close",
    differs: UNTIL_CLOSE,
  },
  { name: "to HEAD", text: ok("Content-Length: 100\r\nX: 1"), request: to("HEAD"), differs: UNDICI_CLOSES },
  {
    name: "to HEAD, chunked",
    text: ok("Transfer-Encoding: chunked\r\nX: 1"),
    request: to("HEAD"),
    differs: UNDICI_CLOSES,
  },
  { name: "to HEAD, without a length", text: ok("X: 1"), request: to("HEAD"), differs: UNDICI_CLOSES },
  {
    name: "to HEAD, with a body",
    text: ok("Content-Length: 2", "ok"),
    request: to("HEAD"),
    after: "close",
    differs: HEAD_FRAMING,
  },
  { name: "204", text: "HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n" },
  {
    name: "204 with a length",
    text: "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
    differs: UNDICI_CLOSES,
  },
  {
    name: "204 in chunks",
    text: "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
    differs: UNDICI_CLOSES,
  },
  { name: "304", text: "HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n" },
  {
    name: "304 with a length",
    text: "HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n",
    differs: UNDICI_CLOSES,
  },
  { name: "205", text: "HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n" },
  {
    name: "103 and 200",
    text: `HTTP/1.1 103 Early Hints\r\nLink: x\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n${ok("Content-Length: 2", "ok")}`,
  },
  {
    name: "several 1xx",
    text: `HTTP/1.1 102 P\r\n\r\nHTTP/1.1 103 E\r\nA: 1\r\n\r\nHTTP/1.1 199 X\r\n\r\n${ok("Content-Length: 2", "ok")}`,
  },
  {
    name: "100 unasked",
    text: `HTTP/1.1 100 Continue\r\n\r\n${ok("Content-Length: 2", "ok")}`,
  },
  {
    name: "65 of 1xx",
    text: "HTTP/1.1 103 E\r\n\r\n".repeat(65) + ok("Content-Length: 2", "ok"),
    differs: { in: "answers", why: "how many of them came before the answer" },
  },
  {
    name: "101 unasked",
    text: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nbytes",
  },
  {
    name: "a length of a 1xx",
    text: `HTTP/1.1 103 E\r\nContent-Length: 5\r\n\r\n${ok("Content-Length: 2", "ok")}`,
  },
  { name: "no phrase", text: "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok" },
  { name: "no phrase and no space", text: "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok" },
  { name: "a phrase of UTF-8", text: "HTTP/1.1 200 Sch\xc3\xb6n  so\r\nContent-Length: 2\r\n\r\nok" },
  {
    name: "a phrase of latin1",
    text: "HTTP/1.1 200 Sch\xf6n\r\nContent-Length: 2\r\n\r\nok",
  },
  { name: "599", text: "HTTP/1.1 599 Odd\r\nContent-Length: 2\r\n\r\nok" },
  { name: "999", text: "HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\nok" },
  {
    name: "two equal lengths",
    text: ok("Content-Length: 2\r\nContent-Length: 2", "ok"),
  },
  {
    name: "100 unasked, twice, and a 103",
    text: `${"HTTP/1.1 100 Continue\r\n\r\n".repeat(2)}HTTP/1.1 103 E\r\nA: 1\r\n\r\n${ok("Content-Length: 2", "ok")}`,
  },
  {
    name: "three equal lengths among others",
    text: ok("A: 1\r\ncontent-length: 2\r\nContent-Length: 2\r\nB: 2\r\nContent-Length: 2", "ok"),
  },
  {
    name: "a length of anything and TE",
    text: ok("Transfer-Encoding: chunked\r\nContent-Length: 999", "2\r\nok\r\n0\r\n\r\n"),
  },
  {
    name: "another response behind trailers",
    text: chunked(`2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n${ok("Content-Length: 4", "EVIL")}`),
  },
  { name: "trailers", text: chunked("2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n") },
  {
    name: "a length among the trailers",
    text: chunked("2\r\nok\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n"),
  },
  { name: "HTTP/1.0 with a length", text: "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok" },
  {
    name: "HTTP/1.0 with a length that would go on",
    text: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    differs: OLD_KEPT,
  },
  {
    name: "HTTP/1.0 with chunks",
    text: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
  },
  { name: "garbage behind it", text: ok("Content-Length: 2", "okGARBAGE") },
  {
    name: "another response behind it",
    text: ok("Content-Length: 2", `ok${ok("Content-Length: 4", "EVIL")}`),
  },
  {
    name: "another response behind chunks",
    text: chunked(`2\r\nok\r\n0\r\n\r\n${ok("Content-Length: 4", "EVIL")}`),
  },
  {
    name: "CL and TE",
    text: ok("Content-Length: 2\r\nTransfer-Encoding: chunked", "2\r\nok\r\n0\r\n\r\n"),
  },
];

export const FAULTY_RESPONSES: readonly ResponseCase[] = [
  { name: "nothing, and a FIN", text: "", after: "close" },
  { name: "nothing, and a RST", text: "", after: "reset" },
  { name: "half a head", text: "HTTP/1.1 200 OK\r\nContent-", after: "close" },
  { name: "half a body", text: ok("Content-Length: 10", "hello"), after: "close", differs: WHEN_CUT },
  { name: "half a chunk", text: chunked("a\r\nhello"), after: "close", differs: WHEN_CUT },
  { name: "no last chunk", text: chunked("5\r\nhello\r\n"), after: "close", differs: WHEN_CUT },
  { name: "half of the last chunk", text: chunked("5\r\nhello\r\n0\r\n"), after: "close", differs: WHEN_CUT },
  { name: "only a 1xx", text: "HTTP/1.1 103 E\r\n\r\n", after: "close" },
  { name: "two lengths", text: ok("Content-Length: 2\r\nContent-Length: 3", "ok!") },
  {
    name: "two lengths that are the same number",
    text: ok("Content-Length: 2\r\nContent-Length: 02", "ok"),
    after: "close",
  },
  { name: "a list of lengths", text: ok("Content-Length: 2, 2", "ok"), after: "close" },
  { name: "a length with a sign", text: ok("Content-Length: +2", "ok"), after: "close" },
  { name: "a negative length", text: ok("Content-Length: -2", "ok"), after: "close" },
  { name: "an empty length", text: ok("Content-Length:", "ok"), after: "close" },
  { name: "gzip, chunked", text: ok("Transfer-Encoding: gzip, chunked", "0\r\n\r\n"), after: "close" },
  { name: "chunked, chunked", text: ok("Transfer-Encoding: chunked, chunked", "0\r\n\r\n"), after: "close" },
  { name: "identity", text: ok("Transfer-Encoding: identity", "ok"), after: "close" },
  {
    name: "two codings",
    text: ok("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
    after: "close",
  },
  { name: "a space before the colon", text: ok("Content-Length : 2", "ok"), after: "close" },
  { name: "obs-fold", text: ok("X: 1\r\n 2\r\nContent-Length: 2", "ok"), after: "close" },
  { name: "NUL in a value", text: ok("X: a\0b\r\nContent-Length: 2", "ok"), after: "close" },
  { name: "a control in a value", text: ok("X: a\x01b\r\nContent-Length: 2", "ok"), after: "close" },
  { name: "a bare CR in a value", text: ok("X: a\rb\r\nContent-Length: 2", "ok"), after: "close" },
  { name: "a name that is none", text: ok("X(: a\r\nContent-Length: 2", "ok"), after: "close" },
  { name: "a line without a colon", text: ok("nothing\r\nContent-Length: 2", "ok"), after: "close" },
  { name: "bare LF", text: "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", after: "close" },
  {
    name: "HTTP/2.0",
    text: "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    after: "close",
  },
  { name: "HTTP/1.2", text: "HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok", after: "close" },
  { name: "status 99", text: "HTTP/1.1 99 OK\r\nContent-Length: 2\r\n\r\nok", after: "close" },
  { name: "status 000", text: "HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\nok", after: "close" },
  { name: "status 2000", text: "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok", after: "close" },
  { name: "status abc", text: "HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok", after: "close" },
  { name: "101 and 200", text: `HTTP/1.1 101 S\r\n\r\n${ok("Content-Length: 2", "ok")}`, after: "close" },
  { name: "a length of 2^53 and more", text: ok("Content-Length: 9007199254740994", "ok"), after: "close" },
  { name: "HTTP/0.9", text: "HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nok", after: "close" },
  { name: "NUL in the phrase", text: "HTTP/1.1 200 O\0K\r\nContent-Length: 2\r\n\r\nok", after: "close" },
  { name: "an empty line before it", text: `\r\n${ok("Content-Length: 2", "ok")}`, after: "close" },
  { name: "a bare LF behind a trailer", text: chunked("2\r\nok\r\n0\r\nX: 1\n\r\n"), differs: WHEN_CUT },
  { name: "no HTTP", text: "SSH-2.0-OpenSSH_9.9\r\n", after: "close" },
  { name: "a request", text: "GET / HTTP/1.1\r\nHost: x\r\n\r\n", after: "close" },
  {
    name: "a head above the limit",
    text: ok(`X: ${"x".repeat(140_000)}\r\nContent-Length: 2`, "ok"),
    after: "close",
  },
  { name: "a size with 0x", text: chunked("0x5\r\nhello\r\n0\r\n\r\n"), differs: WHEN_CUT },
  { name: "a space behind a size", text: chunked("5 \r\nhello\r\n0\r\n\r\n"), differs: WHEN_CUT },
  { name: "no size", text: chunked("\r\nhello\r\n0\r\n\r\n"), differs: WHEN_CUT },
  { name: "a size above 2^64", text: chunked("10000000000000005\r\nhello\r\n0\r\n\r\n"), differs: WHEN_CUT },
  { name: "LF behind a size", text: chunked("5\nhello\r\n0\r\n\r\n"), differs: WHEN_CUT },
  { name: "nothing behind a chunk", text: chunked("5\r\nhello0\r\n\r\n"), differs: WHEN_CUT },
  {
    name: "a trailer that is none",
    text: chunked("5\r\nhello\r\n0\r\nno trailer\r\n\r\n"),
    differs: WHEN_CUT,
  },
];
