import type { Clock } from "../../system/clock.ts";
import type { BroadcastQueue } from "./broadcast-queue.ts";
import type { Endpoint } from "./endpoint.ts";
import { isUp, type Membership } from "./membership.ts";
import { COMPOUND_PART_OVERHEAD, MAX_COMPOUND_PARTS, roomInPacket, sealPacket } from "./packet.ts";
import type { ProtocolSettings } from "./settings.ts";
import { retransmitLimit } from "./timing.ts";
import type { Transport } from "./transport.ts";
import { protocolMaxOf } from "./verdicts.ts";
import type { Wrapping } from "./wrapping.ts";

/** What {@link OutgoingPackets} needs. */
export interface OutgoingOptions {
  readonly transport: Transport;
  readonly membership: Membership;
  readonly queue: BroadcastQueue;
  readonly settings: ProtocolSettings;
  readonly wrapping: Wrapping;
  readonly clock: Clock;
}

/** All packets that this member sends, and the gossip in them. */
export class OutgoingPackets {
  readonly #options: OutgoingOptions;

  constructor(options: OutgoingOptions) {
    this.#options = options;
  }

  /** Sends messages and, to a member, the gossip that still fits. */
  send(messages: readonly Buffer[], to: Endpoint): void {
    const member = this.#options.membership.at(to);
    const used = messages.reduce((sum, { length }) => sum + COMPOUND_PART_OVERHEAD + length, 0);
    const gossip = member
      ? this.#takeBroadcasts(this.#room() - used, MAX_COMPOUND_PARTS - messages.length)
      : [];
    this.sendAlone([...messages, ...gossip], to);
  }

  /** Sends messages without gossip. */
  sendAlone(messages: readonly Buffer[], to: Endpoint): void {
    const { membership, transport, wrapping } = this.#options;
    const member = membership.at(to);
    // Version 5 of the protocol brought checksums.
    const checksum = member !== undefined && protocolMaxOf(member) >= 5;
    transport.send(sealPacket(messages, wrapping, checksum), to);
  }

  /** One round of gossip, to some members. */
  gossip(): void {
    const { membership, settings, clock } = this.#options;
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
    return roomInPacket(this.#options.settings.packetBytes, this.#options.wrapping);
  }

  #takeBroadcasts(roomBytes: number, maxMessages: number): Buffer[] {
    const { queue, settings, membership } = this.#options;
    const limit = retransmitLimit(settings.retransmitMult, membership.size);
    return queue.take(COMPOUND_PART_OVERHEAD, roomBytes, limit, maxMessages);
  }
}
