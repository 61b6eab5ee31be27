import type { Clock, Milliseconds, TimerHandle } from "../../system/clock.ts";
import { endpointText } from "../memberlist/endpoint.ts";
import type { FindMembers } from "../memberlist/joining.ts";
import type { Peer, PeerSource } from "./peer-source.ts";

/** Options of {@link PolledPeers}. */
export interface PolledPeersOptions {
  readonly find: FindMembers;
  /** Addresses of this router itself. */
  readonly isSelf: (host: string) => boolean;
  readonly intervalMs: Milliseconds;
  readonly clock: Clock;
}

/**
 * Peers without a memberlist: whoever is listed, or has a record in DNS, whether up or not. Looks again and again; while
 * that fails the last answer stands.
 */
export class PolledPeers implements PeerSource {
  readonly #options: PolledPeersOptions;
  readonly #listeners = new Set<() => void>();
  #peers: readonly Peer[] = [];
  #timer: TimerHandle | undefined;
  #stopped = true;

  constructor(options: PolledPeersOptions) {
    this.#options = options;
  }

  /** Looks for the first time. Call it once. */
  start(): void {
    this.#stopped = false;
    void this.#look();
  }

  /** Looks no more. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.clear();
  }

  peers(): readonly Peer[] {
    return this.#peers;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async #look(): Promise<void> {
    const { find, isSelf, intervalMs, clock } = this.#options;
    try {
      this.#set((await find()).filter(({ host }) => !isSelf(host)));
    } catch {
      // `find` has told why.
    }
    if (!this.#stopped) this.#timer = clock.setTimeout(() => void this.#look(), intervalMs);
  }

  #set(found: Awaited<ReturnType<FindMembers>>): void {
    if (this.#stopped) return;
    const byName = new Map(found.map((endpoint) => [endpointText(endpoint), endpoint]));
    const peers = Array.from(byName, ([name, { host, port }]) => ({ name, host, port }));
    peers.sort((a, b) => (a.name < b.name ? -1 : 1));
    if (namesOf(peers) === namesOf(this.#peers)) return;
    this.#peers = peers;
    for (const listener of this.#listeners) listener();
  }
}

function namesOf(peers: readonly Peer[]): string {
  return peers.map(({ name }) => name).join(" ");
}
