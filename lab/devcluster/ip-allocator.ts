/** Fails to give an address: `code` says why. */
export class PodAddressError extends Error {
  override readonly name = "PodAddressError";
  readonly code = "POD_ADDRESSES_EXHAUSTED";
}

/**
 * Hands out IPv4 addresses of a range, and the one that was released last first: a dead pod's address comes back
 * as soon as it can, which is what a router must survive.
 */
export class IpAllocator {
  readonly #released: string[] = [];
  readonly #unusable: string[] = [];
  readonly #firstIp: number;
  readonly #count: number;
  #used = 0;

  /**
   * `firstIp` such as `127.0.64.1`, and how many from there on.
   * @throws RangeError unless the whole range lies in 127.0.0.0/8: pods are never reachable from outside
   */
  constructor(firstIp: string, count: number) {
    const octets = /^127\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(firstIp)?.slice(1).map(Number) ?? [];
    this.#firstIp = octets.reduce((address, octet) => address * 256 + octet, 127);
    this.#count = count;
    const lastIp = this.#firstIp + count - 1;
    if (octets.length !== 3 || octets.some((octet) => octet > 255) || count < 1 || lastIp > 0x7f_ff_ff_fe) {
      throw new RangeError(`pod addresses must lie in 127.0.0.0/8, not ${firstIp} and ${count} in all`);
    }
  }

  /**
   * An address that nobody has.
   * @throws PodAddressError when all are taken
   */
  allocate(): string {
    const again = this.#released.pop();
    if (again !== undefined) return again;
    if (this.#used === this.#count) {
      const last = this.#unusable.shift();
      if (last !== undefined) return last;
      throw new PodAddressError(`all ${this.#count} pod addresses are taken`);
    }
    const address = this.#firstIp + this.#used++;
    return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join(".");
  }

  /** Takes an address back; the next {@link allocate} returns it. */
  release(ip: string): void {
    this.#released.push(ip);
  }

  /** Takes back an address that proved unusable (another program has its ports): it is tried last. */
  releaseUnusable(ip: string): void {
    this.#unusable.push(ip);
  }
}
