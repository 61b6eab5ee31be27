import { describe, expect, test } from "vitest";
import type { Clock } from "../../src/system/clock.ts";
import { type LogFields, silentLog } from "../../src/system/log.ts";
import { type ObjectReads, PushSettler, type SettleTable } from "../../src/peers/push-settler.ts";
import type { Observation } from "../../src/routes/observation.ts";
import type { ResourceVersion } from "../../src/routes/resource-version.ts";
import { DEFAULTS } from "../support/defaults.ts";

type Answer = "settled" | "open";

/** A settler whose reads come back when the test says so. */
function scene({ maxReads = undefined as number | undefined, objects = 10, random = 1 } = {}) {
  let nowMs = 0;
  let serial = 0;
  const timers: { atMs: number; callback: () => void; cleared: boolean }[] = [];
  const clock: Clock = {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    setTimeout(callback, delayMs) {
      const timer = { atMs: nowMs + delayMs, callback, cleared: false };
      timers.push(timer);
      return { clear: () => void (timer.cleared = true) };
    },
  };
  const underWay: { what: string; answer(): void; fail(): void }[] = [];
  const begun: string[] = [];
  const settled: string[] = [];
  const results: string[] = [];
  const answers = new Map<string, Answer[]>();
  const confirmed = new Set<string>();
  const shown = new Map<string, Observation>();
  const lines: (LogFields & { readonly text: string })[] = [];
  const tookMs: number[] = [];
  const version = "7" as ResourceVersion;
  const read = <T>(what: string, value: T): Promise<T> => {
    begun.push(what);
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    underWay.push({ what, answer: () => resolve(value), fail: () => reject(new Error("away")) });
    return promise;
  };
  const reads: ObjectReads = {
    readObject: (namespace, name) => read(`${namespace}/${name}`, { version, observation: shown.get(name) }),
    readNamespace: (namespace) => read(namespace, { version, observations: shown }),
  };
  const table: SettleTable = {
    get pushSerial() {
      return serial;
    },
    isInDoubt: (namespace, name) => !confirmed.has(`${namespace}/${name}`),
    objectsIn: () => objects,
    settle({ namespace, name, asOf, version: at, observation }) {
      const what = observation ? `, at ${at} ${observation.uid}` : "";
      settled.push(`${namespace}/${name} as of ${asOf}${what}`);
      return answers.get(name)?.shift() ?? "settled";
    },
  };
  const settler = new PushSettler({
    reads,
    table,
    observer: {
      read(of, result, took) {
        results.push(`${of} ${result}`);
        tookMs.push(took);
      },
    },
    clock,
    random: () => random,
    log: { ...silentLog, warn: (text, fields) => void lines.push({ ...fields, text }) },
    maxReads: maxReads ?? DEFAULTS.peers.maxReads,
  });
  return {
    settler,
    begun,
    settled,
    results,
    answers,
    confirmed,
    shown,
    lines,
    tookMs,
    timers,
    push: (name: string, namespace = "ns") => {
      serial++;
      settler.doubted(namespace, name);
    },
    /** The oldest read comes back, and all that follows from it happens. */
    async comesBack(how: "answer" | "fail" = "answer") {
      underWay.shift()?.[how]();
      await new Promise((resolve) => setImmediate(resolve));
    },
    pass(ms: number) {
      nowMs += ms;
      for (const timer of timers.filter((each) => !each.cleared && each.atMs <= nowMs)) {
        timer.cleared = true;
        timer.callback();
      }
    },
  };
}

test("a push begins one read, as of that push", async () => {
  const { push, begun, settled, comesBack } = scene();
  push("one");
  expect(begun).toEqual(["ns/one"]);
  await comesBack();
  expect(settled).toEqual(["ns/one as of 1"]);
});

test("pushes that come while it is read begin one more read, and only if the table says that they are open", async () => {
  const { push, begun, settled, answers, comesBack } = scene();
  answers.set("one", ["open"]);
  push("one");
  push("one");
  push("one");
  expect(begun).toEqual(["ns/one"]);
  await comesBack();
  expect(begun).toEqual(["ns/one", "ns/one"]);
  await comesBack();
  expect(settled).toEqual(["ns/one as of 1", "ns/one as of 3"]);
  expect(begun.length).toBe(2);
});

test("no more reads are under way than are allowed; the others wait their turn", async () => {
  const { push, begun, comesBack } = scene({ maxReads: 2 });
  for (const name of ["a", "b", "c", "d"]) push(name);
  expect(begun).toEqual(["ns/a", "ns/b"]);
  await comesBack();
  expect(begun).toEqual(["ns/a", "ns/b", "ns/c"]);
  await comesBack();
  expect(begun).toEqual(["ns/a", "ns/b", "ns/c", "ns/d"]);
});

test("what the informer has settled meanwhile is not read", async () => {
  const { push, begun, confirmed, comesBack, settler } = scene({ maxReads: 1 });
  for (const name of ["a", "b", "c"]) push(name);
  confirmed.add("ns/b");
  await comesBack();
  expect(begun).toEqual(["ns/a", "ns/c"]);
  await comesBack();
  expect(settler.pending).toBe(0);
});

describe("many that wait in one namespace", () => {
  const pushMany = async (objects: number) => {
    const made = scene({ maxReads: 1, objects });
    made.push("first");
    for (let index = 0; index < 40; index++) made.push(`n${index}`);
    await made.comesBack();
    return made;
  };

  test("are read with one list, when that costs no more than their reads", async () => {
    const { begun, settled, comesBack } = await pushMany(800);
    expect(begun).toEqual(["ns/first", "ns"]);
    await comesBack();
    expect(settled.length).toBe(41);
  });

  test("are read one by one, when the namespace is large", async () => {
    const { begun } = await pushMany(801);
    expect(begun).toEqual(["ns/first", "ns/n0"]);
  });
});

test("while the API server does not answer it is asked again, with waits that grow to five seconds", async () => {
  const { push, begun, results, comesBack, pass } = scene();
  push("one");
  for (const waitMs of [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]) {
    await comesBack("fail");
    const before = begun.length;
    pass(waitMs - 1);
    expect(begun.length).toBe(before);
    pass(1);
    expect(begun.length).toBe(before + 1);
  }
  await comesBack();
  expect(results.at(-1)).toBe("object settled");
  expect(results.filter((result) => result === "object failed").length).toBe(8);
});

test("after stop nothing is read, and what comes back is left aside", async () => {
  const { push, begun, settled, settler, comesBack } = scene();
  push("one");
  settler.stop();
  await comesBack();
  push("two");
  expect(begun).toEqual(["ns/one"]);
  expect(settled).toEqual([]);
});

const observationOf = (name: string): Observation => ({
  namespace: "ns",
  name,
  uid: `${name}-1`,
  resourceVersion: "5" as ResourceVersion,
  route: undefined,
});

test("the table is told what the read has shown, and at which version", async () => {
  const { push, shown, settled, comesBack } = scene();
  shown.set("one", observationOf("one"));
  push("one");
  push("two");
  await comesBack();
  await comesBack();
  expect(settled).toEqual(["ns/one as of 1, at 7 one-1", "ns/two as of 2"]);
});

test("sixteen reads are under way at a time unless told otherwise, over all namespaces", async () => {
  const { push, begun, settler } = scene();
  for (let index = 0; index < 10; index++) {
    push(`n${index}`, "ns");
    push(`n${index}`, "other");
  }
  expect(begun.length).toBe(16);
  expect(settler.pending).toBe(20);
});

test("how long each read took is told, and what waits is counted until it is settled", async () => {
  const { push, settler, tookMs, results, pass, comesBack } = scene({ maxReads: 1 });
  push("one");
  push("two");
  expect(settler.pending).toBe(2);
  pass(30);
  await comesBack();
  expect([tookMs, results, settler.pending]).toEqual([[30], ["object settled"], 1]);
  pass(5);
  await comesBack();
  expect([tookMs, settler.pending]).toEqual([[30, 5], 0]);
});

test("a read that leaves the object open is told as such", async () => {
  const { push, answers, results, comesBack } = scene();
  answers.set("one", ["open"]);
  push("one");
  await comesBack();
  await comesBack();
  expect(results).toEqual(["object open", "object settled"]);
});

describe("one list for many", () => {
  /** So many wait behind one read that is under way. */
  const waiting = (count: number, objects = 10) => {
    const made = scene({ maxReads: 1, objects });
    made.push("first");
    for (let index = 0; index < count; index++) made.push(`n${index}`);
    return made;
  };

  test("from 32 on", async () => {
    for (const [count, read] of [
      [31, "ns/n0"],
      [32, "ns"],
    ] as const) {
      const { begun, comesBack } = waiting(count);
      await comesBack();
      expect(begun).toEqual(["ns/first", read]);
    }
  });

  test("each is told what the list shows of it, and that it lacks the others", async () => {
    const { settled, shown, comesBack, settler, results } = waiting(32);
    shown.set("n1", observationOf("n1"));
    await comesBack();
    expect(settler.pending).toBe(32);
    await comesBack();
    expect(settled.slice(1, 4)).toEqual(["ns/n0 as of 33", "ns/n1 as of 33, at 7 n1-1", "ns/n2 as of 33"]);
    expect([settler.pending, results]).toEqual([0, ["object settled", "namespace settled"]]);
  });

  test("what the informer has settled meanwhile is not told of; when that is all, nothing is read", async () => {
    const some = waiting(32);
    some.confirmed.add("ns/n0");
    await some.comesBack();
    await some.comesBack();
    expect(some.settled.length).toBe(32);
    const all = waiting(32);
    for (let index = 0; index < 32; index++) all.confirmed.add(`ns/n${index}`);
    await all.comesBack();
    expect([all.begun, all.settler.pending]).toEqual([["ns/first"], 0]);
  });

  test("what it leaves open is read again", async () => {
    const { answers, begun, comesBack, results } = waiting(32);
    answers.set("n3", ["open"]);
    await comesBack();
    await comesBack();
    expect(results.at(-1)).toBe("namespace open");
    expect(begun).toEqual(["ns/first", "ns", "ns/n3"]);
  });

  test("a push that comes while the list is under way is read after it only if the table says so", async () => {
    const { push, begun, comesBack } = waiting(32);
    await comesBack();
    push("n5");
    await comesBack();
    expect(begun).toEqual(["ns/first", "ns"]);
  });

  test("one that fails is asked for again", async () => {
    const { begun, comesBack, pass, settler } = waiting(32);
    await comesBack();
    await comesBack("fail");
    expect(settler.pending).toBe(32);
    pass(100);
    expect(begun).toEqual(["ns/first", "ns", "ns"]);
  });
});

describe("while the API server does not answer", () => {
  test("pushes wait for the next try, and it asks for all of them", async () => {
    const { push, begun, pass, comesBack } = scene();
    push("one");
    await comesBack("fail");
    push("two");
    expect(begun).toEqual(["ns/one"]);
    pass(100);
    expect(begun).toEqual(["ns/one", "ns/one", "ns/two"]);
  });

  test("the waits are spread: half of each at least", async () => {
    const { push, begun, pass, comesBack } = scene({ random: 0 });
    push("one");
    await comesBack("fail");
    pass(49);
    expect(begun.length).toBe(1);
    pass(1);
    expect(begun.length).toBe(2);
  });

  test("reads that fail together count as one", async () => {
    const { push, begun, pass, comesBack, timers } = scene();
    for (const name of ["a", "b", "c"]) push(name);
    for (let index = 0; index < 3; index++) await comesBack("fail");
    expect(timers.length).toBe(1);
    pass(100);
    expect(begun.length).toBe(6);
    await comesBack("fail");
    pass(199);
    expect(begun.length).toBe(6);
    pass(1);
    expect(begun.length).toBe(7);
  });

  test("an answer makes the waits short again", async () => {
    const { push, begun, pass, comesBack } = scene();
    push("one");
    await comesBack("fail");
    pass(100);
    await comesBack("fail");
    pass(200);
    await comesBack();
    push("two");
    await comesBack("fail");
    pass(100);
    expect(begun.at(-1)).toBe("ns/two");
    expect(begun.length).toBe(5);
  });

  test("it is logged once a minute, with the reason and how many wait", async () => {
    const { push, lines, pass, comesBack } = scene();
    push("one");
    push("two");
    await comesBack("fail");
    expect(lines).toEqual([
      { text: expect.stringContaining("can't be settled"), message: "away", waiting: 2 },
    ]);
    await comesBack("fail");
    pass(100);
    await comesBack("fail");
    await comesBack();
    expect(lines.length).toBe(1);
    pass(59_900);
    await comesBack("fail");
    expect(lines.length).toBe(2);
  });

  test("stop asks no more, and a failure after it is nobody's business", async () => {
    const { push, settler, begun, results, lines, timers, pass, comesBack } = scene();
    push("one");
    await comesBack("fail");
    settler.stop();
    expect([timers[0]?.cleared, settler.pending]).toEqual([true, 0]);
    pass(10_000);
    expect(begun).toEqual(["ns/one"]);
    const other = scene();
    other.push("one");
    other.settler.stop();
    await other.comesBack("fail");
    expect([other.lines, other.results, other.timers, other.settler.pending]).toEqual([[], [], [], 0]);
    expect([results, lines.length]).toEqual([["object failed"], 1]);
  });
});
