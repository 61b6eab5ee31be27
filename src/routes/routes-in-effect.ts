import type { Milliseconds } from "../system/clock.ts";
import { asRouteInEffect, type Entry } from "./entry.ts";
import { Heap } from "./heap.ts";
import { IdIndex } from "./id-index.ts";
import { endOf, isServable, LivingIncarnation, Resting } from "./incarnations.ts";
import { holdInEffect } from "./ip-hold.ts";
import { IpIndex, oneSpelling } from "./ip-index.ts";
import type { EndReason, Lookup } from "./lookup.ts";
import type { News } from "./news.ts";
import { DOUBTED, hasPod, IP_NOT_ALLOWED, type Route, type RouteState } from "./route.ts";
import type { Facts, Rules } from "./rules.ts";
import type { Scope } from "./scope.ts";

/** What {@link RoutesInEffect} goes by. */
export interface RoutesInEffectOptions {
  readonly rules: Rules;
  readonly news: News;
  /** Rule 10. */
  readonly onePodPerIp: boolean;
  readonly isPodAddress: (ip: string) => boolean;
  /** Whether another sandbox than the entry's may have its pod IP, by a push that nothing settles (rule 12). */
  readonly isIpDoubted: (ip: string, entry: Entry) => boolean;
}

interface Shutdown {
  readonly atMs: Milliseconds;
  readonly entry: Entry;
}

/**
 * What follows from the facts: which route is in effect for each object, who is served under which ID and IP, and which
 * incarnations live. Knows nothing of writers; the table calls {@link RoutesInEffect.refresh} for each entry whose facts
 * changed, once in a mutation, and {@link RoutesInEffect.decide} when it is through.
 */
export class RoutesInEffect {
  readonly #rules: Rules;
  readonly #news: News;
  readonly #onePodPerIp: boolean;
  readonly #isPodAddress: (ip: string) => boolean;
  readonly #isIpDoubted: (ip: string, entry: Entry) => boolean;
  readonly #ids: IdIndex;
  readonly #ips: IpIndex;
  readonly #states = new Map<string, number>();
  readonly #shutdowns = new Heap<Shutdown>((a, b) => a.atMs - b.atMs);
  /** Pod IPs whose holders changed in the mutation at hand, and which entries changed what they hold there. */
  readonly #undecided = new Map<string, Entry[]>();
  #routes = 0;
  #incarnations = 0;

  constructor({ rules, news, onePodPerIp, isPodAddress, isIpDoubted }: RoutesInEffectOptions) {
    this.#rules = rules;
    this.#news = news;
    this.#onePodPerIp = onePodPerIp;
    this.#isPodAddress = isPodAddress;
    this.#isIpDoubted = isIpDoubted;
    this.#ids = new IdIndex(rules);
    this.#ips = new IpIndex(rules, (entry) =>
      holdInEffect(entry.route, entry.confirmedRoute, entry.hold, entry.scope.watermark),
    );
  }

  /** Routes in effect by their state at this moment. */
  get states(): ReadonlyMap<string, number> {
    return this.#states;
  }

  /** How many incarnations live. */
  get incarnations(): number {
    return this.#incarnations;
  }

  get idConflicts(): number {
    return this.#ids.conflicts;
  }

  get ipConflicts(): number {
    return this.#ips.conflicts;
  }

  /** By routing ID, ignoring case. */
  lookup(id: string): Lookup {
    return this.#ids.lookup(id);
  }

  /** Works out anew which route is in effect for an entry, and all that hangs on it. */
  refresh(entry: Entry, nowMs: Milliseconds): void {
    const before = entry.inEffect;
    const stateBefore = entry.state;
    const facts = this.#factsOf(entry);
    const route = this.#rules.inEffect(facts);
    const endsAtMs = route && this.#rules.endsAtMs(facts, route);
    const state = route ? this.#stateOf(entry, route, endsAtMs, nowMs) : "";
    if (before === route && stateBefore === state) {
      // The hint in effect is the same, and what it takes over from the informer's word may be new.
      if (endsAtMs !== route?.shutdownAtMs && endsAtMs !== undefined)
        this.#awaitShutdown(entry, endsAtMs, before, state);
      return;
    }

    entry.inEffect = route;
    entry.state = state;
    if (route && state === IP_NOT_ALLOWED && route.state !== state) this.#reportRefusedIp(entry, route);
    if (stateBefore !== state || !before || !route) {
      if (before) this.#count(stateBefore, -1);
      if (route) this.#count(state, 1);
    }
    if (before && before.id !== route?.id) this.#ids.remove(before.id, entry);
    if (route && before?.id !== route.id) this.#ids.add(route.id, entry);
    else if (route) this.#ids.touch(route.id, entry);

    const isContested =
      !(this.#ips.conflicts === 0 && keepsIp(before, stateBefore, route, state)) &&
      this.#hold(entry, this.#heldIp(before, stateBefore), this.#heldIp(route, state));
    this.#live(entry, before, isContested ? "undecided" : "own");
    this.#announce(entry);
    if (endsAtMs !== undefined) this.#awaitShutdown(entry, endsAtMs, before, stateBefore);
  }

  /**
   * To be called when a scope's watermark has moved, before {@link RoutesInEffect.decide}: routes that only peers told of
   * are known to be younger now, and that may settle who took an IP later.
   */
  watermarkMoved({ pending }: Scope<Entry>): void {
    const { contested } = this.#ips;
    if (contested.size === 0 || pending.hint.size === 0) return;
    if (contested.size < pending.hint.size) {
      for (const ip of contested) this.#leaveUndecided(ip);
      return;
    }
    for (const { entry } of pending.hint) {
      const ip = this.#heldIp(entry.inEffect, entry.state);
      if (ip && contested.has(ip)) this.#leaveUndecided(ip);
    }
  }

  /**
   * Decides who is served behind each pod IP whose holders changed in this mutation. Not earlier: while some of what a
   * mutation brings is in and some is not, one holder may look like another's rival that it is not.
   */
  decide(): void {
    if (this.#undecided.size === 0) return;
    for (const [ip, entries] of this.#undecided) {
      const { before, now } = this.#ips.decide(ip);
      for (const entry of entries) this.#assign(ip, entry, now);
      if (before && before !== now) this.#assign(ip, before, now);
      if (now) this.#assign(ip, now, now);
    }
    this.#undecided.clear();
  }

  /** Who holds a pod IP, given in one spelling. */
  holdersOf(ip: string): Iterable<Entry> {
    return this.#ips.holdersOf(ip);
  }

  /** When the next sandbox reaches its shutdownTime, in milliseconds since the epoch. */
  nextShutdownMs(): Milliseconds | undefined {
    return this.#shutdowns.peek()?.atMs;
  }

  /** Ends what has reached its shutdownTime (rule 8); returns the entries that this ended. */
  shutDown(nowMs: Milliseconds): Entry[] {
    const ended: Entry[] = [];
    for (let next = this.#shutdowns.peek(); next && next.atMs <= nowMs; next = this.#shutdowns.peek()) {
      this.#shutdowns.pop();
      const { entry } = next;
      const { state } = entry;
      if (!this.#isAwaited(next)) continue;
      this.refresh(entry, nowMs);
      if (entry.state !== state) ended.push(entry);
    }
    return ended;
  }

  /** The facts that count, without an update of an object that the informer's selector may leave out (rule 14). */
  #factsOf({ facts, scope }: Entry): Facts {
    const { confirmed, hint } = facts;
    if (!scope.selective || hint === undefined || this.#rules.isShown(confirmed, hint)) return facts;
    return { ...facts, hint: undefined };
  }

  /**
   * The state in effect. Decided here, where every writer's routes come by, so that none can bring an address that no pod
   * has: not served, and held against nobody.
   */
  #stateOf(entry: Entry, route: Route, endsAtMs: Milliseconds | undefined, nowMs: Milliseconds): RouteState {
    const state = this.#rules.stateAt(route, endsAtMs, nowMs);
    if (hasPod(state) && route.ip !== "" && !this.#isPodAddress(route.ip)) return IP_NOT_ALLOWED;
    return state === "running" && this.#isDoubted(entry, route) ? DOUBTED : state;
  }

  #isDoubted(entry: Entry, route: Route): boolean {
    if (entry.isCondemned(route)) return true;
    const ip = this.#heldIp(route, "running");
    return ip !== undefined && this.#isIpDoubted(ip, entry);
  }

  #reportRefusedIp({ key, ahead }: Entry, route: Route): void {
    const hint = route === ahead?.hint?.route ? ahead.hint : undefined;
    const source = hint ? "peer" : "informer";
    this.#news.add((listener) => listener.podIpRefused?.(source, key, route.ip, hint?.from ?? ""));
  }

  /**
   * The pod IP that a route holds against others. Not only running routes do, as rule 10 has it: the next tenant of an
   * address is often a pod that waits in a pool.
   */
  #heldIp(route: Route | undefined, state: RouteState): string | undefined {
    return route && this.#onePodPerIp && hasPod(state) ? oneSpelling(route.ip) : undefined;
  }

  /** Notes that an entry let go of one IP and holds another; true when others hold that one too. */
  #hold(entry: Entry, ipBefore: string | undefined, ip: string | undefined): boolean {
    if (ipBefore !== ip) {
      if (ipBefore && this.#ips.remove(ipBefore, entry) === "held") this.#leaveUndecided(ipBefore);
      if (ip) this.#ips.add(ip, entry);
    }
    if (ip === undefined || !this.#ips.isShared(ip)) return false;
    this.#leaveUndecided(ip, entry);
    return true;
  }

  #leaveUndecided(ip: string, entry?: Entry): void {
    const entries = this.#undecided.get(ip);
    if (entries === undefined) this.#undecided.set(ip, entry ? [entry] : []);
    else if (entry) entries.push(entry);
  }

  /** Lets a holder of `ip` live there, or not, now that it is decided that `served` does. */
  #assign(ip: string, entry: Entry, served: Entry | undefined): void {
    const { inEffect, state, life } = entry;
    if (this.#heldIp(inEffect, state) !== ip) return;
    this.#live(entry, inEffect, served === entry ? "own" : "reassigned");
    if (entry.life !== life) this.#announce(entry);
  }

  /**
   * Ends and begins incarnations (docs/route-table.md#incarnations). `before` was in effect until now; `ip` says whose the
   * pod IP is. What an entry's own facts end is ended while that is undecided, and nothing begins.
   */
  #live(entry: Entry, before: Route | undefined, ip: "own" | "reassigned" | "undecided"): void {
    const { life, inEffect: route, state } = entry;
    const isReassigned = ip === "reassigned" && state === "running";
    const current = life === "lives" ? before : life instanceof LivingIncarnation ? life : undefined;
    if (current) {
      const end = endOf(current, route, state, isReassigned);
      if (!end) {
        if (life instanceof LivingIncarnation) life.podUid ??= route?.podUid;
        // What is known of the pod must not be lost with the route that told it.
        else if (current.podUid !== undefined && route?.podUid === undefined) entry.incarnate(current);
        return;
      }
      this.#end(entry, end, life instanceof LivingIncarnation ? life : entry.incarnate(current));
    } else if (life instanceof Resting) {
      if (state === "paused") return;
      const { incarnation } = life;
      const reason = endOf(incarnation, route, state, isReassigned) ?? "replaced";
      entry.life = undefined;
      this.#news.add((listener) => listener.pauseEnded?.(incarnation, reason));
    }
    if (isReassigned) {
      entry.life = "ip_reassigned";
    } else if (!isServable(route, state)) {
      if (entry.life === "ip_reassigned") entry.life = undefined;
    } else if (ip !== "undecided") {
      entry.life = "lives";
      this.#incarnations++;
    }
  }

  #end(entry: Entry, reason: EndReason, incarnation: LivingIncarnation): void {
    this.#incarnations--;
    entry.life = reason === "paused" ? new Resting(incarnation) : undefined;
    this.#news.add((listener) => listener.incarnationEnded?.(incarnation, reason));
  }

  #announce(entry: Entry): void {
    if (!this.#news.hearsRouteChanged) return;
    this.#news.add((listener) =>
      listener.routeChanged?.(entry.key, entry.inEffect && asRouteInEffect(entry)),
    );
  }

  /** Remembers an entry's shutdownTime, unless it is remembered since an older version. */
  #awaitShutdown(entry: Entry, atMs: Milliseconds, before: Route | undefined, stateBefore: RouteState): void {
    if (this.#rules.isTerminal(entry.state)) return;
    if (before?.shutdownAtMs === atMs && !this.#rules.isTerminal(stateBefore)) return;
    // Each new time leaves the older one behind.
    if (this.#shutdowns.size > 2 * this.#routes + 1_024) this.#shutdowns.compact(this.#isAwaited);
    this.#shutdowns.push({ atMs, entry });
  }

  readonly #isAwaited = ({ entry, atMs }: Shutdown): boolean =>
    entry.inEffect !== undefined && this.#rules.endsAtMs(entry.facts, entry.inEffect) === atMs;

  #count(state: string, change: 1 | -1): void {
    this.#routes += change;
    const count = (this.#states.get(state) ?? 0) + change;
    // Peers may push any word as a state: those that no route has must not pile up.
    if (count > 0) this.#states.set(state, count);
    else this.#states.delete(state);
  }
}

/** True when a route that takes another's place holds the same IP, or none as before. */
function keepsIp(
  before: Route | undefined,
  stateBefore: RouteState,
  route: Route | undefined,
  state: RouteState,
): boolean {
  const held = before !== undefined && hasPod(stateBefore);
  const holds = route !== undefined && hasPod(state);
  return held === holds && (!held || before.ip === route?.ip);
}
