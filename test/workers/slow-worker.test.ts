import { expect, test } from "vitest";
import { encodeRoute, type RouteBatch, type RouteTuple } from "../../src/workers/route-batch.ts";
import { RouteFeed } from "../../src/workers/route-feed.ts";
import { RouteMirror } from "../../src/workers/route-mirror.ts";
import { makeRoute, observe, rv } from "../routes/support/timeline.ts";
import { newTable } from "../support/defaults.ts";

class HeldClock {
  ms = 0;
  nowMs = () => this.ms;
  monotonicMs = () => this.ms;
  setTimeout = () => ({ clear() {} });
}

function setUp(routes: number) {
  const clock = new HeldClock();
  const table = newTable({ scopes: [""] });
  const listed = Array.from({ length: routes }, (_, index) =>
    observe(makeRoute(`box-${index}`, 1, { ip: `10.1.${index >> 8}.${index & 255}` })),
  );
  table.relist("", rv(1), listed, 0);
  const feed = new RouteFeed(table, clock);
  const batches: RouteBatch[] = [];
  const subscription = feed.subscribe((batch) => void batches.push(batch), { partSize: 10 });
  let version = 1;
  return {
    clock,
    table,
    feed,
    batches,
    subscription,
    run: (name: string, ip: string) =>
      table.observe("", observe(makeRoute(name, ++version, { ip })), clock.ms),
    remove: (name: string) => table.remove("", "ns", name, "", rv(++version), clock.ms),
    acknowledge: () => subscription.acknowledged(batches.at(-1)?.sequence ?? 0),
  };
}

test("a worker that takes nothing costs no more than the keys that it and the table know", async () => {
  const { run, remove, subscription, batches, table } = setUp(100);
  for (let index = 0; index < 20_000; index++) {
    // Churn as a cluster has it: each sandbox has a name of its own, and all of them get few addresses in turn.
    run(`new-${index}`, `10.2.0.${index % 200}`);
    if (index >= 150) remove(`new-${index - 150}`);
    if (index < 100) remove(`box-${index}`);
    // Another one moves to and fro all the time.
    run("restless", `10.4.0.${index % 2}`);
    if (index % 500 === 0) await Promise.resolve();
  }
  await Promise.resolve();
  expect(batches.length).toBe(16);
  const known = new Set(batches.flatMap(({ routes }) => routes.map(([, name]) => name)));
  expect(subscription.waiting).toBeLessThanOrEqual(known.size + table.stats().entries);
  expect(subscription.underWay).toBe(16);

  // And when it is back it needs one batch, or two, to know everything.
  const before = batches.length;
  subscription.acknowledged(before);
  expect(batches.length).toBe(before + 1);
  expect(batches.at(-1)?.ends.length).toBeLessThanOrEqual(known.size);
  const mirror = new RouteMirror();
  for (const batch of batches) mirror.apply(batch);
  expect(mirror.size).toBe(151);
});

test("very many changes go in parts, which end though more changes come all the time", async () => {
  const { feed, run, remove, table } = setUp(0);
  const batches: RouteBatch[] = [];
  const subscription = feed.subscribe((batch) => void batches.push(batch), {
    batches: 2,
    changes: 20,
    partSize: 10,
  });
  subscription.acknowledged(1);
  for (let index = 0; index < 100; index++) run(`many-${index}`, `10.5.0.${index}`);
  await Promise.resolve();
  expect(batches.at(-1)?.extent).toBe("part");
  let more = 0;
  while (batches.at(-1)?.extent !== "current") {
    expect(batches.length).toBeLessThan(20);
    for (let count = 0; count < 15; count++) run(`more-${more}`, `10.6.${more >> 8}.${more++ & 255}`);
    remove(`more-${more - 7}`);
    await Promise.resolve();
    subscription.acknowledged(batches.length);
  }
  expect(subscription.acknowledged(batches.length), "it tells how long all that took").toBeGreaterThanOrEqual(
    0,
  );
  const mirror = new RouteMirror();
  for (const batch of batches) mirror.apply(batch);
  expect(mirror.size).toBe(table.stats().entries);
});

test("an incarnation that is not in effect any more never stays, whatever a batch leaves unsaid", () => {
  const mirror = new RouteMirror();
  const told: unknown[] = [];
  mirror.addListener({ incarnationEnded: ({ number }, reason) => void told.push([number, reason]) });
  const tuple = (incarnation: number): RouteTuple =>
    [
      ...encodeRoute({
        kind: "found",
        route: makeRoute("box", 1),
        state: "running",
        incarnation: undefined,
        ipReassigned: false,
      }),
    ].with(17, incarnation) as unknown as RouteTuple;
  const batch = { extent: "current", synced: true, ends: [], gone: [], doubts: [] } as const;
  mirror.apply({ ...batch, sequence: 1, routes: [tuple(1)] });
  mirror.apply({ ...batch, sequence: 2, routes: [tuple(2)] });
  mirror.apply({ ...batch, sequence: 3, routes: [], gone: ["ns/box"] });
  expect(told).toEqual([
    [1, "replaced"],
    [2, "dead"],
  ]);
});

test("the lag is the age of the oldest change that a worker has not acknowledged", async () => {
  const { clock, run, subscription, batches, acknowledge } = setUp(3);
  acknowledge();
  expect(subscription.lagMs).toBe(0);
  clock.ms = 100;
  run("box-0", "10.3.0.1");
  await Promise.resolve();
  clock.ms = 150;
  run("box-1", "10.3.0.2");
  await Promise.resolve();
  clock.ms = 400;
  expect(subscription.lagMs).toBe(300);
  expect(subscription.acknowledged(batches.length - 1)).toBe(300);
  expect(subscription.lagMs).toBe(250);
  acknowledge();
  expect(subscription.lagMs).toBe(0);
  // Nothing changes, but does the worker still answer?
  subscription.probe();
  clock.ms = 1_400;
  subscription.probe();
  expect(subscription.lagMs).toBe(1_000);
  expect(batches.at(-1)).toMatchObject({ ends: [], gone: [], routes: [] });
});

test("an address changes hands: its end and its next tenant reach a worker together, the end first", async () => {
  const { run, remove, batches, acknowledge } = setUp(1);
  acknowledge();
  const mirror = new RouteMirror();
  for (const batch of batches.splice(0)) mirror.apply(batch);
  const told: unknown[] = [];
  mirror.addListener({
    incarnationEnded: ({ key, ip }, reason) => {
      // When a listener hears of the end, nothing is served under the old name any more.
      told.push([key, ip, reason, mirror.lookupObject("ns", "box-0").kind]);
    },
  });
  remove("box-0");
  run("next", "10.1.0.0");
  await Promise.resolve();
  expect(batches).toMatchObject([
    {
      ends: [["ended", "ns/box-0", 1, "dead"]],
      gone: ["ns/box-0"],
      routes: [expect.arrayContaining(["next"])],
    },
  ]);
  for (const batch of batches) mirror.apply(batch);
  expect(told).toEqual([["ns/box-0", "10.1.0.0", "dead", "unknown"]]);
  expect(mirror.lookupObject("ns", "next")).toMatchObject({ incarnation: { ip: "10.1.0.0" } });
});

test("a worker without its primary serves nothing: nobody would tell it of an end", () => {
  const { batches } = setUp(1);
  const mirror = new RouteMirror();
  expect(mirror.synced).toBe(false);
  for (const batch of batches) mirror.apply(batch);
  expect(mirror.synced).toBe(true);
  mirror.disconnected();
  expect(mirror.synced).toBe(false);
});
