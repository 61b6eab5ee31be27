/**
 * HTTP/1.1 as RFC 9112 has it, read as plainly as can be: whole messages, regular expressions, no state. Slow, and written
 * without a look at the scanners that tests hold against it. Text is latin1: a byte, a character.
 */

export type Field = readonly [name: string, value: string];

export interface ReferenceHead {
  /** Of a request; "" otherwise. */
  readonly method: string;
  readonly target: string;
  /** Of a response; 0 otherwise. */
  readonly status: number;
  readonly phrase: string;
  readonly minor: number;
  readonly fields: readonly Field[];
  /** Behind the empty line. */
  readonly end: number;
}

export interface ReferenceMessage extends ReferenceHead {
  readonly framing: "none" | "length" | "chunked" | "close";
  /** Without framing. */
  readonly body: string;
  readonly trailers: readonly Field[];
}

/** What stands at the begin of some text. */
export type Read<T> =
  | { readonly kind: "ok"; readonly value: T }
  | { readonly kind: "incomplete" }
  | { readonly kind: "malformed"; readonly why: string };

const REQUEST_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21\x22\x24-\x7e]+) HTTP\/1\.([0-9])$/;
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?$/;
const FIELD_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*$/;

export function malformed(why: string): { readonly kind: "malformed"; readonly why: string } {
  return { kind: "malformed", why };
}

/** Values of the fields with this lower-case name. */
export function valuesOf(fields: readonly Field[], name: string): string[] {
  return fields.filter(([each]) => each.toLowerCase() === name).map(([, value]) => value);
}

function readFields(lines: readonly string[]): Field[] | string {
  const fields: Field[] = [];
  for (const line of lines) {
    const match = FIELD_LINE.exec(line);
    if (!match) return `the field line ${JSON.stringify(line)}`;
    fields.push([match[1] ?? "", match[2] ?? ""]);
  }
  return fields;
}

/** A head that is whole. One that is not is `incomplete`, whatever it begins with. */
export function readHead(text: string, start: number, kind: "request" | "response"): Read<ReferenceHead> {
  const emptyLine = text.indexOf("\r\n\r\n", start);
  if (emptyLine === -1) return { kind: "incomplete" };
  const [first = "", ...lines] = text.slice(start, emptyLine).split("\r\n");
  const fields = readFields(lines);
  if (typeof fields === "string") return malformed(fields);
  const rest = { fields, end: emptyLine + 4 };
  if (kind === "request") {
    const match = REQUEST_LINE.exec(first);
    if (!match) return malformed(`the request line ${JSON.stringify(first)}`);
    const [, method = "", target = "", minor] = match;
    return { kind: "ok", value: { method, target, minor: Number(minor), status: 0, phrase: "", ...rest } };
  }
  const match = STATUS_LINE.exec(first);
  if (!match) return malformed(`the status line ${JSON.stringify(first)}`);
  const [, minor, status, phrase = ""] = match;
  return {
    kind: "ok",
    value: { method: "", target: "", minor: Number(minor), status: Number(status), phrase, ...rest },
  };
}

/** How a message says that it is framed (RFC 9112 6.3), or what is wrong with that. */
function framingOf(head: ReferenceHead): number | "chunked" | undefined | string[] {
  const codings = valuesOf(head.fields, "transfer-encoding");
  const lengths = valuesOf(head.fields, "content-length");
  if (codings.length > 1 || lengths.length > 1) return ["repeated framing fields"];
  if (codings.length > 0 && lengths.length > 0) return ["both framing fields"];
  if (codings.length > 0) {
    if (head.minor === 0) return ["Transfer-Encoding of HTTP/1.0"];
    return codings[0]?.toLowerCase() === "chunked" ? "chunked" : ["another coding"];
  }
  if (lengths.length === 0) return undefined;
  return /^[0-9]{1,15}$/.test(lengths[0] ?? "") ? Number(lengths[0]) : ["the length"];
}

export interface ReferenceBody {
  readonly body: string;
  readonly trailers: readonly Field[];
  readonly end: number;
}

/** A chunked body (RFC 9112 7.1). */
export function readChunked(text: string, start: number): Read<ReferenceBody> {
  let body = "";
  let at = start;
  for (;;) {
    const lineEnd = text.indexOf("\r\n", at);
    if (lineEnd === -1) return { kind: "incomplete" };
    const line = text.slice(at, lineEnd);
    const match = /^([0-9A-Fa-f]{1,12})(;[\t\x20-\x7e\x80-\xff]*)?$/.exec(line);
    if (!match || line.length - (match[1] ?? "").length > 1025) {
      return malformed(`the chunk size ${JSON.stringify(line.slice(0, 40))}`);
    }
    const size = parseInt(match[1] ?? "", 16);
    at = lineEnd + 2;
    if (size === 0) break;
    if (text.length < at + size + 2) {
      const rest = text.slice(at + size);
      return "\r\n".startsWith(rest) ? { kind: "incomplete" } : malformed("the end of a chunk");
    }
    body += text.slice(at, at + size);
    at += size;
    if (text.slice(at, at + 2) !== "\r\n") return malformed("the end of a chunk");
    at += 2;
  }
  if (text.startsWith("\r\n", at)) return { kind: "ok", value: { body, trailers: [], end: at + 2 } };
  const emptyLine = text.indexOf("\r\n\r\n", at);
  if (emptyLine === -1) {
    return /(^|[^\r])\n/.test(text.slice(at)) ? malformed("a bare LF in a trailer") : { kind: "incomplete" };
  }
  const trailers = readFields(text.slice(at, emptyLine).split("\r\n"));
  if (typeof trailers === "string") return malformed(trailers);
  return { kind: "ok", value: { body, trailers, end: emptyLine + 4 } };
}

/** A message from `start` on. `toHead`: a response to HEAD. `ended`: nothing more will come. */
export function readMessage(
  text: string,
  start: number,
  kind: "request" | "response",
  { toHead = false, ended = false }: { readonly toHead?: boolean; readonly ended?: boolean } = {},
): Read<ReferenceMessage> {
  const read = readHead(text, start, kind);
  if (read.kind !== "ok") return read;
  const head = read.value;
  const framing = framingOf(head);
  if (Array.isArray(framing)) return malformed(framing[0] ?? "");
  const message = (
    framed: ReferenceMessage["framing"],
    body: string,
    end: number,
  ): Read<ReferenceMessage> => ({
    kind: "ok",
    value: { ...head, framing: framed, body, trailers: [], end },
  });
  const isBodiless =
    kind === "response" && (toHead || head.status < 200 || head.status === 204 || head.status === 304);
  if (isBodiless) return message("none", "", head.end);
  if (framing === "chunked") {
    const chunked = readChunked(text, head.end);
    return chunked.kind === "ok"
      ? { kind: "ok", value: { ...head, framing: "chunked", ...chunked.value } }
      : chunked;
  }
  if (framing === undefined) {
    if (kind === "request") return message("none", "", head.end);
    return ended ? message("close", text.slice(head.end), text.length) : { kind: "incomplete" };
  }
  const end = head.end + framing;
  return text.length < end ? { kind: "incomplete" } : message("length", text.slice(head.end, end), end);
}

/** All whole messages from the begin of `text`, and what then follows. */
export function readMessages(
  text: string,
  kind: "request" | "response",
  options: { readonly toHead?: boolean; readonly ended?: boolean } = {},
): { readonly messages: ReferenceMessage[]; readonly rest: string; readonly fault: string | undefined } {
  const messages: ReferenceMessage[] = [];
  let at = 0;
  for (;;) {
    // Empty lines before a request are skipped (RFC 9112 2.2).
    if (kind === "request") while (text.startsWith("\r\n", at)) at += 2;
    if (at === text.length) return { messages, rest: "", fault: undefined };
    const read = readMessage(text, at, kind, options);
    if (read.kind !== "ok") {
      return { messages, rest: text.slice(at), fault: read.kind === "malformed" ? read.why : undefined };
    }
    messages.push(read.value);
    at = read.value.end;
  }
}
