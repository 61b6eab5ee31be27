import type { Milliseconds } from "../clock.ts";
import { asRouteInEffect, type Entry } from "./entry.ts";
import { Heap } from "./heap.ts";
import { IdIndex } from "./id-index.ts";
import { endOf, isServable, LivingIncarnation, Resting } from "./incarnations.ts";
import { holdInEffect } from "./ip-hold.ts";
import { IpIndex, oneSpelling } from "./ip-index.ts";
import type { EndReason, Lookup } from "./lookup.ts";
import type { News } from "./news.ts";
import { hasPod, type Route, type RouteState } from "./route.ts";
import type { Rules } from "./rules.ts";
import type { Scope } from "./scope.ts";

interface Shutdown {
  readonly atMs: Milliseconds;
  readonly entry: Entry;
}

/**
 * What follows from the facts: which route is in effect for each object, who is served under which ID and IP, and which
 * incarnations live. Knows nothing of writers; the table calls {@link RoutesInEffect.refresh} for each entry whose facts
 * changed.
 */
export class RoutesInEffect {
  readonly #rules: Rules;
  readonly #news: News;
  readonly #onePodPerIp: boolean;
  readonly #ids: IdIndex;
  readonly #ips: IpIndex;
  readonly #states = new Map<string, number>();
  readonly #shutdowns = new Heap<Shutdown>((a, b) => a.atMs - b.atMs);
  #routes = 0;
  #incarnations = 0;

  constructor(rules: Rules, news: News, onePodPerIp: boolean) {
    this.#rules = rules;
    this.#news = news;
    this.#onePodPerIp = onePodPerIp;
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
    const { facts } = entry;
    const route = this.#rules.inEffect(facts);
    const endsAtMs = route && this.#rules.endsAtMs(facts, route);
    const state = route ? this.#rules.stateAt(route, endsAtMs, nowMs) : "";
    if (before === route && stateBefore === state) {
      // The claim in effect is the same, and what it takes over from the informer's word may be new.
      if (endsAtMs !== route?.shutdownAtMs && endsAtMs !== undefined)
        this.#awaitShutdown(entry, endsAtMs, before, state);
      return;
    }

    entry.inEffect = route;
    entry.state = state;
    if (stateBefore !== state || !before || !route) {
      if (before) this.#count(stateBefore, -1);
      if (route) this.#count(state, 1);
    }
    if (before && before.id !== route?.id) this.#ids.remove(before.id, entry);
    if (route && before?.id !== route.id) this.#ids.add(route.id, entry);
    else if (route) this.#ids.touch(route.id, entry);

    if (this.#ips.conflicts === 0 && keepsIp(before, stateBefore, route, state)) {
      this.#live(entry, before, false);
      this.#announce(entry);
    } else {
      this.#settle(entry, before, stateBefore);
    }
    if (endsAtMs !== undefined) this.#awaitShutdown(entry, endsAtMs, before, stateBefore);
  }

  /**
   * To be called when a scope's watermark has moved: routes that only peers told of are known to be younger now, and
   * that may settle who took an IP later.
   */
  watermarkMoved({ pending }: Scope<Entry>): void {
    const { contested } = this.#ips;
    if (contested.size === 0 || pending.claim.size === 0) return;
    if (contested.size < pending.claim.size) {
      for (const ip of contested) this.#serve(ip);
      return;
    }
    for (const { entry } of pending.claim) {
      const ip = this.#heldIp(entry.inEffect, entry.state);
      if (ip && contested.has(ip)) this.#serve(ip);
    }
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

  /**
   * The pod IP that a route holds against others. Not only running routes do, as rule 10 has it: the next tenant of an
   * address is often a pod that waits in a pool.
   */
  #heldIp(route: Route | undefined, state: RouteState): string | undefined {
    return route && this.#onePodPerIp && hasPod(state) ? oneSpelling(route.ip) : undefined;
  }

  /** Decides who is served behind the IP that an entry held and the one that it holds now. */
  #settle(entry: Entry, before: Route | undefined, stateBefore: RouteState): void {
    const ipBefore = this.#heldIp(before, stateBefore);
    const ip = this.#heldIp(entry.inEffect, entry.state);
    if (ipBefore !== ip) {
      if (ipBefore) this.#ips.remove(ipBefore, entry);
      if (ip) this.#ips.add(ip, entry);
    }
    const decided = ip === undefined ? undefined : this.#ips.decide(ip);
    const isReassigned = decided !== undefined && entry.state === "running" && decided.now !== entry;
    this.#live(entry, before, isReassigned);
    this.#announce(entry);
    if (ipBefore && ipBefore !== ip) this.#serve(ipBefore);
    if (decided?.before && decided.before !== entry) this.#reassign(decided.before, decided.now);
    if (decided?.now && decided.now !== entry) this.#reassign(decided.now, decided.now);
  }

  /** Decides anew who is served behind `ip`. Only who was and who is now can be touched by it. */
  #serve(ip: string): void {
    const { before, now } = this.#ips.decide(ip);
    if (before !== now && before) this.#reassign(before, now);
    if (now) this.#reassign(now, now);
  }

  #reassign(entry: Entry, served: Entry | undefined): void {
    const { inEffect, state } = entry;
    const isReassigned =
      state === "running" && served !== entry && this.#heldIp(inEffect, state) !== undefined;
    if (entry.ipReassigned === isReassigned) return;
    this.#live(entry, inEffect, isReassigned);
    this.#announce(entry);
  }

  /** Ends and begins incarnations (design.md 3.3). `before` was in effect until now. */
  #live(entry: Entry, before: Route | undefined, isReassigned: boolean): void {
    const { life, inEffect: route, state } = entry;
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
      entry.life = "ip-reassigned";
    } else if (isServable(route, state, isReassigned)) {
      entry.life = "lives";
      this.#incarnations++;
    } else if (entry.life === "ip-reassigned") {
      entry.life = undefined;
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
