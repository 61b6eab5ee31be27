import type { PeerView } from "../admin/api-types.ts";
import type { Milliseconds } from "../system/clock.ts";
import type { Outcome } from "../routes/outcome.ts";

/** Addresses remembered; above, the one that was silent for longest is forgotten. */
const MAX_PEERS = 256;

type Counts = { -readonly [Key in keyof PeerView]: PeerView[Key] };

/**
 * Who pushes, and whether it is true: counts per address that pushes come from, of at most 256 addresses. Addresses come
 * from sockets, so nobody can invent them; behind a proxy all peers are one.
 */
export class PeerBook {
  readonly #peers = new Map<string, Counts>();
  #latest: Counts | undefined;

  /** The table judged a push. */
  judged(address: string, outcome: Outcome, nowMs: Milliseconds): void {
    const peer = this.#peerOf(address);
    peer.pushes++;
    peer.lastPushAtMs = nowMs;
    if (outcome === "applied" || outcome === "unsettled") peer.applied++;
    else if (outcome.startsWith("invalid_")) peer.invalid++;
    else peer.ignored++;
  }

  /** One of its pushes would have brought a dead route back. */
  stopped(address: string): void {
    this.#peerOf(address).stopped++;
  }

  /** The informer said otherwise than an update of this peer, or nothing in time. */
  contradicted(address: string): void {
    this.#peerOf(address).contradicted++;
  }

  /** A read of the API server said otherwise than a push of this peer. */
  refuted(address: string): void {
    this.#peerOf(address).refuted++;
  }

  /** A push of it was refused unread, or for want of a proof. */
  refused(address: string, nowMs: Milliseconds): void {
    const peer = this.#peerOf(address);
    peer.refused++;
    peer.lastPushAtMs = nowMs;
  }

  /** All that is known, the latest first. */
  view(): PeerView[] {
    return structuredClone([...this.#peers.values()]).reverse();
  }

  #peerOf(address: string): Counts {
    // Pushes come in rows from one address: its place is right already.
    if (this.#latest?.address === address) return this.#latest;
    const peer = this.#peers.get(address) ?? {
      address,
      pushes: 0,
      applied: 0,
      ignored: 0,
      invalid: 0,
      stopped: 0,
      contradicted: 0,
      refuted: 0,
      refused: 0,
      lastPushAtMs: 0,
    };
    // A Map keeps the order of insertion: the first is the one that was silent for longest.
    this.#peers.delete(address);
    this.#peers.set(address, peer);
    if (this.#peers.size > MAX_PEERS) {
      const [longestSilent] = this.#peers.keys();
      if (longestSilent !== undefined) this.#peers.delete(longestSilent);
    }
    this.#latest = peer;
    return peer;
  }
}
