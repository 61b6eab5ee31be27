/** One of the routes that every proxy gets: a Host and the pod behind it. */
export interface Sandbox {
  readonly index: number;
  /** A DNS label. */
  readonly id: string;
  /** What requests for it carry as Host: `<pod port>-<id>.bench.test`, as the gateway's clients write it. */
  readonly host: string;
  /** Its pod's address: each has its own, all on the loopback interface. */
  readonly ip: string;
}

/** Hosts that the rotating workloads ask for in turn; the other routes are there to be looked past. */
export const HOT_SANDBOXES = 200;

/** The first `count` sandboxes, whose pods listen on `podPort`. At most 60,000. */
export function sandboxes(count: number, podPort: number): Sandbox[] {
  return Array.from({ length: count }, (_, index) => {
    const id = sandboxId(index);
    return { index, id, host: `${podPort}-${id}.bench.test`, ip: podAddress(index) };
  });
}

export function sandboxId(index: number): string {
  return `s${String(index).padStart(5, "0")}`;
}

/** `127.1.0.1` for the first, 250 to a third octet. */
export function podAddress(index: number): string {
  return `127.1.${Math.trunc(index / 250)}.${(index % 250) + 1}`;
}

/** The inverse of {@link podAddress}; -1 for an address that is no pod's. */
export function sandboxIndexAt(ip: string): number {
  const [a, b, third = Number.NaN, fourth = Number.NaN] = ip.split(".").map(Number);
  const index = third * 250 + fourth - 1;
  return a === 127 && b === 1 && podAddress(index) === ip ? index : -1;
}

/**
 * The bytes that sandbox `index` answers with, and that uploads to it hold: they begin with its ID, and differ in
 * the rest too, so that one sandbox's body is never taken for another's.
 */
export function bodyOf(index: number, bytes: number): Buffer {
  const body = Buffer.alloc(bytes);
  for (let at = 0; at < bytes; at += 1) body[at] = 32 + ((at * 31 + (at >>> 8) * 17 + index * 7) % 94);
  body.write(`${sandboxId(index)} `, 0, "latin1");
  return body;
}
