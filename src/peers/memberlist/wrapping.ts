import { compressLzw, decompressLzw } from "./lzw.ts";
import type { Keyring } from "./keyring.ts";
import { MESSAGE_TYPE } from "./messages.ts";
import { encodeStruct, type MsgpackReader } from "./msgpack.ts";
import { Refused } from "./refused.ts";

/** What all members of a cluster must have alike. */
export interface Wrapping {
  /** Keeps clusters on one network apart: packets and streams with another label are refused. Empty: none. */
  readonly label: string;
  /** Encrypts and proves all that is sent, and refuses what is not. Undefined: everything is plain. */
  readonly keyring: Keyring | undefined;
  /** Compress what is sent. What arrives may be compressed or not. */
  readonly compress: boolean;
}

/** memberlist's only algorithm. */
const ALGORITHM_LZW = 0;

/** `payload` as a compressed message. */
export function compressed(payload: Uint8Array): Buffer {
  const body = encodeStruct([
    ["Algo", ALGORITHM_LZW],
    ["Buf", compressLzw(payload)],
  ]);
  return Buffer.concat([Uint8Array.of(MESSAGE_TYPE.compressed), body]);
}

/**
 * The payload of the compressed message whose body `reader` is at.
 * @throws Truncated when the body is not whole; Refused when it can't be unpacked, or not within `maxBytes`.
 */
export function decompressed(reader: MsgpackReader, maxBytes: number): Buffer {
  const fields = reader.readStruct();
  const algorithm = fields.get("Algo") ?? 0;
  const payload = fields.get("Buf");
  if (algorithm !== ALGORITHM_LZW || !Buffer.isBuffer(payload))
    throw new Refused("malformed", "the compression is unknown");
  return decompressLzw(payload, maxBytes);
}

/** What stands before everything when there is a label. */
export function labelHeader(label: string): Buffer {
  const text = Buffer.from(label, "utf8");
  return label === "" ? text : Buffer.concat([Uint8Array.of(MESSAGE_TYPE.label, text.length), text]);
}
