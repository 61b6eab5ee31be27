import type { GrowingBytes } from "../../system/growing-bytes.ts";
import type { RefusalReason } from "../reply/reasons.ts";
import type { ClientPace } from "./client-pace.ts";

/**
 * The phases of a client connection in the fast lane, and where each leads: what they mean and how long they last stands in
 * docs/architecture.md#client-connection. A connection has one request at most in hand, whose phases these are too.
 */
export const CLIENT_TRANSITIONS = {
  head: ["waiting", "leasing", "ended", "gone"],
  waiting: ["head", "gone"],
  collecting: ["leasing", "overrun", "gone"],
  leasing: [
    "waiting",
    "head",
    "collecting",
    "body",
    "trailers",
    "awaiting",
    "flushing",
    "overrun",
    "ended",
    "gone",
  ],
  body: ["trailers", "awaiting", "answering", "overrun", "ended", "gone"],
  trailers: ["awaiting", "answering", "overrun", "ended", "gone"],
  awaiting: ["head", "answering", "flushing", "ended", "gone"],
  answering: ["head", "flushing", "ended", "gone"],
  flushing: ["head", "ended", "gone"],
  overrun: ["ended", "gone"],
  ended: ["gone"],
  gone: [],
} as const;

/** See {@link CLIENT_TRANSITIONS}. */
export type ClientPhase = keyof typeof CLIENT_TRANSITIONS;

/** The client's connection, as the exchange on it sees it. */
export interface ExchangeConnection {
  /** Changed by {@link enter} alone. */
  readonly phase: ClientPhase;
  readonly pace: ClientPace;
  /** Bytes that wait for their turn, or for more. */
  held: GrowingBytes | undefined;
  /** Nothing is read from the client for now. */
  readonly isPaused: boolean;
  /** What is read may be overwritten as soon as it was taken. */
  readonly sharesBuffer: boolean;
  enter(phase: ClientPhase): void;
  /** The connection is free for a next request. */
  next(): void;
  /** Something moved: the deadline of the phase begins again. */
  touch(): void;
  hold(bytes: Buffer, start: number, end: number): void;
  /** Keeps the request that begins at `start` until {@link goOn}; `cancel` is called when the client leaves before. */
  keepForLater(bytes: Buffer, start: number, cancel: () => void): void;
  /** Reads the request that was kept again, as if it had just come; `refusal`: to be refused with. */
  goOn(refusal?: RefusalReason): void;
  pause(): void;
  resume(): void;
  /** Small pieces are sent at once, and a client that vanishes is noticed. */
  guard(): void;
}
