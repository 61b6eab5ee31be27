import type { MemberView } from "../memberlist/memberlist.ts";

/** Another router or manager that is up. */
export interface Peer {
  /** Its name in the cluster. */
  readonly name: string;
  /** IP address. Where it takes pushes there is up to who pushes. */
  readonly host: string;
  /** Where it listens, if whoever found it knows. */
  readonly port?: number;
}

/**
 * Which peers are up, as that changes. This router itself is not among them. They have proved nothing, unless the
 * memberlist has keys: a push to them that holds a token could reach anybody.
 */
export interface PeerSource {
  /** The peers now, in the order of their names. */
  peers(): readonly Peer[];
  /** Calls `listener` after each change, synchronously; it must not throw. Returns what ends that. */
  onChange(listener: () => void): () => void;
}

/**
 * The peers that a memberlist holds for alive. A suspect is up until it is dead, as in memberlist itself: most suspicions
 * are refuted.
 */
export class MemberPeers implements PeerSource {
  readonly #self: string;
  readonly #peers = new Map<string, Peer>();
  readonly #listeners = new Set<() => void>();

  /** @param self the name of this member. */
  constructor(self: string) {
    this.#self = self;
  }

  peers(): readonly Peer[] {
    return [...this.#peers.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** A member changed: what a `Memberlist` is given as `changed`. */
  changed({ name, host, status }: MemberView): void {
    if (name === this.#self) return;
    const before = this.#peers.get(name);
    const isUp = status === "alive" || status === "suspect";
    if (isUp ? before?.host === host : before === undefined) return;
    if (isUp) this.#peers.set(name, { name, host });
    else this.#peers.delete(name);
    for (const listener of this.#listeners) listener();
  }
}
