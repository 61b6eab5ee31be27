import type { Clock } from "../../system/clock.ts";
import type { Log } from "../../system/log.ts";
import type { Awareness } from "./awareness.ts";
import type { BroadcastQueue } from "./broadcast-queue.ts";
import type { Membership } from "./membership.ts";
import type { Source } from "./messages.ts";
import type { ProbeResult } from "./probe.ts";
import type { RefusalReason } from "./refused.ts";
import type { Bounds, ProtocolSettings } from "./settings.ts";
import type { Transport } from "./transport.ts";
import type { Wrapping } from "./wrapping.ts";

/** Told what happens, for counting. Must not throw. */
export interface MemberlistObserver {
  /** Something that arrived was not taken. */
  refused(reason: RefusalReason): void;
  /** A probe is over. */
  probed(result: ProbeResult): void;
}

/** What the parts of one member share. */
export interface Parts {
  /** This member, as the sender of pings. */
  readonly source: Source;
  readonly settings: ProtocolSettings;
  readonly bounds: Bounds;
  readonly wrapping: Wrapping;
  readonly transport: Transport;
  readonly membership: Membership;
  readonly awareness: Awareness;
  readonly queue: BroadcastQueue;
  /** A number that nobody can guess, so that only who got a ping can ack it. */
  readonly newSeqNo: () => number;
  /** In [0, 1). */
  readonly random: () => number;
  /** Something that arrived is not taken. */
  readonly refuse: (reason: RefusalReason) => void;
  readonly observer: MemberlistObserver;
  readonly clock: Clock;
  readonly log: Log;
}
