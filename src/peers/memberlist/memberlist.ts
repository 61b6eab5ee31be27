import { randomBytes } from "node:crypto";
import type { Clock, Milliseconds, TimerHandle } from "../../system/clock.ts";
import type { Log } from "../../system/log.ts";
import { Awareness } from "./awareness.ts";
import { BroadcastQueue } from "./broadcast-queue.ts";
import { bytesOfHost, type Endpoint, endpointText, hostOfBytes } from "./endpoint.ts";
import { type FindMembers, Joining, type JoinPolicy } from "./joining.ts";
import { setJudgingTimeout } from "./late-timer.ts";
import { isUp, Membership } from "./membership.ts";
import { encodeMessage } from "./packet-messages.ts";
import { encodePushPull } from "./stream-messages.ts";
import type { IndirectPing, MemberStatus, Message, Ping, Source, StreamMessage } from "./messages.ts";
import {
  COMPOUND_PART_OVERHEAD,
  MAX_COMPOUND_PARTS,
  openPacket,
  roomInPacket,
  sealPacket,
} from "./packet.ts";
import { type ProbeEvent, type ProbeResult, type ProbeState, transition } from "./probe.ts";
import type { RefusalReason } from "./refused.ts";
import type { Bounds, ProtocolSettings } from "./settings.ts";
import { sealStream } from "./stream.ts";
import { pushPullDelayMs, retransmitLimit } from "./timing.ts";
import { TokenBucket } from "./token-bucket.ts";
import type { Transport, TransportHandler } from "./transport.ts";
import { type Member, protocolMaxOf } from "./verdicts.ts";
import type { Wrapping } from "./wrapping.ts";

/** A member as others see it. */
export interface MemberView extends Endpoint {
  readonly name: string;
  readonly status: MemberStatus;
  /** When it got its status, on the monotonic clock. */
  readonly statusSinceMs: Milliseconds;
}

/** Told what happens, for counting. Must not throw. */
export interface MemberlistObserver {
  /** Something that arrived was not taken. */
  refused(reason: RefusalReason): void;
  /** A probe is over. */
  probed(result: ProbeResult): void;
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

/** A ping that is sent for another member. */
interface Relay {
  readonly to: Endpoint;
  readonly seqNo: number;
  readonly timer: TimerHandle;
}

/** Between two rounds of gossip while leaving. */
const LEAVE_GOSSIP_MS = 50;
/** Log lines about members that are not taken: at most one in this time. */
const COMPLAINT_MS = 60_000;

/**
 * One member of a cluster as hashicorp/memberlist forms it (docs/memberlist.md): SWIM with Lifeguard, on packets for
 * probes and gossip, and streams for full exchanges. Nothing that arrives makes it throw or hold more than its bounds.
 */
export class Memberlist {
  readonly #options: MemberlistOptions;
  readonly #random: () => number;
  readonly #allows: (host: string) => boolean;
  readonly #queue = new BroadcastQueue();
  readonly #awareness: Awareness;
  readonly #membership: Membership;
  readonly #joining: Joining;
  readonly #transport: Transport;
  readonly #packets: TokenBucket;
  readonly #streams: TokenBucket;
  readonly #source: Source;
  /** By the job: one each. */
  readonly #timers = new Map<"probe" | "gossip" | "push_pull" | "ask_others" | "deadline", TimerHandle>();
  readonly #relays = new Map<number, Relay>();
  /** See {@link Memberlist.#state}. */
  readonly #states = new Map<boolean, { readonly version: number; readonly message: Buffer }>();
  #probe: ProbeState | undefined;
  /** A probe's turn came while another was under way. */
  #probeDue = false;
  #complainedMs = Number.NEGATIVE_INFINITY;
  #stopped = true;

  /** Sends nothing before {@link start}. @throws RangeError when `self.host` is no IP address. */
  constructor(options: MemberlistOptions) {
    const { self, settings, bounds, clock } = options;
    this.#options = options;
    this.#random = options.random ?? secureRandom;
    this.#allows = options.allows ?? (() => true);
    this.#awareness = new Awareness(settings.awarenessMaxMultiplier);
    this.#packets = new TokenBucket(bounds.packetsPerSecond, bounds.packetsPerSecond);
    this.#streams = new TokenBucket(bounds.streamsPerSecond, bounds.streamBurst);
    this.#source = { addr: bytesOfHost(self.host) ?? Buffer.alloc(0), port: self.port, node: self.name };
    this.#membership = new Membership({
      self,
      settings,
      maxMembers: bounds.maxMembers,
      clock,
      random: this.#random,
      queue: this.#queue,
      awareness: this.#awareness,
      allows: this.#allows,
      changed: (member, before) => this.#changed(member, before),
      refused: (reason) => this.#refuse(reason),
    });
    this.#joining = new Joining({
      find: options.find,
      join: (endpoint) => this.#join(endpoint),
      isKnown: (endpoint) => this.#isKnown(endpoint),
      alone: () => this.#membership.pick(1, isUp).length === 0,
      findFailed: (error) => options.log.warn("finding other members failed", { error }),
      ...(options.joinPolicy && { policy: options.joinPolicy }),
      clock,
      random: this.#random,
    });
    this.#transport = options.connect({
      packet: (packet, from) => this.#guarded(() => this.#packet(packet, from)),
      admitStream: (from) => this.#admitStream(from),
      stream: (message, from) => this.#guarded(() => this.#stream(message, from)),
      refused: (reason) => this.#refuse(reason),
    });
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
    const { probeIntervalMs, gossipIntervalMs, pushPullIntervalMs } = this.#options.settings;
    this.#stopped = false;
    // Members that were started together must not speak at the same moments.
    this.#every("probe", probeIntervalMs, () => this.#beginProbe());
    this.#every("gossip", gossipIntervalMs, () => this.#gossip());
    this.#set("push_pull", pushPullIntervalMs * this.#random(), () => this.#schedulePushPull());
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
        const nobody = this.#membership.pick(1, isUp).length === 0;
        const isTold = nobody || !this.#queue.has(self.name);
        if (isTold || this.#stopped || clock.monotonicMs() >= untilMs) {
          resolve();
          return;
        }
        this.#gossip();
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
    for (const timer of this.#timers.values()) timer.clear();
    for (const { timer } of this.#relays.values()) timer.clear();
    this.#timers.clear();
    this.#relays.clear();
  }

  // ---- what arrives

  #packet(packet: Buffer, from: Endpoint): void {
    if (this.#stopped) return;
    const { bounds, wrapping, clock } = this.#options;
    if (!this.#allows(from.host)) {
      this.#refuse("forbidden");
      return;
    }
    if (!this.#packets.take(clock.monotonicMs())) {
      this.#refuse("flood");
      return;
    }
    const { messages, refusals } = openPacket(packet, wrapping, bounds.maxPacketBytes);
    for (const reason of refusals) this.#refuse(reason);
    for (const message of messages) this.#message(message, from);
  }

  #message(message: Message, from: Endpoint): void {
    switch (message.kind) {
      case "ping":
        this.#answerPing(message, from);
        break;
      case "indirect_ping":
        this.#relay(message, from);
        break;
      case "ack":
        this.#acked(message.seqNo);
        break;
      case "nack":
        if (this.#probeOf(message.seqNo)) this.#advance({ kind: "nack" });
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

  #admitStream({ host }: Endpoint): boolean {
    if (this.#stopped) return false;
    if (!this.#allows(host)) {
      this.#refuse("forbidden");
      return false;
    }
    const admitted = this.#streams.take(this.#options.clock.monotonicMs());
    if (!admitted) this.#refuse("flood");
    return admitted;
  }

  #stream(message: StreamMessage, from: Endpoint): Buffer | undefined {
    if (this.#stopped) return undefined;
    const { wrapping, self, log } = this.#options;
    switch (message.kind) {
      case "push_pull": {
        const { join, states } = message;
        const answer = this.#state(join);
        log.debug("full exchange of members", { from: endpointText(from), join, members: states.length });
        this.#membership.merge(states);
        return sealStream(answer, wrapping, "answers");
      }
      case "ping":
        if (message.node !== "" && message.node !== self.name) break;
        return sealStream(encodeMessage({ kind: "ack", seqNo: message.seqNo }), wrapping, "answers");
      case "user":
        return undefined;
      case "ack":
      case "error":
        this.#refuse("unknown_type");
        return undefined;
    }
    this.#refuse("wrong_node");
    return undefined;
  }

  #answerPing({ node, seqNo, source }: Ping, from: Endpoint): void {
    if (node !== "" && node !== this.#options.self.name) this.#refuse("wrong_node");
    else this.#send([encodeMessage({ kind: "ack", seqNo })], this.#returnAddress(source, from));
  }

  /** Pings a third member, and passes its ack on. */
  #relay(request: IndirectPing, from: Endpoint): void {
    const { settings, bounds, clock, self } = this.#options;
    const to = this.#returnAddress(request.source, from);
    const host = hostOfBytes(request.target) ?? "";
    const target = { host, port: request.port === 0 ? self.port : request.port };
    const nack = (): void => {
      if (request.nack) this.#send([encodeMessage({ kind: "nack", seqNo: request.seqNo })], to);
    };
    if (!this.#membership.at(target)) {
      // Nobody may have this side send to any address.
      this.#refuse("unknown_target");
      nack();
      return;
    }
    if (this.#relays.size >= bounds.maxRelays) {
      this.#refuse("overloaded");
      return;
    }
    const seqNo = this.#newSeqNo();
    const timer = clock.setTimeout(() => {
      this.#relays.delete(seqNo);
      nack();
    }, settings.probeTimeoutMs);
    this.#relays.set(seqNo, { to, seqNo: request.seqNo, timer });
    this.#send([encodeMessage({ kind: "ping", seqNo, node: request.node, source: this.#source })], target);
  }

  #acked(seqNo: number): void {
    if (this.#probeOf(seqNo)) {
      this.#advance({ kind: "ack" });
      return;
    }
    const relay = this.#relays.get(seqNo);
    if (!relay) return;
    relay.timer.clear();
    this.#relays.delete(seqNo);
    this.#send([encodeMessage({ kind: "ack", seqNo: relay.seqNo })], relay.to);
  }

  /**
   * Where an answer goes: the address that the sender says, if that is a member's or on the machine that the packet came
   * from. Else back where it came from, so that nobody can have answers sent to others.
   */
  #returnAddress({ addr, port }: Source, from: Endpoint): Endpoint {
    const host = port === 0 ? undefined : hostOfBytes(addr);
    if (host === undefined) return from;
    const said = { host, port };
    return host === from.host || this.#membership.at(said) ? said : from;
  }

  // ---- probing

  #beginProbe(): void {
    if (this.#probe && this.#probe.kind !== "over") {
      this.#probeDue = true;
      return;
    }
    this.#probeDue = false;
    const member = this.#membership.nextToProbe();
    if (!member) return;
    const { settings, clock, self } = this.#options;
    const { probeIntervalMs, probeTimeoutMs } = settings;
    const seqNo = this.#newSeqNo();
    const lastsMs = this.#awareness.scaled(probeIntervalMs);
    this.#probe = { kind: "direct", probe: { member, seqNo, deadlineMs: clock.monotonicMs() + lastsMs } };
    this.#setJudging("ask_others", probeTimeoutMs, () => this.#askOthers());
    this.#setJudging("deadline", lastsMs, () => this.#advance({ kind: "deadline" }));

    const { name: node, incarnation } = member;
    const ping = encodeMessage({ kind: "ping", seqNo, node, source: this.#source });
    if (member.status === "alive") {
      this.#send([ping], member);
    } else {
      // It shall know at once what is said of it, and refute.
      const suspect = encodeMessage({ kind: "suspect", incarnation, node, from: self.name });
      this.#sendAsIs([ping, suspect], member);
    }
  }

  #askOthers(): void {
    if (this.#probe?.kind !== "direct") return;
    const { probe } = this.#probe;
    const { member, seqNo } = probe;
    const { indirectChecks } = this.#options.settings;
    const helpers = this.#membership.pick(
      indirectChecks,
      ({ name, status }) => name !== member.name && status === "alive",
    );
    let expectedNacks = 0;
    for (const helper of helpers) {
      // Version 4 of the protocol brought nacks.
      const nack = protocolMaxOf(helper) >= 4;
      if (nack) expectedNacks += 1;
      const request = encodeMessage({
        kind: "indirect_ping",
        seqNo,
        node: member.name,
        target: member.addr,
        port: member.port,
        nack,
        source: this.#source,
      });
      this.#send([request], helper);
    }
    this.#advance({ kind: "asked_others", expectedNacks });
    // Version 3 brought pings over streams.
    if (protocolMaxOf(member) >= 3) void this.#pingByStream(member, seqNo, probe.deadlineMs);
  }

  async #pingByStream(member: Member, seqNo: number, deadlineMs: Milliseconds): Promise<void> {
    const { wrapping, clock } = this.#options;
    const ping = encodeMessage({ kind: "ping", seqNo, node: member.name, source: this.#source });
    try {
      const request = sealStream(ping, wrapping, "connects");
      const answer = await this.#transport.exchange(request, member, deadlineMs - clock.monotonicMs());
      if (answer.kind === "ack" && answer.seqNo === seqNo && this.#probeOf(seqNo))
        this.#advance({ kind: "stream_acked" });
    } catch {
      // That it can't be reached is what the probe is about to find out.
    }
  }

  #advance(event: ProbeEvent): void {
    if (!this.#probe || this.#probe.kind === "over") return;
    const { member } = this.#probe.probe;
    this.#probe = transition(this.#probe, event);
    if (this.#probe.kind !== "over") return;
    const { result, awarenessDelta } = this.#probe;
    this.#clear("ask_others");
    this.#clear("deadline");
    this.#awareness.apply(awarenessDelta);
    this.#options.observer.probed(result);
    if (result === "failed") {
      const { name: node, incarnation } = member;
      this.#membership.suspect({ kind: "suspect", incarnation, node, from: this.#options.self.name });
    }
    if (this.#probeDue) this.#beginProbe();
  }

  /** True when the probe that is under way has this number. */
  #probeOf(seqNo: number): boolean {
    return this.#probe !== undefined && this.#probe.kind !== "over" && this.#probe.probe.seqNo === seqNo;
  }

  // ---- gossip and full exchanges

  #gossip(): void {
    const { settings, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    const listeners = this.#membership.pick(
      settings.gossipNodes,
      (member) =>
        isUp(member) ||
        // It may be alive after all, and refute.
        (member.status === "dead" && nowMs - member.statusSinceMs <= settings.gossipToTheDeadMs),
    );
    for (const member of listeners) {
      const messages = this.#takeBroadcasts(this.#room(), MAX_COMPOUND_PARTS);
      if (messages.length === 0) return;
      this.#sendAsIs(messages, member);
    }
  }

  #schedulePushPull(): void {
    const { pushPullIntervalMs } = this.#options.settings;
    this.#set("push_pull", pushPullDelayMs(pushPullIntervalMs, this.#membership.size), () => {
      this.#schedulePushPull();
      const [member] = this.#membership.pick(1, ({ status }) => status === "alive");
      if (member) void this.#exchange(member, false);
    });
  }

  #join(endpoint: Endpoint): Promise<boolean> {
    return this.#exchange(endpoint, true);
  }

  /** Tells all that this side knows, and takes in what the other does. */
  async #exchange(to: Endpoint, join: boolean): Promise<boolean> {
    const { settings, wrapping, log } = this.#options;
    try {
      const request = sealStream(this.#state(join), wrapping, "connects");
      const answer = await this.#transport.exchange(request, to, settings.streamTimeoutMs);
      if (answer.kind === "error")
        throw new Error(`the other side could not read the exchange: ${answer.text}`);
      if (answer.kind !== "push_pull") throw new Error(`the other side answered with ${answer.kind}`);
      if (!this.#stopped) this.#membership.merge(answer.states);
      return true;
    } catch (error) {
      log.debug("a full exchange of members failed", { to: endpointText(to), join, error });
      return false;
    }
  }

  /** All that this side knows, as a message. Made once for each change: whoever asks again and again gets the same bytes. */
  #state(join: boolean): Buffer {
    const { version } = this.#membership;
    const made = this.#states.get(join);
    if (made?.version === version) return made.message;
    const message = encodePushPull(join, this.#membership.states());
    this.#states.set(join, { version, message });
    return message;
  }

  #isKnown(endpoint: Endpoint): boolean {
    const { self } = this.#options;
    if (endpointText(endpoint) === endpointText(self)) return true;
    const member = this.#membership.at(endpoint);
    return member !== undefined && isUp(member);
  }

  // ---- sending

  /** Sends messages and, to members, what gossip still fits. */
  #send(messages: readonly Buffer[], to: Endpoint): void {
    const member = this.#membership.at(to);
    const used = messages.reduce((sum, { length }) => sum + COMPOUND_PART_OVERHEAD + length, 0);
    const gossip = member
      ? this.#takeBroadcasts(this.#room() - used, MAX_COMPOUND_PARTS - messages.length)
      : [];
    this.#sendAsIs([...messages, ...gossip], to);
  }

  #sendAsIs(messages: readonly Buffer[], to: Endpoint): void {
    const member = this.#membership.at(to);
    // Version 5 of the protocol brought checksums.
    const checksum = member !== undefined && protocolMaxOf(member) >= 5;
    this.#transport.send(sealPacket(messages, this.#options.wrapping, checksum), to);
  }

  #room(): number {
    return roomInPacket(this.#options.settings.packetBytes, this.#options.wrapping);
  }

  #takeBroadcasts(roomBytes: number, maxMessages: number): Buffer[] {
    const limit = retransmitLimit(this.#options.settings.retransmitMult, this.#membership.size);
    return this.#queue.take(COMPOUND_PART_OVERHEAD, roomBytes, limit, maxMessages);
  }

  // ---- the rest

  /** A fault of ours in what somebody sent shall cost that packet or stream, and not the process. */
  #guarded<T>(run: () => T): T | undefined {
    try {
      return run();
    } catch (error) {
      this.#options.log.error("a packet or stream from other members met a bug", { error });
      this.#refuse("malformed");
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

  #refuse(reason: RefusalReason): void {
    const { observer, clock, log } = this.#options;
    observer.refused(reason);
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#complainedMs < COMPLAINT_MS) return;
    this.#complainedMs = nowMs;
    log.warn("a packet or stream from other members was not taken", { reason });
  }

  /** A number that nobody can guess, so that only who got the ping can ack it. */
  #newSeqNo(): number {
    return Math.floor(this.#random() * 2 ** 32);
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
      this.#set(job, dueMs - nowMs, fire);
      run();
    };
    this.#set(job, dueMs - clock.monotonicMs(), fire);
  }

  #set(job: "probe" | "gossip" | "push_pull", delayMs: Milliseconds, run: () => void): void {
    this.#timers.set(job, this.#options.clock.setTimeout(run, delayMs));
  }

  #setJudging(job: "ask_others" | "deadline", delayMs: Milliseconds, run: () => void): void {
    this.#timers.set(job, setJudgingTimeout(this.#options.clock, run, delayMs));
  }

  #clear(job: "ask_others" | "deadline"): void {
    this.#timers.get(job)?.clear();
    this.#timers.delete(job);
  }
}

function viewOf({ name, host, port, status, statusSinceMs }: Member): MemberView {
  return { name, host, port, status, statusSinceMs };
}

function secureRandom(): number {
  return randomBytes(4).readUInt32BE() / 2 ** 32;
}
