import type { Endpoint } from "./endpoint.ts";
import { isUp } from "./membership.ts";
import { COMPOUND_PART_OVERHEAD, MAX_COMPOUND_PARTS, roomInPacket, sealPacket } from "./packet.ts";
import type { Parts } from "./parts.ts";
import { retransmitLimit } from "./timing.ts";
import { protocolMaxOf } from "./verdicts.ts";

/** All packets that this member sends, and the gossip in them. */
export class OutgoingPackets {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Sends messages and, to a member, the gossip that still fits. */
  send(messages: readonly Buffer[], to: Endpoint): void {
    const member = this.#parts.membership.at(to);
    const used = messages.reduce((sum, { length }) => sum + COMPOUND_PART_OVERHEAD + length, 0);
    const gossip = member
      ? this.#takeBroadcasts(this.#room() - used, MAX_COMPOUND_PARTS - messages.length)
      : [];
    this.sendAlone([...messages, ...gossip], to);
  }

  /** Sends messages without gossip. */
  sendAlone(messages: readonly Buffer[], to: Endpoint): void {
    const { membership, transport, wrapping } = this.#parts;
    const member = membership.at(to);
    // Version 5 of the protocol brought checksums.
    const checksum = member !== undefined && protocolMaxOf(member) >= 5;
    transport.send(sealPacket(messages, wrapping, checksum), to);
  }

  /** One round of gossip, to some members. */
  gossip(): void {
    const { membership, settings, clock } = this.#parts;
    const nowMs = clock.monotonicMs();
    const listeners = membership.pick(
      settings.gossipNodes,
      (member) =>
        isUp(member) ||
        // It may be alive after all, and refute.
        (member.status === "dead" && nowMs - member.statusSinceMs <= settings.gossipToTheDeadMs),
    );
    for (const member of listeners) {
      const messages = this.#takeBroadcasts(this.#room(), MAX_COMPOUND_PARTS);
      if (messages.length === 0) return;
      this.sendAlone(messages, member);
    }
  }

  #room(): number {
    return roomInPacket(this.#parts.settings.packetBytes, this.#parts.wrapping);
  }

  #takeBroadcasts(roomBytes: number, maxMessages: number): Buffer[] {
    const { queue, settings, membership } = this.#parts;
    const limit = retransmitLimit(settings.retransmitMult, membership.size);
    return queue.take(COMPOUND_PART_OVERHEAD, roomBytes, limit, maxMessages);
  }
}
