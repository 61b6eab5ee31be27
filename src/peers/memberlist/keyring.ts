import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { Refused } from "./refused.ts";

/*
 * memberlist's encryption: `version, nonce (12), ciphertext, tag (16)` with AES-GCM. Version 0 pads the text as PKCS #7
 * does and is spoken by protocol version 1 only; version 1 does not. Both are read, version 1 is written.
 */

const VERSION_PADDED = 0;
const VERSION = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const BLOCK_BYTES = 16;

/** Bytes that encryption adds to a message. */
export const ENCRYPTION_OVERHEAD = 1 + NONCE_BYTES + TAG_BYTES;

const CIPHERS = { 16: "aes-128-gcm", 24: "aes-192-gcm", 32: "aes-256-gcm" } as const;
type KeyBytes = keyof typeof CIPHERS;

/**
 * Keys of 16, 24 or 32 bytes. The first, the primary, encrypts; all decrypt, so a key is changed without a gap by adding
 * the new one everywhere, then putting it first everywhere, then removing the old one.
 */
export class Keyring {
  readonly #keys: readonly Uint8Array[];
  readonly #primary: Uint8Array;

  /** @throws RangeError when there is no key, or one has another length. */
  constructor(keys: readonly Uint8Array[]) {
    const [primary] = keys;
    if (!primary) throw new RangeError("a keyring needs at least one key");
    for (const [i, { length }] of keys.entries()) {
      if (!(length in CIPHERS)) throw new RangeError(`key ${i + 1} has ${length} bytes, not 16, 24 or 32`);
    }
    this.#keys = keys;
    this.#primary = primary;
  }

  /** `plain` under the primary key, bound to `authenticated` which goes its own way. */
  encrypt(plain: Uint8Array, authenticated: Uint8Array): Buffer {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(cipherOf(this.#primary), this.#primary, nonce);
    cipher.setAAD(authenticated);
    return Buffer.concat([
      Uint8Array.of(VERSION),
      nonce,
      cipher.update(plain),
      cipher.final(),
      cipher.getAuthTag(),
    ]);
  }

  /** @throws Refused `encryption` when no key opens it. */
  decrypt(sealed: Buffer, authenticated: Uint8Array): Buffer {
    const version = sealed[0];
    if ((version !== VERSION && version !== VERSION_PADDED) || sealed.length < ENCRYPTION_OVERHEAD)
      throw new Refused("encryption", "the message is not encrypted as memberlist does");
    for (const key of this.#keys) {
      const plain = open(key, sealed, authenticated);
      if (plain) return version === VERSION_PADDED ? unpadded(plain) : plain;
    }
    throw new Refused("encryption", "no key opens the message");
  }
}

function open(key: Uint8Array, sealed: Buffer, authenticated: Uint8Array): Buffer | undefined {
  const decipher = createDecipheriv(cipherOf(key), key, sealed.subarray(1, 1 + NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(authenticated);
  decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
  const plain = decipher.update(sealed.subarray(1 + NONCE_BYTES, sealed.length - TAG_BYTES));
  try {
    // GCM is a stream mode: nothing is held back for the end, which only checks the tag.
    decipher.final();
    return plain;
  } catch {
    return undefined;
  }
}

/** The sender had the key, so nothing is learnt from how this fails. */
function unpadded(plain: Buffer): Buffer {
  const count = plain.at(-1) ?? 0;
  if (count < 1 || count > BLOCK_BYTES || count > plain.length)
    throw new Refused("malformed", "the padding is wrong");
  return plain.subarray(0, plain.length - count);
}

function cipherOf(key: Uint8Array): (typeof CIPHERS)[KeyBytes] {
  return CIPHERS[key.length as KeyBytes];
}
