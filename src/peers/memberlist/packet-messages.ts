import * as field from "./message-fields.ts";
import { type Ack, type Message, MESSAGE_TYPE, type Ping, type User } from "./messages.ts";
import { MsgpackReader } from "./msgpack.ts";
import { Refused } from "./refused.ts";

/** A whole message: type and body. `user` is never sent. */
export function encodeMessage(message: Exclude<Message, User>): Buffer {
  switch (message.kind) {
    case "ping":
      return field.typed(MESSAGE_TYPE.ping, [
        ["Node", message.node],
        ["SeqNo", message.seqNo],
        ...field.sourceFields(message.source),
      ]);
    case "indirect_ping":
      return field.typed(MESSAGE_TYPE.indirectPing, [
        ["Nack", message.nack],
        ["Node", message.node],
        ["Port", message.port],
        ["SeqNo", message.seqNo],
        ...field.sourceFields(message.source),
        ["Target", message.target],
      ]);
    case "ack":
      return field.typed(MESSAGE_TYPE.ack, [
        ["Payload", null],
        ["SeqNo", message.seqNo],
      ]);
    case "nack":
      return field.typed(MESSAGE_TYPE.nack, [["SeqNo", message.seqNo]]);
    case "suspect":
    case "dead":
      return field.typed(message.kind === "dead" ? MESSAGE_TYPE.dead : MESSAGE_TYPE.suspect, [
        ["From", message.from],
        ["Incarnation", message.incarnation],
        ["Node", message.node],
      ]);
    case "alive":
      return field.typed(MESSAGE_TYPE.alive, [
        ["Addr", message.addr],
        ["Incarnation", message.incarnation],
        ["Meta", field.bytesOrNil(message.meta)],
        ["Node", message.node],
        ["Port", message.port],
        ["Vsn", message.versions],
      ]);
  }
}

/** The message of one part of a packet. Bytes behind its body are left out, as Go does. @throws Refused */
export function decodeMessage(part: Buffer): Message {
  const type = part[0];
  if (type === undefined) throw field.malformed("the message is empty");
  if (type === MESSAGE_TYPE.user) return { kind: "user" };
  const decode = DECODERS.get(type);
  if (!decode) throw new Refused("unknown_type", `the message type ${type} is not taken in a packet`);
  return decode(new MsgpackReader(part, 1).readStruct());
}

const DECODERS: ReadonlyMap<number, (fields: field.Fields) => Message> = new Map<
  number,
  (fields: field.Fields) => Message
>([
  [MESSAGE_TYPE.ping, decodePing],
  [
    MESSAGE_TYPE.indirectPing,
    (fields) => ({
      kind: "indirect_ping",
      seqNo: field.uint(fields, "SeqNo"),
      node: field.name(fields, "Node", 0),
      target: field.address(fields, "Target"),
      port: field.uint(fields, "Port", 0xffff),
      nack: field.bool(fields, "Nack"),
      source: field.source(fields),
    }),
  ],
  [MESSAGE_TYPE.ack, decodeAck],
  [MESSAGE_TYPE.nack, (fields) => ({ kind: "nack", seqNo: field.uint(fields, "SeqNo") })],
  [MESSAGE_TYPE.suspect, (fields) => accusation("suspect", fields)],
  [MESSAGE_TYPE.dead, (fields) => accusation("dead", fields)],
  [
    MESSAGE_TYPE.alive,
    (fields) => ({
      kind: "alive",
      incarnation: field.uint(fields, "Incarnation"),
      node: field.name(fields, "Node", 1),
      addr: field.address(fields, "Addr"),
      port: field.uint(fields, "Port", 0xffff),
      meta: field.meta(fields),
      versions: field.versions(fields),
    }),
  ],
]);

/** The {@link Ping} of a packet or a stream. @throws Refused */
export function decodePing(fields: field.Fields): Ping {
  return {
    kind: "ping",
    seqNo: field.uint(fields, "SeqNo"),
    node: field.name(fields, "Node", 0),
    source: field.source(fields),
  };
}

/** The {@link Ack} of a packet or a stream. @throws Refused */
export function decodeAck(fields: field.Fields): Ack {
  return { kind: "ack", seqNo: field.uint(fields, "SeqNo") };
}

function accusation<T extends "suspect" | "dead">(kind: T, fields: field.Fields) {
  return {
    kind,
    incarnation: field.accusedIncarnation(field.uint(fields, "Incarnation")),
    node: field.name(fields, "Node", 1),
    from: field.name(fields, "From", 0),
  };
}
