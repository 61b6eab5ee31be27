import type { Incarnation, RouteLookup } from "../routes/lookup.ts";
import type { Route } from "../routes/route.ts";
import type { Reason } from "./reasons.ts";
import type { RequestHead } from "./request-head.ts";
import type { TargetResult } from "./target.ts";

/** What becomes of a request. */
export type Verdict =
  | {
      readonly kind: "forward";
      readonly route: Route;
      readonly incarnation: Incarnation;
      readonly port: number;
      readonly path: string;
      readonly label: string;
    }
  | {
      readonly kind: "refuse";
      readonly reason: Exclude<Reason, "ok">;
      readonly sandbox?: string;
      readonly port?: number;
      readonly message?: string;
    };

export interface VerdictOptions {
  /** Compare `accessTokenHeader` with the route's token, for routes that have one. */
  readonly accessToken: boolean;
  /** Lower-case name of the header that carries the token, by convention `x-access-token`. */
  readonly accessTokenHeader: string;
}

export function decide(
  _head: RequestHead,
  _target: TargetResult,
  _routes: RouteLookup,
  _options: VerdictOptions,
): Verdict {
  throw new Error("being written");
}
