import { deserialize, serialize } from "node:v8";
import fc from "fast-check";
import { expect, test } from "vitest";
import { systemClock } from "../../src/system/clock.ts";
import type { EndReason, Incarnation, Lookup, RouteLookup } from "../../src/routes/lookup.ts";
import { isTerminal } from "../../src/routes/route.ts";
import type { RouteBatch } from "../../src/workers/route-batch.ts";
import { RouteFeed } from "../../src/workers/route-feed.ts";
import { RouteMirror } from "../../src/workers/route-mirror.ts";
import type { Subscription } from "../../src/workers/subscription.ts";
import { IDS, mutation, OBJECTS, TableLife } from "./support/table-life.ts";

// A real table and workers that take its batches when they please: now, late, many at once. After each batch a worker
// must answer as the table did when the batch was made, and must have been told of the same ends.

/** What a lookup says, by value. */
function valueOf(found: Lookup): unknown {
  if (found.kind !== "found") return found;
  const { route, state, incarnation, ipReassigned } = found;
  const { number, key, uid, ip } = incarnation ?? {};
  return { route, state, ipReassigned, incarnation: incarnation && { number, key, uid, ip } };
}

function answers({ synced, ...routes }: Pick<RouteLookup, "synced" | "lookup" | "lookupObject">) {
  const byId = IDS.map((id) => {
    const found = routes.lookup(id);
    // Any of the dead may stand for an ID that nobody living has.
    return found.kind === "found" && isTerminal(found.state) ? "dead" : valueOf(found);
  });
  const byObject = OBJECTS.map((object) => valueOf(routes.lookupObject(...object)));
  return { synced, byId, byObject };
}

function answersOf(routes: RouteLookup) {
  return answers({
    synced: routes.synced,
    lookup: (id) => routes.lookup(id),
    lookupObject: (namespace, name) => routes.lookupObject(namespace, name),
  });
}

/** What listeners are told of each incarnation. */
class Ends {
  readonly byNumber = new Map<number, string[]>();
  readonly objects = new Map<number, Incarnation>();

  incarnationEnded = (incarnation: Incarnation, reason: EndReason) =>
    this.#add(incarnation, `ended ${reason}`);
  pauseEnded = (incarnation: Incarnation, reason: EndReason) =>
    this.#add(incarnation, `pause ended ${reason}`);

  #add(incarnation: Incarnation, what: string): void {
    const told = this.byNumber.get(incarnation.number) ?? [];
    this.byNumber.set(incarnation.number, [...told, what]);
    const known = this.objects.get(incarnation.number) ?? incarnation;
    expect(known, "one incarnation is one object").toBe(incarnation);
    this.objects.set(incarnation.number, incarnation);
  }
}

/** Parts that came to a worker which was serving. */
let staged = 0;

interface Point {
  readonly answers: ReturnType<typeof answersOf>;
  readonly ends: ReadonlyMap<number, readonly string[]>;
}

class Worker {
  readonly mirror = new RouteMirror();
  readonly #life: TableLife;
  readonly #tableEnds: Ends;
  readonly #ends = new Ends();
  readonly #seen = new Map<number, Incarnation>();
  readonly #pipe: { readonly batch: Buffer; readonly point: Point }[] = [];
  readonly subscription: Subscription;

  constructor(life: TableLife, tableEnds: Ends, feed: RouteFeed, partSize: number) {
    this.#life = life;
    this.#tableEnds = tableEnds;
    this.mirror.addListener(this.#ends);
    this.subscription = feed.subscribe((batch) => this.#onBatch(batch), {
      batches: 2,
      changes: 3,
      partSize,
    });
  }

  #onBatch(batch: RouteBatch): void {
    const ends = new Map([...this.#tableEnds.byNumber].map(([number, told]) => [number, [...told]]));
    this.#pipe.push({ batch: serialize(batch), point: { answers: answersOf(this.#life.table), ends } });
    expect(this.#pipe.length, "what is under way has a bound").toBeLessThanOrEqual(2);
  }

  /** Takes one batch out of the pipe; false when there is none. */
  take(): boolean {
    const next = this.#pipe.shift();
    if (!next) return false;
    const batch = deserialize(next.batch) as RouteBatch;
    const before = this.mirror.synced;
    this.mirror.apply(batch);
    if (batch.extent === "part") expect(this.mirror.synced, "a part is not enough to serve").toBe(before);
    if (batch.extent === "part") this.#checkNoneHasEnded(next.point.ends);
    else {
      expect(answersOf(this.mirror)).toEqual(next.point.answers);
      this.#checkIncarnations(next.point.ends);
    }
    this.subscription.acknowledged(batch.sequence);
    if (this.subscription.synced) expect(this.mirror.synced).toBe(true);
    return true;
  }

  /** In the middle of very many changes, too: nothing is served that had ended when the batch was made. */
  #checkNoneHasEnded(ends: ReadonlyMap<number, readonly string[]>): void {
    if (!this.mirror.synced) return;
    for (const object of OBJECTS) {
      const found = this.mirror.lookupObject(...object);
      const number = found.kind === "found" ? found.incarnation?.number : undefined;
      if (number !== undefined) expect(ends.get(number), `${number} is served`).toBeUndefined();
    }
    staged++;
  }

  /** Every incarnation that this worker has seen was ended as the table ended it; none that is served has ended. */
  #checkIncarnations(ends: ReadonlyMap<number, readonly string[]>): void {
    for (const object of OBJECTS) {
      const found = this.mirror.lookupObject(...object);
      const incarnation = found.kind === "found" ? found.incarnation : undefined;
      if (!incarnation) continue;
      expect(ends.get(incarnation.number), `${incarnation.number} is served`).toBeUndefined();
      expect(this.#seen.get(incarnation.number) ?? incarnation, "one incarnation is one object").toBe(
        incarnation,
      );
      this.#seen.set(incarnation.number, incarnation);
    }
    for (const [number] of this.#seen) {
      expect(this.#ends.byNumber.get(number), `the ends of ${number}`).toEqual(ends.get(number));
    }
  }
}

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("mutate" as const), mutation }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("turn" as const) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("take" as const), worker: fc.nat(2) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("join" as const), partSize: fc.integer({ min: 1, max: 4 }) }),
  },
);

test("after each batch a worker answers as the table did when it was made, however batches are cut and delayed", async () => {
  let current = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 80 }), async (steps) => {
      const life = new TableLife();
      const ends = new Ends();
      life.table.addListener(ends);
      const feed = new RouteFeed(life.table, systemClock);
      const workers: Worker[] = [];
      for (const each of steps) {
        if (each.do === "mutate") life.mutate(each.mutation);
        else if (each.do === "turn") await Promise.resolve();
        else if (each.do === "take") workers[each.worker]?.take();
        else if (workers.length < 3) workers.push(new Worker(life, ends, feed, each.partSize));
      }
      feed.look();
      await Promise.resolve();
      for (const worker of workers) {
        while (worker.take());
        // In the end everybody knows everything.
        expect(answersOf(worker.mirror)).toEqual(answersOf(life.table));
        expect(worker.subscription).toMatchObject({ waiting: 0, underWay: 0, lagMs: 0 });
        expect(worker.subscription.synced).toBe(life.table.synced);
        current++;
      }
    }),
    { numRuns: 1_000 },
  );
  expect(current).toBeGreaterThan(700);
  expect(staged).toBeGreaterThan(100);
});
