import type { ReplicaFact, ReplicaScope } from "./replica-fact.ts";

/** The version of the exchange. Replicas of different versions do not compare. */
export const EXCHANGE_FORMAT = 1;

/** What a replica says first. */
export interface ReplicaDigest {
  /** Drawn at random when the replica started: two with one instance are the same process. */
  readonly instance: string;
  readonly selector: string;
  readonly scopes: readonly ReplicaScope[];
  readonly root: string;
  readonly branches: readonly string[];
}

/** Some of the objects of some leaves, ordered by key. */
export interface FactsPage {
  /** As they were when the facts were. */
  readonly scopes: readonly ReplicaScope[];
  readonly facts: readonly ReplicaFact[];
  /** The last key that the page speaks of, when there are more: to be given as `after`. */
  readonly next: string | undefined;
}

/** A replica, as another sees it. All methods reject when it does not answer, or not as it should. */
export interface Replica {
  digest(): Promise<ReplicaDigest>;
  leaves(branch: number): Promise<readonly string[]>;
  facts(leaves: readonly number[], after: string | undefined): Promise<FactsPage>;
}
