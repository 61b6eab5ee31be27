import { randomUUID } from "node:crypto";

import { allValues } from "./request-head.ts";

/** The client's `X-Request-Id` when there is one and it is sane, else what `make` gives (default: a random UUID). */
export function requestIdOf(rawHeaders: readonly string[], make: () => string = randomUUID): string {
  const [value, ...more] = allValues(rawHeaders, "x-request-id");
  return value !== undefined && more.length === 0 && isSaneRequestId(value) ? value : make();
}

/** 1 to 128 visible ASCII characters. */
function isSaneRequestId(value: string): boolean {
  return /^[\x21-\x7e]{1,128}$/.test(value);
}
