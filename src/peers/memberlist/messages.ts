import { isUtf8 } from "node:buffer";
import { encodeStruct, MsgpackReader, type MsgpackField, type MsgpackValue } from "./msgpack.ts";
import { Refused, Truncated } from "./refused.ts";

/*
 * memberlist's messages, each a byte that says its type and a struct in MessagePack (docs/memberlist.md has the fields).
 * Decoders are stricter than Go's: values that would make it panic, or that no honest member sends, are refused.
 */

/** The first byte of a message. */
export const MESSAGE_TYPE = {
  ping: 0,
  indirectPing: 1,
  ack: 2,
  suspect: 3,
  alive: 4,
  dead: 5,
  pushPull: 6,
  compound: 7,
  user: 8,
  compressed: 9,
  encrypted: 10,
  nack: 11,
  checksum: 12,
  error: 13,
  label: 244,
} as const;

/** Longest name of a member, in bytes. memberlist has no bound; a DNS name has 253. */
export const MAX_NAME_BYTES = 255;

/** memberlist's bound of a member's metadata, in bytes. */
export const MAX_META_BYTES = 512;

/** Who sent a ping, and where it can be answered. A sender before memberlist 0.2 leaves it out. */
export interface Source {
  /** 4 or 16 bytes, or none. */
  readonly addr: Buffer;
  /** 0 when absent. */
  readonly port: number;
  readonly node: string;
}

/** Asks `node` for an ack with the same number. */
export interface Ping {
  readonly kind: "ping";
  readonly seqNo: number;
  /** The member that is meant; empty is whoever gets it. */
  readonly node: string;
  readonly source: Source;
}

/** Asks the receiver to ping a third member. */
export interface IndirectPing {
  readonly kind: "indirect_ping";
  readonly seqNo: number;
  readonly node: string;
  readonly target: Buffer;
  readonly port: number;
  /** The sender wants a nack when no ack comes in time. */
  readonly nack: boolean;
  readonly source: Source;
}

/** Answers a {@link Ping}. */
export interface Ack {
  readonly kind: "ack";
  readonly seqNo: number;
}

/** "I tried the indirect ping and heard nothing": proves that the network to the receiver works. */
export interface Nack {
  readonly kind: "nack";
  readonly seqNo: number;
}

/** `from` had no answer of `node`. */
export interface Suspect {
  readonly kind: "suspect";
  readonly incarnation: number;
  readonly node: string;
  readonly from: string;
}

/** `node` is dead, says `from`; it left when both are the same. */
export interface Dead {
  readonly kind: "dead";
  readonly incarnation: number;
  readonly node: string;
  readonly from: string;
}

/** `node` is alive at this address. */
export interface Alive {
  readonly kind: "alive";
  readonly incarnation: number;
  readonly node: string;
  readonly addr: Buffer;
  /** 0 is the receiver's own port. */
  readonly port: number;
  readonly meta: Buffer;
  /** Protocol min, max, current; delegate min, max, current. */
  readonly versions: Buffer;
}

/** An application's message. This side has no use for any. */
export interface User {
  readonly kind: "user";
}

/** What a packet carries. */
export type Message = Ping | IndirectPing | Ack | Nack | Suspect | Alive | Dead | User;

/** What a member is, as a push/pull says. */
export type MemberStatus = "alive" | "suspect" | "dead" | "left";

const STATUSES: readonly MemberStatus[] = ["alive", "suspect", "dead", "left"];

/** One member in a push/pull. */
export interface MemberState {
  readonly name: string;
  readonly addr: Buffer;
  readonly port: number;
  readonly meta: Buffer;
  readonly incarnation: number;
  readonly status: MemberStatus;
  readonly versions: Buffer;
}

/** What a stream carries. */
export type StreamMessage =
  | {
      readonly kind: "push_pull";
      /** The sender is joining; false for the periodic exchange. */
      readonly join: boolean;
      readonly states: readonly MemberState[];
    }
  | Ping
  | Ack
  | User
  /** The other side could not read what it got. */
  | { readonly kind: "error"; readonly text: string };

/** An incarnation that no suspected member could outbid. */
const MAX_UINT32 = 0xffff_ffff;
const NO_BYTES = Buffer.alloc(0);

/** A whole message: type and body. `user` is never sent. */
export function encodeMessage(message: Exclude<Message, User>): Buffer {
  switch (message.kind) {
    case "ping":
      return typed(MESSAGE_TYPE.ping, [
        ["Node", message.node],
        ["SeqNo", message.seqNo],
        ...sourceFields(message.source),
      ]);
    case "indirect_ping":
      return typed(MESSAGE_TYPE.indirectPing, [
        ["Nack", message.nack],
        ["Node", message.node],
        ["Port", message.port],
        ["SeqNo", message.seqNo],
        ...sourceFields(message.source),
        ["Target", message.target],
      ]);
    case "ack":
      return typed(MESSAGE_TYPE.ack, [
        ["Payload", null],
        ["SeqNo", message.seqNo],
      ]);
    case "nack":
      return typed(MESSAGE_TYPE.nack, [["SeqNo", message.seqNo]]);
    case "suspect":
    case "dead":
      return typed(message.kind === "dead" ? MESSAGE_TYPE.dead : MESSAGE_TYPE.suspect, [
        ["From", message.from],
        ["Incarnation", message.incarnation],
        ["Node", message.node],
      ]);
    case "alive":
      return typed(MESSAGE_TYPE.alive, [
        ["Addr", message.addr],
        ["Incarnation", message.incarnation],
        ["Meta", bytesOrNil(message.meta)],
        ["Node", message.node],
        ["Port", message.port],
        ["Vsn", message.versions],
      ]);
  }
}

/** The message of one part of a packet. Bytes behind its body are left out, as Go does. @throws Refused */
export function decodeMessage(part: Buffer): Message {
  const type = part[0];
  if (type === undefined) throw malformed("the message is empty");
  if (type === MESSAGE_TYPE.user) return { kind: "user" };
  const decode = DECODERS.get(type);
  if (!decode) throw new Refused("unknown_type", `the message type ${type} is not taken in a packet`);
  return decode(new MsgpackReader(part, 1).readStruct());
}

type Fields = ReadonlyMap<string, MsgpackValue>;

const DECODERS: ReadonlyMap<number, (fields: Fields) => Message> = new Map<
  number,
  (fields: Fields) => Message
>([
  [MESSAGE_TYPE.ping, decodePing],
  [
    MESSAGE_TYPE.indirectPing,
    (fields) => ({
      kind: "indirect_ping",
      seqNo: uint(fields, "SeqNo"),
      node: name(fields, "Node", 0),
      target: address(fields, "Target"),
      port: uint(fields, "Port", 0xffff),
      nack: bool(fields, "Nack"),
      source: source(fields),
    }),
  ],
  [MESSAGE_TYPE.ack, decodeAck],
  [MESSAGE_TYPE.nack, (fields) => ({ kind: "nack", seqNo: uint(fields, "SeqNo") })],
  [MESSAGE_TYPE.suspect, (fields) => accusation("suspect", fields)],
  [MESSAGE_TYPE.dead, (fields) => accusation("dead", fields)],
  [
    MESSAGE_TYPE.alive,
    (fields) => ({
      kind: "alive",
      incarnation: uint(fields, "Incarnation"),
      node: name(fields, "Node", 1),
      addr: address(fields, "Addr"),
      port: uint(fields, "Port", 0xffff),
      meta: raw(fields, "Meta", MAX_META_BYTES),
      versions: versions(fields),
    }),
  ],
]);

function decodePing(fields: Fields): Ping {
  return {
    kind: "ping",
    seqNo: uint(fields, "SeqNo"),
    node: name(fields, "Node", 0),
    source: source(fields),
  };
}

function decodeAck(fields: Fields): Ack {
  return { kind: "ack", seqNo: uint(fields, "SeqNo") };
}

function accusation<T extends "suspect" | "dead">(kind: T, fields: Fields) {
  return {
    kind,
    incarnation: accusedIncarnation(uint(fields, "Incarnation")),
    node: name(fields, "Node", 1),
    from: name(fields, "From", 0),
  };
}

/** A push/pull, whole. `userState` is always empty: this side has none. */
export function encodePushPull(join: boolean, states: readonly MemberState[]): Buffer {
  const head = typed(MESSAGE_TYPE.pushPull, [
    ["Join", join],
    ["Nodes", states.length],
    ["UserStateLen", 0],
  ]);
  return Buffer.concat([head, ...states.map(encodeState)]);
}

/** An error for the other side of a stream. `text` must hold nothing secret. */
export function encodeError(text: string): Buffer {
  return typed(MESSAGE_TYPE.error, [["Error", text]]);
}

function encodeState(state: MemberState): Buffer {
  return encodeStruct([
    ["Addr", state.addr],
    ["Incarnation", state.incarnation],
    ["Meta", bytesOrNil(state.meta)],
    ["Name", state.name],
    ["Port", state.port],
    ["State", STATUSES.indexOf(state.status)],
    ["Vsn", state.versions],
  ]);
}

/**
 * Reads a stream's message from bytes that may still be incomplete: call {@link read} again with more of the same
 * bytes. What was read once is not read again, so a slow sender costs no more than a fast one.
 */
export class StreamMessageReader {
  readonly #maxStates: number;
  /** Where the next thing to read begins. */
  #offset = 1;
  #header: { readonly join: boolean; readonly count: number; readonly userBytes: number } | undefined;
  readonly #states: MemberState[] = [];

  /** @param maxStates more members in one push/pull are refused as `too_large`. */
  constructor(maxStates: number) {
    this.#maxStates = maxStates;
  }

  /**
   * The message that begins at `bytes[0]` with its type.
   * @throws Truncated when more bytes are needed; Refused when no bytes could make it a message.
   */
  read(bytes: Buffer): StreamMessage {
    const type = bytes[0];
    const reader = new MsgpackReader(bytes, this.#offset);
    switch (type) {
      case undefined:
        throw new Truncated();
      case MESSAGE_TYPE.ping:
        return decodePing(reader.readStruct());
      case MESSAGE_TYPE.ack:
        return decodeAck(reader.readStruct());
      case MESSAGE_TYPE.error:
        return { kind: "error", text: raw(reader.readStruct(), "Error", 4_096).toString("utf8") };
      case MESSAGE_TYPE.user:
        return { kind: "user" };
      case MESSAGE_TYPE.pushPull:
        return this.#pushPull(reader, bytes);
      default:
        throw new Refused("unknown_type", `the message type ${type} is not taken in a stream`);
    }
  }

  #pushPull(reader: MsgpackReader, bytes: Buffer): StreamMessage {
    if (!this.#header) {
      const fields = reader.readStruct();
      const count = uint(fields, "Nodes");
      if (count > this.#maxStates) throw new Refused("too_large", `a push/pull has ${count} members`);
      this.#header = { join: bool(fields, "Join"), count, userBytes: uint(fields, "UserStateLen") };
      this.#offset = reader.offset;
    }
    const { join, count, userBytes } = this.#header;
    while (this.#states.length < count) {
      this.#states.push(decodeState(reader.readStruct()));
      this.#offset = reader.offset;
    }
    // An application's state, which is of no use here: but the sender may not read before it was taken.
    if (bytes.length - this.#offset < userBytes) throw new Truncated();
    return { kind: "push_pull", join, states: this.#states };
  }
}

function decodeState(fields: Fields): MemberState {
  const status = STATUSES[uint(fields, "State")];
  if (!status) throw malformed("a member's state is unknown");
  const incarnation = uint(fields, "Incarnation");
  return {
    name: name(fields, "Name", 1),
    addr: address(fields, "Addr"),
    port: uint(fields, "Port", 0xffff),
    // Views into a stream's buffer would keep all of it.
    meta: Buffer.from(raw(fields, "Meta", MAX_META_BYTES)),
    incarnation: status === "alive" ? incarnation : accusedIncarnation(incarnation),
    status,
    versions: versions(fields),
  };
}

function typed(type: number, fields: readonly (readonly [string, MsgpackField])[]): Buffer {
  return Buffer.concat([Uint8Array.of(type), encodeStruct(fields)]);
}

function sourceFields({ addr, port, node }: Source): (readonly [string, MsgpackField])[] {
  const fields: (readonly [string, MsgpackField])[] = [];
  if (addr.length > 0) fields.push(["SourceAddr", addr]);
  if (node !== "") fields.push(["SourceNode", node]);
  if (port !== 0) fields.push(["SourcePort", port]);
  return fields;
}

function source(fields: Fields): Source {
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
function bytesOrNil(bytes: Buffer): Buffer | null {
  return bytes.length > 0 ? bytes : null;
}

/** An absent or nil field is 0, as in Go. */
function uint(fields: Fields, field: string, max = MAX_UINT32): number {
  const value = fields.get(field) ?? 0;
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= max) return value;
  throw malformed(`${field} is no integer from 0 to ${max}`);
}

function bool(fields: Fields, field: string): boolean {
  const value = fields.get(field) ?? false;
  if (typeof value === "boolean") return value;
  throw malformed(`${field} is no boolean`);
}

function raw(fields: Fields, field: string, maxBytes: number): Buffer {
  const value = fields.get(field) ?? NO_BYTES;
  if (!Buffer.isBuffer(value)) throw malformed(`${field} is no byte string`);
  if (value.length > maxBytes) throw new Refused("too_large", `${field} has ${value.length} bytes`);
  return value;
}

/** A member's name. It goes to logs and pages, so control characters are refused. */
function name(fields: Fields, field: string, minBytes: number): string {
  const bytes = raw(fields, field, MAX_NAME_BYTES);
  if (bytes.length < minBytes) throw malformed(`${field} is empty`);
  if (!isUtf8(bytes) || bytes.some((byte) => byte < 0x20 || byte === 0x7f))
    throw malformed(`${field} is no printable text`);
  return bytes.toString("utf8");
}

function address(fields: Fields, field: string): Buffer {
  const bytes = raw(fields, field, 16);
  if (bytes.length !== 4 && bytes.length !== 16) throw malformed(`${field} has ${bytes.length} bytes`);
  return Buffer.from(bytes);
}

/** Six bytes: raw, as Go writes them, or an array, as it also reads them. */
function versions(fields: Fields): Buffer {
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
 * honest member sends it.
 */
function accusedIncarnation(incarnation: number): number {
  if (incarnation === MAX_UINT32) throw malformed("the incarnation of an accusation can't be refuted");
  return incarnation;
}

function malformed(message: string): Refused {
  return new Refused("malformed", message);
}
