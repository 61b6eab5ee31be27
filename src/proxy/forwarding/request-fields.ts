import { FieldIndex } from "../http1/field-index.ts";
import type { FieldRule, RuledName } from "../http1/field-index.ts";
import { MAX_NOTES } from "../http1/head-scan.ts";
import { isSameIgnoringCase, octetsOf } from "../http1/octets.ts";
import { REQUEST_FIELDS, REQUEST_PREFIXES, requestRule } from "./field-rules.ts";
import type { Withheld } from "./forwarding.ts";

/** What the rules for request fields depend on. */
export interface RequestFieldOptions {
  /** Lower-case names of the fields that name sandboxes, `TargetParser.fields`. */
  readonly routing: ReadonlySet<string>;
  /** See `RequestForwarding.trustForwarded`. */
  readonly trustForwarded: boolean;
  /** See `ProxyServerOptions.viaPseudonym`. */
  readonly viaPseudonym: string;
  /** See `AccessGate`, all three. Default: nothing. */
  readonly credentials?: readonly string[];
  readonly withheld?: Withheld;
}

/** By which number a scan notes where the value of a field is. Fields that name sandboxes have those from `routing` on. */
export const NOTE = {
  requestId: 0,
  te: 1,
  forwardedFor: 2,
  forwardedHost: 3,
  forwardedProto: 4,
  forwardedPort: 5,
  forwardedPrefix: 6,
  /** The first of `RequestFieldOptions.credentials`. */
  credentials: 7,
  routing: 10,
} as const;

/** The fields of {@link NOTE} that name sandboxes: bits of `HeadScan.seen`. */
export const ROUTING_NOTES: number = -1 << NOTE.routing;

/** How a scan takes the fields of requests. */
export interface RequestFields {
  readonly index: FieldIndex;
  /** Lower-case names of the fields that name sandboxes, but Host: they are noted from {@link NOTE} `routing` on, in this order. */
  readonly routing: readonly string[];
}

/**
 * The rules of `forwardRequestHead` as a scan can apply them to bytes. A head that is not special afterwards is forwarded by
 * `plainRequestHead`, and what comes out means the same; all others are taken apart. Throws a RangeError when there are more
 * fields to note than a scan has place for.
 */
export function requestFields(options: RequestFieldOptions): RequestFields {
  const routing = [...options.routing].filter((name) => name !== "host");
  if (NOTE.routing + routing.length > MAX_NOTES) throw new RangeError("too many fields name sandboxes");
  const names = [...REQUEST_FIELDS, ...LOOKED_AT.keys()];
  const rules = new Map(names.map((name) => [name, byteRule(name, options)]));
  for (const [offset, name] of routing.entries()) {
    const isRuled = rules.has(name) || REQUEST_PREFIXES.some((prefix) => name.startsWith(prefix));
    // What has two uses is rare.
    rules.set(name, isRuled ? SPECIAL : { note: NOTE.routing + offset });
  }
  const { credentials = [], withheld } = options;
  if (credentials.length > NOTE.routing - NOTE.credentials) throw new RangeError("too many credentials");
  for (const [offset, name] of credentials.entries()) {
    const note = NOTE.credentials + offset;
    rules.set(name, withheld?.fields.has(name) === true ? { cut: true, note } : { note });
  }
  // A cookie can't be cut out of its line here.
  if (withheld && withheld.cookie !== "") rules.set("cookie", { accepts: lacks(octetsOf(withheld.cookie)) });
  const prefixes = REQUEST_PREFIXES.map((prefix): RuledName => [prefix, byteRule(prefix, options)]);
  return { index: new FieldIndex(rules, prefixes), routing };
}

/** Kept where proxies are trusted, and then others follow from them. */
const LOOKED_AT: ReadonlyMap<string, number> = new Map([
  ["x-forwarded-host", NOTE.forwardedHost],
  ["x-forwarded-proto", NOTE.forwardedProto],
  ["x-forwarded-port", NOTE.forwardedPort],
]);
const SPECIAL: FieldRule = { special: true };
const TRAILERS = octetsOf("trailers");
/** As `requestIdOf` has it. */
const MAX_REQUEST_ID_LENGTH = 128;

function byteRule(name: string, { trustForwarded, viaPseudonym }: RequestFieldOptions): FieldRule {
  switch (requestRule(name)) {
    case "hop_by_hop":
      return { cut: true };
    case "te":
      return {
        cut: true,
        note: NOTE.te,
        accepts: (bytes, start, end) =>
          end - start === TRAILERS.length && isSameIgnoringCase(bytes, start, TRAILERS),
      };
    case "request_id":
      return { note: NOTE.requestId, accepts: isSane, cutsAlike: true };
    case "forwarded_for":
      return trustForwarded
        ? { cut: true, note: NOTE.forwardedFor, cutsAlike: true }
        : { cut: true, cutsAlike: true };
    case "forwarded_prefix":
      return trustForwarded
        ? { cut: true, note: NOTE.forwardedPrefix, cutsAlike: true }
        : { cut: true, cutsAlike: true };
    case "forwarded": {
      if (!trustForwarded) return { cut: true, cutsAlike: true };
      const note = LOOKED_AT.get(name);
      return note === undefined ? { cutsAlike: true } : { note, cutsAlike: true };
    }
    case "essential":
      // Of these only Via is more than its bytes: one that names this router is a loop.
      return name === "via" ? { accepts: lacks(octetsOf(viaPseudonym)) } : {};
    case "max_forwards":
      return SPECIAL;
    case "host":
    case "lookalike":
    case undefined:
      // Host frames the message, and the others are no names of ours.
      return {};
  }
}

/** See `requestIdOf`. */
function isSane(bytes: Uint8Array, start: number, end: number): boolean {
  if (end === start || end - start > MAX_REQUEST_ID_LENGTH) return false;
  for (let p = start; p < end; p++) {
    const octet = bytes[p] ?? 0;
    if (octet < 0x21 || octet > 0x7e) return false;
  }
  return true;
}

/** Whether the value does not hold `text`: looked for by Horspool's method, in steps of up to its length. */
function lacks(text: readonly number[]): (bytes: Uint8Array, start: number, end: number) => boolean {
  const { length } = text;
  const steps = Array.from({ length: 256 }, () => length);
  for (let i = 0; i < length - 1; i++) steps[text[i] ?? 0] = length - 1 - i;
  return (bytes, start, end) => {
    for (let p = start; p + length <= end;) {
      let i = length - 1;
      while (i >= 0 && bytes[p + i] === text[i]) i--;
      if (i < 0) return false;
      p += steps[bytes[p + length - 1] ?? 0] ?? 1;
    }
    return true;
  };
}
