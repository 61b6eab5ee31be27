import type { Clock, Milliseconds } from "../system/clock.ts";
import type { EndReason } from "../routes/lookup.ts";
import type { TableListener } from "../routes/news.ts";
import type { Observation } from "../routes/observation.ts";
import { isState } from "../routes/names.ts";
import type { AheadFact, DropReason, Outcome } from "../routes/outcome.ts";
import type { ResourceVersion } from "../routes/resource-version.ts";
import { objectKey } from "../routes/route.ts";
import type { PushedDeletion, PushedRoute } from "../routes/push.ts";
import type { ObjectRead, RouteTable } from "../routes/table.ts";
import type { PeerBook } from "./peer-book.ts";
import type { NewFact, RouteHistory } from "./route-history.ts";

/** What {@link TableWriters} writes to. */
export interface TableWritersOptions {
  readonly table: RouteTable;
  readonly history: RouteHistory;
  readonly peers: PeerBook;
  readonly clock: Clock;
}

/** Texts of a peer that are longer are cut: it may write whatever it likes. */
const MAX_TEXT_CHARACTERS = 128;

/** Outcomes of updates whose texts are not what any object has. */
const UNREADABLE: ReadonlySet<Outcome> = new Set([
  "invalid/key",
  "invalid/id",
  "invalid/uid",
  "invalid/text",
]);

/**
 * The way of all writers to the table: passes on what the informer and peers say, and writes down each fact with what
 * came of it. What the table then does of itself (a claim given up, an incarnation's end) follows the fact that made it.
 */
export class TableWriters {
  readonly #table: RouteTable;
  readonly #history: RouteHistory;
  readonly #peers: PeerBook;
  readonly #clock: Clock;
  /** Set while a writer speaks: what the table tells meanwhile is written down after what it was told. */
  #isTelling = false;
  readonly #effects: (() => void)[] = [];
  /** The list that is being taken. */
  #list: ListReader | undefined;
  /** Who pushes at this moment. */
  #from = "";
  #isRevival = false;

  constructor({ table, history, peers, clock }: TableWritersOptions) {
    this.#table = table;
    this.#history = history;
    this.#peers = peers;
    this.#clock = clock;
    const listener: TableListener = {
      mutated: (source, outcome, key, resurrection) => {
        if (resurrection !== undefined) {
          this.#isRevival = true;
          if (source === "peer") this.#peers.stopped(this.#from);
        }
        if (source === "clock") this.#shutDown(key);
        else if (this.#list) this.#listed(this.#list, key, outcome, resurrection !== undefined);
      },
      factDropped: (fact, reason, key, from) => this.#dropped(fact, reason, key, from),
      incarnationEnded: ({ key, number, ip, uid }, reason) => this.#ended(key, number, ip, uid, reason),
    };
    table.addListener(listener);
  }

  /** The address of the peer that pushes at this moment, for listeners of the table; `""` while none does. */
  get pushingPeer(): string {
    return this.#from;
  }

  // ---- the informer

  relist(
    scope: string,
    version: ResourceVersion,
    observations: readonly Observation[],
  ): "applied" | "behind" {
    return this.#takeList(observations, version, (nowMs) =>
      this.#table.relist(scope, version, observations, nowMs),
    );
  }

  startOver(scope: string, version: ResourceVersion, observations: readonly Observation[]): void {
    this.#takeList(observations, version, (nowMs) =>
      this.#table.startOver(scope, version, observations, nowMs),
    );
  }

  observe(scope: string, observation: Observation): void {
    const nowMs = this.#begin();
    const outcome = this.#table.observe(scope, observation, nowMs);
    this.#add(observation, factOf(observation, "observed", nowMs, outcome, this.#isRevival));
    this.#end();
  }

  remove(scope: string, namespace: string, name: string, uid: string, version: ResourceVersion): void {
    const nowMs = this.#begin();
    const outcome = this.#table.remove(scope, namespace, name, uid, version, nowMs);
    this.#history.add(namespace, name, {
      ...bare(nowMs, "informer", "deleted", outcome),
      resourceVersion: version,
      uid,
    });
    this.#end();
  }

  bookmark(scope: string, version: ResourceVersion): void {
    this.#table.bookmark(scope, version, this.#clock.nowMs());
  }

  setLive(scope: string, live: boolean): void {
    this.#table.setLive(scope, live, this.#clock.nowMs());
  }

  // ---- peers

  pushUpdate(push: PushedRoute, from: string): Outcome {
    const nowMs = this.#begin(from);
    const outcome = this.#table.pushUpdate(push, nowMs, from);
    this.#peers.judged(from, outcome, nowMs);
    const { namespace, name, resourceVersion, state, ip, uid } = push;
    // Texts that no object can have are written down nowhere.
    const isReadable = !UNREADABLE.has(outcome);
    if (outcome !== "invalid/key") {
      this.#history.add(namespace, name, {
        atMs: nowMs,
        writer: "peer",
        what: "update",
        outcome,
        resourceVersion: readableVersion(resourceVersion),
        state: isReadable ? cut(state) : undefined,
        ip,
        uid: isReadable ? cut(uid) : undefined,
        from,
        incarnation: undefined,
        isRevival: this.#isRevival,
        // What was refused must not stand for who had an ID.
        id: outcome === "applied" ? cut(push.id) : undefined,
      });
    }
    this.#end();
    return outcome;
  }

  pushDelete(push: PushedDeletion, from: string): Outcome {
    const nowMs = this.#begin(from);
    const outcome = this.#table.pushDelete(push, nowMs, from);
    this.#peers.judged(from, outcome, nowMs);
    const { namespace, name, resourceVersion } = push;
    if (outcome !== "invalid/key") {
      this.#history.add(namespace, name, {
        ...bare(nowMs, "peer", "deletion", outcome),
        resourceVersion: readableVersion(resourceVersion),
        state: "dead",
        from,
      });
    }
    this.#end();
    return outcome;
  }

  // ---- reads

  /** What a read of one object says, which a push asked for. */
  settle(read: ObjectRead): "settled" | "open" {
    const nowMs = this.#begin();
    const result = this.#table.settle(read, nowMs);
    const { namespace, name, version, observation } = read;
    const state = observation ? (observation.route?.state ?? "ending") : "gone";
    this.#history.add(namespace, name, {
      ...bare(nowMs, "informer", "read", result),
      resourceVersion: version,
      state,
      ip: observation?.route?.ip ?? "",
      uid: observation?.uid,
      id: observation?.route?.id,
    });
    this.#end();
    return result;
  }

  // ---- lists

  #takeList<T>(
    observations: readonly Observation[],
    version: ResourceVersion,
    take: (nowMs: number) => T,
  ): T {
    const nowMs = this.#begin();
    this.#list = new ListReader(observations);
    // Who is missing from a list is told by what it does to the routes; the first list has nobody to miss.
    const gone: string[] = [];
    const stop = this.#table.synced
      ? this.#table.addListener({
          routeChanged: (key, route) => void (route === undefined && gone.push(key)),
        })
      : undefined;
    try {
      return take(nowMs);
    } finally {
      stop?.();
      const listed = gone.length > 0 ? new Set(observations.map(keyOf)) : undefined;
      for (const key of gone) {
        if (listed?.has(key)) continue;
        this.#addTo(key, { ...bare(nowMs, "informer", "unlisted", "applied"), resourceVersion: version });
      }
      this.#list = undefined;
      this.#end();
    }
  }

  #listed(list: ListReader, key: string, outcome: Outcome, isRevival: boolean): void {
    const observation = list.find(key);
    if (!observation) return;
    this.#add(observation, factOf(observation, "listed", this.#clock.nowMs(), outcome, isRevival));
  }

  // ---- what the table does of itself

  #shutDown(key: string): void {
    const atMs = this.#clock.nowMs();
    this.#addTo(key, { ...bare(atMs, "clock", "shutdown", "applied"), state: "dead" });
  }

  #dropped(fact: AheadFact, reason: DropReason, key: string, from: string): void {
    if (fact === "read") return;
    if (reason === "refuted") this.#peers.refuted(from);
    if (fact === "claim" && (reason === "contradicted" || reason === "expired"))
      this.#peers.contradicted(from);
    const what = fact === "claim" ? "claim-dropped" : "tombstone-dropped";
    this.#effect(key, { ...bare(this.#clock.nowMs(), "table", what, reason), from });
  }

  #ended(key: string, incarnation: number, ip: string, uid: string, outcome: EndReason): void {
    const atMs = this.#clock.nowMs();
    this.#effect(key, { ...bare(atMs, "table", "incarnation-ended", outcome), incarnation, ip, uid });
  }

  #effect(key: string, fact: NewFact): void {
    this.#effects.push(() => this.#addTo(key, fact));
    // Time passes without a writer; the table tells last of all that the clock spoke, and that comes first here too.
    if (!this.#isTelling && this.#effects.length === 1) queueMicrotask(() => this.#end());
  }

  // ---- books

  #begin(from = ""): Milliseconds {
    this.#isTelling = true;
    this.#isRevival = false;
    this.#from = from;
    return this.#clock.nowMs();
  }

  #end(): void {
    this.#isTelling = false;
    this.#from = "";
    if (this.#effects.length > 0) for (const effect of this.#effects.splice(0)) effect();
  }

  #add({ namespace, name }: Observation, fact: NewFact): void {
    this.#history.add(namespace, name, fact);
  }

  #addTo(key: string, fact: NewFact): void {
    const [namespace, name] = partsOf(key);
    this.#history.add(namespace, name, fact);
  }
}

function factOf(
  { resourceVersion, uid, route }: Observation,
  what: "observed" | "listed",
  atMs: Milliseconds,
  outcome: Outcome,
  isRevival: boolean,
): NewFact {
  return {
    atMs,
    writer: "informer",
    what,
    outcome,
    resourceVersion,
    state: route?.state ?? "ending",
    ip: route?.ip ?? "",
    uid,
    from: undefined,
    incarnation: undefined,
    isRevival,
    id: route?.id,
  };
}

/** A fact of which nothing more is to be said, or what more there is is added. */
function bare(
  atMs: Milliseconds,
  writer: NewFact["writer"],
  what: NewFact["what"],
  outcome: string,
): NewFact {
  return {
    atMs,
    writer,
    what,
    outcome,
    resourceVersion: undefined,
    state: undefined,
    ip: undefined,
    uid: undefined,
    from: undefined,
    incarnation: undefined,
    isRevival: false,
    id: undefined,
  };
}

/** Finds the observations of a list by key: the table tells of them in the list's order, so the next is mostly the one. */
class ListReader {
  readonly #observations: readonly Observation[];
  #next = 0;

  constructor(observations: readonly Observation[]) {
    this.#observations = observations;
  }

  find(key: string): Observation | undefined {
    const { length } = this.#observations;
    for (let looked = 0; looked < length; looked++) {
      const observation = this.#observations[(this.#next + looked) % length];
      if (!observation || keyOf(observation) !== key) continue;
      this.#next = (this.#next + looked + 1) % length;
      return observation;
    }
    return undefined;
  }
}

function keyOf({ namespace, name }: Observation): string {
  return objectKey(namespace, name);
}

function partsOf(key: string): [namespace: string, name: string] {
  const slash = key.indexOf("/");
  return [key.slice(0, slash), key.slice(slash + 1)];
}

/** A version as a peer wrote it, if it could be one's: printable ASCII without spaces and tags. */
function readableVersion(text: string): string {
  return isState(text.slice(0, MAX_TEXT_CHARACTERS)) ? cut(text) : "(unreadable)";
}

function cut(text: string): string {
  return text.length > MAX_TEXT_CHARACTERS ? `${text.slice(0, MAX_TEXT_CHARACTERS)}…` : text;
}
