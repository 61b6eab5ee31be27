import type { Random } from "./random.ts";

/** How the pod is to answer, told to it in the query of the target. */
export type Manner = "length" | "chunked" | "close" | "none" | "204" | "304" | "hints" | "early";

export interface PlannedRequest {
  readonly text: string;
  readonly method: string;
  /** Identifies it: `connection/number`. */
  readonly tag: string;
  /** No request may follow on the connection, or none is sure to be answered. */
  readonly isLast: boolean;
}

const SCRAPS = [
  "hello",
  "\r\n",
  "\r\n\r\n",
  "0\r\n\r\n",
  "5\r\nhello\r\n",
  "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
  "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
  "\0\xff\x80",
  "Transfer-Encoding: chunked\r\n",
];

const FIELDS = [
  "Accept: */*",
  "X-Latin: \xe9\xff",
  "X-Empty:",
  "X-Blank: \t a  b \t",
  "!#$%&'*+-.^_`|~: odd",
  "Cookie: a=b; c=d",
  "Connection: keep-alive",
  "Connection: X-Hop, keep-alive",
  "X-Hop: 1",
  "Keep-Alive: timeout=5",
  "TE: trailers",
  "X-Forwarded-For: 1.2.3.4",
  "X-Forwarded-Host: evil",
  "Forwarded: for=x",
  "Proxy-Authorization: x",
  "Upgrade: h2c",
  "X-Request-Id: abc",
  "Trailer: X-Sum",
  `X-Long: ${"l".repeat(3000)}`,
] as const;

function bodyOf(random: Random): string {
  if (random.percent(3)) return random.pick(SCRAPS).repeat(20_000 / 5);
  let body = "";
  for (let i = random.below(6); i > 0; i--) body += random.pick(SCRAPS);
  return body;
}

/** The body in chunks, with extensions and trailers. */
export function inChunks(body: string, random: Random): string {
  let text = "";
  let at = 0;
  while (at < body.length) {
    const size = Math.min(body.length - at, 1 + random.below(random.percent(20) ? 20_000 : 30));
    const digits =
      (random.percent(20) ? "00" : "") +
      (random.percent(50) ? size.toString(16) : size.toString(16).toUpperCase());
    text += `${digits}${random.percent(20) ? random.pick([";a", ";a=b", ';c="d;e"']) : ""}\r\n${body.slice(at, at + size)}\r\n`;
    at += size;
  }
  return `${text}0\r\n${random.percent(20) ? "X-Sum: 1\r\n" : ""}${random.percent(5) ? "Authorization: no\r\n" : ""}\r\n`;
}

/** A legal request to the pod with this Host. */
export function requestTo(host: string, tag: string, isLast: boolean, random: Random): PlannedRequest {
  const method = random.pick(["GET", "GET", "GET", "HEAD", "POST", "POST", "PUT", "DELETE", "OPTIONS"]);
  const manners: Manner[] = ["length", "length", "chunked", "chunked", "none", "204", "304", "hints"];
  if (isLast) manners.push("close", "close", "early");
  const manner = random.pick(manners);
  const hasBody = method === "POST" || method === "PUT" || random.percent(10);
  const isOld = isLast && random.percent(8);
  const isAbsolute = random.percent(4);
  const path = `/${tag}/?${manner}&${random.percent(4) ? random.below(300_000) : random.below(200)}&${random.next()}`;
  const lines = [
    `${method} ${isAbsolute ? `http://${host}` : ""}${path} HTTP/1.${isOld ? 0 : 1}`,
    random.percent(90) ? `Host: ${host}` : `hOST:\t${host} `,
  ];
  for (let i = random.below(4); i > 0; i--) {
    const field = random.pick(FIELDS);
    // Some are answered otherwise when they come twice; that is not what a legal one is for.
    if (!lines.includes(field)) lines.push(field);
  }
  if (isLast && random.percent(15)) lines.push("Connection: close");
  let body = "";
  if (hasBody) {
    body = bodyOf(random);
    if (random.percent(50) && !isOld) {
      lines.push(random.pick(["Transfer-Encoding: chunked", "transfer-encoding:CHUNKED"]));
      body = inChunks(body, random);
    } else {
      lines.push(`Content-Length: ${random.percent(10) ? "00" : ""}${body.length}`);
    }
    if (!isOld && body !== "" && random.percent(10)) lines.push("Expect: 100-continue");
  }
  // The order of fields is of no account.
  const [first = "", ...rest] = lines;
  for (let i = rest.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    const swapped = rest[i] ?? "";
    rest[i] = rest[j] ?? "";
    rest[j] = swapped;
  }
  const blank = random.percent(4) ? "\r\n" : "";
  return { text: `${blank}${[first, ...rest].join("\r\n")}\r\n\r\n${body}`, method, tag, isLast };
}

const SPLINTERS = [
  "\r",
  "\n",
  "\r\n",
  "\0",
  " ",
  "\t",
  ":",
  ";",
  ",",
  "0",
  "5",
  "0x",
  "-",
  "\x7f",
  "\xff",
  "\r\n ",
  "\r\n\r\n",
  "Content-Length: 3\r\n",
  "Content-Length: 0\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Transfer-Encoding : chunked\r\n",
  "Transfer-Encoding: xchunked\r\n",
  "Expect: 100-continue\r\n",
  "Connection: close\r\n",
  "Connection: Content-Length, Transfer-Encoding\r\n",
  "Upgrade: websocket\r\nConnection: upgrade\r\n",
  "HTTP/1.0",
  "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
];

/** The text with a few places hurt, preferably where lines end. */
export function mutate(text: string, random: Random): string {
  let hurt = text;
  for (let i = 1 + random.below(3); i > 0; i--) {
    const lines = [...hurt.slice(0, 5000).matchAll(/\r\n/g)].map(({ index }) => index);
    const at =
      random.percent(60) && lines.length > 0
        ? random.pick(lines) + random.below(3)
        : random.below(hurt.length + 1);
    const what = random.below(4);
    if (what === 0) hurt = hurt.slice(0, at) + hurt.slice(at + 1 + random.below(3));
    else if (what === 1) hurt = hurt.slice(0, at) + random.pick(SPLINTERS) + hurt.slice(at);
    else if (what === 2) hurt = hurt.slice(0, at) + random.pick(SPLINTERS) + hurt.slice(at + 1);
    else {
      const end = hurt.indexOf("\r\n", at);
      // A line twice.
      if (end !== -1) hurt = hurt.slice(0, end + 2) + hurt.slice(at, end + 2) + hurt.slice(end + 2);
    }
  }
  return hurt;
}

/** What the pod answers to the target of a {@link requestTo}: the wire text, and what of it is body. */
export function responseTo(
  method: string,
  target: string,
  random: Random,
): { readonly text: string; readonly closes: boolean } {
  const [, connection = "", number = "", query = ""] = /^\/([0-9]+)\/([0-9]+)\/\?(.*)$/.exec(target) ?? [];
  const [manner = "length", size = "0"] = query.split("&");
  const tag = `${connection}/${number}`;
  // The target may have been mutated on its way: its size is then anything, a negative number too.
  const body = bodyFor(tag, Math.min(Math.max(Number(size) || 0, 0), 300_000));
  const fields = [
    `X-For: ${tag}`,
    ...(random.percent(20) ? ["Connection: X-Secret", "X-Secret: 1"] : []),
    ...(random.percent(20) ? ["X-Latin: \xe9"] : []),
  ];
  const head = (status: string, ...more: string[]) =>
    `HTTP/1.1 ${status}\r\n${[...fields, ...more].join("\r\n")}\r\n\r\n`;
  const closes = random.percent(5);
  const last = closes ? ["Connection: close"] : [];
  const withLength =
    head("200 OK", `Content-Length: ${body.length}`, ...last) + (method === "HEAD" ? "" : body);
  switch (manner) {
    case "chunked":
      return {
        text:
          head("200 OK", "Transfer-Encoding: chunked", ...last) +
          (method === "HEAD" ? "" : inChunks(body, random)),
        closes,
      };
    case "close":
      return {
        text:
          head("200 OK", ...(method === "HEAD" ? ["Connection: close"] : [])) +
          (method === "HEAD" ? "" : body),
        closes: true,
      };
    case "none":
      return { text: head("404 Not Found", "Content-Length: 0", ...last), closes };
    case "204":
      return { text: head("204 No Content", ...last), closes };
    case "304":
      return { text: head("304 Not Modified", "ETag: x", ...last), closes };
    case "hints":
      return { text: `HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n${withLength}`, closes };
    default:
      return { text: withLength, closes };
  }
}

/** The body that only this request is answered with. */
export function bodyFor(tag: string, size: number): string {
  return `<${tag}>`.repeat(Math.ceil(size / (tag.length + 2)));
}
