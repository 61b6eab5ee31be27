import type { Clock, TimerHandle } from "../../system/clock.ts";
import type { Awareness } from "./awareness.ts";
import type { BroadcastQueue } from "./broadcast-queue.ts";
import { type Endpoint, endpointText, hostOfBytes, isUnicast } from "./endpoint.ts";
import { setJudgingTimeout } from "./late-timer.ts";
import type { Alive, Dead, MemberState, MemberStatus, Suspect } from "./messages.ts";
import { encodeMessage } from "./packet-messages.ts";
import type { RefusalReason } from "./refused.ts";
import type { ProtocolSettings } from "./settings.ts";
import { confirm, deadlineMs, suspect as newSuspicion, type Suspicion } from "./suspicion.ts";
import {
  type Circumstances,
  judgeAlive,
  judgeDead,
  judgeSuspect,
  type Member,
  ownAlive,
  type Verdict,
} from "./verdicts.ts";

/** What {@link Membership} needs and tells. */
export interface MembershipOptions {
  readonly self: { readonly name: string } & Endpoint;
  readonly settings: ProtocolSettings;
  readonly maxMembers: number;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** Where messages go that everybody must hear. */
  readonly queue: BroadcastQueue;
  /** Suffers when this side has to refute. */
  readonly awareness: Awareness;
  /** Whether a member may be at an address. */
  readonly allows: (host: string) => boolean;
  /** A member is new, or has another status, address or metadata. `before` is what it was. */
  readonly changed: (member: Member, before: Member | undefined) => void;
  /** A message was not taken. */
  readonly refused: (reason: RefusalReason) => void;
}

const MAX_INCARNATION = 0xffff_ffff;

/**
 * Who is in the cluster: applies the verdicts on messages, keeps the suspicions' timers, and knows whom to probe next.
 * Holds at most `maxMembers` members; the dead are forgotten after `gossipToTheDeadMs`.
 */
export class Membership {
  readonly #options: MembershipOptions;
  readonly #members = new Map<string, Member>();
  readonly #nameAt = new Map<string, string>();
  /** Names in the order of probing. */
  #order: string[] = [];
  #probeIndex = 0;
  readonly #suspicions = new Map<string, { suspicion: Suspicion; timer: TimerHandle }>();
  #leaving = false;
  #version = 0;

  /** Begins with this side alone. @throws RangeError when its host is no IP address. */
  constructor(options: MembershipOptions) {
    this.#options = options;
    const { name, host, port } = options.self;
    this.#accept(ownAlive(name, host, port, 1), host);
  }

  /** Members remembered, of all states: what the protocol's formulas call the size of the cluster. */
  get size(): number {
    return this.#members.size;
  }

  /** Another number after each change of what {@link states} says. */
  get version(): number {
    return this.#version;
  }

  /** True from {@link leave} on. */
  get leaving(): boolean {
    return this.#leaving;
  }

  /** All members, this one included. */
  all(): IterableIterator<Member> {
    return this.#members.values();
  }

  /** A member by its name. */
  get(name: string): Member | undefined {
    return this.#members.get(name);
  }

  /** The member that was last said to be at an address. */
  at(endpoint: Endpoint): Member | undefined {
    const name = this.#nameAt.get(endpointText(endpoint));
    return name === undefined ? undefined : this.#members.get(name);
  }

  /** Up to `count` other members that `filter` takes, chosen at random. */
  pick(count: number, filter: (member: Member) => boolean): Member[] {
    const { self, random } = this.#options;
    const candidates = [...this.#members.values()].filter(
      (member) => member.name !== self.name && filter(member),
    );
    const picked: Member[] = [];
    while (picked.length < count && candidates.length > 0) {
      const index = Math.floor(random() * candidates.length);
      const [member] = candidates.splice(index, 1);
      if (member) picked.push(member);
    }
    return picked;
  }

  /**
   * The member whose turn it is to be probed; undefined when there is none. Each is probed once per round, in an order
   * that is shuffled for each round, so the time until a death is noticed is bounded and short on average. Between two
   * rounds those that are dead for long are forgotten.
   */
  nextToProbe(): Member | undefined {
    for (let looked = 0; looked <= this.#order.length; looked += 1) {
      if (this.#probeIndex >= this.#order.length) this.#beginRound();
      const member = this.#members.get(this.#order[this.#probeIndex++] ?? "");
      if (member && member.name !== this.#options.self.name && isUp(member)) return member;
    }
    return undefined;
  }

  /** Somebody says that a member is alive. */
  alive(alive: Alive): void {
    const { self } = this.#options;
    // Version 1 of the protocol had no ports: all members shared one.
    const message = alive.port === 0 ? { ...alive, port: self.port } : alive;
    const host = hostOfBytes(message.addr);
    if (host === undefined || !isUnicast(message.addr) || (isLoopback(host) && !isLoopback(self.host))) {
      this.#options.refused("bad_address");
      return;
    }
    // What is said of this side must be refuted, wherever it is.
    if (message.node !== self.name && !this.#options.allows(host)) {
      this.#options.refused("forbidden");
      return;
    }
    const verdict = judgeAlive(this.#members.get(message.node), message, this.#circumstances());
    if (verdict.kind !== "accepted") {
      this.#settle(verdict, message);
      return;
    }
    this.#endSuspicion(message.node);
    this.#broadcast(message);
    this.#accept(message, host);
  }

  /** Somebody had no answer of a member. */
  suspect(suspect: Suspect): void {
    const { settings, clock } = this.#options;
    const known = this.#members.get(suspect.node);
    const verdict = judgeSuspect(known, suspect, this.#circumstances());
    if (verdict.kind === "confirmed") {
      this.#confirm(suspect);
    } else if (verdict.kind === "accepted" && known) {
      this.#broadcast(suspect);
      this.#setStatus(known, "suspect", suspect.incarnation);
      this.#watch(suspect.node, newSuspicion(suspect.from, settings, this.size, clock.monotonicMs()));
    } else {
      this.#settle(verdict, suspect);
    }
  }

  /** Somebody says that a member is dead, or the member itself that it leaves. */
  dead(dead: Dead): void {
    const known = this.#members.get(dead.node);
    const verdict = judgeDead(known, dead, this.#circumstances());
    if (verdict.kind === "accepted" && known) {
      this.#endSuspicion(dead.node);
      this.#broadcast(dead);
      this.#setStatus(known, verdict.status, dead.incarnation);
    } else {
      this.#settle(verdict, dead);
    }
  }

  /**
   * What another member knows. Whom it holds for dead is only suspected here: a stale member must not bury the living.
   */
  merge(states: readonly MemberState[]): void {
    const from = this.#options.self.name;
    for (const { status, name: node, incarnation, ...rest } of states) {
      switch (status) {
        case "alive":
          this.alive({ kind: "alive", node, incarnation, ...rest });
          break;
        case "left":
          this.dead({ kind: "dead", node, incarnation, from: node });
          break;
        case "dead":
        case "suspect":
          this.suspect({ kind: "suspect", node, incarnation, from });
      }
    }
  }

  /** What this side knows, for another member. */
  states(): MemberState[] {
    return Array.from(
      this.#members.values(),
      ({ name, addr, port, meta, incarnation, status, versions }) => ({
        name,
        addr,
        port,
        meta,
        incarnation,
        status,
        versions,
      }),
    );
  }

  /** This side says that it leaves. It does not come back. */
  leave(): void {
    if (this.#leaving) return;
    this.#leaving = true;
    const { name } = this.#options.self;
    const incarnation = this.#members.get(name)?.incarnation ?? 1;
    this.dead({ kind: "dead", incarnation, node: name, from: name });
  }

  /** No timer is left. */
  stop(): void {
    for (const name of this.#suspicions.keys()) this.#endSuspicion(name);
  }

  #circumstances(): Circumstances {
    const { self, settings, maxMembers, clock } = this.#options;
    return {
      self: self.name,
      leaving: this.#leaving,
      full: this.#members.size >= maxMembers,
      deadNodeReclaimMs: settings.deadNodeReclaimMs,
      nowMs: clock.monotonicMs(),
    };
  }

  #settle(verdict: Verdict, message: Alive | Suspect | Dead): void {
    if (verdict.kind === "refused") this.#options.refused(verdict.reason);
    else if (verdict.kind === "refute") this.#refute(message.incarnation);
  }

  /** What was said of this side is wrong: says that it is alive, in words that win. */
  #refute(accusedIncarnation: number): void {
    const { self, awareness } = this.#options;
    const known = this.#members.get(self.name);
    if (!known) return;
    const incarnation = Math.min(Math.max(known.incarnation, accusedIncarnation) + 1, MAX_INCARNATION);
    this.#put({ ...known, incarnation });
    awareness.apply(1);
    this.#broadcast(ownAlive(self.name, self.host, self.port, incarnation));
  }

  #accept(alive: Alive, host: string): void {
    const { clock, changed } = this.#options;
    const { node: name, addr, port, meta, versions, incarnation } = alive;
    const before = this.#members.get(name);
    const statusSinceMs = before?.status === "alive" ? before.statusSinceMs : clock.monotonicMs();
    const member: Member = {
      name,
      addr,
      host,
      port,
      // A view would keep the whole packet.
      meta: Buffer.from(meta),
      versions,
      incarnation,
      status: "alive",
      statusSinceMs,
    };
    if (before) this.#leaveAddress(before);
    else this.#insertAtRandom(name);
    this.#put(member);
    this.#nameAt.set(endpointText(member), name);
    const same =
      before?.status === "alive" && before.meta.equals(meta) && endpointText(before) === endpointText(member);
    if (!same) changed(member, before);
  }

  #setStatus(before: Member, status: MemberStatus, incarnation: number): void {
    const statusSinceMs = this.#options.clock.monotonicMs();
    const member: Member = { ...before, status, incarnation, statusSinceMs };
    this.#put(member);
    this.#options.changed(member, before);
  }

  #put(member: Member): void {
    this.#version += 1;
    this.#members.set(member.name, member);
  }

  #confirm(suspect: Suspect): void {
    const current = this.#suspicions.get(suspect.node);
    const suspicion = current && confirm(current.suspicion, suspect.from);
    if (!suspicion) return;
    // Something new, so that independent witnesses are heard of everywhere.
    this.#broadcast(suspect);
    this.#watch(suspect.node, suspicion);
  }

  #watch(name: string, suspicion: Suspicion): void {
    const { clock } = this.#options;
    this.#suspicions.get(name)?.timer.clear();
    const delayMs = Math.max(0, deadlineMs(suspicion) - clock.monotonicMs());
    const timer = setJudgingTimeout(clock, () => this.#condemn(name), delayMs);
    this.#suspicions.set(name, { suspicion, timer });
  }

  #condemn(name: string): void {
    const known = this.#members.get(name);
    this.#suspicions.delete(name);
    if (known?.status === "suspect")
      this.dead({ kind: "dead", incarnation: known.incarnation, node: name, from: this.#options.self.name });
  }

  #endSuspicion(name: string): void {
    this.#suspicions.get(name)?.timer.clear();
    this.#suspicions.delete(name);
  }

  #broadcast(message: Alive | Suspect | Dead): void {
    this.#options.queue.add(message.node, encodeMessage(message));
  }

  #insertAtRandom(name: string): void {
    // Newcomers that were all put at the end would all be probed last.
    const offset = Math.floor(this.#options.random() * (this.#order.length + 1));
    const displaced = this.#order[offset];
    this.#order[offset] = name;
    if (displaced !== undefined) this.#order.push(displaced);
  }

  #beginRound(): void {
    const { self, settings, clock, random, queue } = this.#options;
    const nowMs = clock.monotonicMs();
    for (const member of this.#members.values()) {
      const isOver = !isUp(member) && nowMs - member.statusSinceMs > settings.gossipToTheDeadMs;
      if (!isOver || member.name === self.name) continue;
      this.#version += 1;
      this.#members.delete(member.name);
      this.#leaveAddress(member);
      queue.forget(member.name);
    }
    this.#order = [...this.#members.keys()];
    for (let i = this.#order.length - 1; i > 0; i -= 1) {
      const j = Math.floor(random() * (i + 1));
      const [a = "", b = ""] = [this.#order[i], this.#order[j]];
      this.#order[i] = b;
      this.#order[j] = a;
    }
    this.#probeIndex = 0;
  }

  #leaveAddress(member: Member): void {
    const key = endpointText(member);
    if (this.#nameAt.get(key) === member.name) this.#nameAt.delete(key);
  }
}

/** Alive, or not yet known to be dead. */
export function isUp({ status }: Pick<Member, "status">): boolean {
  return status === "alive" || status === "suspect";
}

function isLoopback(host: string): boolean {
  return host.startsWith("127.") || host === "::1";
}
