import type { Milliseconds } from "../system/clock.ts";
import {
  type IncarnationNumbers,
  type Life,
  LivingIncarnation,
  type PodIdentity,
  Resting,
} from "./incarnations.ts";
import type { Incarnation, RouteInEffect } from "./lookup.ts";
import type { Observation } from "./observation.ts";
import type { Pending } from "./pending.ts";
import { compareResourceVersions, type ResourceVersion } from "./resource-version.ts";
import { objectKey, type ObjectKey, type Route, type RouteState } from "./route.ts";
import type { Facts, IpHold } from "./rules.ts";
import type { Scope } from "./scope.ts";

/** The objects of one namespace that anything is known of. */
export interface Namespace {
  readonly name: string;
  /** The scope that watches it. */
  readonly scope: Scope<Entry>;
  readonly entries: Map<string, Entry>;
  readonly numbers: IncarnationNumbers;
}

/** That peers pushed something of an object which no read has settled yet (docs/route-table.md#rule-12). */
export interface Doubt {
  /** When the first push came that is not settled. */
  readonly sinceMs: Milliseconds;
  /** The serial of the last push: a read that began after it settles all. */
  serial: number;
  /** Not every push that waits is kept: only the newest of its kind is, and not when the informer has contradicted it. */
  isPartlyKept: boolean;
  /** It has lasted for longer than requests are held: what was pushed is not served against any more. */
  overdue: boolean;
  /** Updates that were pushed are in effect from then on. */
  serves: boolean;
  /** While it is overdue: the pod IPs that were pushed, each in one spelling. */
  ips: readonly string[];
}

/** What is known of one object beyond the informer's word. Of most objects nothing is. */
export interface Ahead {
  hint: Pending<Entry> | undefined;
  tombstone: Pending<Entry> | undefined;
  /** A read has shown the object as it was at this version, which the watermark has not reached (rule 12). */
  read: Pending<Entry> | undefined;
  /** What peers pushed waits for a read. */
  doubt: Doubt | undefined;
}

/**
 * Everything the table knows of one object, and what follows from it. Only the table changes it; `proxy` sees it as
 * a {@link RouteInEffect}, so that a lookup hands out the entry itself and allocates nothing.
 *
 * There is one for each of perhaps a million objects, so a field costs megabytes: what can be worked out is not kept,
 * and what few objects have stands together in an object of its own (`npm run bench:table` shows the bytes).
 */
export class Entry implements RouteInEffect {
  readonly namespace: Namespace;
  readonly name: string;

  /** What the informer last said. Its route alone when that says all, since then the observation is not kept. */
  #confirmed: Route | Unrouted | undefined = undefined;
  ahead: Ahead | undefined = undefined;
  /** Since when the informer has seen the object with its present pod IP: `undefined` while it has none. */
  #heldAfter: ResourceVersion | undefined = undefined;
  #heldBy: ResourceVersion | undefined = undefined;

  /** The number of the last list that shows the object. */
  listedIn = 0;

  /** The route in effect, or `undefined` when there is none. Follows from the facts. */
  inEffect: Route | undefined = undefined;
  state: RouteState = "";
  life: Life = undefined;

  constructor(namespace: Namespace, name: string) {
    this.namespace = namespace;
    this.name = name;
  }

  get kind(): "found" {
    return "found";
  }

  get key(): ObjectKey {
    return objectKey(this.namespace.name, this.name);
  }

  get scope(): Scope<Entry> {
    return this.namespace.scope;
  }

  /** The route in effect. Only entries that have one are ever handed out. */
  get route(): Route {
    if (this.inEffect === undefined) throw new Error(`no route is in effect for ${this.key}`);
    return this.inEffect;
  }

  get ipReassigned(): boolean {
    return this.life === "ip_reassigned";
  }

  get access(): string | undefined {
    const route = this.inEffect;
    return route?.access ?? this.#annotated(route)?.access;
  }

  get previewEpoch(): string | undefined {
    const route = this.inEffect;
    return route?.previewEpoch ?? this.#annotated(route)?.previewEpoch;
  }

  /** The informer's word of the object that `route` is of. */
  #annotated(route: Route | undefined): Route | undefined {
    const confirmed = this.confirmedRoute;
    return confirmed !== undefined && confirmed.uid === route?.uid ? confirmed : undefined;
  }

  /** Made when it is first asked for: of most sandboxes nobody asks. */
  get incarnation(): Incarnation | undefined {
    const { life } = this;
    if (life === undefined || life === "ip_reassigned" || life instanceof Resting) return undefined;
    return life === "lives" ? this.incarnate(this.route) : life;
  }

  /** Gives a life that nobody has asked for yet its object. */
  incarnate(pod: PodIdentity & Pick<Route, "readyAtS">): LivingIncarnation {
    const { name: namespace, numbers } = this.namespace;
    const incarnation = new LivingIncarnation(numbers.next(), namespace, this.name, pod);
    this.life = incarnation;
    return incarnation;
  }

  /** What the informer last said of the object, ending or not; `undefined` when it knows none. */
  get confirmed(): Confirmed | undefined {
    const confirmed = this.#confirmed;
    if (confirmed === undefined || confirmed instanceof Unrouted) return confirmed;
    const { uid, resourceVersion } = confirmed;
    return { uid, resourceVersion, route: confirmed };
  }

  /** The same, as the informer told it. */
  get observation(): Observation | undefined {
    const { confirmed, name } = this;
    return confirmed && { ...confirmed, namespace: this.namespace.name, name };
  }

  get confirmedVersion(): ResourceVersion | undefined {
    return this.#confirmed?.resourceVersion;
  }

  get confirmedUid(): string | undefined {
    return this.#confirmed?.uid;
  }

  get confirmedRoute(): Route | undefined {
    const confirmed = this.#confirmed;
    return confirmed instanceof Unrouted ? undefined : confirmed;
  }

  confirm({ uid, resourceVersion, route }: Observation, hold: IpHold | undefined): void {
    this.#confirmed = route ?? new Unrouted(uid, resourceVersion);
    this.#heldAfter = hold?.after;
    this.#heldBy = hold?.by;
  }

  unconfirm(): void {
    this.#confirmed = undefined;
    this.#heldAfter = undefined;
    this.#heldBy = undefined;
  }

  get hold(): IpHold | undefined {
    const after = this.#heldAfter;
    const by = this.#heldBy;
    return after === undefined || by === undefined ? undefined : { after, by };
  }

  get hint(): Route | undefined {
    return this.ahead?.hint?.route;
  }

  get tombstone(): ResourceVersion | undefined {
    return this.ahead?.tombstone?.version;
  }

  /** The version at which a read has shown the object, while that is ahead of the watermark. */
  get readVersion(): ResourceVersion | undefined {
    return this.ahead?.read?.version;
  }

  get doubt(): Doubt | undefined {
    return this.ahead?.doubt;
  }

  /** The facts that count, as the rules ask for them: what is pushed and not settled does not (rule 12). */
  get facts(): Facts {
    const { trustedFacts: facts, hint } = this;
    return this.doubt?.serves === true && facts.hint !== hint ? { ...facts, hint } : facts;
  }

  /** The facts that another push is judged by. One that waits for a read must not stop another: it may be a lie. */
  get trustedFacts(): Facts {
    const { confirmed, ahead } = this;
    const hint = ahead?.hint?.trusted === true ? ahead.hint.route : undefined;
    const tombstone = ahead?.tombstone?.trusted === true ? ahead.tombstone.version : undefined;
    return { confirmed, hint, tombstone };
  }

  /**
   * A peer pushed that `route` has ended, or is another one by now, and no read has settled that in time: it is not served,
   * and keeps its ID and its pod IP.
   */
  isCondemned(route: Route): boolean {
    const { ahead, doubt } = this;
    if (ahead === undefined || doubt?.overdue !== true) return false;
    const hint = ahead.hint?.trusted === false ? ahead.hint.route : undefined;
    if (route === hint) return false;
    const tombstone = ahead.tombstone?.trusted === false ? ahead.tombstone.version : undefined;
    if (tombstone !== undefined && compareResourceVersions(route.resourceVersion, tombstone) <= 0)
      return true;
    // What was pushed and not kept may have said anything.
    if (hint === undefined || doubt.isPartlyKept) return doubt.isPartlyKept;
    return hint.uid !== route.uid || hint.ip !== route.ip || hint.state !== route.state;
  }

  /** True while a fact is left to keep the entry for. */
  get hasFacts(): boolean {
    return this.#confirmed !== undefined || this.ahead !== undefined;
  }
}

/** What the rules need of an observation. */
type Confirmed = NonNullable<Facts["confirmed"]>;

/** The informer's word of an object that is ending for good. */
class Unrouted {
  readonly uid: string;
  readonly resourceVersion: ResourceVersion;

  constructor(uid: string, resourceVersion: ResourceVersion) {
    this.uid = uid;
    this.resourceVersion = resourceVersion;
  }

  get route(): undefined {
    return undefined;
  }
}

/** An entry whose route is in effect, as the read side shows it. */
export function asRouteInEffect(entry: Entry): RouteInEffect {
  return entry;
}
