import type { RouteInEffect } from "../../routes/lookup.ts";
import type { Withheld } from "../forwarding/forwarding.ts";
import type { RequestHead } from "../http1/request-head.ts";
import type { RefusalReason } from "../reply/reasons.ts";
import type { Target } from "../target/target.ts";

/** Why a request may not pass. */
export interface AccessRefusal {
  readonly reason: RefusalReason;
  /** Flat `name, value, …`: for the reply. May hold a token. */
  readonly fields?: readonly string[];
}

/** Who may pass to a sandbox, as the proxy asks it (docs/access.md). The root makes it (`Access`); nothing of it throws. */
export interface AccessGate {
  /** Lower-case names of the fields that {@link check} looks for, at most three: a scan may note where they are. */
  readonly credentials: readonly string[];
  /** What of a request must not reach any pod. */
  readonly withheld: Withheld;
  /** Lower-case name of one more field that must not reach some pods at some ports. */
  readonly withheldByPort: string | undefined;
  /** What of a request must not reach the pod at this port: {@link withheld}, and perhaps {@link withheldByPort}; undefined: nothing. */
  withheldFrom(found: RouteInEffect, port: number): Withheld | undefined;
  /** Why a request may not pass; undefined: it may. */
  check(head: RequestHead, target: Target, found: RouteInEffect): AccessRefusal | undefined;
  /** What a sandbox asks for at a port, in words that hold no secret. */
  describe(found: RouteInEffect, port: number): string;
}

/** Which clients may ask, and how often; see `ClientLimits`. */
export interface ClientGate {
  /** Asked before anything is looked up. `share`: what the client's requests are counted by. */
  refusalOf(address: string, share: string): RefusalReason | undefined;
  /** Asked when a request may pass. `key`: of the object. */
  refusalFor(key: string): RefusalReason | undefined;
}
