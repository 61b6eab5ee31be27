import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** What stands in place of the Host that a program was pointed at. */
export const HOST = "HOST.bench.test";

/** A request's head as a real program sends it (`capture.ts`). */
export interface CapturedHead {
  /** Of the file, and of the program: `e2b-js`. */
  readonly name: string;
  readonly isPost: boolean;
  /** Without request line, Host and Content-Length, in the program's order. */
  readonly fields: readonly string[];
  /** How many of the fields stand before Host. */
  readonly hostAt: number;
}

/** Every head of the corpus, by name. */
export function capturedHeads(): CapturedHead[] {
  return readdirSync(import.meta.dirname)
    .filter((file) => file.endsWith(".http"))
    .sort()
    .map((file) =>
      headOf(file.slice(0, -".http".length), readFileSync(join(import.meta.dirname, file), "latin1")),
    );
}

function headOf(name: string, text: string): CapturedHead {
  const [line = "", ...lines] = text.trimEnd().split("\r\n");
  const hostAt = lines.findIndex((field) => /^host:/i.test(field));
  const kept = lines.filter((field) => !/^(host|content-length|transfer-encoding|expect):/i.test(field));
  const before = lines.slice(0, hostAt).filter((field) => kept.includes(field)).length;
  return { name, isPost: line.startsWith("POST "), fields: kept, hostAt: before };
}

/** The text of a request with this head. A body of 0 bytes is a GET. */
export function requestHead(
  { fields, hostAt }: Pick<CapturedHead, "fields" | "hostAt">,
  path: string,
  host: string,
  bodyBytes: number,
): string {
  const lines = [...fields.slice(0, hostAt), `Host: ${host}`, ...fields.slice(hostAt)];
  if (bodyBytes > 0) lines.push(`Content-Length: ${bodyBytes}`);
  return `${bodyBytes > 0 ? "POST" : "GET"} ${path} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`;
}
