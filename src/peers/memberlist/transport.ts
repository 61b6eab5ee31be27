import type { Milliseconds } from "../../system/clock.ts";
import type { Endpoint } from "./endpoint.ts";
import type { StreamMessage } from "./messages.ts";
import type { RefusalReason } from "./refused.ts";

/** Carries packets and streams. One for real sockets, and one in memory for tests. */
export interface Transport {
  /** Sends one packet, best effort: may be lost, and does not throw. */
  send(packet: Buffer, to: Endpoint): void;
  /**
   * Connects, sends `request`, and resolves with the answer. Rejects when none came within `timeoutMs`, or it can't be
   * read.
   */
  exchange(request: Buffer, to: Endpoint, timeoutMs: Milliseconds): Promise<StreamMessage>;
}

/** What a {@link Transport} hands in. Called synchronously; must not throw. */
export interface TransportHandler {
  /** A packet, still sealed. The buffer may be kept. */
  packet(packet: Buffer, from: Endpoint): void;
  /** True when one more stream, from there, may be read now. */
  admitStream(from: Endpoint): boolean;
  /** What a stream carried. Returns the sealed answer; undefined closes the stream. */
  stream(message: StreamMessage, from: Endpoint): Buffer | undefined;
  /** Something was not taken. */
  refused(reason: RefusalReason): void;
}
