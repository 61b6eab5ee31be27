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

/** The octets of an ASCII text. An array of numbers is read in a third of the time of a Uint8Array. */
export function octetsOf(text: string): readonly number[] {
  return Array.from(text, (char) => char.charCodeAt(0));
}

/** `bytes` holds `lowerCase` (letters, digits, `-`) at `at`, in any case. The caller knows that it is long enough. */
export function isSameIgnoringCase(bytes: Uint8Array, at: number, lowerCase: readonly number[]): boolean {
  for (let i = 0; i < lowerCase.length; i++) {
    // Setting the bit makes upper case lower, and leaves digits and `-` as they are.
    if (((bytes[at + i] ?? 0) | CASE) !== lowerCase[i]) return false;
  }
  return true;
}

/** How a field's name compares with another one: {@link compareNames}. */
export const NAME = { other: 0, same: 1, alike: 2 } as const;

/**
 * Whether the name that `bytes` holds at `at` is `name` (of as many octets, in lower case), in any case, or one that may be
 * taken for it: with `_` in place of `-`, between which CGI, WSGI and Rack make no difference. Both are tokens. `^` passes for
 * `~`.
 */
export function compareNames(
  bytes: Uint8Array,
  at: number,
  name: readonly number[],
): (typeof NAME)[keyof typeof NAME] {
  let isSame = true;
  for (let i = 0; i < name.length; i++) {
    const octet = bytes[at + i] ?? 0;
    // Setting the bit makes upper case lower, and leaves what else is in a token as it is, but for `^` and `_`.
    if ((octet | CASE) === name[i]) continue;
    if (octet !== UNDERSCORE) return NAME.other;
    if (name[i] === HYPHEN) isSame = false;
    else if (name[i] !== UNDERSCORE) return NAME.other;
  }
  return isSame ? NAME.same : NAME.alike;
}

const CASE = 0x20;
const HYPHEN = 0x2d;
export const UNDERSCORE = 0x5f;
