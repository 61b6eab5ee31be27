/** A source of chance that a seed makes repeatable. */
export interface Random {
  /** A number in [0, 1). */
  next(): number;
}

/** Mulberry32: the same seed gives the same sequence, on every machine. Not for secrets. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return {
    next() {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    },
  };
}

/**
 * A random of its own for what `text` names, the same for the same `salt`: what is drawn for one thing must not
 * depend on how often something else drew before.
 */
export function randomFor(salt: number, text: string): Random {
  // FNV-1a
  let hash = (0x811c9dc5 ^ salt) >>> 0;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return seededRandom(hash);
}

/** A whole number from `min` to `max`, both possible. */
export function randomInteger(random: Random, min: number, max: number): number {
  return min + Math.floor(random.next() * (max - min + 1));
}

/** True with the given probability (0 to 1). */
export function chance(random: Random, probability: number): boolean {
  return random.next() < probability;
}

/** One of `choices`, or `undefined` when there is none. */
export function pick<T>(random: Random, choices: readonly T[]): T | undefined {
  return choices[Math.floor(random.next() * choices.length)];
}

/** `length` characters out of `alphabet`. */
export function randomText(random: Random, length: number, alphabet: string): string {
  let text = "";
  for (let i = 0; i < length; i++) text += alphabet.charAt(Math.floor(random.next() * alphabet.length));
  return text;
}

/** A version 4 UUID (RFC 9562 section 5.4), such as Kubernetes uses for UIDs. */
export function randomUuid(random: Random): string {
  const hex = randomText(random, 32, "0123456789abcdef");
  const variant = "89ab".charAt(Math.floor(random.next() * 4));
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20)}`;
}
