import { DOUBTED, type ObjectKey, type Route } from "../../../src/routes/route.ts";
import { RULES, type Rules } from "../../../src/routes/rules.ts";
import { type RouteTable } from "../../../src/routes/table.ts";
import type { Violation } from "./explorer.ts";
import { type Moment, makeRoute, observationOf, rv, stateOf } from "./timeline.ts";
import { snapshotOf } from "./snapshot-of.ts";
import { newTable } from "../../support/defaults.ts";

/**
 * One thing that happens to a router with `trust: verify`. `answer`: the oldest read that is under way comes back. A forged
 * push is like a true one, but for what it says.
 */
export type VerifyStep =
  | { readonly kind: "list"; readonly version: number }
  | { readonly kind: "event"; readonly moment: Moment }
  | { readonly kind: "bookmark"; readonly version: number }
  | { readonly kind: "push"; readonly route: Route; readonly forged: boolean }
  | {
      readonly kind: "push-delete";
      readonly name: string;
      readonly version: number;
      readonly forged: boolean;
    }
  | { readonly kind: "answer" }
  /** The router starts again, with a snapshot of this moment; reads that were under way are lost. */
  | { readonly kind: "reload" }
  /** The API server does not answer for so long that requests are held no longer. */
  | { readonly kind: "time" };

/** How a world differs from one in which nobody proves anything and the informer sees all. */
export interface VerifyWorld {
  readonly rules?: Rules;
  /** Managers prove who they are, so that what they push counts at once; the forger can't. */
  readonly proven?: boolean;
  /** Lies outside the informer's selector: neither it nor a read shows the object, and managers push it all the same. */
  readonly hidden?: string;
}

/** Whether a read shows the cluster as it was when it began, or as it is when it comes back: the two ends of what may be. */
export type ReadMoment = "begin" | "end";

interface Read {
  readonly key: ObjectKey;
  readonly asOf: number;
  readonly begunAt: number;
}

/** Every push that managers could send of a timeline. */
export function truePushes(moments: readonly Moment[]): VerifyStep[] {
  const pushes: VerifyStep[] = [];
  const cached = new Map<ObjectKey, number>();
  for (const { key, name, version, route, gone } of moments) {
    if (route && route.state !== "dead") pushes.push({ kind: "push", route, forged: false });
    else {
      pushes.push({ kind: "push-delete", name, version, forged: false });
      const before = cached.get(key);
      if (gone && before !== undefined)
        pushes.push({ kind: "push-delete", name, version: before, forged: false });
    }
    cached.set(key, version);
  }
  return pushes;
}

/** What somebody who wants to take the place of `a`, or to take it off the air, could push: the versions are his to choose. */
export function forgedPushes(moments: readonly Moment[]): VerifyStep[] {
  const versions = [15, 1_000_000, ...moments.map(({ version }) => version)];
  const uid = moments[0]?.uid ?? "a-1";
  return versions.flatMap((version): VerifyStep[] => [
    forge("a", version, { uid, id: "x", ip: "10.6.6.6" }),
    forge("a", version, { uid, id: "x", ip: "", state: "paused" }),
    forge("a", version, { uid: "a-9", id: "x", ip: "10.6.6.6" }),
    // Rules 9 and 10 as weapons: a foreign object with the victim's ID, or its pod IP.
    forge("z", version, { uid: "z-1", id: "x", ip: "10.6.6.6" }),
    forge("z", version, { uid: "z-1", id: "z", ip: "10.0.0.1" }),
    { kind: "push-delete", name: "a", version, forged: true },
  ]);
}

function forge(name: string, version: number, fields: Partial<Route>): VerifyStep {
  return { kind: "push", route: makeRoute(name, version, fields), forged: true };
}

/** The ways in which an informer without a gap learns a timeline: a list at some point, the events from there, a bookmark. */
export function gaplessScripts(moments: readonly Moment[]): VerifyStep[][] {
  const end = (moments.at(-1)?.version ?? 0) + 5;
  const scripts: VerifyStep[][] = [];
  for (const first of [5, ...moments.map(({ version }) => version)]) {
    const events = moments.filter(({ version }) => version > first);
    const script: VerifyStep[] = [{ kind: "list", version: first }];
    for (const moment of events) script.push({ kind: "event", moment });
    scripts.push([...script, { kind: "bookmark", version: end }]);
  }
  return scripts;
}

/** All ways to merge the sequences that keep the order within each. */
export function* mergings<T>(sequences: readonly (readonly T[])[]): Generator<T[]> {
  const left = sequences.filter((sequence) => sequence.length > 0);
  if (left.length === 0) yield [];
  for (const [index, sequence] of left.entries()) {
    const rests = left.map((other, at) => (at === index ? other.slice(1) : other));
    for (const rest of mergings(rests)) yield [sequence[0] as T, ...rest];
  }
}

/** A table that verifies, its reader, and what was truly told. Says after each step what is wrong, if anything is. */
export class VerifyWitness {
  table: RouteTable;
  readonly #rules: Rules;
  readonly #moments: readonly Moment[];
  readonly #readMoment: ReadMoment;
  readonly #proven: boolean;
  readonly #hidden: ObjectKey | undefined;
  readonly #keys: readonly ObjectKey[];
  readonly #reads: Read[] = [];
  readonly #trail: VerifyStep[] = [];
  /** The newest true fact of each object that was told by anybody, and its newest end that the informer or a read told. */
  readonly #told = new Map<ObjectKey, number>();
  readonly #ends = new Map<ObjectKey, number>();
  /** The cluster has come so far, at least. */
  #present = 5;
  #watermark = 0;
  #ended: string[] = [];
  #blamed: string[] = [];
  #shownAt = 0;
  #nowMs = 0;
  #synced = false;

  constructor(moments: readonly Moment[], readMoment: ReadMoment, world: VerifyWorld = {}) {
    const { rules = RULES, proven = false, hidden } = world;
    this.#moments = moments;
    this.#readMoment = readMoment;
    this.#proven = proven;
    this.#hidden = hidden === undefined ? undefined : `ns/${hidden}`;
    this.#keys = [...new Set<ObjectKey>([...moments.map(({ key }) => key), "ns/z"])];
    this.#rules = rules;
    this.table = this.#newTable();
  }

  #newTable(): RouteTable {
    const table = newTable({
      scopes: [""],
      trust: "verify",
      selective: this.#hidden !== undefined,
      rules: this.#rules,
    });
    table.setLive("", true, this.#nowMs);
    table.addListener({
      doubted: (key) => {
        if (!this.#reads.some((read) => read.key === key)) this.#begin(key);
      },
      factDropped: (fact, reason, key, from) => {
        if (from !== "manager") return;
        if (key === this.#hidden) this.#blamed.push(`${fact} of ${key}, which the selector hides: ${reason}`);
        if (reason !== "refuted") return;
        const lives = stateOf(this.#moments, this.#shownAt).some(
          (moment) => moment.key === key && !ended(moment),
        );
        if (fact === "tombstone" || lives) this.#blamed.push(`a true ${fact} of ${key} was called a lie`);
      },
      incarnationEnded: ({ key }, reason) => void this.#ended.push(`${key} ${reason}`),
    });
    return table;
  }

  take(step: VerifyStep): Violation | undefined {
    this.#trail.push(step);
    this.#ended = [];
    const before = this.#answers();
    this.#apply(step);
    const wrong = this.#blamed[0] ?? this.#forgedHadEffect(step, before) ?? this.#wrong();
    return wrong === undefined ? undefined : this.#violation(wrong);
  }

  /** All reads come back; then nothing may be left in doubt. */
  drain(): Violation | undefined {
    for (let turn = 0; this.#reads.length > 0; turn++) {
      if (turn > 100) return this.#violation("reads begin for ever");
      const violation = this.take({ kind: "answer" });
      if (violation) return violation;
    }
    const { hints, tombstones, doubtful } = this.table.stats();
    // What a proven peer pushed stays until the informer has passed it.
    return doubtful > 0 || (!this.#proven && hints + tombstones > 0)
      ? this.#violation(`left: ${hints} hints, ${tombstones} tombstones, ${doubtful} doubts`)
      : undefined;
  }

  /** After the informer has delivered everything the table stands for the truth. */
  notConverged(): Violation | undefined {
    const truth = new Map(
      this.#shown(Number.MAX_SAFE_INTEGER).map((moment) => [moment.key, moment.route] as const),
    );
    for (const key of this.#keys) {
      const route = this.table.inspect(key)?.inEffect?.route;
      const inTruth = truth.get(key);
      const alive = inTruth !== undefined && inTruth.state !== "dead";
      if (alive ? route !== inTruth : route !== undefined && route.state !== "dead") {
        return this.#violation(`${key} ended as ${describe(route)}, in truth it is ${describe(inTruth)}`);
      }
      // A deletion that counts stays at the version of an object that is ending, until that is gone.
      const mayStay = new Set(this.#proven ? ["confirmed", "tombstone"] : ["confirmed"]);
      const left = this.table.inspect(key)?.facts.filter(({ kind }) => !mayStay.has(kind)) ?? [];
      if (left.length > 0) return this.#violation(`${key} is left with a ${left[0]?.kind ?? ""}`);
    }
    return undefined;
  }

  #begin(key: ObjectKey): void {
    this.#reads.push({ key, asOf: this.table.pushSerial, begunAt: this.#present });
  }

  #apply(step: VerifyStep): void {
    switch (step.kind) {
      case "list": {
        const listed = this.#shown(step.version);
        this.#tellUpTo(step.version);
        this.#shownAt = step.version;
        this.table.relist("", rv(step.version), listed.map(observationOf), this.#nowMs);
        this.#watermark = Math.max(this.#watermark, step.version);
        this.#synced = true;
        return;
      }
      case "event": {
        const { key, name, uid, version, gone } = step.moment;
        if (key === this.#hidden) return;
        this.#tellUpTo(version);
        this.#watermark = Math.max(this.#watermark, version);
        if (gone) this.table.remove("", "ns", name, uid, rv(version), this.#nowMs);
        else this.table.observe("", observationOf(step.moment), this.#nowMs);
        return;
      }
      case "bookmark":
        this.#tellUpTo(step.version);
        this.#watermark = Math.max(this.#watermark, step.version);
        this.table.bookmark("", rv(step.version), this.#nowMs);
        return;
      case "push":
        if (!step.forged) this.#tellPush(`ns/${step.route.name}`, Number(step.route.resourceVersion));
        this.table.pushUpdate(
          step.route,
          this.#nowMs,
          step.forged ? "forger" : "manager",
          this.#proven && !step.forged,
        );
        return;
      case "push-delete": {
        const { name, version, forged } = step;
        // A manager pushes a deletion when it is done, at the version that it has cached.
        const gone = this.#moments.find(
          (moment) => moment.name === name && moment.version >= version && ended(moment),
        );
        if (!forged) this.#tellPush(`ns/${name}`, gone?.version ?? version);
        if (!forged && this.#proven)
          this.#ends.set(`ns/${name}`, Math.max(version, this.#ends.get(`ns/${name}`) ?? 0));
        this.table.pushDelete(
          { namespace: "ns", name, resourceVersion: rv(version) },
          this.#nowMs,
          forged ? "forger" : "manager",
          this.#proven && !forged,
        );
        return;
      }
      case "answer":
        this.#answer();
        return;
      case "reload": {
        // Before the first list no snapshot is taken.
        if (!this.#synced) return;
        const snapshot = snapshotOf(this.table, this.#nowMs);
        this.#reads.length = 0;
        this.table = this.#newTable();
        this.table.load(snapshot, this.#nowMs);
        return;
      }
      case "time":
        this.#nowMs += 500;
        this.table.advance(this.#nowMs);
    }
  }

  #answer(): void {
    const read = this.#reads.shift();
    if (!read) return;
    const version = this.#readMoment === "begin" ? read.begunAt : this.#present;
    this.#shownAt = version;
    const moment = this.#shown(version).find(({ key }) => key === read.key);
    const [namespace = "", name = ""] = read.key.split("/");
    const result = this.table.settle(
      {
        namespace,
        name,
        asOf: read.asOf,
        version: rv(version),
        observation: moment && observationOf(moment),
      },
      this.#nowMs,
    );
    if (result !== "settled") this.#begin(read.key);
    this.#tellKeyUpTo(read.key, version);
  }

  /** The objects at a version that the informer's selector lets through. */
  #shown(version: number): Moment[] {
    return stateOf(this.#moments, version).filter(({ key }) => key !== this.#hidden);
  }

  #tellUpTo(version: number): void {
    this.#present = Math.max(this.#present, version);
    for (const key of this.#keys) this.#tellKeyUpTo(key, version);
  }

  #tellKeyUpTo(key: ObjectKey, version: number): void {
    for (const moment of this.#moments) {
      if (moment.key !== key || moment.version > version) continue;
      this.#tell(key, moment.version);
      if (ended(moment)) this.#ends.set(key, Math.max(moment.version, this.#ends.get(key) ?? 0));
    }
  }

  #tellPush(key: ObjectKey, version: number): void {
    this.#present = Math.max(this.#present, version);
    this.#tell(key, version);
  }

  #tell(key: ObjectKey, version: number): void {
    this.#told.set(key, Math.max(version, this.#told.get(key) ?? 0));
  }

  /** Who answers to each ID, by incarnation: `held` while the request waits. */
  #answers(): ReadonlyMap<string, string> {
    const answers = new Map<string, string>();
    for (const id of ["x", "y", "z", "shared", ...this.#keys.map((key) => key.replace("/", "--"))]) {
      const found = this.table.lookup(id);
      const number = found.kind === "found" ? found.incarnation?.number : undefined;
      answers.set(id, this.table.isHeld(id) ? "held" : `${found.kind} ${number ?? "nobody"}`);
    }
    return answers;
  }

  /** While the API server answers. When it does not, a lie can take a sandbox off the air, but never put another in its place. */
  #forgedHadEffect(step: VerifyStep, before: ReadonlyMap<string, string>): string | undefined {
    if (!("forged" in step) || !step.forged) return undefined;
    const isAway = this.#keys.some((key) => this.table.inspect(key)?.doubt === "overdue");
    if (!isAway && this.#ended.length > 0) return `a forged push ended ${this.#ended.join(", ")}`;
    for (const [id, answer] of this.#answers()) {
      const was = before.get(id);
      const isNobody = isAway && answer.endsWith("nobody");
      if (answer !== was && answer !== "held" && !isNobody) {
        return `a forged push changed who answers to ${id}: ${was} → ${answer}`;
      }
    }
    return undefined;
  }

  #wrong(): string | undefined {
    for (const key of this.#keys) {
      const view = this.table.inspect(key);
      const effect = view?.inEffect;
      if (key === this.#hidden) {
        if (effect) return `${key} is in effect as ${describe(effect.route)}, though the selector hides it`;
        continue;
      }
      if (effect && effect.state !== "dead" && effect.state !== DOUBTED) {
        if (!this.#wasEver(key, effect.route)) return `${key} is in effect as it never was`;
        const end = this.#ends.get(key) ?? 0;
        if (Number(effect.route.resourceVersion) <= end) {
          return `${key} is in effect as ${describe(effect.route)}, but its end at ${end} was told`;
        }
      }
      // Before the first list nothing is served at all.
      if (!this.#synced || this.table.isObjectHeld("ns", key.slice(3))) continue;
      const versions = view?.facts.filter(({ kind }) => kind !== "hint" && kind !== "tombstone") ?? [];
      const known = Math.max(
        this.#watermark,
        ...versions.map(({ resourceVersion }) => Number(resourceVersion)),
        Number(effect?.route.resourceVersion ?? 0),
      );
      const told = this.#told.get(key) ?? 0;
      if (known < told && effect?.incarnation && !this.#isSoAt(key, told, effect.route))
        return `requests for ${key} go by ${known}, though ${told} was told`;
      const misroute = this.#misroute(key);
      if (misroute) return misroute;
    }
    return undefined;
  }

  #wasEver(key: ObjectKey, { resourceVersion, uid, ip, state }: Route): boolean {
    const moment = this.#moments.find(
      ({ key: of, version }) => of === key && version === Number(resourceVersion),
    );
    return (
      moment?.route?.uid === uid &&
      moment.uid === uid &&
      moment.route.ip === ip &&
      moment.route.state === state
    );
  }

  /** Whether the object was at a version as `route` has it: then it does not matter that the version is not known. */
  #isSoAt(key: ObjectKey, version: number, { uid, ip, state }: Route): boolean {
    const route = this.#moments.findLast((moment) => moment.key === key && moment.version <= version)?.route;
    return route?.uid === uid && route.ip === ip && route.state === state;
  }

  /** A request goes to a pod IP of which it was told, by whomever, that another sandbox took it later. */
  #misroute(key: ObjectKey): string | undefined {
    const incarnation = this.table.inspect(key)?.inEffect?.incarnation;
    if (!incarnation) return undefined;
    for (const other of this.#keys) {
      const took = other === key || other === this.#hidden ? undefined : this.#took(other, incarnation.ip);
      if (took !== undefined && took > (this.#took(key, incarnation.ip) ?? 0)) {
        return `requests for ${key} go to ${incarnation.ip}, which ${other} took at ${took}`;
      }
    }
    return undefined;
  }

  /** When the object took the IP that it runs on, as far as was told; `undefined` when it does not. */
  #took(key: ObjectKey, ip: string): number | undefined {
    const told = this.#moments.filter(
      (moment) => moment.key === key && moment.version <= (this.#told.get(key) ?? 0),
    );
    const last = told.at(-1);
    if (last?.route?.state !== "running" || last.route.ip !== ip) return undefined;
    const before = told.findLast(
      ({ uid, route }) => uid !== last.uid || route?.ip !== ip || route.state !== "running",
    );
    return told.find(({ version }) => version > (before?.version ?? 0))?.version;
  }

  #violation(what: string): Violation {
    return { what, trail: this.#trail.map(describeStep) };
  }
}

function ended({ route }: Moment): boolean {
  return route === undefined || route.state === "dead";
}

function describe(route: Route | undefined): string {
  return route
    ? `${route.uid} ${route.state} on ${route.ip || "no IP"} @${route.resourceVersion}`
    : "nothing";
}

function describeStep(step: VerifyStep): string {
  switch (step.kind) {
    case "list":
    case "bookmark":
      return `${step.kind} @${step.version}`;
    case "event":
      return `event ${step.moment.name} ${step.moment.happening} @${step.moment.version}`;
    case "push":
      return `${step.forged ? "forged " : ""}push ${describe(step.route)} of ${step.route.name}`;
    case "push-delete":
      return `${step.forged ? "forged " : ""}push delete ${step.name} @${step.version}`;
    case "answer":
      return "a read comes back";
    case "reload":
      return "starts again with a snapshot";
    case "time":
      return "half a second passes";
  }
}

/** Goes one history to its end; `last` is the informer's last word. */
export function goThrough(
  witness: VerifyWitness,
  steps: readonly VerifyStep[],
  last: VerifyStep,
): Violation | undefined {
  for (const step of steps) {
    const violation = witness.take(step);
    if (violation) return violation;
  }
  return witness.drain() ?? witness.take(last) ?? witness.notConverged();
}

/**
 * Every merging of informer, one true push, one forged push and one early answer, for each of the timelines; with a `oneIn`,
 * for one of so many pairs of pushes.
 */
export function exploreVerify(
  timelines: Iterable<readonly Moment[]>,
  world: VerifyWorld = {},
  oneIn = 1,
): { readonly histories: number; readonly violation: Violation | undefined } {
  let histories = 0;
  let pair = 0;
  for (const moments of timelines) {
    for (const script of gaplessScripts(moments)) {
      const last = script.at(-1) as VerifyStep;
      for (const truth of truePushes(moments)) {
        for (const forged of forgedPushes(moments)) {
          if (pair++ % oneIn > 0) continue;
          for (const steps of mergings([script.slice(0, -1), [truth], [forged], [{ kind: "answer" }]])) {
            for (const moment of ["begin", "end"] as const) {
              histories++;
              const violation = goThrough(new VerifyWitness(moments, moment, world), steps, last);
              if (violation) return { histories, violation };
            }
          }
        }
      }
    }
  }
  return { histories, violation: undefined };
}
