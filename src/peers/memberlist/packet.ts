import { crc32 } from "node:zlib";
import { ENCRYPTION_OVERHEAD } from "./keyring.ts";
import { decodeMessage } from "./packet-messages.ts";
import { type Message, MESSAGE_TYPE } from "./messages.ts";
import { MsgpackReader } from "./msgpack.ts";
import { Refused, refusalReasonOf, type RefusalReason } from "./refused.ts";
import { compressed, decompressed, labelHeader, type Wrapping } from "./wrapping.ts";

/*
 * A packet, from the outside in: label, encryption, checksum, compression, compound, message. Each may be missing but
 * the last, and none may come twice.
 */

/** Most messages in one compound: their number is one byte. */
export const MAX_COMPOUND_PARTS = 255;

/** Bytes that a compound adds: for itself, and for each part. memberlist counts the same. */
export const COMPOUND_OVERHEAD = 2;
export const COMPOUND_PART_OVERHEAD = 2;

const CHECKSUM_BYTES = 5;

/** What a packet holds. */
export interface PacketContents {
  readonly messages: readonly Message[];
  /** One for each part that was refused, or one for the whole packet. */
  readonly refusals: readonly RefusalReason[];
}

/**
 * Opens a packet. Never throws: what can't be read is told in `refusals`, and the other parts of a compound are read all
 * the same. Neither the packet nor what it unpacks to may be longer than `maxBytes`.
 */
export function openPacket(packet: Buffer, wrapping: Wrapping, maxBytes: number): PacketContents {
  const messages: Message[] = [];
  const refusals: RefusalReason[] = [];
  try {
    if (packet.length > maxBytes) throw new Refused("too_large", `the packet has ${packet.length} bytes`);
    for (const part of partsOf(uncompressed(checked(decrypted(packet, wrapping)), maxBytes), refusals)) {
      try {
        messages.push(decodeMessage(part));
      } catch (error) {
        refusals.push(isWrapper(part[0]) ? "nesting" : refusalReasonOf(error));
      }
    }
  } catch (error) {
    refusals.push(refusalReasonOf(error));
  }
  return { messages, refusals };
}

/** What {@link openPacket} opens. `checksum` only for members that speak protocol version 5. */
export function sealPacket(messages: readonly Buffer[], wrapping: Wrapping, checksum: boolean): Buffer {
  const [first] = messages;
  let bytes = messages.length === 1 && first ? first : compound(messages);
  if (wrapping.compress) {
    const smaller = compressed(bytes);
    if (smaller.length < bytes.length) bytes = smaller;
  }
  if (checksum) bytes = withChecksum(bytes);
  if (wrapping.keyring) bytes = wrapping.keyring.encrypt(bytes, Buffer.from(wrapping.label, "utf8"));
  return wrapping.label === "" ? bytes : Buffer.concat([labelHeader(wrapping.label), bytes]);
}

/** Bytes left for messages in a packet of `packetBytes`, a compound's own included. */
export function roomInPacket(packetBytes: number, { label, keyring }: Wrapping): number {
  return packetBytes - COMPOUND_OVERHEAD - labelHeader(label).length - (keyring ? ENCRYPTION_OVERHEAD : 0);
}

function compound(messages: readonly Buffer[]): Buffer {
  if (messages.length > MAX_COMPOUND_PARTS) throw new RangeError(`${messages.length} messages in one packet`);
  const head = Buffer.alloc(2 + messages.length * 2);
  head[0] = MESSAGE_TYPE.compound;
  head[1] = messages.length;
  messages.forEach(({ length }, i) => head.writeUInt16BE(length, 2 + i * 2));
  return Buffer.concat([head, ...messages]);
}

function withChecksum(bytes: Buffer): Buffer {
  const head = Buffer.alloc(CHECKSUM_BYTES, MESSAGE_TYPE.checksum);
  head.writeUInt32BE(crc32(bytes), 1);
  return Buffer.concat([head, bytes]);
}

function decrypted(packet: Buffer, { label, keyring }: Wrapping): Buffer {
  const header = labelHeader(label);
  const labelled = packet[0] === MESSAGE_TYPE.label;
  if (labelled !== header.length > 0 || !packet.subarray(0, header.length).equals(header))
    throw new Refused("label", "the packet has another label");
  const bytes = packet.subarray(header.length);
  return keyring ? keyring.decrypt(bytes, header.subarray(2)) : bytes;
}

function checked(bytes: Buffer): Buffer {
  if (bytes[0] !== MESSAGE_TYPE.checksum || bytes.length < CHECKSUM_BYTES) return bytes;
  const rest = bytes.subarray(CHECKSUM_BYTES);
  if (crc32(rest) !== bytes.readUInt32BE(1)) throw new Refused("checksum", "the checksum is wrong");
  return rest;
}

function uncompressed(bytes: Buffer, maxBytes: number): Buffer {
  if (bytes[0] !== MESSAGE_TYPE.compressed) return bytes;
  return decompressed(new MsgpackReader(bytes, 1), maxBytes);
}

/** The parts of a compound, or the one message. Parts that are not whole are refused, those before them taken. */
function partsOf(bytes: Buffer, refusals: RefusalReason[]): Buffer[] {
  if (bytes[0] !== MESSAGE_TYPE.compound) return [bytes];
  const count = bytes[1] ?? 0;
  let at = 2 + count * 2;
  if (bytes.length < at) throw new Refused("malformed", "the lengths of a compound are truncated");
  const parts: Buffer[] = [];
  for (let i = 0; i < count; i += 1) {
    const end = at + bytes.readUInt16BE(2 + i * 2);
    if (end > bytes.length) {
      refusals.push("malformed");
      break;
    }
    parts.push(bytes.subarray(at, end));
    at = end;
  }
  return parts;
}

/** A wrapper inside a compound, a compressed or a checked message. memberlist unwraps it as often as the sender likes. */
function isWrapper(type: number | undefined): boolean {
  return type === MESSAGE_TYPE.compound || type === MESSAGE_TYPE.compressed || type === MESSAGE_TYPE.checksum;
}
