import type { Outcome } from "../../routes/outcome.ts";
import type { PushedDeletion, PushedRoute } from "../../routes/push.ts";
import { namespaceAndName, objectKey, type ObjectKey } from "../../routes/route.ts";
import { compareFacts, type Difference } from "./compare-facts.ts";
import { type LocalReplica, scopeIn } from "./local-replica.ts";
import { FAN_OUT } from "./range-digests.ts";
import type { FactsPage, Replica, ReplicaDigest } from "./replica.ts";

/** Where what was learned of another replica goes: the rules for pushes hold. Must not throw. */
export interface RelaySink {
  /** `from`: address of the replica. */
  relayUpdate(route: PushedRoute, from: string): Outcome;
  relayDelete(push: PushedDeletion, from: string): Outcome;
}

/** Options of {@link Comparison}. */
export interface ComparisonOptions {
  readonly local: LocalReplica;
  readonly sink: RelaySink;
  /** Address of the other, for the table. */
  readonly from: string;
  /**
   * How often in a row the same difference must be seen before it counts. With 1, what the other's informer delivers a moment
   * earlier is drift too.
   */
  readonly looks: 1 | 2;
}

/** What one look at another replica found. */
export type Look =
  /** It is this process. */
  | { readonly kind: "self" }
  /** It watches other namespaces or with another selector. */
  | { readonly kind: "incomparable" }
  | { readonly kind: "equal" }
  | {
      readonly kind: "different";
      /** Differences that were seen now and the last time. */
      readonly standing: readonly Difference["kind"][];
      /** What the table made of the facts that it was given. */
      readonly outcomes: readonly Outcome[];
      /** Some differences are new, or were left for the next look. */
      readonly isUnfinished: boolean;
    };

/** Bounds of one look. */
const MAX_PAGES = 100;
const MAX_REPAIRS = 2_000;
/** Differences that are remembered from one look to the next. */
const MAX_SUSPECTS = 100_000;

/**
 * Compares this replica with one other, again and again, and repairs what this one lacks by facts with versions. Only takes:
 * the other does the same from its side.
 */
export class Comparison {
  readonly #options: ComparisonOptions;
  /** How objects differed when they were last looked at. */
  readonly #suspects = new Map<ObjectKey, string>();
  #firstBranch = 0;

  constructor(options: ComparisonOptions) {
    this.#options = options;
  }

  /** Looks once. Rejects when the other does not answer as it should; what was repaired until then stays. */
  async look(replica: Replica): Promise<Look> {
    const { local } = this.#options;
    const theirs = await replica.digest();
    const mine = local.digest();
    if (theirs.instance === mine.instance) return { kind: "self" };
    if (!isComparable(mine, theirs)) return { kind: "incomparable" };
    if (theirs.root === mine.root) {
      this.#suspects.clear();
      return { kind: "equal" };
    }
    const found = new Found();
    for (let turn = 0; turn < FAN_OUT; turn++) {
      const branch = (this.#firstBranch + turn) % FAN_OUT;
      if (theirs.branches[branch] === mine.branches[branch]) continue;
      if (found.isFull) {
        found.isUnfinished = true;
        this.#firstBranch = branch;
        break;
      }
      await this.#lookAtBranch(replica, branch, found);
    }
    if (this.#suspects.size > MAX_SUSPECTS) this.#suspects.clear();
    const { standing, outcomes, isUnfinished } = found;
    return { kind: "different", standing, outcomes, isUnfinished };
  }

  async #lookAtBranch(replica: Replica, branch: number, found: Found): Promise<void> {
    const { local } = this.#options;
    const theirs = await replica.leaves(branch);
    const mine = local.leaves(branch);
    const leaves = mine.flatMap((digest, at) => (digest === theirs[at] ? [] : [branch * FAN_OUT + at]));
    if (leaves.length === 0) return;
    for (let after: string | undefined; ;) {
      const page = await replica.facts(leaves, after);
      found.pages += 1;
      this.#takePage(page, local.keys(leaves, after), found);
      if (page.next === undefined) return;
      // It must go on, whatever the other says.
      if (after !== undefined && page.next <= after) throw new Error("its pages do not go on");
      after = page.next;
    }
  }

  #takePage({ facts, scopes, next }: FactsPage, ours: readonly ObjectKey[], found: Found): void {
    const { local } = this.#options;
    const own = local.scopes;
    const theirs = new Map(facts.map((fact) => [objectKey(fact.namespace, fact.name), fact]));
    const keys = new Set([...ours.filter((key) => next === undefined || key <= next), ...theirs.keys()]);
    for (const key of keys) {
      const fact = theirs.get(key);
      const [namespace] = namespaceAndName(key);
      const here = scopeIn(own, namespace);
      const there = scopeIn(scopes, namespace);
      if (!here || !there) continue;
      this.#takeDifference(key, compareFacts(local.factsOf(key), here, fact, there), found);
    }
  }

  #takeDifference(key: ObjectKey, difference: Difference, found: Found): void {
    const { sink, from, looks } = this.#options;
    if (difference.kind === "same") {
      this.#suspects.delete(key);
      return;
    }
    const text = describeDifference(difference);
    const isStanding = looks === 1 || this.#suspects.get(key) === text;
    this.#suspects.set(key, text);
    const isRepairable = difference.kind === "update" || difference.kind === "deletion";
    if (!isStanding) {
      found.isUnfinished ||= isRepairable;
      return;
    }
    found.standing.push(difference.kind);
    if (!isRepairable) return;
    if (found.outcomes.length >= MAX_REPAIRS) {
      found.isUnfinished = true;
      return;
    }
    if (difference.kind === "update") {
      found.outcomes.push(sink.relayUpdate(difference.route, from));
      return;
    }
    const [namespace, name] = namespaceAndName(key);
    found.outcomes.push(sink.relayDelete({ namespace, name, resourceVersion: difference.version }, from));
  }
}

/** What a look has found so far. */
class Found {
  readonly standing: Difference["kind"][] = [];
  readonly outcomes: Outcome[] = [];
  isUnfinished = false;
  pages = 0;

  get isFull(): boolean {
    return this.pages >= MAX_PAGES || this.outcomes.length >= MAX_REPAIRS;
  }
}

function describeDifference(difference: Difference): string {
  // A deletion's version is perhaps a watermark's, which moves.
  return difference.kind === "update" ? `update ${difference.route.resourceVersion}` : difference.kind;
}

function isComparable(mine: ReplicaDigest, theirs: ReplicaDigest): boolean {
  return (
    mine.selector === theirs.selector &&
    mine.scopes.length === theirs.scopes.length &&
    mine.scopes.every(({ name, watched }) =>
      theirs.scopes.some((scope) => scope.name === name && scope.watched === watched),
    )
  );
}
