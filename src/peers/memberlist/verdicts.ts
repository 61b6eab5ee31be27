import type { Milliseconds } from "../../system/clock.ts";
import { bytesOfHost } from "./endpoint.ts";
import type { Alive, Dead, MemberStatus, Suspect } from "./messages.ts";
import type { RefusalReason } from "./refused.ts";

/*
 * What a message about a member means, given what is known of it: the protocol's rules, pure. The words are
 * memberlist's. Newer incarnations win; with equal ones, dead beats suspect beats alive, so that only the member itself,
 * which alone raises its incarnation, can say that it lives.
 */

/** Versions that this side reads. */
export const PROTOCOL_MIN = 1;
export const PROTOCOL_MAX = 5;
/** The version that this side speaks: what version 2 cannot read is not sent. */
export const PROTOCOL_CURRENT = 2;

/** What this side says of itself. Its delegate, which it has none of, is version 0. */
export const OWN_VERSIONS = Buffer.from([PROTOCOL_MIN, PROTOCOL_MAX, PROTOCOL_CURRENT, 0, 0, 0]);

/** A member as far as it is known. */
export interface Member {
  readonly name: string;
  /** As it came: Go compares bytes, so an IPv4 address written as IPv6 must stay so. */
  readonly addr: Buffer;
  /** The same as text. */
  readonly host: string;
  readonly port: number;
  readonly meta: Buffer;
  readonly versions: Buffer;
  readonly incarnation: number;
  readonly status: MemberStatus;
  /** When it got its status, on the monotonic clock. */
  readonly statusSinceMs: Milliseconds;
}

/** What the rules need beside the member and the message. */
export interface Circumstances {
  /** This side's own name. */
  readonly self: string;
  /** This side is leaving or has left. */
  readonly leaving: boolean;
  /** The table holds no further member. */
  readonly full: boolean;
  readonly deadNodeReclaimMs: Milliseconds;
  readonly nowMs: Milliseconds;
}

/**
 * What to do with a message about a member.
 *
 * | verdict | what happens |
 * |---|---|
 * | `ignored` | nothing: it is old, known, or about a stranger |
 * | `refused` | nothing, and it is counted |
 * | `refute` | it is wrong about this side: say so with a higher incarnation |
 * | `accepted` | the member gets the status, and the message is gossiped on |
 * | `confirmed` | the suspicion has one more witness, perhaps |
 */
export type Verdict =
  | { readonly kind: "ignored" }
  | { readonly kind: "refused"; readonly reason: RefusalReason }
  | { readonly kind: "refute" }
  | { readonly kind: "accepted"; readonly status: MemberStatus }
  | { readonly kind: "confirmed" };

const IGNORED: Verdict = { kind: "ignored" };
const REFUTE: Verdict = { kind: "refute" };

/** The verdict on an {@link Alive}; `known` is what is known of its member. */
export function judgeAlive(known: Member | undefined, alive: Alive, now: Circumstances): Verdict {
  const { self, leaving } = now;
  const isSelf = alive.node === self;
  // One that was still under way must not undo the leaving.
  if (leaving && isSelf) return IGNORED;
  if (!speaksWithUs(alive.versions)) return { kind: "refused", reason: "incompatible" };
  if (!known) return now.full ? { kind: "refused", reason: "full" } : { kind: "accepted", status: "alive" };

  const moved = known.port !== alive.port || !known.addr.equals(alive.addr);
  if (moved && !mayMove(known, now)) return { kind: "refused", reason: "conflict" };
  if (isSelf) {
    if (alive.incarnation < known.incarnation) return IGNORED;
    const same =
      alive.incarnation === known.incarnation &&
      alive.meta.equals(known.meta) &&
      alive.versions.equals(known.versions);
    return same ? IGNORED : REFUTE;
  }
  if (alive.incarnation <= known.incarnation && !moved) return IGNORED;
  return { kind: "accepted", status: "alive" };
}

/** The verdict on a {@link Suspect}. */
export function judgeSuspect(known: Member | undefined, suspect: Suspect, now: Circumstances): Verdict {
  if (!known || suspect.incarnation < known.incarnation) return IGNORED;
  if (known.status === "suspect") return { kind: "confirmed" };
  if (known.status !== "alive") return IGNORED;
  return suspect.node === now.self ? REFUTE : { kind: "accepted", status: "suspect" };
}

/** The verdict on a {@link Dead}. A member that says it of itself has left. */
export function judgeDead(known: Member | undefined, dead: Dead, now: Circumstances): Verdict {
  if (!known || dead.incarnation < known.incarnation) return IGNORED;
  if (known.status === "dead" || known.status === "left") return IGNORED;
  if (dead.node === now.self && !now.leaving) return REFUTE;
  return { kind: "accepted", status: dead.node === dead.from ? "left" : "dead" };
}

/**
 * True when this side and a member understand each other. memberlist asks it of the whole cluster at each exchange, so
 * that one member which understands nobody keeps all others from exchanging; here it is asked of each member alone.
 */
export function speaksWithUs(versions: Buffer): boolean {
  const [min = 0, max = 0, current = 0, delegateMin = 0, , delegateCurrent = 0] = versions;
  return (
    min > 0 &&
    min <= PROTOCOL_CURRENT &&
    max >= PROTOCOL_CURRENT &&
    current >= PROTOCOL_MIN &&
    current <= PROTOCOL_MAX &&
    delegateMin === 0 &&
    delegateCurrent === 0
  );
}

/** The highest protocol version that a member reads. */
export function protocolMaxOf({ versions }: Member): number {
  return versions[1] ?? 0;
}

/** What this side says of itself at `incarnation`. `host` must be an IP address. */
export function ownAlive(name: string, host: string, port: number, incarnation: number): Alive {
  const addr = bytesOfHost(host);
  if (!addr) throw new RangeError(`${host} is no IP address`);
  return {
    kind: "alive",
    incarnation,
    node: name,
    addr,
    port,
    meta: Buffer.alloc(0),
    versions: OWN_VERSIONS,
  };
}

function mayMove(known: Member, { deadNodeReclaimMs, nowMs }: Circumstances): boolean {
  if (known.status === "left") return true;
  return known.status === "dead" && deadNodeReclaimMs > 0 && nowMs - known.statusSinceMs > deadNodeReclaimMs;
}
