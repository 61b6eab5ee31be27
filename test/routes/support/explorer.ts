import type { Incarnation, RouteInEffect } from "../../../src/routes/lookup.ts";
import { type Provider, providerOf } from "../../../src/routes/provider.ts";
import type { ObjectKey, Route } from "../../../src/routes/route.ts";
import { RULES, type Rules } from "../../../src/routes/rules.ts";
import type { TableSnapshot } from "../../../src/routes/object-facts.ts";
import { type RouteTable } from "../../../src/routes/table.ts";
import { compareFacts } from "../../../src/peers/anti-entropy/compare-facts.ts";
import {
  offeredFact,
  type ReplicaFact,
  type ReplicaScope,
} from "../../../src/peers/anti-entropy/replica-fact.ts";
import { snapshotOf } from "./snapshot-of.ts";
import { type Moment, observationOf, rv, stateOf } from "./timeline.ts";
import { newTable } from "../../support/defaults.ts";

/** One thing that the table is told. */
export type Step =
  | { readonly kind: "list"; readonly version: number; readonly provider?: Provider }
  | { readonly kind: "event"; readonly moment: Moment }
  | { readonly kind: "bookmark"; readonly version: number; readonly provider?: Provider }
  | { readonly kind: "push"; readonly route: Route }
  | { readonly kind: "push-delete"; readonly name: string; readonly version: number }
  /** So much time passes, with a live informer, that whatever peers pushed and it did not confirm runs out. */
  | { readonly kind: "sweep" }
  /** The router starts again: its table is empty, and a list comes next. */
  | { readonly kind: "restart" }
  /** This router compares itself with another, whose list was at `listed` and which heard `pushes` after it. */
  | { readonly kind: "replica"; readonly listed: number; readonly pushes: readonly Step[] }
  /** A snapshot of the table is taken. */
  | { readonly kind: "snapshot" }
  /** The router starts again with the last snapshot that was taken, while the API server is away. */
  | { readonly kind: "reload" };

/** What went wrong, and the whole way there. */
export interface Violation {
  readonly what: string;
  readonly trail: readonly string[];
}

/**
 * Every push that managers could send of a timeline: each version, and each deletion at the version they had cached. Managers
 * know only the objects of the first provider.
 */
export function pushesOf(moments: readonly Moment[]): Step[] {
  const pushes: Step[] = [];
  const cached = new Map<ObjectKey, number>();
  for (const { key, namespace, name, version, route, gone } of moments) {
    if (providerOf(namespace) !== "") continue;
    if (route && route.state !== "dead") {
      pushes.push({ kind: "push", route });
    } else {
      pushes.push({ kind: "push-delete", name, version });
      const before = cached.get(key);
      if (gone && before !== undefined) pushes.push({ kind: "push-delete", name, version: before });
    }
    cached.set(key, version);
  }
  return pushes;
}

/**
 * The ways in which an informer can learn a timeline: a list at some point and events from there, with or without a
 * gap that a second list closes, an old event replayed, a stale server's list in between; a long time in which nothing
 * happens; a restart of the router.
 */
export function informerScripts(moments: readonly Moment[], provider: Provider = ""): Step[][] {
  const end = (moments.at(-1)?.version ?? 0) + 5;
  const scripts = scriptsOf(
    moments.filter(({ namespace }) => providerOf(namespace) === provider),
    end,
  );
  const at = (step: Step): Step =>
    step.kind === "list" || step.kind === "bookmark" ? { ...step, provider } : step;
  return scripts.map((script) => script.map(at));
}

function scriptsOf(moments: readonly Moment[], end: number): Step[][] {
  const events = (from: number, to: number): Step[] =>
    moments
      .filter(({ version }) => version > from && version <= to)
      .map((moment) => ({ kind: "event", moment }));
  const bookmark: Step = { kind: "bookmark", version: end };
  const points = [5, ...moments.map(({ version }) => version)];
  const scripts: Step[][] = [];
  for (const first of points) {
    scripts.push([{ kind: "list", version: first }, ...events(first, end), bookmark]);
    for (const gap of points.filter((point) => point >= first)) {
      const seen: Step[] = [{ kind: "list", version: first }, ...events(first, gap)];
      scripts.push([...seen, { kind: "sweep" }, ...events(gap, end), bookmark]);
      scripts.push([
        ...seen,
        { kind: "restart" },
        { kind: "list", version: gap },
        ...events(gap, end),
        bookmark,
      ]);
      for (const second of points.filter((point) => point > gap)) {
        const stale: Step[] = gap > first ? [{ kind: "list", version: first }] : [];
        const replay = events(0, gap).slice(0, 1);
        scripts.push([
          ...seen,
          ...stale,
          ...replay,
          { kind: "list", version: second },
          ...events(second, end),
          bookmark,
        ]);
      }
    }
  }
  return scripts;
}

/**
 * Replicas that a router could compare itself with: listed at any point; or at the first or the last, and then told of one push.
 */
export function replicasOf(moments: readonly Moment[]): Step[] {
  const points = [5, ...moments.map(({ version }) => version)];
  const pushes = pushesOf(moments);
  const bare = points.map((listed): Step => ({ kind: "replica", listed, pushes: [] }));
  const told = [5, points.at(-1) ?? 5].flatMap((listed) =>
    pushes.map((push): Step => ({ kind: "replica", listed, pushes: [push] })),
  );
  return [...bare, ...told];
}

/**
 * The ways in which a router can be restarted with a snapshot: taken at some point, loaded at the same or at the last one, and
 * then the last list, or one that is older than the snapshot (the cluster was restored, or the file is another's).
 */
export function snapshotScripts(moments: readonly Moment[]): Step[][] {
  const end = (moments.at(-1)?.version ?? 0) + 5;
  const events = (from: number, to: number): Step[] =>
    moments
      .filter(({ version }) => version > from && version <= to)
      .map((moment) => ({ kind: "event", moment }));
  const bookmark: Step = { kind: "bookmark", version: end };
  const points = [5, ...moments.map(({ version }) => version)];
  const lastPoint = points.at(-1) ?? 5;
  return points.flatMap((taken) =>
    Array.from(new Set([taken, lastPoint])).flatMap((loaded) =>
      [5, lastPoint].map((listed): Step[] => {
        const reload: Step[] = [{ kind: "snapshot" }, { kind: "reload" }];
        const first: Step[] = [{ kind: "list", version: 5 }];
        const list: Step = { kind: "list", version: listed };
        reload.splice(1, 0, ...events(taken, loaded));
        return first.concat(events(5, taken), reload, list, events(listed, end), bookmark);
      }),
    ),
  );
}

/** All ways to merge `a` and `b` that keep the order within each. */
export function* interleavings<T>(a: readonly T[], b: readonly T[]): Generator<T[]> {
  const [firstA, ...restA] = a;
  const [firstB, ...restB] = b;
  if (firstA === undefined || firstB === undefined) {
    yield [...a, ...b];
    return;
  }
  for (const rest of interleavings(restA, b)) yield [firstA, ...rest];
  for (const rest of interleavings(a, restB)) yield [firstB, ...rest];
}

/** Tells a table one step after another and compares it with the truth after each. */
export class Witness {
  table: RouteTable;
  readonly #rules: Rules;
  readonly #moments: readonly Moment[];
  readonly #providers: readonly Provider[];
  readonly #keys: readonly ObjectKey[];
  readonly #trail: Step[] = [];
  /** The newest end and the newest fact of each object that the table was told of, by each writer. */
  #told: ToldByAll = { informer: new Told(), peer: new Told() };
  #nowMs = 0;
  /** Of each provider's scope. */
  readonly #watermarks = new Map<Provider, number>();
  /** Pushes at or below it are refused until the watermark has passed it: a list was older than the snapshot. */
  #barredUntil = -1;
  /** What is known is a snapshot's. */
  #isLoaded = false;
  #snapshot:
    | { readonly table: TableSnapshot; readonly watermark: number; readonly told: ToldByAll }
    | undefined;
  #attempts = 0;
  #expectedAttempts = 0;
  #ended: Incarnation[] = [];

  /** With `providers` beyond the first the table has a scope for each, and an informer of its own tells of it. */
  constructor(moments: readonly Moment[], rules: Rules = RULES, providers: readonly Provider[] = [""]) {
    this.#moments = moments;
    this.#keys = [...new Set(moments.map(({ key }) => key))];
    this.#rules = rules;
    this.#providers = providers;
    this.table = this.#newTable();
  }

  #newTable(): RouteTable {
    const table = newTable({ scopes: this.#providers, rules: this.#rules });
    for (const provider of this.#providers) table.setLive(provider, true, this.#nowMs);
    table.addListener({
      told: ({ guard }) => {
        if (guard) this.#attempts++;
      },
      incarnationEnded: (incarnation) => this.#ended.push(incarnation),
    });
    return table;
  }

  /** Takes the step; says what is wrong after it, if anything is. */
  take(step: Step): Violation | undefined {
    this.#trail.push(step);
    this.#ended = [];
    const wrong = this.#apply(step) ?? this.#endedForNothing(step) ?? this.#unsafe();
    return wrong === undefined ? undefined : this.violation(wrong);
  }

  violation(what: string): Violation {
    return { what, trail: this.#trail.map(describeStep) };
  }

  /**
   * After the informer has delivered everything, the table must stand for the truth. No hint is left, and no tombstone
   * but that of an object which is dead and was told so twice.
   */
  notConverged(): Violation | undefined {
    const { hints } = this.table.stats();
    if (hints > 0) return this.violation(`${hints} hints are left`);
    const truth = new Map(
      stateOf(this.#moments, Number.MAX_SAFE_INTEGER).map((moment) => [moment.key, moment.route]),
    );
    for (const key of this.#keys) {
      const view = this.table.inspect(key);
      const route = view?.inEffect?.route;
      const inTruth = truth.get(key);
      if (isAlive(inTruth) ? route !== inTruth : isAlive(route)) {
        return this.violation(`${key} ended as ${describe(route)}, in truth it is ${describe(inTruth)}`);
      }
      if (view?.facts.some((fact) => fact.kind === "tombstone") && (isAlive(inTruth) || !truth.has(key))) {
        return this.violation(`a tombstone of ${key} is left, in truth it is ${describe(inTruth)}`);
      }
    }
    return undefined;
  }

  /** All that two tables which were told the same must agree on. */
  fingerprint(): string {
    return this.#keys
      .toSorted()
      .map((key) => {
        const view = this.table.inspect(key);
        const effect = view?.inEffect;
        const facts = view?.facts.map((fact) => `${fact.kind}@${fact.resourceVersion}`).join("+");
        const served = effect?.incarnation ? "served" : "unserved";
        return `${key}: ${describe(effect?.route)} ${served} (${facts ?? ""})`;
      })
      .join("\n");
  }

  #apply(step: Step): string | undefined {
    switch (step.kind) {
      case "list": {
        const { provider = "" } = step;
        const moments = this.#moments.filter(({ namespace }) => providerOf(namespace) === provider);
        const listed = stateOf(moments, step.version);
        const result = this.table.relist(provider, rv(step.version), listed.map(observationOf), this.#nowMs);
        const startsOver = this.#isLoaded && step.version < this.#watermark(provider);
        if (startsOver) {
          // The informer's word, whatever its version, takes the place of all that the snapshot said.
          this.#barredUntil = this.#watermark(provider);
          this.#watermarks.set(provider, step.version);
          this.#told.informer.forget();
          this.#told.peer.forget();
        }
        this.#isLoaded = false;
        if (step.version < this.#watermark(provider)) {
          this.#expectedAttempts += listed.filter(
            ({ key, route }) => isAlive(route) && !this.#alive(key),
          ).length;
          return result === "behind" ? undefined : "a list below the watermark was taken";
        }
        this.#watermarks.set(provider, step.version);
        const keys = new Set(listed.map(({ key }) => key));
        for (const { key, version } of moments) {
          if (version > step.version) continue;
          if (!keys.has(key)) this.#told.informer.end(key, step.version);
          else this.#told.informer.fact(key, version);
        }
        for (const { key, version, route } of listed) {
          if (!isAlive(route)) this.#told.informer.end(key, version);
          else if (!this.#alive(key)) this.#expectedAttempts++;
        }
        return undefined;
      }
      case "event": {
        const { key, version, route, gone, namespace, name, uid } = step.moment;
        const provider = providerOf(namespace);
        if (version > this.#watermark(provider)) {
          this.#watermarks.set(provider, version);
          if (!isAlive(route)) this.#told.informer.end(key, version);
          else this.#told.informer.fact(key, version);
        }
        if (gone) this.table.remove(provider, namespace, name, uid, rv(version), this.#nowMs);
        else this.table.observe(provider, observationOf(step.moment), this.#nowMs);
        if (isAlive(route) && !this.#alive(key)) this.#expectedAttempts++;
        return undefined;
      }
      case "bookmark": {
        const { provider = "" } = step;
        this.#watermarks.set(provider, Math.max(this.#watermark(provider), step.version));
        this.table.bookmark(provider, rv(step.version), this.#nowMs);
        return undefined;
      }
      case "push": {
        const key = `ns/${step.route.name}` as const;
        const version = Number(step.route.resourceVersion);
        const isBarred = this.#watermark("") <= this.#barredUntil;
        const fresh = !isBarred && version > this.#watermark("") && version > this.#newest(key);
        const outcome = this.table.pushUpdate(step.route, this.#nowMs);
        if (!isBarred) this.#told.peer.fact(key, version);
        if (outcome !== "applied" && !this.#alive(key)) this.#expectedAttempts++;
        const inEffect = this.#inEffect(key)?.route;
        return fresh && inEffect !== undefined && Number(inEffect.resourceVersion) !== version
          ? `the newest fact of ${key} is ${version}, in effect is ${describe(inEffect)}`
          : fresh && inEffect === undefined
            ? `the newest fact of ${key} is ${version}, nothing is in effect`
            : undefined;
      }
      case "push-delete": {
        if (this.#watermark("") > this.#barredUntil) this.#told.peer.end(`ns/${step.name}`, step.version);
        this.table.pushDelete(
          { namespace: "ns", name: step.name, resourceVersion: rv(step.version) },
          this.#nowMs,
        );
        return undefined;
      }
      case "sweep":
        for (let minute = 0; minute < 30; minute++) {
          this.#nowMs += 60_000;
          for (const [provider, watermark] of this.#watermarks) {
            this.table.bookmark(provider, rv(watermark), this.#nowMs);
          }
        }
        this.table.advance(this.#nowMs);
        // By design (rule 6) what only peers told is forgotten now; but not before the informer of its objects has spoken.
        if (this.#watermarks.has("")) this.#told.peer.forget();
        return undefined;
      case "restart":
        this.table = this.#newTable();
        this.#watermarks.clear();
        this.#barredUntil = -1;
        this.#told.peer.forget();
        this.#told.informer.forget();
        return undefined;
      case "replica":
        return this.#compareWith(step);
      case "snapshot":
        this.#snapshot = {
          table: snapshotOf(this.table, this.#nowMs),
          watermark: this.#watermark(""),
          told: { informer: this.#told.informer.copy(), peer: this.#told.peer.copy() },
        };
        return undefined;
      case "reload": {
        this.table = this.#newTable();
        const { table, watermark, told } = this.#snapshot ?? {};
        if (!table || watermark === undefined || !told) return "there is no snapshot";
        // Nothing that was told before counts but by the snapshot.
        this.#watermarks.clear();
        this.#watermarks.set("", watermark);
        this.#barredUntil = -1;
        this.#told = { informer: told.informer.copy(), peer: told.peer.copy() };
        this.#isLoaded = true;
        this.table.load(table, this.#nowMs);
        return undefined;
      }
    }
  }

  #watermark(provider: Provider): number {
    return this.#watermarks.get(provider) ?? 0;
  }

  /** What anti-entropy brings, whatever its transport. */
  #compareWith(replica: ReplicaStep): string | undefined {
    // Before its first list a router has nothing to compare.
    if (!this.table.synced) return undefined;
    const offered = this.#offered(replica);
    const scopeOf = (watermark: number): ReplicaScope => ({
      name: "",
      watched: true,
      watermark: rv(watermark),
    });
    for (const key of this.#keys) {
      const difference = compareFacts(
        this.table.factsOf(key),
        scopeOf(this.#watermark("")),
        offered.get(key),
        scopeOf(replica.listed),
      );
      let wrong: string | undefined;
      if (difference.kind === "update") wrong = this.#apply({ kind: "push", route: difference.route });
      if (difference.kind === "deletion")
        wrong = this.#apply({ kind: "push-delete", name: key.slice(3), version: Number(difference.version) });
      if (wrong !== undefined) return wrong;
    }
    return undefined;
  }

  /** What the other router offers. It is only read, so it is made once for all histories that compare with it. */
  #offered(replica: ReplicaStep): OfferedFacts {
    const known = REPLICAS.get(replica);
    if (known?.rules === this.#rules && known.moments === this.#moments) return known.offered;
    const { listed, pushes } = replica;
    const other = newTable({ scopes: [""], rules: this.#rules });
    other.relist("", rv(listed), stateOf(this.#moments, listed).map(observationOf), this.#nowMs);
    for (const push of pushes) {
      if (push.kind === "push") other.pushUpdate(push.route, this.#nowMs);
      else if (push.kind === "push-delete")
        other.pushDelete(
          { namespace: "ns", name: push.name, resourceVersion: rv(push.version) },
          this.#nowMs,
        );
    }
    const offered = new Map<ObjectKey, ReplicaFact>();
    for (const key of this.#keys) {
      const facts = other.factsOf(key);
      const fact = facts && offeredFact(facts, true);
      if (fact) offered.set(key, fact);
    }
    REPLICAS.set(replica, { rules: this.#rules, moments: this.#moments, offered });
    return offered;
  }

  #newest(key: ObjectKey): number {
    return Math.max(this.#told.informer.newest(key), this.#told.peer.newest(key));
  }

  #inEffect(key: ObjectKey): RouteInEffect | undefined {
    return this.table.inspect(key)?.inEffect;
  }

  #alive(key: ObjectKey): boolean {
    return isAlive(this.#inEffect(key)?.route);
  }

  /** What ends and begins in one mutation must differ. A sweep is many mutations. */
  #endedForNothing(step: Step): string | undefined {
    for (const { key, uid, ip } of step.kind === "sweep" ? [] : this.#ended) {
      const begun = this.#inEffect(key)?.incarnation;
      if (begun?.uid === uid && begun.ip === ip) return `${uid} on ${ip} ended and began again as it was`;
    }
    return undefined;
  }

  /** What must hold at every step, whatever was told so far. */
  #unsafe(): string | undefined {
    const living: RouteInEffect[] = [];
    for (const key of this.#keys) {
      const effect = this.#inEffect(key);
      if (!effect || !isAlive(effect.route)) continue;
      living.push(effect);
      const end = Math.max(this.#told.informer.lastEnd(key), this.#told.peer.lastEnd(key));
      if (Number(effect.route.resourceVersion) <= end) {
        return `${key} is in effect as ${describe(effect.route)}, but the table was told of its end at ${end}`;
      }
    }
    for (const a of living) {
      const found = this.table.lookup(a.route.id);
      const sharing = living.filter((b) => b.route.id === a.route.id).length;
      if (sharing > 1 && found.kind !== "id_conflict")
        return `${a.route.id} is served though ${sharing} hint it`;
      if (sharing === 1 && found !== a) return `${a.route.id} is not found`;
      const tenants = living.filter((b) => b.state === "running" && b.route.ip === a.route.ip);
      if (a.state !== "running") {
        if (a.incarnation) return `${a.route.name} is ${a.state} and has an incarnation`;
      } else if (tenants.length === 1 && !a.incarnation) {
        return `${a.route.name} alone holds ${a.route.ip} and is not served`;
      } else if (a.incarnation) {
        const later = tenants.find((b) => b !== a && this.#took(b.route) > this.#took(a.route));
        if (later)
          return `${a.route.ip} is served for ${a.route.name}, but ${later.route.name} took it later`;
        if (tenants.filter((b) => b.incarnation).length > 1) return `${a.route.ip} is served for two`;
      }
    }
    if (this.#attempts !== this.#expectedAttempts) {
      return `${this.#expectedAttempts} resurrections were tried, ${this.#attempts} counted`;
    }
    return undefined;
  }

  /** The version at which the object of `route` truly took the IP that it has there. */
  #took(route: Route): number {
    let took = Number(route.resourceVersion);
    for (const moment of this.#moments.toReversed()) {
      if (moment.version > Number(route.resourceVersion) || moment.name !== route.name) continue;
      if (moment.uid !== route.uid || moment.route?.ip !== route.ip) break;
      took = moment.version;
    }
    return took;
  }
}

type ReplicaStep = Extract<Step, { readonly kind: "replica" }>;
type OfferedFacts = ReadonlyMap<ObjectKey, ReplicaFact>;

const REPLICAS = new WeakMap<
  ReplicaStep,
  { readonly rules: Rules; readonly moments: readonly Moment[]; readonly offered: OfferedFacts }
>();

interface ToldByAll {
  readonly informer: Told;
  readonly peer: Told;
}

/** What a writer has told of each object. */
class Told {
  readonly #ends = new Map<ObjectKey, number>();
  readonly #facts = new Map<ObjectKey, number>();

  fact(key: ObjectKey, version: number): void {
    this.#facts.set(key, Math.max(version, this.newest(key)));
  }

  end(key: ObjectKey, version: number): void {
    this.fact(key, version);
    this.#ends.set(key, Math.max(version, this.lastEnd(key)));
  }

  copy(): Told {
    const copy = new Told();
    for (const [key, version] of this.#facts) copy.#facts.set(key, version);
    for (const [key, version] of this.#ends) copy.#ends.set(key, version);
    return copy;
  }

  newest(key: ObjectKey): number {
    return this.#facts.get(key) ?? 0;
  }

  lastEnd(key: ObjectKey): number {
    return this.#ends.get(key) ?? 0;
  }

  forget(): void {
    this.#ends.clear();
    this.#facts.clear();
  }
}

function isAlive(route: Route | undefined): boolean {
  return route !== undefined && route.state !== "dead";
}

function describe(route: Route | undefined): string {
  return route
    ? `${route.uid} ${route.state} on ${route.ip || "no IP"} @${route.resourceVersion}`
    : "nothing";
}

function describeStep(step: Step): string {
  switch (step.kind) {
    case "list":
    case "bookmark":
      return `${step.kind} @${step.version}`;
    case "event":
      return `event ${step.moment.name} ${step.moment.happening} @${step.moment.version}`;
    case "push":
      return `push ${describe(step.route)}`;
    case "sweep":
    case "restart":
    case "snapshot":
    case "reload":
      return step.kind;
    case "replica":
      return `compares with a replica listed @${step.listed} that heard: ${step.pushes.map(describeStep).join(", ") || "nothing"}`;
    case "push-delete":
      return `push delete ${step.name} @${step.version}`;
  }
}

/**
 * Tells a table the timeline in every merging of `script` with each of the `orders` in which the same pushes may come;
 * returns the first violation. Tables that were told the same in another order must agree, when the informer has only
 * begun and when it is done; but not across a sweep or a restart, which forgets what was told before it.
 */
export function explore(
  moments: readonly Moment[],
  script: readonly Step[],
  orders: readonly (readonly Step[])[],
  rules: Rules = RULES,
): { readonly histories: number; readonly violation: Violation | undefined } {
  let histories = 0;
  const last = script.at(-1);
  // What a replica brings depends on what is known when it is asked.
  const comparable = ![...script, ...orders.flat()].some(({ kind }) =>
    ["sweep", "restart", "reload", "replica"].includes(kind),
  );
  for (const [prefix, done] of [[script.slice(0, 1), false] as const, [script.slice(0, -1), true] as const]) {
    let agreed: string | undefined;
    for (const order of orders.flatMap((pushes) => [...interleavings(prefix, pushes)])) {
      histories++;
      const witness = new Witness(moments, rules);
      for (const step of order) {
        const violation = witness.take(step);
        if (violation) return { histories, violation };
      }
      const fingerprint = witness.fingerprint();
      agreed ??= fingerprint;
      if (comparable && agreed !== fingerprint) {
        return {
          histories,
          violation: witness.violation(`orders disagree:\n${agreed}\n---\n${fingerprint}`),
        };
      }
      if (!done) continue;
      const violation = (last && witness.take(last)) ?? witness.notConverged();
      if (violation) return { histories, violation };
    }
  }
  return { histories, violation: undefined };
}
