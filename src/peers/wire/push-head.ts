import { FieldIndex } from "../../proxy/http1/field-index.ts";
import { HeadScan } from "../../proxy/http1/head-scan.ts";
import { INCOMPLETE, scanRequestHead } from "../../proxy/http1/head-scanner.ts";
import { octetsOf } from "../../proxy/http1/octets.ts";

/** Not the head of an ordinary push: node:http is to look at it. */
export const OTHER = -1;
export { INCOMPLETE };

/** The request target of a push. */
export const PUSH_TARGET = "/refresh";
const REQUEST_LINE = octetsOf(`POST ${PUSH_TARGET} HTTP/1.1\r\n`);
/** A manager sends 200 bytes. */
const MAX_HEAD_BYTES = 4_096;
/** node:http takes `Proxy-Connection` for `Connection`. */
const INDEX = new FieldIndex(["proxy-connection"]);

/** Scans heads of pushes. One is used again and again. */
export class PushHeadScanner {
  readonly #scan = new HeadScan();

  /** Bytes of the body. */
  get contentLength(): number {
    return this.#scan.contentLength;
  }

  /** The client asks that the connection end with the reply. */
  get isLast(): boolean {
    return this.#scan.close;
  }

  /**
   * The end of the head that begins at `start`; {@link INCOMPLETE} when its end has not come and all of it so far may be the
   * head of a push, else {@link OTHER}: another path or method, a body without Content-Length, Expect, Upgrade, no Host, and
   * whatever is not well formed.
   */
  scan(bytes: Buffer, start: number): number {
    const scan = this.#scan;
    const length = bytes.length - start;
    const compared = Math.min(length, REQUEST_LINE.length);
    for (let i = 0; i < compared; i++) if (bytes[start + i] !== REQUEST_LINE[i]) return OTHER;
    if (compared < REQUEST_LINE.length) return INCOMPLETE;
    const end = scanRequestHead(bytes, start, bytes.length, INDEX, scan);
    if ((end === INCOMPLETE ? length : end - start) > MAX_HEAD_BYTES) return OTHER;
    if (end === INCOMPLETE) return INCOMPLETE;
    const isOrdinary = end > 0 && scan.traits === 0 && !scan.chunked;
    // Without a Host the request is refused (RFC 9112 3.2), and a body of no length is none.
    return isOrdinary && scan.hostStart >= 0 && scan.contentLength >= 0 ? end : OTHER;
  }

  /** Whether a scan of `bytes` may say more now that those from `from` on are new. Cheaper than a scan. */
  mayBeWhole(bytes: Buffer, from: number): boolean {
    return (
      from < REQUEST_LINE.length ||
      bytes.length > MAX_HEAD_BYTES ||
      bytes.includes("\r\n\r\n", Math.max(0, from - 3), "latin1")
    );
  }
}

/** The fields of a well-formed head, as node:http has them: names in lower case, values of one name joined. */
export function fieldsOf(head: string): Record<string, string> {
  const fields: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const line of head.split("\r\n").slice(1, -2)) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, "");
    const before = fields[name];
    fields[name] = before === undefined ? value : `${before}, ${value}`;
  }
  return fields;
}
