import { Refused, Truncated } from "./refused.ts";

/*
 * The part of MessagePack that memberlist speaks: hashicorp/go-msgpack with its "old spec", in which strings and byte
 * arrays are one type ("raw") and lengths of 32 to 65535 take `raw 16` (there is no `str 8`). The npm packages write
 * byte arrays as `bin`, which is the new spec, and don't tell where in a stream a value ended.
 */

/** A decoded value. Raw bytes are views into the input. */
export type MsgpackValue =
  | null
  | boolean
  | number
  | Buffer
  | readonly MsgpackValue[]
  | ReadonlyMap<string, MsgpackValue>;

/** What {@link encodeStruct} can write. Numbers are integers from 0 to 2^32 - 1. */
export type MsgpackField = null | boolean | number | string | Uint8Array;

/** memberlist's largest struct has 8 fields. */
const MAX_ELEMENTS = 64;
const MAX_DEPTH = 4;

/** Reads values one after the other from bytes that may still be incomplete. */
export class MsgpackReader {
  readonly #bytes: Buffer;
  /** Where the next value begins. Does not move when {@link read} throws. */
  offset: number;

  constructor(bytes: Buffer, offset = 0) {
    this.#bytes = bytes;
    this.offset = offset;
  }

  /**
   * The next value. Costs no more memory than a constant times its bytes.
   * @throws Truncated when the bytes end inside the value.
   * @throws Refused `malformed` when it is no value that memberlist could have sent.
   */
  read(): MsgpackValue {
    const start = this.offset;
    try {
      return this.#value(0);
    } catch (error) {
      this.offset = start;
      throw error;
    }
  }

  /** The next value, which must be a map. Same errors as {@link read}. */
  readStruct(): ReadonlyMap<string, MsgpackValue> {
    const value = this.read();
    if (value instanceof Map) return value as ReadonlyMap<string, MsgpackValue>;
    throw malformed("a map was expected");
  }

  #value(depth: number): MsgpackValue {
    const lead = this.#uint(1);
    if (lead < 0x80) return lead;
    if (lead < 0x90) return this.#map(lead & 0x0f, depth);
    if (lead < 0xa0) return this.#array(lead & 0x0f, depth);
    if (lead < 0xc0) return this.#raw(lead & 0x1f);
    if (lead >= 0xe0) return lead - 0x100;
    switch (lead) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4: // bin 8, as the new spec has it: Go takes it too
      case 0xd9: // str 8
        return this.#raw(this.#uint(1));
      case 0xc5: // bin 16
      case 0xda: // raw 16
        return this.#raw(this.#uint(2));
      case 0xc6: // bin 32
      case 0xdb: // raw 32
        return this.#raw(this.#uint(4));
      case 0xca:
        return this.#take(4).readFloatBE();
      case 0xcb:
        return this.#take(8).readDoubleBE();
      case 0xcc:
        return this.#uint(1);
      case 0xcd:
        return this.#uint(2);
      case 0xce:
        return this.#uint(4);
      case 0xcf:
        // Inexact above 2^53, where every field's range ends anyway.
        return Number(this.#take(8).readBigUInt64BE());
      case 0xd0:
        return this.#take(1).readInt8();
      case 0xd1:
        return this.#take(2).readInt16BE();
      case 0xd2:
        return this.#take(4).readInt32BE();
      case 0xd3:
        return Number(this.#take(8).readBigInt64BE());
      case 0xdc:
        return this.#array(this.#uint(2), depth);
      case 0xdd:
        return this.#array(this.#uint(4), depth);
      case 0xde:
        return this.#map(this.#uint(2), depth);
      case 0xdf:
        return this.#map(this.#uint(4), depth);
      default:
        throw malformed(`the type 0x${lead.toString(16)} is unknown`);
    }
  }

  #array(count: number, depth: number): MsgpackValue[] {
    checkContainer(count, depth);
    const values: MsgpackValue[] = [];
    for (let i = 0; i < count; i += 1) values.push(this.#value(depth + 1));
    return values;
  }

  #map(count: number, depth: number): Map<string, MsgpackValue> {
    checkContainer(count, depth);
    const fields = new Map<string, MsgpackValue>();
    for (let i = 0; i < count; i += 1) {
      const key = this.#value(depth + 1);
      if (!Buffer.isBuffer(key)) throw malformed("a map's key is no string");
      // As in Go, the last of two equal keys counts.
      fields.set(key.toString("latin1"), this.#value(depth + 1));
    }
    return fields;
  }

  #raw(length: number): Buffer {
    return this.#take(length);
  }

  #uint(bytes: 1 | 2 | 4): number {
    return this.#take(bytes).readUIntBE(0, bytes);
  }

  #take(length: number): Buffer {
    const start = this.offset;
    const end = start + length;
    if (end > this.#bytes.length) throw new Truncated();
    this.offset = end;
    return this.#bytes.subarray(start, end);
  }
}

/**
 * A map with these fields in the order given; memberlist writes them in the order of their names. The numbers are
 * written in the shortest form.
 */
export function encodeStruct(fields: readonly (readonly [name: string, value: MsgpackField])[]): Buffer {
  const parts: Uint8Array[] = [Uint8Array.of(0x80 | fields.length)];
  for (const [name, value] of fields) {
    pushRaw(parts, Buffer.from(name, "latin1"));
    if (value === null) parts.push(Uint8Array.of(0xc0));
    else if (typeof value === "boolean") parts.push(Uint8Array.of(value ? 0xc3 : 0xc2));
    else if (typeof value === "number") parts.push(encodeUint(value));
    else if (typeof value === "string") pushRaw(parts, Buffer.from(value, "utf8"));
    else pushRaw(parts, value);
  }
  return Buffer.concat(parts);
}

function encodeUint(value: number): Uint8Array {
  if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff)
    throw new RangeError(`${value} is no 32-bit unsigned integer`);
  if (value < 0x80) return Uint8Array.of(value);
  if (value < 0x100) return Uint8Array.of(0xcc, value);
  if (value < 0x1_0000) return Uint8Array.of(0xcd, value >> 8, value & 0xff);
  const bytes = Buffer.alloc(5, 0xce);
  bytes.writeUInt32BE(value, 1);
  return bytes;
}

function pushRaw(parts: Uint8Array[], bytes: Uint8Array): void {
  const { length } = bytes;
  if (length < 32) {
    parts.push(Uint8Array.of(0xa0 | length));
  } else if (length < 0x1_0000) {
    parts.push(Uint8Array.of(0xda, length >> 8, length & 0xff));
  } else {
    const head = Buffer.alloc(5, 0xdb);
    head.writeUInt32BE(length, 1);
    parts.push(head);
  }
  parts.push(bytes);
}

function checkContainer(count: number, depth: number): void {
  if (count > MAX_ELEMENTS) throw malformed(`a container has ${count} elements`);
  if (depth >= MAX_DEPTH) throw malformed("containers are nested too deep");
}

function malformed(message: string): Refused {
  return new Refused("malformed", message);
}
