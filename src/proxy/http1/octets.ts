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

/** By octet: itself, and a letter of ASCII in lower case. */
const LOWER: Uint8Array = Uint8Array.from({ length: 256 }, (_, octet) =>
  octet >= 0x41 && octet <= 0x5a ? octet | 0x20 : octet,
);

/** How a field's name compares with another one: {@link compareNames}. */
export const NAME = { other: 0, same: 1, alike: 2 } as const;

/**
 * Whether the name that `bytes` holds at `at` is `name` (of as many octets, in lower case), in any case, or one that may be
 * taken for it: with `_` in place of `-`, between which CGI, WSGI and Rack make no difference.
 */
export function compareNames(
  bytes: Uint8Array,
  at: number,
  name: Uint8Array,
): (typeof NAME)[keyof typeof NAME] {
  let isSame = true;
  for (let i = 0; i < name.length; i++) {
    const octet = LOWER[bytes[at + i] ?? 0];
    if (octet === name[i]) continue;
    if (octet !== UNDERSCORE || name[i] !== HYPHEN) return NAME.other;
    isSame = false;
  }
  return isSame ? NAME.same : NAME.alike;
}

const HYPHEN = 0x2d;
export const UNDERSCORE = 0x5f;
