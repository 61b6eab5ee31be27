import type { Milliseconds } from "../system/clock.ts";
import type { ObjectKey } from "./route.ts";
import type { Rules } from "./rules.ts";

/** How a table is set up. What is a setting (docs/reference/configuration.md) has its default and its range there alone. */
export interface RouteTableOptions {
  /**
   * The namespaces that an informer watches, `[""]` for all of them; `"none"` for a table that only peers write
   * (`source: none`): a last-writer-wins map by version (rule 7). Those of another CRD begin with its `Provider`, which
   * by itself is all of them. Each at most once, and one that is all namespaces of its CRD alone among these: two watermarks
   * for one object would let the slower informer bring back what the other has seen end.
   */
  readonly scopes: readonly string[] | "none";
  /**
   * How long a live informer may take to confirm a hint (`peers.hintTtlMs`). Shorter than the informer's usual lag, good pushes
   * are dropped; longer, a wrong one lasts longer.
   */
  readonly hintTtlMs: Milliseconds;
  /** The most hints kept; the oldest goes first and is counted (`peers.maxHints`). About 1 KiB each. */
  readonly maxHints: number;
  /**
   * How long a tombstone lasts that the informer does not confirm (`tombstones.ttlMs`). Shorter than peers may be late, a late
   * push revives what was deleted.
   */
  readonly tombstoneTtlMs: Milliseconds;
  /** The most tombstones kept (`tombstones.max`); evicting one early reopens the window that its TTL closed. */
  readonly maxTombstones: number;
  /** Rule 10 (`routes.onePodPerIp`). Switch it off for pods on the host network, which share an IP by right. */
  readonly onePodPerIp: boolean;
  /**
   * What a push is worth whose sender has not proved who it is (rule 12). `serve`: it takes effect at once. `verify`: it is a
   * rumour that a read of the API server settles (`RouteTable.settle`); until then requests for the sandbox are held.
   * Without an informer always `serve` (`peers.trust`).
   */
  readonly trust: "serve" | "verify";
  /**
   * Whether the informer and `RouteTable.settle` see only objects that a selector lets through. Then an update of an
   * object that the informer does not know never takes effect before a read (rule 14, `selector`).
   */
  readonly selective: boolean;
  /**
   * Whether pushes of `key` from a sender are left aside, since reads refuted it too often; asked of pushes that wait for a read. Default
   * never.
   */
  readonly distrusts?: (from: string, key: ObjectKey) => boolean;
  /** How long requests are held for a sandbox of which a push is not settled (`peers.settleMs`). */
  readonly settleMs: Milliseconds;
  /**
   * What becomes of an update that is not settled within `settleMs`: it takes effect (`serve`), or waits on, and what it puts
   * in doubt is not served meanwhile (`hold`) (`peers.unsettled`).
   */
  readonly unsettled: "hold" | "serve";
  /**
   * A push further ahead of the watermark than it moves in so many hours is refused (rule 13); there is a floor for quiet
   * clusters. 0 believes any version (`peers.maxAheadHours`).
   */
  readonly maxAheadHours: number;
  /**
   * Whether a pod can have this IP; asked for whatever a writer gave as one. A route with another IP is kept, and is in
   * effect in the state `ip_not_allowed`: never served. Must be fast and must not throw. Default: every IP.
   */
  readonly isPodAddress?: (ip: string) => boolean;
  /** For the explorer, which shows that each rule is needed. Default `RULES`. */
  readonly rules?: Rules;
}
