import type { Milliseconds } from "../system/clock.ts";
import { AheadFacts } from "./ahead-facts.ts";
import type { Entry } from "./entry.ts";
import { IncarnationNumbers } from "./incarnations.ts";
import { News } from "./news.ts";
import { ObjectIndex } from "./object-index.ts";
import type { Observation } from "./observation.ts";
import type { RouteTableOptions } from "./options.ts";
import type { Guard, Outcome } from "./outcome.ts";
import { inLookupOrder, type Provider, providerOf } from "./provider.ts";
import type { PushedRoute } from "./push.ts";
import { newerResourceVersion, NOTHING_SEEN } from "./resource-version.ts";
import { RoutesInEffect } from "./routes-in-effect.ts";
import { RULES, type Rules, type ScopeView } from "./rules.ts";
import { Scope } from "./scope.ts";
import { type Told, toldObservation, toldUpdate } from "./told.ts";
import { WatermarkPace } from "./watermark-pace.ts";

/** Called with an object whose facts may have changed. Must not throw and must not mutate the table. */
export type FactWatcher = (namespace: string, name: string) => void;

/**
 * What a route table knows, and the mutation at hand. Each writer begins with {@link Books.tick}, changes entries and names
 * them in `touched`, tells `news`, and ends with {@link Books.complete}: what follows from the facts is worked out there only.
 */
export class Books {
  readonly rules: Rules;
  readonly trust: "serve" | "verify";
  readonly scopes: ReadonlyMap<string, Scope<Entry>>;
  readonly providers: readonly Provider[];
  readonly entries = new ObjectIndex(new IncarnationNumbers());
  readonly ahead: AheadFacts;
  readonly news = new News();
  readonly effects: RoutesInEffect;
  readonly factWatchers = new Set<FactWatcher>();
  /** Of the mutation at hand: the entries whose facts changed, and the scopes whose watermark moved. */
  readonly touched: Entry[] = [];
  readonly moved: Scope<Entry>[] = [];
  #nowMs: Milliseconds = 0;

  /** @throws RangeError when two of `options.scopes` overlap. */
  constructor(options: RouteTableOptions) {
    const { hintTtlMs, maxAheadHours, selective } = options;
    this.rules = options.rules ?? RULES;
    this.trust = options.trust;
    const makeScope = (name: string, watched: boolean): Scope<Entry> =>
      new Scope({ name, watched, selective }, hintTtlMs / 2, new WatermarkPace(maxAheadHours));
    const scopes =
      options.scopes === "none"
        ? [makeScope("", false)]
        : disjoint(options.scopes).map((name) => makeScope(name, true));
    this.scopes = new Map(scopes.map((scope) => [scope.name, scope]));
    this.providers = inLookupOrder(scopes.map(({ provider }) => provider));
    this.effects = new RoutesInEffect({
      rules: this.rules,
      news: this.news,
      onePodPerIp: options.onePodPerIp,
      isPodAddress: options.isPodAddress ?? (() => true),
      isIpDoubted: (ip, entry) => this.ahead.isIpDoubted(ip, entry),
    });
    const limits = {
      hintTtlMs,
      maxHints: options.maxHints,
      tombstoneTtlMs: options.tombstoneTtlMs,
      maxTombstones: options.maxTombstones,
      settleMs: options.settleMs,
      servesUnsettled: options.unsettled === "serve",
    };
    const touch = (entry: Entry): void => void this.touched.push(entry);
    const touchIp = (ip: string): void => void this.touched.push(...this.effects.holdersOf(ip));
    this.ahead = new AheadFacts(limits, scopes, this.rules, this.news, touch, touchIp);
  }

  /** The latest time that the table was given. */
  get nowMs(): Milliseconds {
    return this.#nowMs;
  }

  /** A mutation begins. A clock that is set back must not bring a sandbox back whose shutdownTime has passed. */
  tick(nowMs: Milliseconds): void {
    this.#nowMs = Math.max(this.#nowMs, nowMs);
  }

  /** The scope that watches a namespace of the table. */
  scopeOf(namespace: string): Scope<Entry> | undefined {
    return this.scopes.get(providerOf(namespace)) ?? this.scopes.get(namespace);
  }

  /** @throws Error when no informer watches this scope. */
  watchedScope(name: string): Scope<Entry> {
    const scope = this.scopes.get(name);
    if (!scope?.watched) throw new Error(`the table has no informer scope ${JSON.stringify(name)}`);
    return scope;
  }

  /** What the informer, and reads, have shown of an object, up to which version. */
  viewFor(entry: Entry | undefined, scope: Scope<Entry>): ScopeView {
    const { barredUntil } = scope;
    const watermark = newerResourceVersion(scope.watermark, entry?.readVersion ?? NOTHING_SEEN);
    return { watermark, barredUntil, ceiling: scope.ceiling(this.#nowMs) };
  }

  /**
   * Ends a mutation: works out what follows from the facts that changed, once for each entry and once for each pod IP, and
   * tells of it. Were it done fact by fact, an incarnation could end for what another sandbox was a moment ago.
   */
  complete(): void {
    for (const entry of this.touched) {
      this.effects.refresh(entry, this.#nowMs);
      if (!entry.hasFacts) this.entries.remove(entry);
    }
    if (this.factWatchers.size > 0) this.#tellFactWatchers();
    this.touched.length = 0;
    for (const scope of this.moved) this.effects.watermarkMoved(scope);
    this.moved.length = 0;
    this.effects.decide();
    this.news.deliver();
  }

  /** What is told of an observation, once the mutation is complete. */
  toldOfObservation(observation: Observation, how: "listed" | "observed", outcome: Outcome): Told {
    return toldObservation(observation, how, outcome, this.#guardOf(observation, outcome), this.#nowMs);
  }

  /** What is told of an update that was pushed, once the mutation is complete. */
  toldOfUpdate(push: PushedRoute, outcome: Outcome, from: string): Told {
    const isRefused = outcome !== "applied" && outcome !== "unsettled";
    const isLiving = isRefused && this.#isLiving(push.namespace, push.name);
    const guard = isRefused ? this.rules.resurrection(outcome, isLiving) : undefined;
    return toldUpdate(push, outcome, guard, from, this.#nowMs);
  }

  /** The guard that stopped a refused observation from bringing back a key that has no living route. */
  #guardOf({ namespace, name, route }: Observation, outcome: Outcome): Guard | undefined {
    if (outcome === "applied") return undefined;
    const wouldLive = route !== undefined && !this.rules.isTerminal(route.state);
    return this.rules.resurrection(outcome, !wouldLive || this.#isLiving(namespace, name));
  }

  #isLiving(namespace: string, name: string): boolean {
    const entry = this.entries.get(namespace, name);
    return entry?.inEffect !== undefined && !this.rules.isTerminal(entry.state);
  }

  #tellFactWatchers(): void {
    for (const { namespace, name } of this.touched) {
      for (const watcher of this.factWatchers) watcher(namespace.name, name);
    }
  }
}

/** @throws RangeError when an object would lie in two of the scopes. */
function disjoint(scopes: readonly string[]): readonly string[] {
  const twice = scopes.find((name, index) => scopes.indexOf(name) !== index);
  if (twice !== undefined) throw new RangeError(`the scope ${JSON.stringify(twice)} is named twice`);
  const wide = scopes.find((name) => name !== providerOf(name) && scopes.includes(providerOf(name)));
  if (wide !== undefined) {
    const all = JSON.stringify(providerOf(wide));
    throw new RangeError(
      `the scope ${all} is all namespaces and stands alone, without ${JSON.stringify(wide)}`,
    );
  }
  return scopes;
}
