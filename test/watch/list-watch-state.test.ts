import fc from "fast-check";
import { expect, test } from "vitest";
import { nextDelayMs } from "../../src/watch/backoff.ts";
import { FAULT_KINDS, type FaultKind, MAX_RETRY_AFTER_MS, parseRetryAfter } from "../../src/watch/fault.ts";
import {
  IDLE,
  mustStartOver,
  type ReflectorEvent,
  type ReflectorState,
  transition,
} from "../../src/watch/list-watch-state.ts";
import { REFLECTOR_SETTINGS } from "../support/defaults.ts";

const { retry: RETRY } = REFLECTOR_SETTINGS;

/** The states that a row of events leads through, with `random` held at its lowest. */
function run(...events: readonly ReflectorEvent[]): ReflectorState {
  return events.reduce((state, event) => transition(state, event, RETRY, 0), IDLE);
}

function watchEnded(fault: FaultKind, lastedMs = 0, progressed = false): ReflectorEvent {
  return { kind: "watch_ended", fault, lastedMs, progressed };
}

const START: ReflectorEvent = { kind: "start" };
const LISTED: ReflectorEvent = { kind: "listed" };
const WAITED: ReflectorEvent = { kind: "waited" };

test("delays double from 0.8 s to 30 s, and the second half of each is random", () => {
  expect([0, 1, 2, 3, 4, 5, 6, 99].map((attempt) => nextDelayMs(attempt, 0, RETRY.backoff))).toEqual([
    400, 800, 1_600, 3_200, 6_400, 12_800, 15_000, 15_000,
  ]);
  expect(nextDelayMs(0, 0.999, RETRY.backoff)).toBeLessThan(800);
  expect(nextDelayMs(99, 0.999, RETRY.backoff)).toBeLessThan(30_000);
});

test.each<readonly [string | undefined, number | undefined]>([
  ["5", 5_000],
  ["0", 0],
  ["Thu, 01 Jan 1970 00:00:30 GMT", 20_000],
  ["Thu, 01 Jan 1970 00:00:01 GMT", 0],
  ["99999999999999999999", MAX_RETRY_AFTER_MS],
  ["soon", undefined],
  ["-5", undefined],
  [undefined, undefined],
])("Retry-After %s at second 10 is %s ms", (value, expected) => {
  expect(parseRetryAfter(value, 10_000)).toBe(expected);
});

test("what a server asks for in Retry-After is the least, and the waits of many routers differ", () => {
  const throttled: ReflectorEvent = { kind: "failed", fault: "throttled", retryAfterMs: 5_000 };
  const delayMs = (random: number) => {
    const state = transition(run(START), throttled, RETRY, random);
    return state.kind === "backing_off" ? state.delayMs : undefined;
  };
  expect([0, 0.5, 0.999].map((random) => Math.round(delayMs(random) ?? 0))).toEqual([5_000, 5_400, 5_799]);
  // Own waits that are longer stand.
  const failed: ReflectorEvent = { kind: "failed", fault: "server_error", retryAfterMs: 5_000 };
  const often = [START, ...Array.from({ length: 8 }, () => [failed, WAITED]).flat()];
  expect(transition(run(...often), failed, RETRY, 0)).toMatchObject({ delayMs: 15_000 });
});

test("a 401 is tried again at once, once, with credentials read anew; then with delays", () => {
  const denied: ReflectorEvent = { kind: "failed", fault: "unauthorized" };
  const first = run(START, denied);
  expect(first).toMatchObject({ kind: "listing", tries: { unauthorized: true } });
  expect(run(START, denied, denied)).toMatchObject({
    kind: "backing_off",
    next: { kind: "listing", tries: { unauthorized: true } },
  });
  expect(run(START, LISTED, watchEnded("unauthorized"))).toMatchObject({
    kind: "watching",
    tries: { unauthorized: true },
  });
  expect(run(START, LISTED, watchEnded("unauthorized"), watchEnded("unauthorized"))).toMatchObject({
    kind: "backing_off",
  });
});

test("an ordinary end is no failure, an immediate one is", () => {
  expect(run(START, LISTED, watchEnded("closed", 400_000))).toMatchObject({
    kind: "watching",
    tries: { failures: 0 },
  });
  expect(run(START, LISTED, watchEnded("closed", 999))).toMatchObject({
    kind: "backing_off",
    delayMs: 400,
    next: { kind: "watching" },
  });
});

test("the backoff starts over after a healthy watch, and only then", () => {
  const failing = [START, LISTED, watchEnded("reset"), WAITED, watchEnded("reset"), WAITED] as const;
  expect(run(...failing, watchEnded("reset"))).toMatchObject({ delayMs: 1_600 });
  expect(run(...failing, watchEnded("reset", 10_000))).toMatchObject({ delayMs: 400 });
  expect(run(...failing, watchEnded("reset", 1_000, true))).toMatchObject({ delayMs: 400 });
  expect(run(...failing, watchEnded("reset", 999, true))).toMatchObject({ delayMs: 1_600 });
});

test("watch failures lead to a list after five without progress, and to none with it", () => {
  const failing = (progressed: boolean) =>
    run(
      START,
      LISTED,
      ...Array.from({ length: 5 }, () => [WAITED, watchEnded("protocol", 0, progressed)]).flat(),
    );
  expect(failing(false)).toMatchObject({
    kind: "backing_off",
    next: { kind: "listing", reason: "watch_failed" },
  });
  expect(failing(true)).toMatchObject({ kind: "backing_off", next: { kind: "watching" } });
});

test("410 leads to a list at once, and with delays when it comes again and again", () => {
  const expired = watchEnded("expired");
  expect(run(START, LISTED, expired)).toMatchObject({ kind: "listing", reason: "expired" });
  expect(run(START, LISTED, expired, LISTED, expired)).toMatchObject({
    kind: "backing_off",
    delayMs: 800,
    next: { kind: "listing" },
  });
  expect(run(START, LISTED, expired, LISTED, watchEnded("expired", 10_000))).toMatchObject({
    kind: "listing",
  });
});

test.each(["unreachable", "unavailable", "throttled"] as const)(
  "%s is tried again within a second, however long it lasts, and what follows does not wait for it",
  (fault) => {
    const lists = Array.from({ length: 50 }, () => [{ kind: "failed", fault } as const, WAITED]).flat();
    const list = run(START, ...lists);
    expect(transition(list, { kind: "failed", fault }, RETRY, 0.999)).toMatchObject({
      kind: "backing_off",
      delayMs: expect.closeTo(1_000, -1),
    });
    expect(transition(list, { kind: "failed", fault: "server_error" }, RETRY, 0)).toMatchObject({
      delayMs: 400,
    });
    const watches = Array.from({ length: 50 }, () => [watchEnded(fault), WAITED]).flat();
    const outage = [START, LISTED, watchEnded("reset", 60_000), WAITED, ...watches] as const;
    expect(run(...outage, watchEnded(fault))).toMatchObject({ delayMs: 500, next: { kind: "watching" } });
    // The first answer of an API server that was started again: its watch cache begins at its start.
    expect(run(...outage, watchEnded("expired"))).toMatchObject({ kind: "listing", reason: "expired" });
    expect(run(...outage, watchEnded("expired"), LISTED, watchEnded("expired"))).toMatchObject({
      kind: "backing_off",
      next: { kind: "listing" },
    });
  },
);

test("an API server that is started again every few seconds is listed at once each time", () => {
  for (const cut of [watchEnded("reset", 1_500), watchEnded("reset", 100, true)]) {
    const outage = [cut, WAITED, watchEnded("unreachable"), WAITED];
    const restart = [...outage, watchEnded("expired"), LISTED];
    expect(run(START, LISTED, ...restart, ...restart, ...outage, watchEnded("expired"))).toMatchObject({
      kind: "listing",
      reason: "expired",
    });
  }
});

test("a server that is starting is asked again when it says, and no later the tenth time", () => {
  const starting = { ...watchEnded("throttled"), retryAfterMs: 1_000 };
  const asked = Array.from({ length: 10 }, () => [starting, WAITED]).flat();
  expect(run(START, LISTED, ...asked, starting)).toMatchObject({ delayMs: 1_000 });
});

test("a watch that is behind is listed at once, and its lists are tried again without a growing delay", () => {
  const behind: ReflectorEvent = { kind: "failed", fault: "behind" };
  const lost = [START, LISTED, watchEnded("behind", 60_000)] as const;
  expect(run(...lost)).toMatchObject({ kind: "listing", reason: "behind" });
  expect(run(...lost, behind, WAITED, behind, WAITED, behind)).toMatchObject({ delayMs: 500 });
  // Two clusters behind one address are not listed in a tight loop.
  const swaps = [...lost, LISTED, watchEnded("behind"), WAITED, LISTED] as const;
  expect(run(...swaps, watchEnded("behind"))).toMatchObject({ kind: "backing_off", delayMs: 1_600 });
});

test("Retry-After sets the least delay, for lists and watches", () => {
  const fault = { fault: "throttled", retryAfterMs: 7_000 } as const;
  expect(run(START, { kind: "failed", ...fault })).toMatchObject({ delayMs: 7_000 });
  expect(run(START, LISTED, { ...watchEnded("throttled"), ...fault })).toMatchObject({
    delayMs: 7_000,
  });
});

test("a list stays behind three times before it is believed", () => {
  const behind: ReflectorEvent = { kind: "failed", fault: "behind" };
  const tries = [0, 1, 2, 3].map((times) => {
    const state = run(START, ...Array.from({ length: times }, () => [behind, WAITED]).flat());
    return state.kind === "listing" && mustStartOver(state.tries, RETRY);
  });
  expect(tries).toEqual([false, false, false, true]);
});

test("other failures of lists don't make one that is behind believed", () => {
  const failed = (fault: FaultKind): ReflectorEvent => ({ kind: "failed", fault });
  const state = run(
    START,
    ...(["server_error", "unreachable", "stalled", "behind"] as const).flatMap((fault) => [
      failed(fault),
      WAITED,
    ]),
  );
  expect(state).toMatchObject({ kind: "listing", tries: { behind: 1 } });
});

const anyEvent: fc.Arbitrary<ReflectorEvent> = fc.oneof(
  fc.constantFrom<ReflectorEvent>(START, LISTED, WAITED),
  fc.record({ kind: fc.constant("failed" as const), fault: fc.constantFrom(...FAULT_KINDS) }),
  fc.record({
    kind: fc.constant("watch_ended" as const),
    fault: fc.constantFrom(...FAULT_KINDS),
    lastedMs: fc.nat({ max: 20_000 }),
    progressed: fc.boolean(),
  }),
);

test("no row of events stops the loop but stop, and nothing leaves stopped", () => {
  fc.assert(
    fc.property(fc.array(anyEvent), fc.array(anyEvent), (before, after) => {
      const state = run(START, ...before);
      expect(["listing", "watching", "backing_off"]).toContain(state.kind);
      const stopped = transition(state, { kind: "stop" }, RETRY, 0);
      expect(after.reduce((s, event) => transition(s, event, RETRY, 0), stopped)).toEqual({
        kind: "stopped",
      });
    }),
  );
});

test("a server that fails at once, in whatever way, is asked a few times in a row without a delay", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom("listed", ...FAULT_KINDS), { minLength: 30 }), (faults) => {
      let state = run(START);
      let asked = 0;
      for (const fault of faults) {
        if (state.kind === "backing_off") {
          asked = 0;
          state = transition(state, WAITED, RETRY, 0);
        }
        asked += 1;
        // A list, a 401 and a 410 on its watch, a 401 on the next list, and once more until the next 410.
        expect(asked).toBeLessThanOrEqual(8);
        const event: ReflectorEvent =
          fault === "listed"
            ? LISTED
            : state.kind === "listing"
              ? { kind: "failed", fault }
              : watchEnded(fault);
        state = transition(state, event, RETRY, 0);
      }
    }),
  );
});
