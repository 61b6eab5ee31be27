import { isIP, SocketAddress } from "node:net";
import type { Milliseconds } from "../clock.ts";
import { asRouteInEffect, type Entry } from "./entry.ts";
import { Heap } from "./heap.ts";
import { IdIndex } from "./id-index.ts";
import { endOf, isServable, type LivingIncarnation } from "./incarnations.ts";
import { holdInEffect } from "./ip-hold.ts";
import { IpIndex } from "./ip-index.ts";
import type { Lookup } from "./lookup.ts";
import type { News } from "./news.ts";
import { hasPod, type Route } from "./route.ts";
import type { Rules } from "./rules.ts";
import type { Scope } from "./scope.ts";

interface Shutdown {
  readonly atMs: Milliseconds;
  readonly entry: Entry;
  readonly route: Route;
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
  #count = 0;
  #incarnations = 0;
  #lastIncarnation = 0;

  constructor(rules: Rules, news: News, onePodPerIp: boolean) {
    this.#rules = rules;
    this.#news = news;
    this.#onePodPerIp = onePodPerIp;
    this.#ids = new IdIndex(rules);
    this.#ips = new IpIndex(rules, (entry) =>
      holdInEffect(entry.route, entry.confirmed?.route, entry.hold, entry.scope.watermark),
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
    const route = this.#rules.inEffect(entry);
    const state = route ? this.#rules.stateAt(route, nowMs) : "";
    if (before === route && entry.state === state) return;

    const ipBefore = this.#heldIp(entry);
    if (before) this.#add(entry.state, -1);
    entry.inEffect = route;
    entry.state = state;
    if (route) this.#add(state, 1);

    if (before && before.id !== route?.id) this.#ids.remove(before.id, entry);
    if (route && before?.id !== route.id) this.#ids.add(route.id, entry);
    else if (route) this.#ids.touch(route.id, entry);

    const ip = this.#heldIp(entry);
    if (ipBefore !== ip) {
      if (ipBefore) this.#ips.remove(ipBefore, entry);
      if (ip) this.#ips.add(ip, entry);
    }
    const decided = ip === undefined ? undefined : this.#ips.decide(ip);
    entry.ipReassigned = this.#isReassigned(entry, decided?.now);
    this.#live(entry);
    this.#announce(entry);
    if (ipBefore && ipBefore !== ip) this.#serve(ipBefore);
    if (decided?.before && decided.before !== entry) this.#reassign(decided.before, decided.now);
    if (decided?.now && decided.now !== entry) this.#reassign(decided.now, decided.now);
    if (route?.shutdownAtMs !== undefined && !this.#rules.isTerminal(state)) {
      this.#awaitShutdown({ atMs: route.shutdownAtMs, entry, route });
    }
  }

  /**
   * To be called when a scope's watermark has moved: routes that only peers told of are known to be younger now, and
   * that may settle who took an IP later.
   */
  watermarkMoved(scope: Scope<Entry>): void {
    const { contested } = this.#ips;
    if (contested.size === 0 || scope.claims.size === 0) return;
    if (contested.size < scope.claims.size) {
      for (const ip of contested) this.#serve(ip);
      return;
    }
    for (const entry of scope.claims.keys()) {
      const ip = this.#heldIp(entry);
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
      if (next.entry.inEffect !== next.route) continue;
      this.refresh(next.entry, nowMs);
      ended.push(next.entry);
    }
    return ended;
  }

  /**
   * The pod IP that an entry holds against others. Not only running routes do, as rule 10 has it: the next tenant of an
   * address is often a pod that waits in a pool.
   */
  #heldIp(entry: Entry): string | undefined {
    if (!this.#onePodPerIp || !hasPod(entry.state)) return undefined;
    const ip = entry.inEffect?.ip ?? "";
    switch (isIP(ip)) {
      case 4:
        return ip;
      case 6:
        // One address has many spellings, and IPv4 ones may wear a prefix (RFC 4291 2.5.5.2).
        return new SocketAddress({ address: ip, family: "ipv6" }).address.replace(/^::ffff:(?=\d+\.)/, "");
      default:
        return undefined;
    }
  }

  #isReassigned(entry: Entry, served: Entry | undefined): boolean {
    return entry.state === "running" && this.#heldIp(entry) !== undefined && served !== entry;
  }

  /** Decides anew who is served behind `ip`. Only who was and who is now can be touched by it. */
  #serve(ip: string): void {
    const { before, now } = this.#ips.decide(ip);
    if (before !== now && before) this.#reassign(before, now);
    if (now) this.#reassign(now, now);
  }

  #reassign(entry: Entry, served: Entry | undefined): void {
    const reassigned = this.#isReassigned(entry, served);
    if (entry.ipReassigned === reassigned) return;
    entry.ipReassigned = reassigned;
    this.#live(entry);
    this.#announce(entry);
  }

  /** Ends and begins incarnations (design.md 3.3). */
  #live(entry: Entry): void {
    const current = entry.incarnation as LivingIncarnation | undefined;
    const end = current && endOf(current, entry);
    if (current && !end) {
      current.podUid ??= entry.inEffect?.podUid;
      return;
    }
    const { resting } = entry;
    if (resting && entry.state !== "paused") {
      const reason = endOf(resting as LivingIncarnation, entry) ?? "replaced";
      entry.resting = undefined;
      this.#news.add((listener) => listener.pauseEnded?.(resting, reason));
    }
    entry.incarnation = undefined;
    if (current && end) {
      this.#incarnations--;
      if (end === "paused") entry.resting = current;
      this.#news.add((listener) => listener.incarnationEnded?.(current, end));
    }
    if (!entry.inEffect || !isServable(entry)) return;
    const { uid, ip, podUid } = entry.inEffect;
    const next: LivingIncarnation = { number: ++this.#lastIncarnation, key: entry.key, uid, ip, podUid };
    entry.incarnation = next;
    this.#incarnations++;
  }

  #announce(entry: Entry): void {
    this.#news.add((listener) =>
      listener.routeChanged?.(entry.key, entry.inEffect && asRouteInEffect(entry)),
    );
  }

  #awaitShutdown(shutdown: Shutdown): void {
    // Each new version of an object leaves its older deadline behind.
    if (this.#shutdowns.size > 2 * this.#count + 1_024) {
      this.#shutdowns.compact((item) => item.entry.inEffect === item.route);
    }
    this.#shutdowns.push(shutdown);
  }

  #add(state: string, change: 1 | -1): void {
    this.#count += change;
    const count = (this.#states.get(state) ?? 0) + change;
    // Peers may push any word as a state: those that no route has must not pile up.
    if (count > 0) this.#states.set(state, count);
    else this.#states.delete(state);
  }
}
