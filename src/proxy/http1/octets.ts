/** Classes of octets in HTTP/1.1 messages, one bit each, by octet: `OCTETS[octet] & TOKEN`. */
export const OCTETS: Uint8Array = new Uint8Array(256);

/** A character of a method, a field name or another token (RFC 9110 5.6.2). */
export const TOKEN = 1;
/** A character of a field value or a reason phrase: tab, visible, and what is above ASCII (RFC 9110 5.5). */
export const VALUE = 2;
/** A character of a request-target that can be taken as it is: visible ASCII but `#`, which begins a fragment. */
export const TARGET = 4;

for (let octet = 0; octet < 256; octet++) {
  let classes = 0;
  if (octet < 128 && /[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(String.fromCharCode(octet))) classes |= TOKEN;
  if (octet === 0x09 || (octet >= 0x20 && octet !== 0x7f)) classes |= VALUE;
  if (octet > 0x20 && octet < 0x7f && octet !== 0x23) classes |= TARGET;
  OCTETS[octet] = classes;
}

/** The octets of an ASCII text. */
export function octetsOf(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

/** `bytes` holds `lowerCase` (letters, digits, `-`) at `at`, in any case. The caller knows that it is long enough. */
export function isSameIgnoringCase(bytes: Uint8Array, at: number, lowerCase: Uint8Array): boolean {
  for (let i = 0; i < lowerCase.length; i++) {
    // Setting the bit makes upper case lower, and leaves digits and `-` as they are.
    if (((bytes[at + i] ?? 0) | 0x20) !== lowerCase[i]) return false;
  }
  return true;
}

/** A name to compare with by {@link isSpeltLike}. */
export function caseless(name: string): Uint8Array {
  return octetsOf(name).map((octet) => octet | CASE);
}

/**
 * `bytes` holds a name at `at` that may be taken for `name`, of {@link caseless}: in any case, and with `_` in place of
 * `-`. Some others seem like it too (`^` is taken for `~`).
 */
export function isSpeltLike(bytes: Uint8Array, at: number, name: Uint8Array): boolean {
  for (let i = 0; i < name.length; i++) {
    const octet = (bytes[at + i] ?? 0) | CASE;
    if (octet !== name[i] && !(octet === UNDERSCORE && name[i] === HYPHEN)) return false;
  }
  return true;
}

/** Setting the bit makes upper case lower, and leaves digits and `-` as they are. */
const CASE = 0x20;
const HYPHEN = 0x2d;
/** `_` with that bit. */
const UNDERSCORE = 0x7f;
