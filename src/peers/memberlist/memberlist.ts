import { randomBytes } from "node:crypto";
import type { Clock, Milliseconds, TimerHandle } from "../../system/clock.ts";
import type { Log } from "../../system/log.ts";
import { Admission } from "./admission.ts";
import { Awareness } from "./awareness.ts";
import { BroadcastQueue } from "./broadcast-queue.ts";
import { bytesOfHost, type Endpoint, endpointText } from "./endpoint.ts";
import { FullExchange } from "./full-exchange.ts";
import { type FindMembers, Joining, type JoinPolicy } from "./joining.ts";
import { isUp, Membership } from "./membership.ts";
import type { MemberStatus, Message, StreamMessage } from "./messages.ts";
import { OutgoingPackets } from "./outgoing-packets.ts";
import { encodeMessage } from "./packet-messages.ts";
import { openPacket } from "./packet.ts";
import type { MemberlistObserver } from "./parts.ts";
import { PingResponder } from "./ping-responder.ts";
import { Prober } from "./prober.ts";
import type { RefusalReason } from "./refused.ts";
import type { Bounds, ProtocolSettings } from "./settings.ts";
import { sealStream } from "./stream.ts";
import type { Transport, TransportHandler } from "./transport.ts";
import type { Member } from "./verdicts.ts";
import type { Wrapping } from "./wrapping.ts";

/** A member as others see it. */
export interface MemberView extends Endpoint {
  readonly name: string;
  readonly status: MemberStatus;
  /** When it got its status, on the monotonic clock. */
  readonly statusSinceMs: Milliseconds;
}

/** Options of {@link Memberlist}. */
export interface MemberlistOptions {
  /** This member: its name, unique in the cluster, and the IP address and port where others reach it. */
  readonly self: { readonly name: string } & Endpoint;
  readonly settings: ProtocolSettings;
  readonly bounds: Bounds;
  readonly wrapping: Wrapping;
  /** Whether an address may take part: nothing is read from others, and no member is there. Defaults to all. */
  readonly allows?: (host: string) => boolean;
  /** Called once, with what it hands in. */
  readonly connect: (handler: TransportHandler) => Transport;
  /** Where others may be; see {@link Joining}. */
  readonly find: FindMembers;
  readonly joinPolicy?: JoinPolicy;
  /** Called after each change of a member's status or address. Must not throw. */
  readonly changed?: (member: MemberView) => void;
  readonly observer: MemberlistObserver;
  readonly clock: Clock;
  /** In [0, 1). Who can guess it can forge acks. Defaults to a cryptographic one. */
  readonly random?: () => number;
  readonly log: Log;
}

/** Between two rounds of gossip while leaving. */
const LEAVE_GOSSIP_MS = 50;

/**
 * One member of a cluster as hashicorp/memberlist forms it (docs/memberlist.md): SWIM with Lifeguard, on packets for
 * probes and gossip, and streams for full exchanges. Nothing that arrives makes it throw or hold more than its bounds.
 */
export class Memberlist {
  readonly #options: MemberlistOptions;
  readonly #random: () => number;
  readonly #queue = new BroadcastQueue();
  readonly #awareness: Awareness;
  readonly #membership: Membership;
  readonly #admission: Admission;
  readonly #packets: OutgoingPackets;
  readonly #prober: Prober;
  readonly #pings: PingResponder;
  readonly #exchange: FullExchange;
  readonly #joining: Joining;
  readonly #rounds = new Map<"probe" | "gossip", TimerHandle>();
  #stopped = true;

  /** Sends nothing before {@link start}. @throws RangeError when `self.host` is no IP address. */
  constructor(options: MemberlistOptions) {
    const { self, settings, bounds, wrapping, allows = () => true, observer, clock, log } = options;
    const random = options.random ?? secureRandom;
    const queue = this.#queue;
    const awareness = new Awareness(settings.awarenessMaxMultiplier);
    const source = { addr: bytesOfHost(self.host) ?? Buffer.alloc(0), port: self.port, node: self.name };
    const refuse = (reason: RefusalReason): void => this.#admission.refuse(reason);
    this.#options = options;
    this.#random = random;
    this.#awareness = awareness;
    this.#admission = new Admission(bounds, allows, observer, clock, log);
    const membership = new Membership({
      self,
      settings,
      maxMembers: bounds.maxMembers,
      clock,
      random,
      queue,
      awareness,
      allows,
      changed: (member, before) => this.#changed(member, before),
      refused: refuse,
    });
    this.#membership = membership;
    this.#joining = new Joining({
      find: options.find,
      join: (endpoint) => this.#exchange.with(endpoint, true),
      isKnown: (endpoint) => this.#isKnown(endpoint),
      alone: () => this.#isAlone(),
      findFailed: (error) => log.warn("finding other members failed", { error }),
      ...(options.joinPolicy && { policy: options.joinPolicy }),
      clock,
      random,
    });
    const transport = options.connect({
      packet: (packet, from) => this.#guarded(() => this.#packet(packet, from)),
      admitStream: ({ host }) => !this.#stopped && this.#admission.streamFrom(host),
      stream: (message, from) => this.#guarded(() => this.#stream(message, from)),
      refused: refuse,
    });
    const newSeqNo = (): number => Math.floor(random() * 2 ** 32);
    const shared = { settings, bounds, wrapping, awareness, queue, random, observer, clock, log };
    const parts = { ...shared, source, transport, membership, newSeqNo, refuse };
    this.#packets = new OutgoingPackets(parts);
    this.#pings = new PingResponder(parts, this.#packets);
    this.#prober = new Prober(parts, this.#packets);
    this.#exchange = new FullExchange(parts);
  }

  /** All members that are remembered, this one included. */
  members(): MemberView[] {
    return Array.from(this.#membership.all(), viewOf);
  }

  /** How badly this side keeps up: 0 is well. Probes take `healthScore + 1` times as long. */
  get healthScore(): number {
    return this.#awareness.score;
  }

  /** Messages that are still to be gossiped. */
  get queuedBroadcasts(): number {
    return this.#queue.length;
  }

  /** Begins to answer, to probe, to gossip and to join. Call it once, when the transport is open. */
  start(): void {
    const { probeIntervalMs, gossipIntervalMs } = this.#options.settings;
    this.#stopped = false;
    // Members that were started together must not speak at the same moments.
    this.#every("probe", probeIntervalMs, () => this.#prober.begin());
    this.#every("gossip", gossipIntervalMs, () => this.#packets.gossip());
    this.#exchange.start();
    this.#joining.start();
  }

  /**
   * Tells the others that this member leaves, so that they need not find out. Resolves when as many know as the protocol
   * asks for, or after `timeoutMs`. It answers on until {@link stop}.
   */
  leave(timeoutMs: Milliseconds): Promise<void> {
    const { clock, self } = this.#options;
    const untilMs = clock.monotonicMs() + timeoutMs;
    this.#joining.stop();
    this.#membership.leave();
    return new Promise((resolve) => {
      const tell = (): void => {
        const isTold = this.#isAlone() || !this.#queue.has(self.name);
        if (isTold || this.#stopped || clock.monotonicMs() >= untilMs) {
          resolve();
          return;
        }
        this.#packets.gossip();
        clock.setTimeout(tell, LEAVE_GOSSIP_MS);
      };
      tell();
    });
  }

  /** Ends everything at once; the others find out by themselves unless {@link leave} was called. */
  stop(): void {
    this.#stopped = true;
    this.#joining.stop();
    this.#membership.stop();
    this.#exchange.stop();
    this.#prober.stop();
    this.#pings.stop();
    for (const timer of this.#rounds.values()) timer.clear();
  }

  #packet(packet: Buffer, from: Endpoint): void {
    if (this.#stopped || !this.#admission.packetFrom(from.host)) return;
    const { bounds, wrapping } = this.#options;
    const { messages, refusals } = openPacket(packet, wrapping, bounds.maxPacketBytes);
    for (const reason of refusals) this.#admission.refuse(reason);
    for (const message of messages) this.#message(message, from);
  }

  #message(message: Message, from: Endpoint): void {
    switch (message.kind) {
      case "ping":
        this.#pings.answer(message, from);
        break;
      case "indirect_ping":
        this.#pings.relay(message, from);
        break;
      case "ack":
        if (!this.#prober.answered("ack", message.seqNo)) this.#pings.relayed(message.seqNo);
        break;
      case "nack":
        this.#prober.answered("nack", message.seqNo);
        break;
      case "alive":
        this.#membership.alive(message);
        break;
      case "suspect":
        this.#membership.suspect(message);
        break;
      case "dead":
        this.#membership.dead(message);
        break;
      case "user":
        break;
    }
  }

  #stream(message: StreamMessage, from: Endpoint): Buffer | undefined {
    if (this.#stopped) return undefined;
    switch (message.kind) {
      case "push_pull":
        return this.#exchange.answer(message, from);
      case "ping":
        if (!this.#pings.isForUs(message)) return undefined;
        return sealStream(
          encodeMessage({ kind: "ack", seqNo: message.seqNo }),
          this.#options.wrapping,
          "answers",
        );
      case "user":
        return undefined;
      case "ack":
      case "error":
        this.#admission.refuse("unknown_type");
        return undefined;
    }
  }

  #isAlone(): boolean {
    return this.#membership.pick(1, isUp).length === 0;
  }

  #isKnown(endpoint: Endpoint): boolean {
    const { self } = this.#options;
    if (endpointText(endpoint) === endpointText(self)) return true;
    const member = this.#membership.at(endpoint);
    return member !== undefined && isUp(member);
  }

  /** A fault of ours in what somebody sent shall cost that packet or stream, and not the process. */
  #guarded<T>(run: () => T): T | undefined {
    try {
      return run();
    } catch (error) {
      this.#options.log.error("a packet or stream from other members met a bug", { error });
      this.#admission.refuse("malformed");
      return undefined;
    }
  }

  #changed(member: Member, before: Member | undefined): void {
    const { self, changed, log } = this.#options;
    const { name, status } = member;
    if (name !== self.name && status !== before?.status)
      log.info("member is " + status, {
        member: name,
        address: endpointText(member),
        before: before?.status,
      });
    changed?.(viewOf(member));
  }

  /** Begins after a random part of the interval, and then keeps to it, whatever one call costs. */
  #every(job: "probe" | "gossip", intervalMs: Milliseconds, run: () => void): void {
    const { clock } = this.#options;
    let dueMs = clock.monotonicMs() + intervalMs * (1 + this.#random());
    const fire = (): void => {
      const nowMs = clock.monotonicMs();
      // At least once, since Node's timers may fire a fraction of a millisecond early. Turns that a stall of this
      // process swallowed are not made up for.
      do dueMs += intervalMs;
      while (dueMs <= nowMs);
      this.#rounds.set(job, clock.setTimeout(fire, dueMs - nowMs));
      run();
    };
    this.#rounds.set(job, clock.setTimeout(fire, dueMs - clock.monotonicMs()));
  }
}

function viewOf({ name, host, port, status, statusSinceMs }: Member): MemberView {
  return { name, host, port, status, statusSinceMs };
}

function secureRandom(): number {
  return randomBytes(4).readUInt32BE() / 2 ** 32;
}
