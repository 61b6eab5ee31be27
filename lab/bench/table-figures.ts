/**
 * One table of one size, measured: `node --expose-gc lab/bench/table-figures.ts ROUTES SECONDS`. Prints one line of JSON.
 * A process of its own for each size, so that no table is measured beside what another left behind.
 */
import { configFrom } from "../../src/config/load.ts";
import { tableOptionsOf } from "../../src/router/table-options.ts";
import { RouteTable } from "../../src/routes/table.ts";
import { idOf, ipOf, nameOf, namespaceOf, observe, versionOf } from "./table-objects.ts";

/** What the child prints. Rates are per second of one core, with the garbage collector's work in them. */
export interface TableFigures {
  readonly routes: number;
  readonly mutationsPerSecond: Readonly<Record<Mutation, Rate>>;
  readonly lookupsPerSecond: Readonly<Record<LookupKind, Rate>>;
  readonly bytesPerRoute: {
    /** After the first list, of sandboxes without access token, pod UID and shutdownTime. */
    readonly plain: number;
    /** After the first list, of sandboxes with all that. */
    readonly listed: number;
    /** After updates, removals, pushes and their confirmation. */
    readonly churned: number;
    /** After each sandbox was asked for once, and so has an incarnation. */
    readonly served: number;
  };
  /** Time to take the first list in, without reading it. */
  readonly relistMs: number;
}

/** Operations per second of CPU time. */
export interface Rate {
  readonly mean: number;
  /** Of the quietest tenth of the batches: what is left of others who use the machine's caches is least there. */
  readonly quiet: number;
}

export type Mutation =
  | "update"
  | "pause or resume"
  | "add"
  | "remove"
  | "push"
  | "push confirmed"
  | "push deletion";
export type LookupKind =
  | "any ID"
  | "any ID, asked before"
  | "10,000 hot IDs"
  | "unknown ID"
  | "by object"
  | "bare Map";

/** The batches of one kind that were measured. */
class Batches {
  #operations = 0;
  #ms = 0;
  readonly #rates: number[] = [];

  get ms(): number {
    return this.#ms;
  }

  add(operations: number, ms: number): void {
    this.#operations += operations;
    this.#ms += ms;
    this.#rates.push((operations / ms) * 1_000);
  }

  rate(): Rate {
    const rates = this.#rates.toSorted((a, b) => b - a);
    const quiet = rates[Math.floor(rates.length / 10)] ?? Number.NaN;
    return { mean: (this.#operations / this.#ms) * 1_000, quiet };
  }
}

/** Small enough that what is new to the table is still warm, as it is when the informer has just read it. */
const BATCH = 200;
const [routes, seconds] = [Number(process.argv[2]), Number(process.argv[3])];
const gc = globalThis.gc;
if (!gc || !Number.isInteger(routes) || !(seconds > 0)) {
  throw new Error("usage: node --expose-gc lab/bench/table-figures.ts ROUTES SECONDS");
}

let random = 1;
/** A whole number below `limit`; the same series in each run. */
function pick(limit: number): number {
  random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((random / 2 ** 32) * limit);
}

/** Bytes that live on V8's heap and in buffers beside it, after everything that can go has gone. */
function liveBytes(): number {
  for (let i = 0; i < 3; i++) gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(`the table is wrong: ${what}`);
}

/** CPU time of this process so far, all its threads together: what a core has done, whoever else runs on it. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

let table = new RouteTable({ ...tableOptionsOf(configFrom()), trust: "serve" });
let nowMs = Date.UTC(2026, 0, 1);
let version = 1_000_000_000;

const emptyBytes = liveBytes();
fill(true);
const plain = (liveBytes() - emptyBytes) / routes;
table = new RouteTable({ ...tableOptionsOf(configFrom()), trust: "serve" });
/** Somebody listens, as the metrics do. */
const outcomes = new Map<string, number>();
table.addListener({
  told: ({ outcome }) => void outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1),
});
const relistMs = fill(false);
const listed = (liveBytes() - emptyBytes) / routes;
checkRoutes();
const lookupsPerSecond = measureLookups();
const served = (liveBytes() - emptyBytes) / routes;
const mutations = measureMutations();
check(table.stats().entries === routes, `${table.stats().entries} entries, not ${routes}`);
const churned = (liveBytes() - emptyBytes) / routes;

const figures: TableFigures = {
  routes,
  ...mutations,
  lookupsPerSecond,
  bytesPerRoute: { plain, listed, served, churned },
  relistMs,
};
process.stdout.write(`${JSON.stringify(figures)}\n`);

function fill(isPlain: boolean): number {
  const observations = observe([...Array(routes).keys()], version, () => ({ plain: isPlain }));
  version += routes;
  const start = cpuMs();
  table.relist("", versionOf(version), observations, nowMs);
  table.setLive("", true, nowMs);
  return cpuMs() - start;
}

function checkRoutes(): void {
  const { entries, servable, ipConflicts, idConflicts } = table.stats();
  check(entries === routes && servable === routes, `${servable} of ${entries} are servable, not ${routes}`);
  check(ipConflicts + idConflicts === 0, "there are conflicts");
  for (let n = 0; n < 10_000; n++) {
    const index = pick(routes);
    const found = table.lookup(idOf(index));
    check(found.kind === "found" && found.route.name === nameOf(index), `lookup of ${idOf(index)}`);
  }
}

/** Runs `batch` until its timed part, which it returns in milliseconds, has taken so many seconds. */
function rate(part: number, batch: () => number): Rate {
  const batches = new Batches();
  for (let round = 0; batches.ms < part * 1_000; round++) {
    const ms = batch();
    // The first rounds are for the compiler.
    if (round >= 250) batches.add(BATCH, ms);
  }
  return batches.rate();
}

function measureLookups(): Record<LookupKind, Rate> {
  const part = seconds / 3;
  const bareMap = new Map([...Array(routes).keys()].map((index) => [idOf(index), { state: "running" }]));
  const byId = (ids: () => string, expected: number, isKnown = false): Rate =>
    rate(part, () => {
      // New strings, as a new connection brings them: their hash is not known yet.
      const asked = Array.from({ length: BATCH }, () => Buffer.from(ids()).toString("latin1"));
      // As kept with a connection: a Map read by anyone has left the hash in the string.
      if (isKnown) for (const id of asked) outcomes.has(id);
      let found = 0;
      const start = cpuMs();
      for (const id of asked) {
        const lookup = table.lookup(id);
        if (lookup.kind === "found" && lookup.state === "running") found++;
      }
      const ms = cpuMs() - start;
      check(found === expected, `${found} found, not ${expected}`);
      return ms;
    });
  const any = byId(() => idOf(pick(routes)), BATCH);
  const known = byId(() => idOf(pick(routes)), BATCH, true);
  const hot = byId(() => idOf(pick(Math.min(routes, 10_000))), BATCH);
  const unknown = byId(() => `1${idOf(pick(routes))}`, 0);
  const bare = rate(part, () => {
    const asked = Array.from({ length: BATCH }, () => Buffer.from(idOf(pick(routes))).toString("latin1"));
    let found = 0;
    const start = cpuMs();
    for (const id of asked) if (bareMap.get(id)?.state === "running") found++;
    const ms = cpuMs() - start;
    check(found === BATCH, "the bare Map does not find all");
    return ms;
  });
  bareMap.clear();
  const byObject = rate(part, () => {
    const asked = Array.from({ length: BATCH }, () => {
      const index = pick(routes);
      return [namespaceOf(index), Buffer.from(nameOf(index)).toString("latin1")] as const;
    });
    let found = 0;
    const start = cpuMs();
    for (const [namespace, name] of asked) {
      const lookup = table.lookupObject(namespace, name);
      if (lookup.kind === "found" && lookup.state === "running") found++;
    }
    const ms = cpuMs() - start;
    check(found === BATCH, `${found} objects found, not ${BATCH}`);
    return ms;
  });
  for (let index = 0; index < routes; index++) {
    const lookup = table.lookup(idOf(index));
    check(lookup.kind === "found" && lookup.incarnation?.ip === ipOf(index), `incarnation of ${idOf(index)}`);
  }
  return {
    "any ID": any,
    "any ID, asked before": known,
    "10,000 hot IDs": hot,
    "unknown ID": unknown,
    "by object": byObject,
    "bare Map": bare,
  };
}

function measureMutations(): Pick<TableFigures, "mutationsPerSecond"> {
  const totals = new Map<Mutation, Batches>();
  const timed = (kind: Mutation, operations: number, run: () => number): void => {
    const start = cpuMs();
    const applied = run();
    const ms = cpuMs() - start;
    check(applied === operations, `${applied} of ${operations} took effect as ${kind}`);
    const batches = totals.get(kind) ?? new Batches();
    totals.set(kind, batches);
    batches.add(operations, ms);
  };
  const observeAll = (kind: Mutation, observations: ReturnType<typeof observe>): void => {
    version += observations.length;
    timed(kind, observations.length, () => {
      let applied = 0;
      for (const observation of observations) {
        if (table.observe("", observation, (nowMs += 0.01)) === "applied") applied++;
      }
      return applied;
    });
  };
  const some = (): number[] => [...new Set(Array.from({ length: BATCH }, () => pick(routes)))];
  const round = (number: number): void => {
    observeAll("update", observe(some(), version + 1));
    const paused = some();
    observeAll(
      "pause or resume",
      observe(paused, version + 1, () => ({ paused: true })),
    );
    observeAll(
      "pause or resume",
      observe(paused, version + 1, () => ({ move: 1 + (number % 3) })),
    );
    pushAndConfirm(some());
    removeAndAdd(some());
  };
  const pushAndConfirm = (indexes: readonly number[]): void => {
    const confirmations = observe(indexes, version + 1);
    // Strings of their own, as a push brings them.
    const pushes = JSON.parse(JSON.stringify(confirmations.map(({ route }) => route))) as Parameters<
      RouteTable["pushUpdate"]
    >[0][];
    timed("push", pushes.length, () => {
      let applied = 0;
      for (const push of pushes) if (table.pushUpdate(push, nowMs) === "applied") applied++;
      return applied;
    });
    observeAll("push confirmed", confirmations);
    check(table.stats().hints === 0, "hints are left");
  };
  const removeAndAdd = (indexes: readonly number[]): void => {
    const gone = observe(indexes, version + 1);
    timed("push deletion", gone.length, () => {
      let applied = 0;
      for (const { namespace, name, resourceVersion } of gone) {
        if (table.pushDelete({ namespace, name, resourceVersion }, nowMs) === "applied") applied++;
      }
      return applied;
    });
    version += gone.length;
    timed("remove", gone.length, () => {
      let applied = 0;
      for (const { namespace, name, uid, resourceVersion } of gone) {
        if (table.remove("", namespace, name, uid, resourceVersion, (nowMs += 0.01)) === "applied") applied++;
      }
      return applied;
    });
    observeAll(
      "add",
      observe(indexes, version + 1, () => ({ life: 1 })),
    );
  };
  for (let number = 0; number < 100; number++) round(number);
  totals.clear();
  const spentMs = (): number => [...totals.values()].reduce((sum, { ms }) => sum + ms, 0);
  for (let number = 1; spentMs() < seconds * 1_000; number++) round(number);

  const mutationsPerSecond = Object.fromEntries(
    [...totals].map(([kind, batches]) => [kind, batches.rate()]),
  ) as Record<Mutation, Rate>;
  return { mutationsPerSecond };
}
