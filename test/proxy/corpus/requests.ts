/** Bytes that a client sends, with `HOST` where the sandbox's Host stands. Text is latin1. */
export interface RequestCase {
  readonly name: string;
  readonly text: string;
  /**
   * `bad`: not a byte of what is wrong may reach a pod when it comes at once, and never a complete request made of it.
   * `cut`: it ends before it is whole.
   */
  readonly is?: "bad" | "cut";
  /** Whole and legal requests before what is wrong or cut. */
  readonly before?: number;
  /** Why the lanes may answer differently. What must hold for each of them is checked all the same. */
  readonly differs?: string;
}

const H = "Host: HOST\r\n";
const get = (line: string, ...fields: string[]) =>
  `GET / HTTP/1.1\r\n${H}${line}\r\n${fields.map((field) => `${field}\r\n`).join("")}\r\n`;
const post = (fields: string, body: string) => `POST /p HTTP/1.1\r\n${H}${fields}\r\n\r\n${body}`;
const chunked = (body: string) => post("Transfer-Encoding: chunked", body);

const UNKNOWN_METHOD = "node:http knows the registered methods only, and refuses others with 400";
const SAME_REFUSAL = "refused by both; the full lane tells it as bad_target, and goes on";
const LATER =
  "node:http knows 1.0 and 1.1: what comes to the full lane later than its first request is refused";
const LLHTTP_SPACES = "llhttp takes several spaces for one; what goes on to the pod is written anew";
const TRAILERS_LATER = "the fast lane reads trailers when the body is on its way; the full lane says 431";
const LLHTTP_SKIPS =
  "llhttp skips any CR and LF before a request line; the fast lane only CRLF (RFC 9112 2.2)";

export const LEGAL: readonly RequestCase[] = [
  { name: "GET", text: get("Accept: */*") },
  { name: "no fields but Host", text: `GET / HTTP/1.1\r\n${H}\r\n` },
  { name: "Host without a space", text: "GET / HTTP/1.1\r\nHost:HOST\r\n\r\n" },
  { name: "Host among tabs and in capitals", text: "GET / HTTP/1.1\r\nHOST:\t HOST \t\r\n\r\n" },
  { name: "HEAD", text: `HEAD /h HTTP/1.1\r\n${H}\r\n` },
  { name: "two pipelined", text: `GET /1 HTTP/1.1\r\n${H}\r\nGET /2 HTTP/1.1\r\n${H}\r\n` },
  { name: "pipelined HEAD and POST", text: `HEAD /1 HTTP/1.1\r\n${H}\r\n${post("Content-Length: 2", "hi")}` },
  { name: "pipelined chunked ones", text: chunked("2\r\nhi\r\n0\r\n\r\n") + chunked("1\r\n!\r\n0\r\n\r\n") },
  { name: "POST with a length", text: post("Content-Length: 5", "hello") },
  { name: "POST with a length of zeros", text: post("Content-Length: 00005", "hello") },
  { name: "POST with no length", text: post("X: 1", "") },
  { name: "POST of nothing", text: post("Content-Length: 0", "") },
  { name: "GET with a body", text: `GET / HTTP/1.1\r\n${H}Content-Length: 2\r\n\r\nhi` },
  {
    name: "DELETE with a chunked body",
    text: `DELETE /d HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n`,
  },
  {
    name: "a body that looks like a request",
    text: post("Content-Length: 24", "GET /evil HTTP/1.1\r\nA: b\r\n".slice(0, 24)),
  },
  { name: "chunked", text: chunked("5\r\nhello\r\n0\r\n\r\n") },
  { name: "Chunked in capitals", text: post("transfer-encoding:  CHUNKED ", "1\r\na\r\n0\r\n\r\n") },
  { name: "chunked, of nothing", text: chunked("0\r\n\r\n") },
  { name: "chunk extensions", text: chunked('2;a;b=c;d="e;f"\r\nhi\r\n0;x\r\n\r\n') },
  {
    name: "a chunk extension behind a space",
    text: chunked('2; a="b"\r\nhi\r\n0\r\n\r\n'),
    differs: "llhttp refuses white space that RFC 9112 7.1.1 lets pass",
  },
  { name: "chunk sizes with zeros and capitals", text: chunked("000A\r\n0123456789\r\n000\r\n\r\n") },
  { name: "trailers", text: chunked("2\r\nhi\r\n0\r\nX-Sum: 1\r\nX-Other:2 \r\n\r\n") },
  {
    name: "trailers that must not pass",
    text: chunked("2\r\nhi\r\n0\r\nX-Sum: 1\r\nAuthorization: x\r\nHost: evil\r\n\r\n"),
  },
  {
    name: "trailers that route",
    text: chunked(
      "2\r\nhi\r\n0\r\nX-Sum: 1\r\nE2B-Sandbox-Id: other\r\ne2b_sandbox_port: 1\r\nX-Sandbox-Id: other\r\n\r\n",
    ),
  },
  {
    name: "a length among the trailers",
    text: chunked("2\r\nhi\r\n0\r\nContent-Length: 9\r\n\r\n"),
    differs:
      "llhttp refuses it; the fast lane drops it, like other fields that must not be there (RFC 9110 6.5.1)",
  },
  {
    name: "chunks that look like requests",
    text: chunked("1a\r\nGET /evil HTTP/1.1\r\nA: b\r\n\r\n0\r\n\r\n"),
  },
  { name: "Connection: close", text: get("Connection: close") },
  { name: "Connection: close among others", text: get("Connection: keep-alive, X-Hop, close", "X-Hop: 1") },
  { name: "Connection: keep-alive", text: get("Connection: keep-alive", "Keep-Alive: timeout=5") },
  {
    name: "Connection nominates",
    text: get("Connection: X-Hop,  x-other", "X-Hop: 1", "X-Other: 2", "X-Third: 3"),
  },
  {
    name: "Connection nominates what must stay",
    text: get(
      "Connection: Host, Cookie, Content-Length, X-Forwarded-For, Authorization",
      "Cookie: a=1",
      "Authorization: b",
    ),
  },
  { name: "several Connection fields", text: get("Connection: X-A", "Connection: keep-alive", "X-A: 1") },
  { name: "an empty Connection", text: get("Connection:") },
  {
    name: "Proxy fields",
    text: get("Proxy-Connection: keep-alive", "Proxy-Authorization: Basic x", "Proxy-Authenticate: y"),
  },
  { name: "TE: trailers", text: get("TE: trailers, gzip;q=0.5", "Connection: TE") },
  {
    name: "X-Forwarded of a client",
    text: get(
      "X-Forwarded-For: 1.1.1.1",
      "x-forwarded-host: evil",
      "X-Forwarded-Proto: https",
      "x-forwarded-Port: 1",
      "Forwarded: for=1.1.1.1",
    ),
  },
  {
    name: "what only proxies know, of a client",
    text: get(
      "X-Real-IP: 1.1.1.1",
      "x-client-ip: 1.1.1.1",
      "True-Client-IP: 1.1.1.1",
      "X-Forwarded-Ssl: on",
      "X-Forwarded-Prefix: /evil",
      "X-Forwarded-Server: evil",
      "X-Original-URL: /evil",
      "X-Rewrite-URL: /evil",
    ),
  },
  {
    name: "the same with _ in place of -",
    text: get("X_Forwarded_For: 1.1.1.1", "X-Forwarded_Host: evil", "X_Real_IP: 1.1.1.1", "X_Request_Id: a"),
  },
  { name: "Via of others", text: get("Via: 1.0 fred, 1.1 p.example.net", "via: 1.1 x") },
  { name: "Via, and Connection that nominates it", text: get("Via: 1.0 fred", "Connection: via") },
  { name: "Max-Forwards", text: get("Max-Forwards: 0") },
  { name: "OPTIONS with Max-Forwards", text: `OPTIONS /o HTTP/1.1\r\n${H}Max-Forwards: 3\r\n\r\n` },
  { name: "OPTIONS with Max-Forwards: 0", text: `OPTIONS /o HTTP/1.1\r\n${H}Max-Forwards: 0\r\n\r\n` },
  { name: "HTTP/1.2", text: `GET / HTTP/1.2\r\n${H}\r\n`, differs: LATER },
  {
    name: "HTTP/1.9 with a body",
    text: post("Content-Length: 2", "hi").replace("1.1", "1.9"),
    differs: LATER,
  },
  {
    name: "HTTP/1.3 in absolute-form",
    text: `GET http://HOST/abs HTTP/1.3\r\n${H}\r\n`,
    differs: LATER,
  },
  { name: "a request ID", text: get("X-Request-Id: my-id-1") },
  { name: "two request IDs", text: get("X-Request-Id: a", "X-Request-Id: b") },
  { name: "a request ID that is none", text: get("X-Request-Id: a b") },
  { name: "fields with odd names", text: get("!#$%&'*+-.^_`|~0: odd", "x_y: 1", "X: ") },
  { name: "fields with bytes above ASCII and tabs", text: get("X-Latin: \xe9\xff\x80", "X-Tab: a\tb") },
  {
    name: "names like those with a rule",
    text: get("Hos: 1", "Connectioo: close", "Content-Lengtg: 5", "Transfer_Encoding: chunked", "Xost: e"),
  },
  { name: "names longer than any", text: get(`${"x".repeat(80)}: 1`) },
  { name: "many fields", text: get("X-0: 0", ...Array.from({ length: 300 }, (_, i) => `X-${i}: ${i}`)) },
  { name: "a huge field", text: get(`X-Big: ${"b".repeat(20_000)}`) },
  { name: "a large body", text: post("Content-Length: 100000", "x".repeat(100_000)) },
  {
    name: "a large body in chunks",
    text: chunked(`${"8000\r\n" + "y".repeat(0x8000)}\r\n`.repeat(3) + "0\r\n\r\n"),
  },
  { name: "path and query as they are", text: `GET /a/../%2e//b?c=%00&&d;"<>\\^\`{|} HTTP/1.1\r\n${H}\r\n` },
  { name: "the routing path", text: "GET /kruise/box/PORT/x?y HTTP/1.1\r\nHost: a\r\n\r\n" },
  { name: "the routing path without Host", text: "GET /kruise/box/PORT/x HTTP/1.1\r\n\r\n" },
  { name: "the routing path and an empty Host", text: "GET /kruise/box/PORT/x HTTP/1.1\r\nHost:\r\n\r\n" },
  {
    name: "the routing fields",
    text: "GET /f HTTP/1.1\r\nHost: a\r\nE2B-Sandbox-Id: box\r\nE2B-Sandbox-Port: PORT\r\n\r\n",
  },
  { name: "absolute-form", text: `GET http://HOST/abs?q HTTP/1.1\r\nHost: other.example.com\r\n\r\n` },
  {
    name: "absolute-form behind a plain one",
    text: `GET /1 HTTP/1.1\r\n${H}\r\nGET HTTP://HOST HTTP/1.1\r\n${H}\r\n`,
  },
  { name: "HTTP/1.0", text: `GET /old HTTP/1.0\r\n${H}\r\n` },
  {
    name: "HTTP/1.0 that keeps its connection",
    text: `GET /old HTTP/1.0\r\n${H}Connection: keep-alive\r\n\r\n`,
  },
  {
    name: "HTTP/1.0 with a body, behind a plain one",
    text: `GET / HTTP/1.1\r\n${H}\r\nPOST /old HTTP/1.0\r\n${H}Content-Length: 2\r\n\r\nhi`,
  },
  { name: "Expect: 100-continue", text: post("Expect: 100-continue\r\nContent-Length: 5", "hello") },
  {
    name: "Expect behind a plain one",
    text: `GET / HTTP/1.1\r\n${H}\r\n${post("Expect: 100-continue\r\nContent-Length: 5", "hello")}`,
  },
  { name: "another expectation", text: get("Expect: the-unexpected") },
  { name: "Upgrade that Connection does not ask for", text: get("Upgrade: websocket") },
  {
    name: "Upgrade to h2c",
    text: get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: x"),
  },
  { name: "empty lines before it", text: `\r\n\r\n${get("X: 1")}` },
  { name: "an empty line between two", text: `${get("X: 1")}\r\n${get("X: 2")}` },
  { name: "a method of node's list", text: `M-SEARCH /m HTTP/1.1\r\n${H}\r\n` },
  { name: "a method of nobody's list", text: `FROB /m HTTP/1.1\r\n${H}\r\n`, differs: UNKNOWN_METHOD },
  { name: "a method in lower case", text: `get /m HTTP/1.1\r\n${H}\r\n`, differs: UNKNOWN_METHOD },
  {
    name: "PUT, PATCH and OPTIONS",
    text: ["PUT", "PATCH", "OPTIONS"]
      .map((method) => `${method} /o HTTP/1.1\r\n${H}Content-Length: 1\r\n\r\nx`)
      .join(""),
  },
  { name: "no sandbox, and then one", text: `GET /n HTTP/1.1\r\nHost: nothing\r\n\r\n${get("X: 1")}` },
  {
    name: "an unknown sandbox with a body, and then a known one",
    text: `POST /n HTTP/1.1\r\nHost: 80-nobody.example.com\r\nContent-Length: 3\r\n\r\nabc${get("X: 1")}`,
    differs:
      "a body that is refused before it is here whole closes the connection; whether it is depends on reads",
  },
  { name: "two Hosts", text: get("Host: HOST") },
  { name: "an invalid Host", text: "GET / HTTP/1.1\r\nHost: a b/c@d\r\n\r\n" },
  { name: "no Host", text: "GET / HTTP/1.1\r\nX: 1\r\n\r\n" },
  { name: "a fragment in the target", text: `GET /a#b HTTP/1.1\r\n${H}\r\n`, differs: SAME_REFUSAL },
  { name: "OPTIONS *", text: `OPTIONS * HTTP/1.1\r\n${H}\r\n` },
  { name: "GET *", text: `GET * HTTP/1.1\r\n${H}\r\n` },
  { name: "bytes above ASCII in the target", text: `GET /\xe9\xff HTTP/1.1\r\n${H}\r\n` },
];

const FIN_IN_BODY = "the full lane answers 400 before it closes, which nobody has to (RFC 9112 8)";

export const CUT_SHORT: readonly RequestCase[] = [
  { name: "half a head", text: `GET / HTTP/1.1\r\n${H}X-Ha`, is: "cut" },
  { name: "half a request line", text: "GET /", is: "cut" },
  {
    name: "half a head behind a whole request",
    text: `${get("X: 1")}GET / HTTP/1.1\r\nHo`,
    is: "cut",
    before: 1,
  },
  { name: "half a body", text: post("Content-Length: 10", "hello"), is: "cut", differs: FIN_IN_BODY },
  { name: "half a chunk", text: chunked("a\r\nhello"), is: "cut", differs: FIN_IN_BODY },
  { name: "a chunk and no more", text: chunked("5\r\nhello\r\n"), is: "cut", differs: FIN_IN_BODY },
  { name: "half a last chunk", text: chunked("5\r\nhello\r\n0\r\n"), is: "cut", differs: FIN_IN_BODY },
  { name: "half a trailer", text: chunked("5\r\nhello\r\n0\r\nX-S: 1\r\n"), is: "cut", differs: FIN_IN_BODY },
];

const bad = (name: string, text: string, differs?: string): RequestCase => ({
  name,
  text,
  is: "bad",
  ...(differs === undefined ? {} : { differs }),
});

export const MALFORMED: readonly RequestCase[] = [
  bad("CL and TE", post("Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\nX")),
  bad("TE and CL", post("Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\nX")),
  bad("two equal lengths", post("Content-Length: 5\r\nContent-Length: 5", "hello")),
  bad("two lengths", post("Content-Length: 5\r\nContent-Length: 6", "hello!")),
  bad("a list of lengths", post("Content-Length: 5, 5", "hello")),
  bad("a length with a sign", post("Content-Length: +5", "hello")),
  bad("a negative length", post("Content-Length: -5", "hello")),
  bad("a hexadecimal length", post("Content-Length: 0x5", "hello")),
  bad("an empty length", post("Content-Length:", "hello")),
  bad("a length with a space in it", post("Content-Length: 1 0", "0123456789")),
  bad("a length of 16 digits", post("Content-Length: 0000000000000005", "hello")),
  bad("a length above 2^64", post("Content-Length: 18446744073709551621", "hello")),
  bad(
    "two Transfer-Encodings",
    post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
  ),
  bad("chunked, chunked", post("Transfer-Encoding: chunked, chunked", "0\r\n\r\n")),
  bad("gzip, chunked", post("Transfer-Encoding: gzip, chunked", "0\r\n\r\n")),
  bad("chunked, gzip", post("Transfer-Encoding: chunked, gzip", "0\r\n\r\n")),
  bad("identity", post("Transfer-Encoding: identity", "0\r\n\r\n")),
  bad(
    "chunked, identity in two fields",
    post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "0\r\n\r\n"),
  ),
  bad("xchunked", post("Transfer-Encoding: xchunked", "0\r\n\r\n")),
  bad("chunkedx", post("Transfer-Encoding: chunkedx", "0\r\n\r\n")),
  bad("an empty Transfer-Encoding", post("Transfer-Encoding:", "0\r\n\r\n")),
  bad("chunked behind a vertical tab", post("Transfer-Encoding: \x0bchunked", "0\r\n\r\n")),
  bad("chunked in quotes", post('Transfer-Encoding: "chunked"', "0\r\n\r\n")),
  bad("a space before the colon", post("Transfer-Encoding : chunked", "0\r\n\r\n")),
  bad("a tab before the colon", post("Content-Length\t: 5", "hello")),
  bad("a space before the name", `GET / HTTP/1.1\r\n Host: HOST\r\n\r\n`),
  bad("obs-fold", get("X-Fold: a\r\n b")),
  bad("obs-fold of a framing field", post("Transfer-Encoding:\r\n chunked", "0\r\n\r\n")),
  bad("a line without a colon", get("nothing")),
  bad("an empty name", get(": x")),
  bad("NUL in a name", get("X\0Y: 1")),
  bad("NUL in a value", get("X: a\0b")),
  bad("a control in a value", get("X: a\x01b")),
  bad("DEL in a value", get("X: a\x7fb")),
  bad("a bare CR in a value", get("X: a\rb")),
  bad("a bare CR that hides a field", get("X: a\rContent-Length: 5")),
  bad("a parenthesis in a name", get("X(Y): 1")),
  bad("bytes above ASCII in a name", get("X\xe9: 1")),
  bad("bare LF everywhere", "GET / HTTP/1.1\nHost: HOST\n\n"),
  bad("a bare LF after the request line", `GET / HTTP/1.1\n${H}\r\n`),
  bad("a bare LF after a field", "GET / HTTP/1.1\r\nHost: HOST\nX: 1\r\n\r\n"),
  bad("a bare LF as the empty line", `GET / HTTP/1.1\r\n${H}\n`),
  bad("LF CR", `GET / HTTP/1.1\n\r${H}\r\n`),
  bad("two spaces before the target", `GET  / HTTP/1.1\r\n${H}\r\n`, LLHTTP_SPACES),
  bad("two spaces behind the target", `GET /  HTTP/1.1\r\n${H}\r\n`, LLHTTP_SPACES),
  bad("a tab in the request line", `GET\t/ HTTP/1.1\r\n${H}\r\n`),
  bad("a space in the target", `GET /a b HTTP/1.1\r\n${H}\r\n`),
  bad("a space behind the version", `GET / HTTP/1.1 \r\n${H}\r\n`),
  bad("a space before the method", ` GET / HTTP/1.1\r\n${H}\r\n`),
  bad("NUL in the target", `GET /a\0b HTTP/1.1\r\n${H}\r\n`),
  bad("a CR in the target", `GET /a\rb HTTP/1.1\r\n${H}\r\n`),
  bad("DEL in the target", `GET /a\x7fb HTTP/1.1\r\n${H}\r\n`, SAME_REFUSAL),
  bad("HTTP/0.9", "GET /\r\n\r\n"),
  bad("CONNECT", `CONNECT HOST HTTP/1.1\r\n${H}\r\n`),
  bad("CONNECT in origin-form", `CONNECT /x HTTP/1.1\r\n${H}\r\n`),
  bad("CONNECT in absolute-form", `CONNECT http://HOST/ HTTP/1.1\r\n${H}\r\n`),
  bad("connect in lower case", `connect /x HTTP/1.1\r\n${H}\r\n`, UNKNOWN_METHOD),
  bad("TRACE", `TRACE / HTTP/1.1\r\n${H}Cookie: secret\r\n\r\n`),
  bad("CONNECT behind a legal one", `${get("X: 1")}CONNECT /x HTTP/1.1\r\n${H}\r\n`),
  bad("HTTP/3.0", `GET / HTTP/3.0\r\n${H}\r\n`),
  bad("HTTP/2.0", `GET / HTTP/2.0\r\n${H}\r\n`),
  bad("HTTP/1.10", `GET / HTTP/1.10\r\n${H}\r\n`),
  bad("http/1.1", `GET / http/1.1\r\n${H}\r\n`),
  bad("HTTP/11", `GET / HTTP/11\r\n${H}\r\n`),
  bad("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  bad("HTTP/1.0 in chunks", `POST / HTTP/1.0\r\n${H}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`),
  bad("a ClientHello", "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"),
  bad("the PROXY protocol", "PROXY TCP4 192.0.2.1 192.0.2.2 56324 80\r\n"),
  bad("the PROXY protocol, version 2", "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01"),
  bad("text", "hello, is it me you're looking for?\r\n\r\n"),
  bad("a response", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
  bad("an LF before it", `\n${get("X: 1")}`, LLHTTP_SKIPS),
  bad("a head above the limit", get(`X-Big: ${"b".repeat(70_000)}`)),
  bad(
    "fields above the limit",
    get("X: 1", ...Array.from({ length: 9000 }, (_, i) => `X-${i}: 1`)),
    "node:http counts names and values, the fast lane all bytes",
  ),
  bad("garbage behind a legal one", `${get("X: 1")}\0\0\0\r\n\r\n`),
  bad(
    "CL and TE behind a legal one",
    `${get("X: 1")}${post("Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\nX")}`,
  ),
  bad("a body longer than its length", post("Content-Length: 5", "hello{}")),
];

/** The head is legal: it may be on its way when the fault is seen, but the request is never complete. */
export const BROKEN_BODIES: readonly RequestCase[] = [
  bad("a size with 0x", chunked("0x5\r\nhello\r\n0\r\n\r\n")),
  bad("a size with a sign", chunked("+5\r\nhello\r\n0\r\n\r\n")),
  bad("a negative size", chunked("-5\r\nhello\r\n0\r\n\r\n")),
  bad("a space before a size", chunked(" 5\r\nhello\r\n0\r\n\r\n")),
  bad("a space behind a size", chunked("5 \r\nhello\r\n0\r\n\r\n")),
  bad("no size", chunked("\r\nhello\r\n0\r\n\r\n")),
  bad("an extension without a size", chunked(";a\r\nhello\r\n0\r\n\r\n")),
  bad("a size above 2^64", chunked("10000000000000005\r\nhello\r\n0\r\n\r\n")),
  bad(
    "a size of all digits",
    chunked("FFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n"),
    "llhttp counts up to 2^64, and waits for so much",
  ),
  bad("LF behind a size", chunked("5\nhello\r\n0\r\n\r\n")),
  bad("CR behind a size", chunked("5\rhello\r\n0\r\n\r\n")),
  bad("LF behind a chunk", chunked("5\r\nhello\n0\r\n\r\n")),
  bad("nothing behind a chunk", chunked("5\r\nhello0\r\n\r\n")),
  bad("a chunk longer than its size", chunked("5\r\nhello!\r\n0\r\n\r\n")),
  bad("LF within an extension", chunked("5;a\nb\r\nhello\r\n0\r\n\r\n")),
  bad("NUL within an extension", chunked("5;a\0b\r\nhello\r\n0\r\n\r\n")),
  bad("LF behind the last chunk", chunked("5\r\nhello\r\n0\n\r\n")),
  bad("LF behind a trailer", chunked("5\r\nhello\r\n0\r\nX: 1\n\r\n")),
  bad("LF behind trailers", chunked("5\r\nhello\r\n0\r\nX: 1\r\n\n")),
  bad("LF at the end", chunked("5\r\nhello\r\n0\r\n\n")),
  bad("a trailer that is none", chunked("5\r\nhello\r\n0\r\nno trailer\r\n\r\n")),
  bad("a folded trailer", chunked("5\r\nhello\r\n0\r\nX: 1\r\n 2\r\n\r\n")),
  bad("a trailer with NUL", chunked("5\r\nhello\r\n0\r\nX: \0\r\n\r\n")),
  bad(
    "trailers above the limit",
    chunked(`5\r\nhello\r\n0\r\nX: ${"x".repeat(70_000)}\r\n\r\n`),
    TRAILERS_LATER,
  ),
  bad("an extension above the limit", chunked(`5;${"x".repeat(20_000)}\r\nhello\r\n0\r\n\r\n`)),
];
