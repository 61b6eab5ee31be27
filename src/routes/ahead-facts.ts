import type { Milliseconds } from "../system/clock.ts";
import { type DoubtNames, Doubts, podIpOf, withName } from "./doubts.ts";
import type { Ahead, Doubt, Entry } from "./entry.ts";
import type { News } from "./news.ts";
import { type AheadFact, type DropReason, PUSHED_FACTS } from "./outcome.ts";
import { Pending } from "./pending.ts";
import { compareResourceVersions, type ResourceVersion } from "./resource-version.ts";
import type { Route } from "./route.ts";
import type { Rules } from "./rules.ts";
import type { Scope } from "./scope.ts";

/** How much is kept beyond the informer's word, and for how long. */
export interface AheadLimits {
  readonly hintTtlMs: Milliseconds;
  readonly maxHints: number;
  readonly tombstoneTtlMs: Milliseconds;
  readonly maxTombstones: number;
  /** How long requests are held for a sandbox in doubt. */
  readonly settleMs: Milliseconds;
  /** Whether an update counts that no read has settled within `settleMs`. A deletion does. */
  readonly servesUnsettled: boolean;
}

/** Where a fact comes from that is kept beyond the informer's word. */
interface NewFact {
  readonly version: ResourceVersion;
  readonly route?: Route | undefined;
  readonly from: string;
  /** Whether it counts at once. */
  readonly trusted: boolean;
  /** See `PushedFactOf`. Default false. */
  readonly isRelayed?: boolean;
}

/**
 * The books of what is kept beyond the informer's word: hints and tombstones that peers pushed, what reads have shown
 * ahead of the watermark, and the doubts. Judges nothing; entries that it changes it gives to `touch`, and pod IPs whose
 * holders it puts in doubt to `touchIp`.
 */
export class AheadFacts {
  /** In force, over all scopes. */
  readonly counts: Record<AheadFact, number> = { hint: 0, tombstone: 0, read: 0 };
  readonly doubts = new Doubts<Entry>();
  readonly #limits: AheadLimits;
  readonly #scopes: Iterable<Scope<Entry>>;
  readonly #rules: Rules;
  readonly #news: News;
  readonly #touch: (entry: Entry) => void;
  readonly #touchIp: (ip: string) => void;
  /** Whose overdue doubt names a pod IP. */
  readonly #overdue = new Map<string, Set<Entry>>();
  #lastSerial = 0;

  constructor(
    limits: AheadLimits,
    scopes: Iterable<Scope<Entry>>,
    rules: Rules,
    news: News,
    touch: (entry: Entry) => void,
    touchIp: (ip: string) => void,
  ) {
    this.#limits = limits;
    this.#scopes = scopes;
    this.#rules = rules;
    this.#news = news;
    this.#touch = touch;
    this.#touchIp = touchIp;
  }

  /** The serial of the last fact that came. */
  get lastSerial(): number {
    return this.#lastSerial;
  }

  /** Keeps a fact, in place of an older one of its kind. */
  keep(
    fact: AheadFact,
    entry: Entry,
    { version, route, from, trusted, isRelayed = false }: NewFact,
    nowMs: Milliseconds,
  ): void {
    const { scope } = entry;
    this.#remove(fact, entry);
    const ttlMs = fact === "hint" ? this.#limits.hintTtlMs : this.#limits.tombstoneTtlMs;
    const pending = new Pending({
      fact,
      entry,
      version,
      route,
      arrivedAtMs: nowMs,
      deadlineMs: scope.liveMs(nowMs) + ttlMs,
      serial: ++this.#lastSerial,
      from,
      trusted,
      isRelayed,
    });
    aheadOf(entry)[fact] = pending;
    this.counts[fact]++;
    scope.keep(pending);
    this.#touch(entry);
    const { maxHints, maxTombstones } = this.#limits;
    if (this.counts[fact] > (fact === "hint" ? maxHints : maxTombstones)) this.#evictOldest(fact);
  }

  /** Gives up a fact, if there is one; without a `reason` because the informer, a read or a newer push took its place. */
  drop(fact: AheadFact, entry: Entry, reason?: DropReason): void {
    if (!this.#giveUp(fact, entry, reason)) return;
    if (fact !== "read") this.#endIdleDoubt(entry);
    tidy(entry);
  }

  /**
   * Keeps a push that counts at once, in place of an older one of its kind. One of its kind that waits for a read leaves its
   * place: at or below this version it is out of date, above it the read settles it all the same.
   */
  believe(fact: "hint" | "tombstone", entry: Entry, push: NewFact, nowMs: Milliseconds): void {
    const waiting = entry.ahead?.[fact];
    const isNewer = waiting?.trusted === false && compareResourceVersions(waiting.version, push.version) > 0;
    if (isNewer && entry.doubt) entry.doubt.isPartlyKept = true;
    this.keep(fact, entry, push, nowMs);
    this.#endIdleDoubt(entry);
  }

  /** Ends the doubt of which nothing is left. */
  #endIdleDoubt(entry: Entry): void {
    const { ahead } = entry;
    if (!ahead?.doubt || ahead.doubt.isPartlyKept) return;
    if (ahead.hint?.trusted === false || ahead.tombstone?.trusted === false) return;
    this.#endDoubt(entry, ahead);
  }

  #giveUp(fact: AheadFact, entry: Entry, reason: DropReason | undefined): boolean {
    const pending = this.#remove(fact, entry);
    if (!pending) return false;
    this.#touch(entry);
    if (reason) this.#news.add((listener) => listener.factDropped?.(fact, reason, entry.key, pending.from));
    return true;
  }

  /** Lets run out what the informer has not confirmed in time. */
  expire(scope: Scope<Entry>, nowMs: Milliseconds): void {
    const { hint, tombstone } = scope.pending;
    if (hint.size === 0 && tombstone.size === 0) return;
    const liveMs = scope.liveMs(nowMs);
    for (const fact of PUSHED_FACTS) {
      if (fact === "hint" && !scope.watched) continue;
      for (let next = scope.pending[fact].oldest; next; next = scope.pending[fact].oldest) {
        if (!this.#rules.isOverdue(next.deadlineMs, liveMs)) break;
        this.drop(fact, next.entry, "expired");
      }
    }
  }

  // ---- doubts

  /** A push of `entry` came that only a read can settle. Keeps it when it is the newest of its kind, and none counts. */
  doubt(fact: "hint" | "tombstone", entry: Entry, push: NewFact, nowMs: Milliseconds): void {
    const kept = entry.ahead?.[fact];
    // Others that wait are only counted: the read settles them too, whatever they say. What counts is not given up for a rumour.
    const isKept =
      kept === undefined || (!kept.trusted && compareResourceVersions(push.version, kept.version) > 0);
    if (isKept) this.keep(fact, entry, push, nowMs);
    const ahead = aheadOf(entry);
    if (ahead.doubt === undefined) {
      ahead.doubt = newDoubt(nowMs, 0, false);
      this.doubts.begin(entry);
    }
    if (!isKept) ahead.doubt.isPartlyKept = true;
    ahead.doubt.serial = isKept ? this.#lastSerial : ++this.#lastSerial;
    if (push.route) this.doubts.note(entry, push.route);
    if (push.route && ahead.doubt.overdue && !ahead.doubt.serves) {
      this.#doubtIps(entry, ahead.doubt, withName(ahead.doubt.ips, podIpOf(push.route)));
    }
    // What is in doubt may be another thing now.
    this.#touch(entry);
    this.#news.add((listener) => {
      listener.doubted?.(entry.key);
      listener.doubtChanged?.(entry.key);
    });
  }

  /** A doubt from before this router started goes on. Not all that was pushed need be kept. */
  doubtAgain(entry: Entry, names: DoubtNames, isPartlyKept: boolean, nowMs: Milliseconds): void {
    const ahead = aheadOf(entry);
    ahead.doubt ??= newDoubt(nowMs, 0, isPartlyKept);
    ahead.doubt.isPartlyKept ||= isPartlyKept;
    ahead.doubt.serial = ++this.#lastSerial;
    this.doubts.begin(entry);
    const { ids, ips } = this.doubts.namesOf(entry) ?? names;
    this.doubts.set(entry, {
      ids: names.ids.reduce(withName, ids),
      ips: names.ips.reduce(withName, ips),
    });
    this.#touch(entry);
    this.#news.add((listener) => {
      listener.doubted?.(entry.key);
      listener.doubtChanged?.(entry.key);
    });
  }

  /** Gives up a push; what else was pushed of the entry is in doubt until {@link AheadFacts.settleDoubt}. */
  close(fact: "hint" | "tombstone", entry: Entry, reason?: DropReason): void {
    const { doubt, ahead } = entry;
    if (doubt === undefined || ahead?.[fact]?.trusted === true) {
      this.drop(fact, entry, reason);
      return;
    }
    doubt.isPartlyKept = true;
    this.#giveUp(fact, entry, reason);
  }

  /**
   * A read that began at `asOf` has settled what it could. What was pushed later, be it kept or not, is a doubt of its own:
   * the read may have shown a moment before it.
   */
  settleDoubt(entry: Entry, asOf: number, nowMs: Milliseconds): "settled" | "open" {
    const { ahead } = entry;
    if (!ahead?.doubt) return "settled";
    const { serial } = ahead.doubt;
    // Of an overdue one only the IPs are left, and no request waits for its IDs.
    const names = this.doubts.namesOf(entry) ?? { ids: [], ips: ahead.doubt.ips };
    this.#endDoubt(entry, ahead);
    if (serial > asOf) {
      ahead.doubt = newDoubt(nowMs, serial, true);
      this.doubts.begin(entry);
      // Which of them the later pushes named is not known.
      this.doubts.set(entry, names);
      if (ahead.hint?.route && !ahead.hint.trusted) this.doubts.note(entry, ahead.hint.route);
    }
    tidy(entry);
    this.#touch(entry);
    return serial > asOf ? "open" : "settled";
  }

  /** Ends the time for which requests are held, where it is over. */
  passTime(nowMs: Milliseconds): void {
    for (let entry = this.doubts.oldest; entry; entry = this.doubts.oldest) {
      const { doubt } = entry;
      if (doubt && doubt.sinceMs + this.#limits.settleMs > nowMs) return;
      const names = this.doubts.namesOf(entry);
      this.#release(entry);
      if (!doubt) continue;
      doubt.overdue = true;
      doubt.serves = this.#limits.servesUnsettled;
      this.#touch(entry);
      if (!doubt.serves) this.#doubtIps(entry, doubt, names?.ips ?? []);
    }
  }

  /** Whether an overdue doubt of another sandbox says that it has this pod IP. `ip` is in one spelling. */
  isIpDoubted(ip: string, entry: Entry): boolean {
    const entries = this.#overdue.get(ip);
    return entries !== undefined && (entries.size > 1 || !entries.has(entry));
  }

  /** When {@link AheadFacts.passTime} has something to do next. */
  get nextOverdueMs(): Milliseconds | undefined {
    const doubt = this.doubts.oldest?.doubt;
    return doubt && doubt.sinceMs + this.#limits.settleMs;
  }

  #endDoubt(entry: Entry, ahead: Ahead): void {
    if (!ahead.doubt) return;
    this.#doubtIps(entry, ahead.doubt, []);
    ahead.doubt = undefined;
    this.#release(entry);
  }

  /** Puts the holders of these pod IPs in doubt, and those of the ones before no longer. */
  #doubtIps(entry: Entry, doubt: Doubt, ips: readonly string[]): void {
    for (const ip of doubt.ips) {
      if (ips.includes(ip)) continue;
      const entries = this.#overdue.get(ip);
      entries?.delete(entry);
      if (entries?.size === 0) this.#overdue.delete(ip);
      this.#touchIp(ip);
    }
    for (const ip of ips) {
      if (doubt.ips.includes(ip)) continue;
      const entries = this.#overdue.get(ip);
      if (entries) entries.add(entry);
      else this.#overdue.set(ip, new Set([entry]));
      this.#touchIp(ip);
    }
    doubt.ips = ips;
  }

  #release(entry: Entry): void {
    if (!this.doubts.end(entry)) return;
    this.#news.add((listener) => listener.doubtChanged?.(entry.key));
  }

  // ---- books

  #remove(fact: AheadFact, entry: Entry): Pending<Entry> | undefined {
    const pending = entry.ahead?.[fact];
    if (!entry.ahead || !pending) return undefined;
    entry.ahead[fact] = undefined;
    entry.scope.pending[fact].remove(pending);
    this.counts[fact]--;
    return pending;
  }

  #evictOldest(fact: AheadFact): void {
    let oldest: Pending<Entry> | undefined;
    for (const { pending } of this.#scopes) {
      const first = pending[fact].oldest;
      if (first && (!oldest || first.serial < oldest.serial)) oldest = first;
    }
    if (oldest) this.drop(fact, oldest.entry, "evicted");
  }
}

function newDoubt(sinceMs: Milliseconds, serial: number, isPartlyKept: boolean): Doubt {
  return { sinceMs, serial, isPartlyKept, overdue: false, serves: false, ips: [] };
}

/** Gives up what holds nothing any more: most entries have nothing ahead of the informer. */
function tidy(entry: Entry): void {
  const { ahead } = entry;
  if (ahead && !ahead.hint && !ahead.tombstone && !ahead.read && !ahead.doubt) entry.ahead = undefined;
}

function aheadOf(entry: Entry): Ahead {
  return (entry.ahead ??= { hint: undefined, tombstone: undefined, read: undefined, doubt: undefined });
}
