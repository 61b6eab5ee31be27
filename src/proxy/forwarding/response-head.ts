import { forwardResponseHeaders } from "./forwarding.ts";
import type { HeadScan } from "../http1/head-scan.ts";
import { fieldsOf } from "../http1/scanned-head.ts";

/**
 * A response without anything special as the client gets it, its head and what of its body comes before `textEnd`: byte for
 * byte but for the lines that are about the pod's connection. Moves bytes, see {@link closeCuts}: one string is made of all
 * in a third of the time of three. `date`: a whole line, or `""` when the pod sent one.
 */
export function plainResponse(
  bytes: Buffer,
  start: number,
  headEnd: number,
  textEnd: number,
  scan: HeadScan,
  mustClose: boolean,
  date: string,
): string {
  const begin = closeCuts(bytes, start, scan);
  const extra = mustClose ? `Connection: close\r\n${date}` : date;
  if (extra === "") return bytes.toString("latin1", begin, textEnd);
  // The last CRLF of the head is its empty line.
  const emptyLine = headEnd - 2;
  const text = emptyLine > begin ? bytes.toString("latin1", begin, emptyLine) : "";
  return text + extra + bytes.toString("latin1", emptyLine, textEnd);
}

/**
 * Takes the lines about the pod's connection out of a head in place, by moving what stands before them towards the end:
 * a long body behind the head can then be written with it, without a copy. Returns where the head begins now.
 */
export function closeCuts(bytes: Buffer, start: number, { cuts, cutCount }: HeadScan): number {
  let begin = start;
  for (let i = cutCount - 2; i >= 0; i -= 2) {
    const from = i === 0 ? start : (cuts[i - 1] ?? start);
    const to = cuts[i] ?? from;
    const end = i === cutCount - 2 ? (cuts[i + 1] ?? to) : begin;
    begin = end - (to - from);
    bytes.copyWithin(begin, from, to);
  }
  return begin;
}

/** 1xx responses that one request may have: more than any use of them needs. */
export const MAX_INFORMATIONAL = 64;

/** A response head brought in order field by field, or what is wrong with it. */
export type OrderedHead =
  | { readonly kind: "head"; readonly text: string }
  | { readonly kind: "invalid"; readonly message: string };

/** Any response head as the client gets it, by the rules of {@link forwardResponseHeaders}. */
export function orderedResponseHead(
  head: string,
  status: number,
  mustClose: boolean,
  date: string,
  chunked = false,
): OrderedHead {
  const lineEnd = head.indexOf("\r\n");
  const fields = forwardResponseHeaders(fieldsOf(head, lineEnd + 2), status);
  if (fields.kind === "invalid") return fields;
  // A phrase may be missing, and the space before it too.
  let text = `HTTP/1.1 ${status} ${head.slice(13, lineEnd)}\r\n`;
  const { headers } = fields;
  for (let i = 0; i + 1 < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\r\n`;
  if (chunked) text += "Transfer-Encoding: chunked\r\n";
  return { kind: "head", text: `${text}${mustClose ? "Connection: close\r\n" : ""}${date}\r\n` };
}
