import type { Clock } from "../system/clock.ts";
import { isInTime, readSignedToken, type TokenRules, type TrafficClaims } from "./signed-token.ts";
import { TokenMemory } from "./token-memory.ts";
import type { VerificationKeys } from "./verification-keys.ts";

/** What a token is worth for one sandbox. `not_ready`: the issuer's keys have not been read yet. */
export type TokenVerdict = "valid" | "invalid" | "mismatch" | "not_ready";

/** Where the keys come from. */
export interface KeySource {
  /** The last that were read; the same object until they change. `undefined` before the first. */
  readonly keys: VerificationKeys | undefined;
  /** A token names a key that is not among them: they may have changed. May be called very often. */
  keyMissed(): void;
}

/** Characters of remembered tokens, which is about what they take in bytes: some ten thousand tokens. */
const MAX_REMEMBERED_CHARACTERS = 8 * 1024 * 1024;

/**
 * The traffic tokens of one issuer (docs/access.md#traffic-tokens). A token that was verified is remembered until the keys change, so
 * that a signature is checked once and not with each request; when it counts, and for which sandbox, is compared each time. Tokens that
 * are not valid are not remembered: whoever sends many of them must not push out the others.
 */
export class TrafficTokens {
  readonly #source: KeySource;
  readonly #rules: TokenRules;
  readonly #clock: Clock;
  readonly #verified = new TokenMemory<TrafficClaims>(MAX_REMEMBERED_CHARACTERS);
  #keys: VerificationKeys | undefined;

  constructor(source: KeySource, rules: TokenRules, clock: Clock) {
    this.#source = source;
    this.#rules = rules;
    this.#clock = clock;
  }

  /** `id` and `uid` are the route's. */
  check(token: string, id: string, uid: string): TokenVerdict {
    const { keys } = this.#source;
    if (keys === undefined) return "not_ready";
    if (keys !== this.#keys) {
      this.#keys = keys;
      this.#verified.clear();
    }
    const claims = this.#claimsOf(token, keys);
    if (claims === undefined) return "invalid";
    return claims.sandboxId === id && claims.sandboxUid === uid ? "valid" : "mismatch";
  }

  #claimsOf(token: string, keys: VerificationKeys): TrafficClaims | undefined {
    const nowMs = this.#clock.nowMs();
    const known = this.#verified.get(token);
    if (known !== undefined) return isInTime(known, this.#rules.skewMs, nowMs) ? known : undefined;
    const read = readSignedToken(token, keys, this.#rules, nowMs);
    if (read.kind === "unknown_key") this.#source.keyMissed();
    if (read.kind !== "verified") return undefined;
    this.#verified.set(token, read.claims);
    return read.claims;
  }
}
