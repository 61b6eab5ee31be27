import { isUtf8 } from "node:buffer";
import type { Source } from "./messages.ts";
import { encodeStruct, type MsgpackField, type MsgpackValue } from "./msgpack.ts";
import { Refused } from "./refused.ts";

/*
 * The fields of memberlist's messages. Reading is stricter than Go's: values that would make it panic, or that no honest
 * member sends, are refused.
 */

/** Longest name of a member, in bytes. memberlist has no bound; a DNS name has 253. */
const MAX_NAME_BYTES = 255;

/** memberlist's bound of a member's metadata, in bytes. */
const MAX_META_BYTES = 512;

/** An incarnation that no suspected member could outbid. */
const MAX_UINT32 = 0xffff_ffff;
const NO_BYTES = Buffer.alloc(0);

/** The fields of a message or of a member's state, by the names that Go gives them. */
export type Fields = ReadonlyMap<string, MsgpackValue>;

/** A message of this type, whole. */
export function typed(type: number, fields: readonly (readonly [string, MsgpackField])[]): Buffer {
  return Buffer.concat([Uint8Array.of(type), encodeStruct(fields)]);
}

/** The fields that {@link source} reads. */
export function sourceFields({ addr, port, node }: Source): (readonly [string, MsgpackField])[] {
  const fields: (readonly [string, MsgpackField])[] = [];
  if (addr.length > 0) fields.push(["SourceAddr", addr]);
  if (node !== "") fields.push(["SourceNode", node]);
  if (port !== 0) fields.push(["SourcePort", port]);
  return fields;
}

/** Who sent a ping. Absent fields are empty, as older members leave them out. @throws Refused */
export function source(fields: Fields): Source {
  const addr = fields.get("SourceAddr") ?? null;
  return {
    addr:
      addr === null || (Buffer.isBuffer(addr) && addr.length === 0)
        ? NO_BYTES
        : address(fields, "SourceAddr"),
    port: uint(fields, "SourcePort", 0xffff),
    node: name(fields, "SourceNode", 0),
  };
}

/** Go writes nil for empty byte arrays of this kind. */
export function bytesOrNil(bytes: Buffer): Buffer | null {
  return bytes.length > 0 ? bytes : null;
}

/** An integer from 0 to `max`. An absent or nil field is 0, as in Go. @throws Refused */
export function uint(fields: Fields, field: string, max = MAX_UINT32): number {
  const value = fields.get(field) ?? 0;
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= max) return value;
  throw malformed(`${field} is no integer from 0 to ${max}`);
}

/** An absent or nil field is false, as in Go. @throws Refused */
export function bool(fields: Fields, field: string): boolean {
  const value = fields.get(field) ?? false;
  if (typeof value === "boolean") return value;
  throw malformed(`${field} is no boolean`);
}

/** A byte string: a view into what was read. @throws Refused */
export function raw(fields: Fields, field: string, maxBytes: number): Buffer {
  const value = fields.get(field) ?? NO_BYTES;
  if (!Buffer.isBuffer(value)) throw malformed(`${field} is no byte string`);
  if (value.length > maxBytes) throw new Refused("too_large", `${field} has ${value.length} bytes`);
  return value;
}

/** A member's metadata: a view into what was read. @throws Refused */
export function meta(fields: Fields): Buffer {
  return raw(fields, "Meta", MAX_META_BYTES);
}

/** A member's name. It goes to logs and pages, so control characters are refused. @throws Refused */
export function name(fields: Fields, field: string, minBytes: number): string {
  const bytes = raw(fields, field, MAX_NAME_BYTES);
  if (bytes.length < minBytes) throw malformed(`${field} is empty`);
  if (!isUtf8(bytes) || bytes.some((byte) => byte < 0x20 || byte === 0x7f))
    throw malformed(`${field} is no printable text`);
  return bytes.toString("utf8");
}

/** An IP address, copied. @throws Refused */
export function address(fields: Fields, field: string): Buffer {
  const bytes = raw(fields, field, 16);
  if (bytes.length !== 4 && bytes.length !== 16) throw malformed(`${field} has ${bytes.length} bytes`);
  return Buffer.from(bytes);
}

/** Six bytes: raw, as Go writes them, or an array, as it also reads them. Copied. @throws Refused */
export function versions(fields: Fields): Buffer {
  const value = fields.get("Vsn") ?? NO_BYTES;
  const bytes = Array.isArray(value) ? arrayBytes(value) : raw(fields, "Vsn", 64);
  if (bytes.length < 6) throw new Refused("incompatible", `Vsn has ${bytes.length} versions, not 6`);
  return Buffer.from(bytes.subarray(0, 6));
}

function arrayBytes(values: readonly MsgpackValue[]): Buffer {
  if (
    !values.every(
      (value) => typeof value === "number" && Number.isInteger(value) && value >= 0 && value < 256,
    )
  )
    throw malformed("Vsn holds no bytes");
  return Buffer.from(values as readonly number[]);
}

/**
 * The accused member refutes with a higher incarnation, so the highest of all would be a verdict without appeal: no
 * honest member sends it. @throws Refused
 */
export function accusedIncarnation(incarnation: number): number {
  if (incarnation === MAX_UINT32) throw malformed("the incarnation of an accusation can't be refuted");
  return incarnation;
}

/** A refusal of a message that breaks the format. */
export function malformed(message: string): Refused {
  return new Refused("malformed", message);
}
