import { describe, expect, test } from "vitest";
import type { Clock } from "../../src/system/clock.ts";
import { silentLog } from "../../src/system/log.ts";
import { type ObjectReads, PushSettler, type SettleTable } from "../../src/peers/push-settler.ts";
import type { ResourceVersion } from "../../src/routes/resource-version.ts";

type Answer = "settled" | "open";

/** A settler whose reads come back when the test says so. */
function scene({ maxReads = 16, objects = 10 } = {}) {
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
  const version = "7" as ResourceVersion;
  const read = <T>(what: string, value: T): Promise<T> => {
    begun.push(what);
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    underWay.push({ what, answer: () => resolve(value), fail: () => reject(new Error("away")) });
    return promise;
  };
  const reads: ObjectReads = {
    readObject: (namespace, name) => read(`${namespace}/${name}`, { version, observation: undefined }),
    readNamespace: (namespace) => read(namespace, { version, observations: new Map() }),
  };
  const table: SettleTable = {
    get pushSerial() {
      return serial;
    },
    isInDoubt: (namespace, name) => !confirmed.has(`${namespace}/${name}`),
    objectsIn: () => objects,
    settle({ namespace, name, asOf }) {
      settled.push(`${namespace}/${name} as of ${asOf}`);
      return answers.get(name)?.shift() ?? "settled";
    },
  };
  const settler = new PushSettler({
    reads,
    table,
    observer: { read: (of, result) => void results.push(`${of} ${result}`) },
    clock,
    random: () => 1,
    log: silentLog,
    maxReads,
  });
  return {
    settler,
    begun,
    settled,
    results,
    answers,
    confirmed,
    push: (name: string) => {
      serial++;
      settler.doubted("ns", name);
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
