import type { GrowingBytes } from "../../system/growing-bytes.ts";
import type { ClientPace } from "./client-pace.ts";

/**
 * The phases of a client connection in the fast lane (docs/architecture.md#client-connection), and where each leads. A
 * request is in at most one of them; what belongs to a phase begins in `FastClient.enter`.
 *
 * | phase | the client's bytes are | deadline |
 * |---|---|---|
 * | `head` | a request head, or the begin of one | keep-alive; from the first byte on, the header's |
 * | `doubt` | held, with the request's: its sandbox is in doubt | that of `HeldRequests` |
 * | `collecting` | held: a small body, until it is whole | idle, least rate |
 * | `leasing` | held: the request waits for a connection | the pool's |
 * | `body` | the request's body, passed on | idle, least rate |
 * | `trailers` | the trailers of a chunked body | idle, least rate |
 * | `awaiting` | held: the pod has the whole request, and has not begun to answer | first byte |
 * | `answering` | held: the pod's response is passed on | idle, least rate |
 * | `flushing` | held: the response is whole, and the client has yet to take the rest | idle, least rate |
 * | `overrun` | dropped: the rest of a body whose request was answered before it was here | `LINGER_MS` |
 * | `ended` | dropped: the last response is written | `LINGER_MS` |
 * | `gone` | no longer read here: the connection was handed to the full lane, or is closed | none |
 */
export const CLIENT_TRANSITIONS = {
  head: ["doubt", "leasing", "ended", "gone"],
  doubt: ["head", "gone"],
  collecting: ["leasing", "overrun", "gone"],
  leasing: ["head", "collecting", "body", "trailers", "awaiting", "flushing", "overrun", "ended", "gone"],
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
  pause(): void;
  resume(): void;
  /** Small pieces are sent at once, and a client that vanishes is noticed. */
  guard(): void;
}
