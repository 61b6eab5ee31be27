import type { Milliseconds } from "../../system/clock.ts";

/** The numbers of the protocol. What stands beside memberlist's names is the same number there. */
export interface ProtocolSettings {
  /** Time between two probes, each of another member (`ProbeInterval`). */
  readonly probeIntervalMs: Milliseconds;
  /** Wait for a direct ack before others are asked to ping too (`ProbeTimeout`). Below `probeIntervalMs`. */
  readonly probeTimeoutMs: Milliseconds;
  /** Members that are asked to ping in our place (`IndirectChecks`). */
  readonly indirectChecks: number;
  /** Time between two rounds of gossip (`GossipInterval`). */
  readonly gossipIntervalMs: Milliseconds;
  /** Members that each round goes to (`GossipNodes`). */
  readonly gossipNodes: number;
  /** How long the dead are told of what happens, and remembered (`GossipToTheDeadTime`). */
  readonly gossipToTheDeadMs: Milliseconds;
  /** Factor of how often a message is sent (`RetransmitMult`). */
  readonly retransmitMult: number;
  /** Factor of how long a member is suspect before it is dead (`SuspicionMult`). */
  readonly suspicionMult: number;
  /** How much longer that is while nobody else suspects it (`SuspicionMaxTimeoutMult`). */
  readonly suspicionMaxTimeoutMult: number;
  /** Time between two full exchanges with some member (`PushPullInterval`). */
  readonly pushPullIntervalMs: Milliseconds;
  /** Longest time for a stream, from connecting to the answer (`TCPTimeout`). */
  readonly streamTimeoutMs: Milliseconds;
  /** By how much probes may slow down while this side seems to be the sick one (`AwarenessMaxMultiplier`). */
  readonly awarenessMaxMultiplier: number;
  /**
   * How long a name must have been dead before it may come back at another address (`DeadNodeReclaimTime`). 0: not
   * before it was forgotten. A name that left may come back at once.
   */
  readonly deadNodeReclaimMs: Milliseconds;
  /** Largest packet that is sent, in bytes (`UDPBufferSize`). */
  readonly packetBytes: number;
}

/** memberlist's `DefaultLANConfig`, but that a dead name may move after 5 seconds: see docs/memberlist.md. */
export const LAN_SETTINGS: ProtocolSettings = {
  probeIntervalMs: 1_000,
  probeTimeoutMs: 500,
  indirectChecks: 3,
  gossipIntervalMs: 200,
  gossipNodes: 3,
  gossipToTheDeadMs: 30_000,
  retransmitMult: 4,
  suspicionMult: 4,
  suspicionMaxTimeoutMult: 6,
  pushPullIntervalMs: 30_000,
  streamTimeoutMs: 10_000,
  awarenessMaxMultiplier: 8,
  deadNodeReclaimMs: 5_000,
  packetBytes: 1_400,
};

/** What this side holds and reads at most, whatever arrives. memberlist has no such bounds but for streams. */
export interface Bounds {
  /** Members of all states, this one included. */
  readonly maxMembers: number;
  /** A packet, and what it unpacks to. */
  readonly maxPacketBytes: number;
  /** A stream, and what it unpacks to. */
  readonly maxStreamBytes: number;
  /** Packets read per second, and at once after a quiet time. */
  readonly packetsPerSecond: number;
  /** Streams read and answered per second. */
  readonly streamsPerSecond: number;
  /** The same at once after a quiet time: a whole cluster may start in one moment, and managers join only once. */
  readonly streamBurst: number;
  /** Pings for others that wait for their ack. */
  readonly maxRelays: number;
}

/**
 * Room for a cluster of 1,000 members; 1 MiB holds as many with the longest names and metadata. Reading that takes some
 * ten milliseconds, in which this process serves nobody else: hence few streams a second.
 */
export const DEFAULT_BOUNDS: Bounds = {
  maxMembers: 1_000,
  maxPacketBytes: 65_536,
  maxStreamBytes: 1024 * 1024,
  packetsPerSecond: 2_000,
  streamsPerSecond: 10,
  streamBurst: 200,
  maxRelays: 256,
};
