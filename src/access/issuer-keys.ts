import type { Clock, Milliseconds, TimerHandle } from "../system/clock.ts";
import { messageOf } from "../system/error-text.ts";
import type { Log } from "../system/log.ts";
import { getJson } from "./get-json.ts";
import type { KeySource } from "./traffic-tokens.ts";
import { readKeySet, type VerificationKeys } from "./verification-keys.ts";

/** Options of {@link IssuerKeys}. */
export interface IssuerKeysOptions {
  /** The issuer, as tokens have it in `iss`: an `https` URL, or `http` of this machine. */
  readonly issuer: string;
  /** CA certificates in PEM that its certificate may be signed by, beside the system's own trust: absent, those that Node knows. */
  readonly ca?: string | undefined;
  /** Time between two reads. */
  readonly refreshMs: Milliseconds;
  readonly clock: Clock;
  readonly log: Log;
}

const MIN_RETRY_MS = 1_000;
const MAX_RETRY_MS = 30_000;
/** A token with an unknown key can make the keys be read again, but not more often: anybody can send one. */
const MIN_EARLY_MS = 10_000;

/**
 * The keys of an OpenID issuer, by discovery (OpenID Connect Discovery 1.0, 4): read at the start, again each `refreshMs`, and soon
 * when a token names a key that is not known. While the issuer is away the last keys stay in force, without a limit of time. Each
 * process that serves has its own: keys are public and few, and a request for them each few minutes costs less than a channel.
 */
export class IssuerKeys implements KeySource {
  readonly #options: IssuerKeysOptions;
  #keys: VerificationKeys | undefined;
  #text = "";
  #timer: TimerHandle | undefined;
  #failures = 0;
  #readAtMs: Milliseconds = -Infinity;
  #isReading = false;
  #stopped = false;

  /** Begins to read at once. */
  constructor(options: IssuerKeysOptions) {
    this.#options = options;
    void this.#read();
  }

  get keys(): VerificationKeys | undefined {
    return this.#keys;
  }

  keyMissed(): void {
    const { clock } = this.#options;
    if (this.#isReading || this.#failures > 0) return;
    if (clock.monotonicMs() - this.#readAtMs < MIN_EARLY_MS) return;
    void this.#read();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.clear();
  }

  async #read(): Promise<void> {
    const { clock, log, issuer, refreshMs } = this.#options;
    this.#timer?.clear();
    this.#isReading = true;
    try {
      const keySet = await this.#fetch();
      const keys = readKeySet(keySet);
      if (keys.size === 0) throw new Error("its key set holds no key that can be used");
      const text = JSON.stringify(keySet);
      if (text !== this.#text) {
        this.#keys = keys;
        this.#text = text;
        log.info("the keys that verify traffic tokens were read", { issuer, keys: [...keys.keys()] });
      }
      this.#failures = 0;
    } catch (error) {
      this.#failures += 1;
      const message =
        this.#keys === undefined
          ? "the issuer's keys can't be read: sandboxes that ask for a traffic token are not served yet"
          : "the issuer's keys can't be read: the last ones stay in force";
      if (!this.#stopped) log.warn(message, { setting: "auth.jwtIssuer", issuer, why: messageOf(error) });
    }
    this.#isReading = false;
    this.#readAtMs = clock.monotonicMs();
    if (this.#stopped) return;
    const retryMs = Math.min(MAX_RETRY_MS, MIN_RETRY_MS * 2 ** Math.min(this.#failures - 1, 10));
    this.#timer = clock.setTimeout(() => void this.#read(), this.#failures > 0 ? retryMs : refreshMs);
  }

  async #fetch(): Promise<unknown> {
    const { issuer, ca } = this.#options;
    const discovery = await getJson(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`, ca);
    const { issuer: named, jwks_uri: uri } = (discovery ?? {}) as Readonly<Record<string, unknown>>;
    // Or whoever serves one tenant's document could speak for another (OpenID Connect Discovery 4.3).
    if (named !== issuer) throw new Error("its discovery document is another issuer's");
    if (typeof uri !== "string" || !isTrustworthy(uri)) throw new Error("its jwks_uri is no https URL");
    return getJson(uri, ca);
  }
}

/** Whether nobody on the way can have changed what comes from a URL: `https`, or this machine. */
export function isTrustworthy(text: string): boolean {
  const url = URL.parse(text);
  if (url === null || url.username !== "" || url.password !== "") return false;
  if (url.protocol === "https:") return true;
  return url.protocol === "http:" && ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname);
}
