/** A message under way to everyone. */
interface Broadcast {
  readonly about: string;
  readonly message: Buffer;
  transmits: number;
  readonly id: number;
}

/**
 * What is still to be gossiped: at most one message about each member, the newest. A message is sent until its number of
 * transmissions reaches the limit. Fresh messages go first, among equally fresh ones the longest that fits, then the
 * newest.
 */
export class BroadcastQueue {
  /** In the order of sending. */
  readonly #queue: Broadcast[] = [];
  #nextId = 0;

  /** Messages that wait. Bounded by the number of members. */
  get length(): number {
    return this.#queue.length;
  }

  /** True while a message about this member waits. */
  has(about: string): boolean {
    return this.#queue.some((broadcast) => broadcast.about === about);
  }

  /** Takes the place of any message about the same member. */
  add(about: string, message: Buffer): void {
    this.forget(about);
    this.#insert({ about, message, transmits: 0, id: this.#nextId++ });
  }

  /** Drops the message about this member. */
  forget(about: string): void {
    const index = this.#queue.findIndex((broadcast) => broadcast.about === about);
    if (index >= 0) this.#queue.splice(index, 1);
  }

  /**
   * Messages for one packet: each takes `overheadBytes` and its own length out of `roomBytes`, at most `maxMessages`.
   * Counts as sent; those that were sent `limit` times now are dropped.
   */
  take(overheadBytes: number, roomBytes: number, limit: number, maxMessages: number): Buffer[] {
    const taken: Broadcast[] = [];
    let room = roomBytes;
    for (let i = 0; i < this.#queue.length && room > overheadBytes && taken.length < maxMessages;) {
      const broadcast = this.#queue[i];
      if (broadcast && overheadBytes + broadcast.message.length <= room) {
        room -= overheadBytes + broadcast.message.length;
        taken.push(broadcast);
        this.#queue.splice(i, 1);
      } else {
        i += 1;
      }
    }
    for (const broadcast of taken) {
      broadcast.transmits += 1;
      if (broadcast.transmits < limit) this.#insert(broadcast);
    }
    return taken.map(({ message }) => message);
  }

  #insert(broadcast: Broadcast): void {
    let low = 0;
    let high = this.#queue.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = this.#queue[middle];
      if (other && isBefore(other, broadcast)) low = middle + 1;
      else high = middle;
    }
    this.#queue.splice(low, 0, broadcast);
  }
}

function isBefore(a: Broadcast, b: Broadcast): boolean {
  if (a.transmits !== b.transmits) return a.transmits < b.transmits;
  if (a.message.length !== b.message.length) return a.message.length > b.message.length;
  return a.id > b.id;
}
