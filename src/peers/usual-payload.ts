import type { RefreshPayload } from "./payload.ts";

/*
 * The shape in which managers write a push: Go's encoding/json writes a struct's members in their order, without a space. What has
 * any other shape is left to the decoder, which knows all that may come.
 */

type FlagField = "requireTrafficAuth" | "wakeOnTraffic";
type TextField = Exclude<keyof RefreshPayload, FlagField>;

/** In the order of OpenKruise's struct. Each may be left out. */
const TEXT_FIELDS = [
  "ip",
  "id",
  "namespace",
  "name",
  "uid",
  "owner",
  "state",
  "resourceVersion",
  "accessToken",
] as const satisfies readonly TextField[];

const KEYS = TEXT_FIELDS.map((field) => Buffer.from(`"${field}":"`));
/** They come last. */
const FLAG_FIELDS = ["requireTrafficAuth", "wakeOnTraffic"] as const satisfies readonly FlagField[];
const FLAG_KEYS = FLAG_FIELDS.map((field) => Buffer.from(`"${field}":`));
const TRUE = Buffer.from("true");
const FALSE = Buffer.from("false");

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN = 0x7b;
const CLOSE = 0x7d;

/**
 * Reads `body` into `payload` when it is one JSON object with known members in their usual order, texts of printable ASCII without
 * escapes, no spaces between, and nothing behind. Else returns false, and `payload` is of no use. It says the same as
 * `decodeRefreshPayload` where it says anything: in that order no member can be there twice.
 */
export function readUsualPayload(body: Buffer, payload: RefreshPayload): boolean {
  const { length } = body;
  if (length < 2 || body[0] !== OPEN) return false;
  let at = 1;
  for (let i = 0; i < KEYS.length; i++) {
    const key = KEYS[i];
    const field = TEXT_FIELDS[i];
    if (key === undefined || field === undefined || !holds(body, at, key)) continue;
    const start = at + key.length;
    let end = start;
    for (;;) {
      const octet = body[end] ?? 0;
      if (octet === QUOTE) break;
      if (octet < 0x20 || octet > 0x7e || octet === BACKSLASH) return false;
      end++;
    }
    payload[field] = body.toString("latin1", start, end);
    at = end + 1;
    if (body[at] === CLOSE) return at + 1 === length;
    if (body[at] !== COMMA) return false;
    at++;
  }
  for (let i = 0; i < FLAG_KEYS.length; i++) {
    const key = FLAG_KEYS[i];
    const field = FLAG_FIELDS[i];
    if (key === undefined || field === undefined || !holds(body, at, key)) continue;
    at += key.length;
    const isTrue = holds(body, at, TRUE);
    if (!isTrue && !holds(body, at, FALSE)) return false;
    payload[field] = isTrue;
    at += isTrue ? TRUE.length : FALSE.length;
    if (body[at] === CLOSE) return at + 1 === length;
    if (body[at] !== COMMA) return false;
    at++;
  }
  return false;
}

function holds(body: Buffer, at: number, text: Buffer): boolean {
  for (let i = 0; i < text.length; i++) if (body[at + i] !== text[i]) return false;
  return true;
}
