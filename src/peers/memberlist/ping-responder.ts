import type { TimerHandle } from "../../system/clock.ts";
import { type Endpoint, hostOfBytes } from "./endpoint.ts";
import type { IndirectPing, Ping, Source } from "./messages.ts";
import type { OutgoingPackets } from "./outgoing-packets.ts";
import { encodeMessage } from "./packet-messages.ts";
import type { Parts } from "./parts.ts";

/** A ping that is sent for another member. */
interface Relay {
  readonly to: Endpoint;
  readonly seqNo: number;
  readonly timer: TimerHandle;
}

/** Answers the pings of other members, and pings third members for them. */
export class PingResponder {
  readonly #parts: Parts;
  readonly #packets: OutgoingPackets;
  readonly #relays = new Map<number, Relay>();

  constructor(parts: Parts, packets: OutgoingPackets) {
    this.#parts = parts;
    this.#packets = packets;
  }

  /** True for a ping that is meant for this member. Any other is refused. */
  isForUs({ node }: Ping): boolean {
    const isForUs = node === "" || node === this.#parts.source.node;
    if (!isForUs) this.#parts.refuse("wrong_node");
    return isForUs;
  }

  /** Sends the ack of a ping. */
  answer(ping: Ping, from: Endpoint): void {
    if (this.isForUs(ping)) this.#reply("ack", ping.seqNo, this.#returnAddress(ping.source, from));
  }

  /** Pings a third member, and passes its ack on. */
  relay(request: IndirectPing, from: Endpoint): void {
    const { settings, bounds, membership, source, newSeqNo, refuse, clock } = this.#parts;
    const to = this.#returnAddress(request.source, from);
    const host = hostOfBytes(request.target) ?? "";
    const target = { host, port: request.port === 0 ? source.port : request.port };
    const nack = (): void => {
      if (request.nack) this.#reply("nack", request.seqNo, to);
    };
    if (!membership.at(target)) {
      // Nobody may have this side send to any address.
      refuse("unknown_target");
      nack();
      return;
    }
    if (this.#relays.size >= bounds.maxRelays) {
      refuse("overloaded");
      return;
    }
    const seqNo = newSeqNo();
    const timer = clock.setTimeout(() => {
      this.#relays.delete(seqNo);
      nack();
    }, settings.probeTimeoutMs);
    this.#relays.set(seqNo, { to, seqNo: request.seqNo, timer });
    this.#packets.send([encodeMessage({ kind: "ping", seqNo, node: request.node, source })], target);
  }

  /** Passes on the ack of a third member, if it was asked for. */
  relayed(seqNo: number): void {
    const relay = this.#relays.get(seqNo);
    if (!relay) return;
    relay.timer.clear();
    this.#relays.delete(seqNo);
    this.#reply("ack", relay.seqNo, relay.to);
  }

  /** Forgets the pings that wait for their ack. */
  stop(): void {
    for (const { timer } of this.#relays.values()) timer.clear();
    this.#relays.clear();
  }

  #reply(kind: "ack" | "nack", seqNo: number, to: Endpoint): void {
    this.#packets.send([encodeMessage({ kind, seqNo })], to);
  }

  /**
   * Where an answer goes: the address that the sender says, if that is a member's or on the machine that the packet came
   * from. Else back where it came from, so that nobody can have answers sent to others.
   */
  #returnAddress({ addr, port }: Source, from: Endpoint): Endpoint {
    const host = port === 0 ? undefined : hostOfBytes(addr);
    if (host === undefined) return from;
    const said = { host, port };
    return host === from.host || this.#parts.membership.at(said) ? said : from;
  }
}
