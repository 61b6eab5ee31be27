import { decodeUtf8LikeGo } from "./decode-utf8.ts";
import { emptyPayload, type RefreshPayload } from "./payload.ts";
import { readUsualPayload } from "./usual-payload.ts";

/** What {@link decodeRefreshPayload} makes of a body. `fault` says what is wrong and quotes nothing of it. */
export type DecodedRefresh =
  | { readonly kind: "payload"; readonly payload: RefreshPayload }
  | { readonly kind: "malformed"; readonly fault: string };

/** Objects and arrays may nest this deep, the outermost included: Go's limit. */
export const MAX_NESTING_DEPTH = 10_000;

/**
 * Decodes a push as Go's encoding/json does into a struct, since that is what peers were written against:
 *
 * - keys match without regard to case by Unicode's simple folding (so `ſ` is `s` and the Kelvin sign is `k`);
 * - members count in order of appearance and the last one wins, across spellings and duplicates;
 * - `null` leaves a member as it was, unknown keys are ignored, a value of another type is a fault;
 * - what follows the first JSON value is ignored; bytes that are not UTF-8 and lone surrogates become U+FFFD;
 * - a top-level `null` is an empty payload, any other value that is not an object is a fault.
 *
 * Never throws. Time and memory are linear in the body.
 */
export function decodeRefreshPayload(body: Buffer): DecodedRefresh {
  const usual = emptyPayload();
  return readUsualPayload(body, usual) ? { kind: "payload", payload: usual } : decodeAnyPayload(body);
}

/** The same for a body of any shape; slower for those of the usual one. */
export function decodeAnyPayload(body: Buffer): DecodedRefresh {
  const text = decodeUtf8LikeGo(body);
  const start = skipSpace(text, 0);
  const payload = emptyPayload();
  if (text.startsWith("null", start)) return { kind: "payload", payload };
  if (text[start] !== "{") return malformed("the body is not a JSON object");
  const end = endOfNested(text, start);
  if (end === undefined) return malformed("the JSON is incomplete or nests too deep");
  try {
    JSON.parse(text.slice(start, end));
  } catch {
    // The error's message quotes the text, which may hold a token.
    return malformed("the body is not valid JSON");
  }
  const mistyped = readMembers(text, start, payload);
  if (mistyped !== undefined) return malformed(`${mistyped} has the wrong type`);
  return { kind: "payload", payload };
}

type FlagField = "requireTrafficAuth" | "wakeOnTraffic";
type TextField = Exclude<keyof RefreshPayload, FlagField>;

const TEXT_FIELDS: ReadonlyMap<string, TextField> = new Map(
  (["ip", "id", "namespace", "name", "uid", "owner", "state", "resourceVersion", "accessToken"] as const).map(
    (field) => [foldKey(field), field],
  ),
);
const FLAG_FIELDS: ReadonlyMap<string, FlagField> = new Map(
  (["requireTrafficAuth", "wakeOnTraffic"] as const).map((field) => [foldKey(field), field]),
);

/** Folds the characters that stand for an ASCII letter in Go's `EqualFold`; no other character can match a field. */
function foldKey(key: string): string {
  // toLowerCase turns U+212A KELVIN SIGN into k by itself, and nothing else outside ASCII into one ASCII letter.
  return key.toLowerCase().replaceAll("\u{17F}", "s");
}

/** Reads the members of the valid object at `start` into `payload`. Returns the field whose value has a wrong type. */
function readMembers(text: string, start: number, payload: RefreshPayload): string | undefined {
  let mistyped: string | undefined;
  let at = skipSpace(text, start + 1);
  while (text[at] !== "}") {
    const keyEnd = endOfString(text, at);
    const key = foldKey(keyText(text, at, keyEnd));
    const valueStart = skipSpace(text, skipSpace(text, keyEnd) + 1);
    const valueEnd = endOfValue(text, valueStart);
    const field = TEXT_FIELDS.get(key);
    const flag = field === undefined ? FLAG_FIELDS.get(key) : undefined;
    const isNull = text[valueStart] === "n";
    if (field !== undefined && !isNull) {
      // Parsed, not sliced: a slice would keep the whole body alive for as long as the route.
      if (text[valueStart] === '"') {
        payload[field] = (JSON.parse(text.slice(valueStart, valueEnd)) as string).toWellFormed();
      } else mistyped ??= field;
    } else if (flag !== undefined && !isNull) {
      const literal = text.slice(valueStart, valueEnd);
      if (literal === "true" || literal === "false") payload[flag] = literal === "true";
      else mistyped ??= flag;
    }
    at = skipSpace(text, valueEnd);
    if (text[at] === ",") at = skipSpace(text, at + 1);
  }
  return mistyped;
}

/** The key that the valid string literal at [start, end) spells. Most hold no escape and need no parser. */
function keyText(text: string, start: number, end: number): string {
  const raw = text.slice(start + 1, end - 1);
  return raw.includes("\\") ? (JSON.parse(text.slice(start, end)) as string) : raw;
}

function skipSpace(text: string, from: number): number {
  let at = from;
  for (;;) {
    const char = text[at];
    if (char !== " " && char !== "\t" && char !== "\n" && char !== "\r") return at;
    at += 1;
  }
}

/** Index after the string literal at `start`, or the text's length when it does not end. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at += 1) {
    const char = text[at];
    if (char === "\\") at += 1;
    else if (char === '"') return at + 1;
  }
  return text.length;
}

/** Index after the object or array at `start`; undefined when it does not end or nests too deep. */
function endOfNested(text: string, start: number): number | undefined {
  let depth = 0;
  for (let at = start; at < text.length; at += 1) {
    const char = text[at];
    if (char === '"') {
      at = endOfString(text, at) - 1;
    } else if (char === "{" || char === "[") {
      depth += 1;
      if (depth > MAX_NESTING_DEPTH) return undefined;
    } else if (char === "}" || char === "]") {
      depth -= 1;
      if (depth === 0) return at + 1;
    }
  }
  return undefined;
}

/** Index after the member's value at `start`, in text that is known to be valid. */
function endOfValue(text: string, start: number): number {
  const first = text[start];
  if (first === '"') return endOfString(text, start);
  if (first === "{" || first === "[") return endOfNested(text, start) ?? text.length;
  let at = start;
  while (!",} \t\n\r".includes(text[at] ?? "}")) at += 1;
  return at;
}

function malformed(fault: string): DecodedRefresh {
  return { kind: "malformed", fault };
}
