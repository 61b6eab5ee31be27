import { Refused } from "./refused.ts";

/*
 * LZW as in Go's compress/lzw with LSB order and 8-bit literals, the only compression that memberlist has. It is GIF's
 * variant: codes begin with 9 bits and grow to 12; 256 clears the table, 257 ends the data; the encoder begins with a
 * clear code, and clears the table when code 4095 would be given.
 */

const CLEAR = 256;
const END = 257;
const FIRST_WIDTH = 9;
const MAX_WIDTH = 12;
const LAST_CODE = (1 << MAX_WIDTH) - 1;
const NONE = -1;

/** Compresses `input`; the same bytes as Go's encoder writes. */
export function compressLzw(input: Uint8Array): Buffer {
  // Worst case: 12 bits for each byte, a clear code for every 3,838 of them, and the ends.
  const output = Buffer.allocUnsafe(Math.ceil(input.length * 1.51) + 16);
  let length = 0;
  let bits = 0;
  let bitCount = 0;
  let width = FIRST_WIDTH;
  let highest = END;
  const codes = new Map<number, number>();

  const emit = (code: number): void => {
    bits |= code << bitCount;
    bitCount += width;
    for (; bitCount >= 8; bitCount -= 8) {
      output[length++] = bits & 0xff;
      bits >>>= 8;
    }
  };
  /** Gives the next code. False when the table is full and was cleared instead. */
  const grow = (): boolean => {
    highest += 1;
    if (highest === 1 << width) width += 1;
    if (highest < LAST_CODE) return true;
    emit(CLEAR);
    width = FIRST_WIDTH;
    highest = END;
    codes.clear();
    return false;
  };

  emit(CLEAR);
  let prefix = NONE;
  for (const byte of input) {
    if (prefix === NONE) {
      prefix = byte;
      continue;
    }
    const key = (prefix << 8) | byte;
    const code = codes.get(key);
    if (code !== undefined) {
      prefix = code;
      continue;
    }
    emit(prefix);
    prefix = byte;
    if (grow()) codes.set(key, highest);
  }
  if (prefix !== NONE) {
    emit(prefix);
    grow();
  }
  emit(END);
  if (bitCount > 0) output[length++] = bits & 0xff;
  return output.subarray(0, length);
}

// Scratch of the decoder, which runs to its end in one call: what each code stands for is its prefix and one byte more.
const prefixOf = new Uint16Array(LAST_CODE + 1);
const suffixOf = new Uint8Array(LAST_CODE + 1);
const reversed = new Uint8Array(LAST_CODE + 1);

/**
 * Decompresses `input`. Bytes behind the end code are left out, as Go does.
 * @throws Refused `too_large` as soon as the result is longer than `maxBytes`; `malformed` when it is no LZW.
 */
export function decompressLzw(input: Uint8Array, maxBytes: number): Buffer {
  let output = Buffer.allocUnsafe(Math.min(maxBytes, Math.max(64, input.length * 3)));
  let length = 0;
  let at = 0;
  let bits = 0;
  let bitCount = 0;
  let width = FIRST_WIDTH;
  let highest = END;
  let previous = NONE;

  for (;;) {
    while (bitCount < width) {
      const byte = input[at++];
      if (byte === undefined) throw new Refused("malformed", "the compressed data have no end");
      bits |= byte << bitCount;
      bitCount += 8;
    }
    const code = bits & ((1 << width) - 1);
    bits >>>= width;
    bitCount -= width;

    if (code === END) return output.subarray(0, length);
    if (code === CLEAR) {
      width = FIRST_WIDTH;
      highest = END;
      previous = NONE;
      continue;
    }
    if (code > highest) throw new Refused("malformed", "the compressed data hold a code that was not given");

    // The code that is just being given stands for what the previous one does, and that one's first byte again.
    const isNew = code === highest && previous !== NONE;
    let count = 0;
    let rest = isNew ? previous : code;
    for (; rest > END; rest = prefixOf[rest] ?? 0) reversed[count++] = suffixOf[rest] ?? 0;
    const first = rest;
    reversed[count++] = first;

    const needed = length + count + (isNew ? 1 : 0);
    if (needed > maxBytes) throw new Refused("too_large", `the data unpack to more than ${maxBytes} bytes`);
    if (needed > output.length) {
      const larger = Buffer.allocUnsafe(Math.min(maxBytes, Math.max(needed, output.length * 2)));
      output.copy(larger, 0, 0, length);
      output = larger;
    }
    while (count > 0) output[length++] = reversed[--count] ?? 0;
    if (isNew) output[length++] = first;

    if (previous !== NONE) {
      prefixOf[highest] = previous;
      suffixOf[highest] = first;
    }
    previous = code;
    highest += 1;
    if (highest === 1 << width) {
      if (width < MAX_WIDTH) {
        width += 1;
      } else {
        // The table is full: nothing is added until a clear code comes.
        previous = NONE;
        highest -= 1;
      }
    }
  }
}
