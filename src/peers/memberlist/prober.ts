import type { Milliseconds, TimerHandle } from "../../system/clock.ts";
import { setJudgingTimeout } from "./late-timer.ts";
import type { OutgoingPackets } from "./outgoing-packets.ts";
import { encodeMessage } from "./packet-messages.ts";
import type { Parts } from "./parts.ts";
import { type ProbeEvent, type ProbeState, transition } from "./probe.ts";
import { sealStream } from "./stream.ts";
import { type Member, protocolMaxOf } from "./verdicts.ts";

/** Probes one member at a time, and suspects those that do not answer. What a probe goes through is {@link ProbeState}. */
export class Prober {
  readonly #parts: Parts;
  readonly #packets: OutgoingPackets;
  readonly #timers: TimerHandle[] = [];
  #probe: ProbeState | undefined;
  /** A probe's turn came while another was under way. */
  #probeDue = false;

  constructor(parts: Parts, packets: OutgoingPackets) {
    this.#parts = parts;
    this.#packets = packets;
  }

  /** Probes the next member: now, or when the probe that is under way is over. */
  begin(): void {
    if (this.#probe && this.#probe.kind !== "over") {
      this.#probeDue = true;
      return;
    }
    this.#probeDue = false;
    const { settings, membership, awareness, source, newSeqNo, clock } = this.#parts;
    const member = membership.nextToProbe();
    if (!member) return;
    const seqNo = newSeqNo();
    const lastsMs = awareness.scaled(settings.probeIntervalMs);
    this.#probe = { kind: "direct", probe: { member, seqNo, deadlineMs: clock.monotonicMs() + lastsMs } };
    this.#timers.push(
      setJudgingTimeout(clock, () => this.#askOthers(), settings.probeTimeoutMs),
      setJudgingTimeout(clock, () => this.#advance({ kind: "deadline" }), lastsMs),
    );

    const { name: node, incarnation } = member;
    const ping = encodeMessage({ kind: "ping", seqNo, node, source });
    if (member.status === "alive") {
      this.#packets.send([ping], member);
    } else {
      // It shall know at once what is said of it, and refute.
      const suspect = encodeMessage({ kind: "suspect", incarnation, node, from: source.node });
      this.#packets.sendAlone([ping, suspect], member);
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
    for (const timer of this.#timers.splice(0)) timer.clear();
  }

  #askOthers(): void {
    if (this.#probe?.kind !== "direct") return;
    const { membership, settings, source } = this.#parts;
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
      this.#packets.send(
        [encodeMessage({ kind: "indirect_ping", seqNo, node, target, port, nack, source })],
        helper,
      );
    }
    this.#advance({ kind: "asked_others", expectedNacks });
    // Version 3 brought pings over streams.
    if (protocolMaxOf(member) >= 3) void this.#pingByStream(member, seqNo, deadlineMs);
  }

  async #pingByStream(member: Member, seqNo: number, deadlineMs: Milliseconds): Promise<void> {
    const { transport, wrapping, source, clock } = this.#parts;
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
    const { awareness, membership, source, observer } = this.#parts;
    const { result, awarenessDelta } = this.#probe;
    this.stop();
    awareness.apply(awarenessDelta);
    observer.probed(result);
    if (result === "failed") {
      const { name: node, incarnation } = member;
      membership.suspect({ kind: "suspect", incarnation, node, from: source.node });
    }
    if (this.#probeDue) this.begin();
  }

  #isUnderWay(seqNo: number): boolean {
    return this.#probe !== undefined && this.#probe.kind !== "over" && this.#probe.probe.seqNo === seqNo;
  }
}
