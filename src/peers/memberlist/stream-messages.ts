import * as field from "./message-fields.ts";
import { type MemberState, type MemberStatus, MESSAGE_TYPE, type StreamMessage } from "./messages.ts";
import { encodeStruct, MsgpackReader } from "./msgpack.ts";
import { decodeAck, decodePing } from "./packet-messages.ts";
import { Refused, Truncated } from "./refused.ts";

/** By their numbers in a push/pull. */
const STATUSES: readonly MemberStatus[] = ["alive", "suspect", "dead", "left"];

/** A push/pull, whole. `userState` is always empty: this side has none. */
export function encodePushPull(join: boolean, states: readonly MemberState[]): Buffer {
  const head = field.typed(MESSAGE_TYPE.pushPull, [
    ["Join", join],
    ["Nodes", states.length],
    ["UserStateLen", 0],
  ]);
  return Buffer.concat([head, ...states.map(encodeState)]);
}

/** An error for the other side of a stream. `text` must hold nothing secret. */
export function encodeError(text: string): Buffer {
  return field.typed(MESSAGE_TYPE.error, [["Error", text]]);
}

function encodeState(state: MemberState): Buffer {
  return encodeStruct([
    ["Addr", state.addr],
    ["Incarnation", state.incarnation],
    ["Meta", field.bytesOrNil(state.meta)],
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
        return { kind: "error", text: field.raw(reader.readStruct(), "Error", 4_096).toString("utf8") };
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
      const count = field.uint(fields, "Nodes");
      if (count > this.#maxStates) throw new Refused("too_large", `a push/pull has ${count} members`);
      this.#header = {
        join: field.bool(fields, "Join"),
        count,
        userBytes: field.uint(fields, "UserStateLen"),
      };
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

function decodeState(fields: field.Fields): MemberState {
  const status = STATUSES[field.uint(fields, "State")];
  if (!status) throw field.malformed("a member's state is unknown");
  const incarnation = field.uint(fields, "Incarnation");
  return {
    name: field.name(fields, "Name", 1),
    addr: field.address(fields, "Addr"),
    port: field.uint(fields, "Port", 0xffff),
    // Views into a stream's buffer would keep all of it.
    meta: Buffer.from(field.meta(fields)),
    incarnation: status === "alive" ? incarnation : field.accusedIncarnation(incarnation),
    status,
    versions: field.versions(fields),
  };
}
