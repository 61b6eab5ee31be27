import { describe, expect, test } from "vitest";

import type { Incarnation, RouteInEffect } from "../../src/routes/lookup.ts";
import { parseResourceVersion } from "../../src/routes/resource-version.ts";
import type { ObjectKey, Route } from "../../src/routes/route.ts";
import { silentLog } from "../../src/system/log.ts";
import { type WakeApi, Waker } from "../../src/wake/waker.ts";
import { ManualClock } from "../proxy/support/manual-clock.ts";

type Result = Awaited<ReturnType<WakeApi["wake"]>>;

const rv = (text: string) => {
  const version = parseResourceVersion(text);
  if (version === undefined) throw new Error("no version");
  return version;
};

class Fault extends Error {
  readonly code: string;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

const KEY: ObjectKey = "team-a/box";

class Bench {
  readonly clock = new ManualClock();
  readonly asked: {
    readonly key: string;
    readonly uid: string;
    answer(result: Result | Fault): Promise<void>;
  }[] = [];
  readonly told: string[] = [];
  readonly failures: string[] = [];
  readonly waker: Waker;

  constructor(maxAttempts = 8) {
    this.waker = new Waker({
      api: {
        wake: (namespace, name, uid) =>
          new Promise((resolve, reject) => {
            this.asked.push({
              key: `${namespace}/${name}`,
              uid,
              async answer(result) {
                if (result instanceof Fault) reject(result);
                else resolve(result);
                await settled();
              },
            });
          }),
      },
      timeoutMs: 60_000,
      maxAttempts,
      failed: (key, uid, failure) => this.failures.push(`${key} ${uid} ${failure}`),
      observer: {
        attempted: (result) => this.told.push(result),
        ended: (how, tookMs) => this.told.push(`${how} after ${tookMs}`),
      },
      clock: this.clock,
      random: () => 1,
      log: silentLog,
    });
  }

  route(fields: Partial<Route> & { readonly runs?: boolean }): void {
    const { runs = false, ...more } = fields;
    const route: Route = {
      namespace: "team-a",
      name: "box",
      id: "box",
      uid: "u1",
      owner: "",
      ip: "10.0.0.1",
      state: "paused",
      resourceVersion: rv("1"),
      accessToken: "",
      requireTrafficAuth: false,
      ...more,
    };
    const incarnation: Incarnation = { number: 1, key: KEY, uid: route.uid, ip: route.ip };
    const found: RouteInEffect = {
      kind: "found",
      route,
      state: route.state,
      incarnation: runs ? incarnation : undefined,
      ipReassigned: false,
    };
    this.waker.routeChanged(KEY, found);
  }

  pass(ms: number): void {
    this.clock.stall(ms);
    this.clock.fireDue();
  }
}

async function settled(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

const patched: Result = { kind: "patched", version: rv("10") };

describe("a sandbox that sleeps", () => {
  test("is asked for once, however many requests wait, and is woken when the table says that it runs", async () => {
    const bench = new Bench();
    for (let i = 0; i < 500; i++) bench.waker.wake(KEY, "u1");
    expect(bench.asked).toHaveLength(1);
    await bench.asked[0]?.answer(patched);
    bench.waker.wake(KEY, "u1");
    bench.pass(1_500);
    bench.route({ wake: "resuming", resourceVersion: rv("11") });
    expect(bench.waker.size).toBe(1);
    bench.route({ runs: true, state: "running", resourceVersion: rv("12") });
    expect(bench.asked).toHaveLength(1);
    expect(bench.told).toEqual(["patched", "woken after 1500"]);
    expect([bench.waker.size, bench.failures]).toEqual([0, []]);
  });

  test("that is awake by then, since another router has woken it, is waited for", async () => {
    const bench = new Bench();
    bench.waker.wake(KEY, "u1");
    await bench.asked[0]?.answer({ kind: "awake", version: rv("10") });
    bench.route({ runs: true, state: "running" });
    expect(bench.told).toEqual(["awake", "woken after 0"]);
  });

  test("that does not run in time has failed, and is left alone for a time that grows", async () => {
    const bench = new Bench();
    for (const [round, waitMs] of [5_000, 10_000, 20_000].entries()) {
      bench.waker.wake(KEY, "u1");
      await bench.asked[round]?.answer(patched);
      bench.pass(60_000);
      await settled();
      expect(bench.failures).toHaveLength(2 * round + 1);
      bench.pass(waitMs - 1);
      bench.waker.wake(KEY, "u1");
      await settled();
      expect([bench.asked.length, bench.failures.length]).toEqual([round + 1, 2 * round + 2]);
      bench.pass(1);
    }
  });

  test("has its failures forgotten when it has run since", async () => {
    const bench = new Bench();
    bench.waker.wake(KEY, "u1");
    await bench.asked[0]?.answer(new Fault("server_error"));
    bench.route({ runs: true, state: "running" });
    bench.waker.wake(KEY, "u1");
    expect(bench.asked).toHaveLength(2);
  });

  test("that is paused again while it is woken fails at once; a stale word of the informer does not count", async () => {
    const bench = new Bench();
    bench.waker.wake(KEY, "u1");
    await bench.asked[0]?.answer(patched);
    bench.route({ wake: "asleep", resourceVersion: rv("9") });
    bench.route({ wake: "asleep", resourceVersion: rv("10") });
    expect(bench.waker.size).toBe(1);
    bench.route({ wake: "asleep", resourceVersion: rv("11") });
    await settled();
    expect([bench.waker.size, bench.failures]).toEqual([0, ["team-a/box u1 failed"]]);
    bench.waker.wake(KEY, "u1");
    expect(bench.asked).toHaveLength(2);
  });
});

describe("the UID fence", () => {
  test("what was asked for one object is never taken for another of its name", async () => {
    const bench = new Bench();
    bench.waker.wake(KEY, "u1");
    bench.waker.wake(KEY, "u2");
    await settled();
    expect(bench.asked.map(({ uid }) => uid)).toEqual(["u1", "u2"]);
    expect(bench.failures).toEqual(["team-a/box u1 failed"]);
    // The first answer comes late and changes nothing of the second.
    await bench.asked[0]?.answer({ kind: "replaced" });
    expect(bench.waker.size).toBe(1);
  });

  test("a sandbox that the table knows no more, or as another, is given up", async () => {
    const bench = new Bench();
    bench.waker.wake(KEY, "u1");
    bench.waker.routeChanged(KEY, undefined);
    await settled();
    bench.waker.wake(KEY, "u1");
    bench.route({ uid: "u2", runs: true, state: "running" });
    await settled();
    expect(bench.failures).toEqual(["team-a/box u1 failed", "team-a/box u1 failed"]);
    expect(bench.told).toEqual(["replaced after 0", "replaced after 0"]);
  });
});

describe("the API server", () => {
  test.each([
    ["unreachable", "unavailable"],
    ["throttled", "unavailable"],
    ["stalled", "unavailable"],
    ["forbidden", "forbidden"],
    ["conflict", "failed"],
    ["bad_request", "failed"],
  ])("that answers %s counts as %s", async (code, attempt) => {
    const bench = new Bench();
    bench.waker.wake(KEY, "u1");
    await bench.asked[0]?.answer(new Fault(code));
    expect(bench.told[0]).toBe(attempt);
    expect(bench.failures).toEqual([`team-a/box u1 ${attempt === "unavailable" ? attempt : "failed"}`]);
  });

  test("that was away is asked again after a second", async () => {
    const bench = new Bench();
    bench.waker.wake(KEY, "u1");
    await bench.asked[0]?.answer(new Fault("unreachable"));
    bench.pass(999);
    bench.waker.wake(KEY, "u1");
    expect(bench.asked).toHaveLength(1);
    bench.pass(1);
    bench.waker.wake(KEY, "u1");
    expect(bench.asked).toHaveLength(2);
  });

  test("is asked for so many sandboxes at a time; the others have their turn, unless nobody needs it any more", async () => {
    const bench = new Bench(2);
    const keys: ObjectKey[] = ["a/1", "a/2", "a/3", "a/4"];
    for (const key of keys) bench.waker.wake(key, "u");
    expect(bench.asked.map(({ key }) => key)).toEqual(["a/1", "a/2"]);
    bench.waker.routeChanged("a/3", undefined);
    await bench.asked[0]?.answer(patched);
    expect(bench.asked.map(({ key }) => key)).toEqual(["a/1", "a/2", "a/4"]);
  });
});

test("a waker that is stopped lets nobody wait, and what comes later changes nothing", async () => {
  const bench = new Bench();
  bench.waker.wake(KEY, "u1");
  bench.waker.stop();
  bench.waker.wake(KEY, "u1");
  await bench.asked[0]?.answer(patched);
  expect(bench.failures).toEqual(["team-a/box u1 unavailable", "team-a/box u1 unavailable"]);
  expect([bench.waker.size, bench.asked.length]).toEqual([0, 1]);
});

test("failures are forgotten when they are long over", async () => {
  const bench = new Bench();
  bench.waker.wake(KEY, "u1");
  await bench.asked[0]?.answer(new Fault("server_error"));
  bench.pass(5_000 + 300_000);
  bench.waker.wake(KEY, "u1");
  await bench.asked[1]?.answer(new Fault("server_error"));
  bench.pass(5_000);
  bench.waker.wake(KEY, "u1");
  expect(bench.asked).toHaveLength(3);
});
