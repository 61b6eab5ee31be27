import type { BackendState } from "./backend.ts";
import type { Member } from "./plan.ts";

/** One committed address, as the daemon last left it or as kernel and BIRD show it. */
export interface AddressStatus {
  readonly address: string;
  /** BIRD has it; null when BIRD can't be asked. */
  readonly announced: boolean | null;
  readonly members: readonly (Omit<Member, "backend"> & { readonly backend?: string })[];
  /** Why it is not announced, or what is wrong with some of its backends; empty when all is well. */
  readonly why: string;
}

/** What `lychgate node anycast status` shows. */
export interface AnycastStatus {
  /** `daemon`: it said so itself; `node`: read from kernel and BIRD, since no daemon answered. */
  readonly from: "daemon" | "node";
  /** All sources have been heard, so the daemon acts. */
  readonly synced: boolean;
  /** Since when the API server has not been heard, and what follows; empty when it is, or when no pods are watched. */
  readonly api: string;
  /** Why BIRD can't be talked to, or what it refuses; empty when all is well. */
  readonly bird: string;
  readonly lastPass: {
    readonly at: string;
    readonly ok: boolean;
    readonly tookMs: number;
    readonly fault: string;
  } | null;
  readonly addresses: readonly AddressStatus[];
  readonly backends: readonly {
    readonly key: string;
    readonly state: BackendState;
    readonly addresses: readonly string[];
    readonly nexthops: readonly string[];
  }[];
  readonly advice: readonly string[];
}
