import { forwardedPort } from "./forwarding.ts";
import type { ForwardedRequest } from "./forwarding.ts";
import type { HeadScan } from "../http1/head-scan.ts";

/** What is added to a plain request's head, but for its ID. */
export interface ForwardedFields {
  readonly clientAddress: string;
  /** `""`: the request has none. */
  readonly host: string;
  /** See `RequestForwarding.via`. */
  readonly via: string;
}

/**
 * The fields that `forwardRequestHead` adds to a request of a client that is not trusted, up to the value of
 * `X-Request-Id`: the same for every request of one connection to one Host.
 */
export function forwardedFields({ clientAddress, host, via }: ForwardedFields): string {
  return (
    `X-Forwarded-For: ${clientAddress}\r\n` +
    (host === "" ? "" : `X-Forwarded-Host: ${host}\r\n`) +
    "X-Forwarded-Proto: http\r\n" +
    `X-Forwarded-Port: ${forwardedPort(host, "http")}\r\nVia: ${via}\r\n` +
    "X-Request-Id: "
  );
}

/**
 * A plain request's head as the pod gets it: byte for byte but for lines about the client's connection, and `fields` and the
 * ID at its end. `text` is the head, which began at `start` for `scan`.
 */
export function plainRequestHead(
  text: string,
  start: number,
  scan: HeadScan,
  fields: string,
  requestId: string,
): string {
  const { cuts, cutCount } = scan;
  let kept = "";
  let from = 0;
  for (let i = 0; i < cutCount; i += 2) {
    kept += text.slice(from, (cuts[i] ?? 0) - start);
    from = (cuts[i + 1] ?? 0) - start;
  }
  // The last CRLF is the empty line.
  return `${kept}${text.slice(from, -2)}${fields}${requestId}\r\n\r\n`;
}

/** Any request's head as the pod gets it. `authority` is the pod's, for a request that has no Host. */
export function orderedRequestHead(
  { method, path, headers, body }: Extract<ForwardedRequest, { kind: "forward" }>,
  authority: string,
): string {
  let text = `${method} ${path} HTTP/1.1\r\n`;
  let hasHost = false;
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] ?? "";
    hasHost ||= name.length === 4 && name.toLowerCase() === "host";
    text += `${name}: ${headers[i + 1]}\r\n`;
  }
  if (!hasHost) text += `Host: ${authority}\r\n`;
  if (body === "chunked") text += "Transfer-Encoding: chunked\r\n";
  return `${text}\r\n`;
}
