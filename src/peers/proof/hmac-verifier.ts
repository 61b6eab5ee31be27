import type { Clock, Milliseconds } from "../../system/clock.ts";
import { type Claim, isSignature, signatureOf } from "./hmac.ts";
import { NonceMemory } from "./nonce-memory.ts";

/** What a signature comes to. */
export type SignatureVerdict =
  | "proven"
  /** Signed too long ago, or too far in the future. */
  | "out_of_time"
  /** No key makes this signature of this request. */
  | "wrong"
  /** Right, and used before. */
  | "replayed"
  /** Right, but too many nonces are remembered already. */
  | "overloaded";

/** Options of {@link HmacVerifier}. */
export interface HmacVerifierOptions {
  /** The keys that are taken now. */
  readonly keys: () => readonly string[];
  /** How far the signer's clock, and the way, may differ from this clock. */
  readonly windowMs: Milliseconds;
  readonly clock: Clock;
  /** Nonces that are remembered. Default 262,144: some 30 MB, and more than two minutes of 2,000 pushes per second. */
  readonly maxNonces?: number;
}

/** A request with a signature, as it arrived. */
export interface SignedRequest {
  readonly method: string;
  readonly target: string;
  readonly body: Uint8Array;
}

/** Checks the signatures of pushes (docs/peers.md#hmac). */
export class HmacVerifier {
  readonly #options: HmacVerifierOptions;
  readonly #nonces: NonceMemory;

  constructor(options: HmacVerifierOptions) {
    this.#options = options;
    const { windowMs, maxNonces = 262_144 } = options;
    // A push from the far end of the window is taken for twice its length.
    this.#nonces = new NonceMemory({ forMs: 2 * windowMs + 1_000, max: maxNonces });
  }

  /** Whether the time of a claim is one that is taken: to be asked before a body is read. */
  isInTime({ signedAtMs }: Extract<Claim, { kind: "claim" }>): boolean {
    return Math.abs(this.#options.clock.nowMs() - signedAtMs) <= this.#options.windowMs;
  }

  /** Judges a claim on the request that came with it, and uses its nonce up if it is right. */
  verify(claim: Extract<Claim, { kind: "claim" }>, request: SignedRequest): SignatureVerdict {
    const { keys, clock } = this.#options;
    if (!this.isInTime(claim)) return "out_of_time";
    let isRight = false;
    for (const key of keys()) {
      // Each key is tried, so that the time does not tell which one was right.
      const expected = signatureOf(key, { ...request, ...claim }, request.body);
      if (isSignature(expected, claim.signature)) isRight = true;
    }
    if (!isRight) return "wrong";
    const use = this.#nonces.use(claim.nonce, clock.monotonicMs());
    if (use === "full") return "overloaded";
    return use === "replayed" ? "replayed" : "proven";
  }
}
