import type { Clock } from "../system/clock.ts";
import {
  covers,
  MAX_PREVIEW_TOKEN_CHARACTERS,
  type PreviewGrant,
  readPreviewToken,
  signPreviewToken,
} from "./preview-token.ts";
import { TokenMemory } from "./token-memory.ts";

/** What a request asks for, as a preview token is compared with it. */
export interface PreviewRequest {
  readonly uid: string;
  readonly epoch: string;
  readonly port: number;
  readonly method: string;
  /** Without its query. */
  readonly path: string;
}

interface Known {
  readonly epoch: string;
  readonly grant: PreviewGrant;
}

/** Characters of remembered tokens: some thousand. */
const MAX_REMEMBERED_CHARACTERS = 2 * 1024 * 1024;

/** The keys of preview links, the first of which signs; the same list until they change. */
export interface PreviewKeys {
  readonly current: readonly string[];
}

/** Makes and reads preview tokens (docs/access.md#preview-links), and remembers those that it has read. */
export class Previews {
  readonly #keys: PreviewKeys;
  readonly #clock: Clock;
  readonly #known = new TokenMemory<Known>(MAX_REMEMBERED_CHARACTERS);
  #readWith: readonly string[] = [];

  constructor(keys: PreviewKeys, clock: Clock) {
    this.#keys = keys;
    this.#clock = clock;
  }

  /**
   * A token that grants this.
   *
   * @throws RangeError when it can't be written, or no key is left to sign it with.
   */
  sign(grant: PreviewGrant, epoch: string): string {
    const [key] = this.#keys.current;
    if (key === undefined) throw new RangeError("there is no key to sign preview links with");
    return signPreviewToken(grant, epoch, key);
  }

  /** What a token grants, when it lets this request pass now. */
  grantFor(token: string, { uid, epoch, port, method, path }: PreviewRequest): PreviewGrant | undefined {
    const grant = this.#read(token, epoch);
    if (grant === undefined || grant.uid !== uid || grant.port !== port) return undefined;
    if (this.#clock.nowMs() >= grant.expiresAtS * 1000) return undefined;
    return covers(grant, method, path) ? grant : undefined;
  }

  #read(token: string, epoch: string): PreviewGrant | undefined {
    if (token.length > MAX_PREVIEW_TOKEN_CHARACTERS) return undefined;
    const keys = this.#keys.current;
    if (keys !== this.#readWith) {
      this.#readWith = keys;
      this.#known.clear();
    }
    const known = this.#known.get(token);
    if (known !== undefined && known.epoch === epoch) return known.grant;
    const grant = readPreviewToken(token, epoch, keys);
    if (grant !== undefined) this.#known.set(token, { epoch, grant });
    return grant;
  }
}
