/*
 * memberlist's messages, each a byte that says its type and a struct in MessagePack (docs/memberlist.md has the fields).
 * `packet-messages.ts` and `stream-messages.ts` read and write them.
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

/** All that a member knows of all members. */
export interface PushPull {
  readonly kind: "push_pull";
  /** The sender is joining; false for the periodic exchange. */
  readonly join: boolean;
  readonly states: readonly MemberState[];
}

/** What a stream carries. */
export type StreamMessage =
  | PushPull
  | Ping
  | Ack
  | User
  /** The other side could not read what it got. */
  | { readonly kind: "error"; readonly text: string };
