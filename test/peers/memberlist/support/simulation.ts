import { type Endpoint, endpointText } from "../../../../src/peers/memberlist/endpoint.ts";
import type { JoinPolicy } from "../../../../src/peers/memberlist/joining.ts";
import { Memberlist } from "../../../../src/peers/memberlist/memberlist.ts";
import type { MemberStatus, StreamMessage } from "../../../../src/peers/memberlist/messages.ts";
import type { ProbeResult } from "../../../../src/peers/memberlist/probe.ts";
import type { RefusalReason } from "../../../../src/peers/memberlist/refused.ts";
import {
  type Bounds,
  DEFAULT_BOUNDS,
  LAN_SETTINGS,
  type ProtocolSettings,
} from "../../../../src/peers/memberlist/settings.ts";
import { StreamReader } from "../../../../src/peers/memberlist/stream.ts";
import type { TransportHandler } from "../../../../src/peers/memberlist/transport.ts";
import type { Wrapping } from "../../../../src/peers/memberlist/wrapping.ts";
import { silentLog } from "../../../../src/system/log.ts";
import { FakeClock } from "./fake-clock.ts";
import { seeded } from "./random.ts";

/** As OpenKruise's peers are configured. */
export const FAST: ProtocolSettings = {
  ...LAN_SETTINGS,
  probeIntervalMs: 500,
  probeTimeoutMs: 200,
  gossipIntervalMs: 500,
};

const PLAIN: Wrapping = { label: "", keyring: undefined, compress: false };

/** A member and its place in the network. */
export interface SimulatedMember extends Endpoint {
  readonly name: string;
  readonly list: Memberlist;
  /** What was refused, by reason. */
  readonly refusals: Map<RefusalReason, number>;
  readonly probes: Map<ProbeResult, number>;
  /** `name status`, in order. */
  readonly changes: string[];
}

/** Options of {@link Simulation.add}. */
export interface AddOptions {
  readonly name?: string;
  readonly host?: string;
  readonly settings?: Partial<ProtocolSettings>;
  readonly bounds?: Partial<Bounds>;
  readonly wrapping?: Partial<Wrapping>;
  /** Defaults to all that were ever added, as a pod list would say. */
  readonly find?: () => Promise<readonly Endpoint[]>;
  readonly joinPolicy?: JoinPolicy;
}

/**
 * Members on a network in memory, under one clock: the same seed makes the same run. Packets take 1 to 3 ms, and may be
 * lost; streams take the time of four packets, and fail where packets could not go.
 */
export class Simulation {
  readonly clock = new FakeClock();
  readonly random: () => number;
  readonly members: SimulatedMember[] = [];
  /** Share of packets that are lost. */
  loss = 0;
  /** False where nothing passes. */
  connected: (from: Endpoint, to: Endpoint) => boolean = () => true;
  packets = 0;
  readonly #handlers = new Map<string, TransportHandler>();
  readonly #readers = new Map<string, (side: "connects" | "answers") => StreamReader>();
  readonly #known: Endpoint[] = [];

  constructor(seed: number) {
    this.random = seeded(seed);
  }

  /** Adds a member and starts it. */
  add(options: AddOptions = {}): SimulatedMember {
    const number = this.members.length + 1;
    const { name = `m${number}`, host = `10.0.${number >> 8}.${number & 0xff}` } = options;
    const self = { name, host, port: 7946 };
    const wrapping = { ...PLAIN, ...options.wrapping };
    const bounds = { ...DEFAULT_BOUNDS, ...options.bounds };
    const refusals = new Map<RefusalReason, number>();
    const probes = new Map<ProbeResult, number>();
    const changes: string[] = [];
    const limits = { maxBytes: bounds.maxStreamBytes, maxStates: bounds.maxMembers };
    const key = endpointText(self);
    this.#known.push(self);
    const list = new Memberlist({
      self,
      settings: { ...FAST, ...options.settings },
      bounds,
      wrapping,
      find: options.find ?? (() => Promise.resolve(this.#known)),
      ...(options.joinPolicy && { joinPolicy: options.joinPolicy }),
      changed: (member) => void changes.push(`${member.name} ${member.status}`),
      observer: {
        refused: (reason) => count(refusals, reason),
        probed: (result) => count(probes, result),
      },
      clock: this.clock,
      random: this.random,
      log: silentLog,
      connect: (handler) => {
        this.#handlers.set(key, handler);
        this.#readers.set(key, (side) => new StreamReader(wrapping, limits, side));
        return {
          send: (packet, to) => this.send(self, to, packet),
          exchange: (request, to, timeoutMs) => this.#exchange(self, to, request, timeoutMs),
        };
      },
    });
    const member = { ...self, list, refusals, probes, changes };
    this.members.push(member);
    list.start();
    return member;
  }

  /** The member is gone without a word. */
  kill(member: SimulatedMember): void {
    member.list.stop();
    this.#handlers.delete(endpointText(member));
  }

  /** Sends a packet as if it came from `from`. */
  send(from: Endpoint, to: Endpoint, packet: Buffer): void {
    this.packets += 1;
    if (this.random() < this.loss || !this.connected(from, to)) return;
    this.#later(() => this.#handlers.get(endpointText(to))?.packet(Buffer.from(packet), { ...from }));
  }

  /** What `from` has to say of all others: `name status`, sorted. */
  view(from: SimulatedMember): string[] {
    return from.list
      .members()
      .filter(({ name }) => name !== from.name)
      .map(({ name, status }) => `${name} ${status}`)
      .sort();
  }

  /** True when every one of `members` has all the others, and nobody else, in `status`. */
  agree(members: readonly SimulatedMember[], status: MemberStatus = "alive"): boolean {
    const names = members.map(({ name }) => name).sort();
    return members.every(({ list }) => {
      const seen = list.members().filter((member) => member.status === status);
      return (
        seen.length === names.length &&
        seen
          .map(({ name }) => name)
          .sort()
          .every((name, i) => name === names[i])
      );
    });
  }

  /** Lets time pass until `condition` holds, and returns how long that took; fails after `withinMs`. */
  async until(condition: () => boolean, withinMs: number, stepMs = 50): Promise<number> {
    const fromMs = this.clock.monotonicMs();
    while (!condition()) {
      if (this.clock.monotonicMs() - fromMs >= withinMs) throw new Error(`not within ${withinMs} ms`);
      await this.clock.advance(stepMs);
    }
    return this.clock.monotonicMs() - fromMs;
  }

  /** Ends all members. */
  stop(): void {
    for (const { list } of this.members) list.stop();
  }

  #exchange(from: Endpoint, to: Endpoint, request: Buffer, timeoutMs: number): Promise<StreamMessage> {
    return new Promise((resolve, reject) => {
      const timer = this.clock.setTimeout(() => reject(new Error("took too long")), timeoutMs);
      const fail = (error: unknown): void => {
        timer.clear();
        reject(error instanceof Error ? error : new Error(String(error)));
      };
      const reader = (of: Endpoint, side: "connects" | "answers") =>
        this.#readers.get(endpointText(of))?.(side);
      this.#later(() => {
        if (!this.connected(from, to)) return;
        const handler = this.#handlers.get(endpointText(to));
        if (!handler) {
          fail(new Error("connection refused"));
          return;
        }
        try {
          const message = handler.admitStream(from) ? reader(to, "answers")?.read(request) : undefined;
          const answer = message && handler.stream(message, from);
          this.#later(() => {
            const read = answer && reader(from, "connects")?.read(answer);
            if (!read) {
              fail(new Error("closed"));
              return;
            }
            timer.clear();
            resolve(read);
          });
        } catch (error) {
          fail(error);
        }
      });
    });
  }

  #later(run: () => void): void {
    this.clock.setTimeout(run, 1 + this.random() * 2);
  }
}

function count<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
