import { ENCRYPTION_OVERHEAD } from "./keyring.ts";
import { MESSAGE_TYPE, type StreamMessage } from "./messages.ts";
import { StreamMessageReader } from "./stream-messages.ts";
import { MsgpackReader } from "./msgpack.ts";
import { Refused, Truncated } from "./refused.ts";
import { compressed, decompressed, labelHeader, type Wrapping } from "./wrapping.ts";

/*
 * A stream carries one message each way, from the outside in: label (only from the side that connected), encryption,
 * compression, message. Only the encrypted form says its length; the others end where the message does.
 */

/** `message` for a stream. The side that connects puts the label before it, the one that answers does not. */
export function sealStream(message: Buffer, wrapping: Wrapping, side: "connects" | "answers"): Buffer {
  const { label, keyring } = wrapping;
  let bytes = wrapping.compress ? compressed(message) : message;
  if (keyring) {
    const head = Buffer.alloc(ENCRYPTED_HEAD_BYTES, MESSAGE_TYPE.encrypted);
    head.writeUInt32BE(bytes.length + ENCRYPTION_OVERHEAD, 1);
    bytes = Buffer.concat([head, keyring.encrypt(bytes, authenticatedOf(head, label))]);
  }
  return side === "connects" ? Buffer.concat([labelHeader(label), bytes]) : bytes;
}

/** Bounds of {@link StreamReader}. */
export interface StreamLimits {
  /** Longest stream, and longest message after unpacking, in bytes. */
  readonly maxBytes: number;
  /** Most members in a push/pull. */
  readonly maxStates: number;
}

const ENCRYPTED_HEAD_BYTES = 5;

/**
 * Opens a stream as its bytes come in. Give it all bytes so far each time: they must be the same ones, and more.
 */
export class StreamReader {
  readonly #wrapping: Wrapping;
  readonly #limits: StreamLimits;
  readonly #header: Buffer;
  readonly #plain: StreamMessageReader;

  /** @param side who this side is: the one that answers expects the label. */
  constructor(wrapping: Wrapping, limits: StreamLimits, side: "connects" | "answers") {
    this.#wrapping = wrapping;
    this.#limits = limits;
    this.#header = side === "answers" ? labelHeader(wrapping.label) : Buffer.alloc(0);
    this.#plain = new StreamMessageReader(limits.maxStates);
  }

  /**
   * The message, once it is whole; undefined before.
   * @throws Refused when no more bytes could make it one.
   */
  read(bytes: Buffer): StreamMessage | undefined {
    if (bytes.length > this.#limits.maxBytes) throw tooLarge();
    try {
      return this.#message(bytes);
    } catch (error) {
      if (error instanceof Truncated) return undefined;
      throw error;
    }
  }

  #message(bytes: Buffer): StreamMessage {
    const { keyring } = this.#wrapping;
    const body = this.#withoutLabel(bytes);
    const type = body[0];
    if (type === undefined) throw new Truncated();
    if (!keyring) {
      if (type === MESSAGE_TYPE.encrypted)
        throw new Refused("encryption", "the stream is encrypted and no key is configured");
      return type === MESSAGE_TYPE.compressed ? this.#unpacked(body) : this.#plain.read(body);
    }
    if (type !== MESSAGE_TYPE.encrypted) throw new Refused("encryption", "the stream is not encrypted");
    const opened = this.#decrypted(body);
    return whole(() =>
      opened[0] === MESSAGE_TYPE.compressed ? this.#unpacked(opened) : this.#plain.read(opened),
    );
  }

  #withoutLabel(bytes: Buffer): Buffer {
    const header = this.#header;
    const start = bytes.subarray(0, header.length);
    const labelled = bytes[0] === MESSAGE_TYPE.label;
    if (
      (bytes.length > 0 && labelled !== header.length > 0) ||
      !start.equals(header.subarray(0, start.length))
    )
      throw new Refused("label", "the stream has another label");
    if (start.length < header.length) throw new Truncated();
    return bytes.subarray(header.length);
  }

  #decrypted(body: Buffer): Buffer {
    if (body.length < ENCRYPTED_HEAD_BYTES) throw new Truncated();
    const end = ENCRYPTED_HEAD_BYTES + body.readUInt32BE(1);
    if (end > this.#limits.maxBytes) throw tooLarge();
    if (body.length < end) throw new Truncated();
    const { keyring, label } = this.#wrapping;
    const head = body.subarray(0, ENCRYPTED_HEAD_BYTES);
    const sealed = body.subarray(ENCRYPTED_HEAD_BYTES, end);
    return keyring ? keyring.decrypt(sealed, authenticatedOf(head, label)) : sealed;
  }

  #unpacked(body: Buffer): StreamMessage {
    const unpacked = decompressed(new MsgpackReader(body, 1), this.#limits.maxBytes);
    return whole(() => this.#plain.read(unpacked));
  }
}

/** More bytes of the stream do not help what lies inside a wrapper that is whole. */
function whole(read: () => StreamMessage): StreamMessage {
  try {
    return read();
  } catch (error) {
    if (error instanceof Truncated) throw new Refused("malformed", error.message);
    throw error;
  }
}

function authenticatedOf(head: Uint8Array, label: string): Buffer {
  return Buffer.concat([head, Buffer.from(label, "utf8")]);
}

function tooLarge(): Refused {
  return new Refused("too_large", "the stream is too long");
}
