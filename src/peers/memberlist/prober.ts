import type { Clock, Milliseconds, TimerHandle } from "../../system/clock.ts";
import type { Awareness } from "./awareness.ts";
import { setJudgingTimeout } from "./late-timer.ts";
import type { Membership } from "./membership.ts";
import type { Source } from "./messages.ts";
import type { OutgoingPackets } from "./outgoing-packets.ts";
import { encodeMessage } from "./packet-messages.ts";
import { type ProbeEvent, type ProbeResult, type ProbeState, transition } from "./probe.ts";
import type { ProtocolSettings } from "./settings.ts";
import { sealStream } from "./stream.ts";
import type { Transport } from "./transport.ts";
import { type Member, protocolMaxOf } from "./verdicts.ts";
import type { Wrapping } from "./wrapping.ts";

/** What {@link Prober} needs. */
export interface ProberOptions {
  /** This member, as the sender of pings. */
  readonly source: Source;
  readonly settings: ProtocolSettings;
  readonly membership: Membership;
  readonly awareness: Awareness;
  readonly packets: OutgoingPackets;
  readonly transport: Transport;
  readonly wrapping: Wrapping;
  /** A number that nobody can guess. */
  readonly newSeqNo: () => number;
  /** Called when a probe is over. */
  readonly probed: (result: ProbeResult) => void;
  readonly clock: Clock;
}

/** Probes one member at a time, and suspects those that do not answer. What a probe goes through is {@link ProbeState}. */
export class Prober {
  readonly #options: ProberOptions;
  readonly #timers = new Map<"ask_others" | "deadline", TimerHandle>();
  #probe: ProbeState | undefined;
  /** A probe's turn came while another was under way. */
  #probeDue = false;

  constructor(options: ProberOptions) {
    this.#options = options;
  }

  /** Probes the next member: now, or when the probe that is under way is over. */
  begin(): void {
    if (this.#probe && this.#probe.kind !== "over") {
      this.#probeDue = true;
      return;
    }
    this.#probeDue = false;
    const { settings, membership, awareness, packets, source, newSeqNo, clock } = this.#options;
    const member = membership.nextToProbe();
    if (!member) return;
    const seqNo = newSeqNo();
    const lastsMs = awareness.scaled(settings.probeIntervalMs);
    this.#probe = { kind: "direct", probe: { member, seqNo, deadlineMs: clock.monotonicMs() + lastsMs } };
    this.#set("ask_others", settings.probeTimeoutMs, () => this.#askOthers());
    this.#set("deadline", lastsMs, () => this.#advance({ kind: "deadline" }));

    const { name: node, incarnation } = member;
    const ping = encodeMessage({ kind: "ping", seqNo, node, source });
    if (member.status === "alive") {
      packets.send([ping], member);
    } else {
      // It shall know at once what is said of it, and refute.
      const suspect = encodeMessage({ kind: "suspect", incarnation, node, from: source.node });
      packets.sendAlone([ping, suspect], member);
    }
  }

  /** Takes an ack or a nack. False when it does not belong to the probe that is under way. */
  answered(kind: "ack" | "nack", seqNo: number): boolean {
    const isOurs = this.#isUnderWay(seqNo);
    if (isOurs) this.#advance({ kind });
    return isOurs;
  }

  /** Ends the wait of the probe that is under way. */
  stop(): void {
    this.#clear("ask_others");
    this.#clear("deadline");
  }

  #askOthers(): void {
    if (this.#probe?.kind !== "direct") return;
    const { membership, packets, settings, source } = this.#options;
    const { member, seqNo, deadlineMs } = this.#probe.probe;
    const helpers = membership.pick(
      settings.indirectChecks,
      ({ name, status }) => name !== member.name && status === "alive",
    );
    let expectedNacks = 0;
    for (const helper of helpers) {
      // Version 4 of the protocol brought nacks.
      const nack = protocolMaxOf(helper) >= 4;
      if (nack) expectedNacks += 1;
      const { name: node, addr: target, port } = member;
      packets.send(
        [encodeMessage({ kind: "indirect_ping", seqNo, node, target, port, nack, source })],
        helper,
      );
    }
    this.#advance({ kind: "asked_others", expectedNacks });
    // Version 3 brought pings over streams.
    if (protocolMaxOf(member) >= 3) void this.#pingByStream(member, seqNo, deadlineMs);
  }

  async #pingByStream(member: Member, seqNo: number, deadlineMs: Milliseconds): Promise<void> {
    const { transport, wrapping, source, clock } = this.#options;
    const ping = encodeMessage({ kind: "ping", seqNo, node: member.name, source });
    try {
      const request = sealStream(ping, wrapping, "connects");
      const answer = await transport.exchange(request, member, deadlineMs - clock.monotonicMs());
      if (answer.kind === "ack" && answer.seqNo === seqNo && this.#isUnderWay(seqNo))
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
    const { awareness, membership, source, probed } = this.#options;
    const { result, awarenessDelta } = this.#probe;
    this.stop();
    awareness.apply(awarenessDelta);
    probed(result);
    if (result === "failed") {
      const { name: node, incarnation } = member;
      membership.suspect({ kind: "suspect", incarnation, node, from: source.node });
    }
    if (this.#probeDue) this.begin();
  }

  #isUnderWay(seqNo: number): boolean {
    return this.#probe !== undefined && this.#probe.kind !== "over" && this.#probe.probe.seqNo === seqNo;
  }

  #set(job: "ask_others" | "deadline", delayMs: Milliseconds, run: () => void): void {
    this.#timers.set(job, setJudgingTimeout(this.#options.clock, run, delayMs));
  }

  #clear(job: "ask_others" | "deadline"): void {
    this.#timers.get(job)?.clear();
    this.#timers.delete(job);
  }
}
