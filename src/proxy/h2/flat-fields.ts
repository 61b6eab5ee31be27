import type { IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http2";

/** Fields as all lanes pass them on: `name, value, …`. */
export function flat(fields: IncomingHttpHeaders): string[] {
  return Object.entries(fields).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [String(value)]).flatMap((each) => [name, each]),
  );
}

/** Flat fields as node:http2 takes them where it takes no flat ones. */
export function asHeaders(fields: readonly string[]): OutgoingHttpHeaders {
  const headers: Record<string, string[]> = {};
  for (let i = 0; i + 1 < fields.length; i += 2) (headers[fields[i] ?? ""] ??= []).push(fields[i + 1] ?? "");
  return headers;
}
