import { getEventListeners } from "node:events";
import { expect, test } from "vitest";
import type { Clock } from "../../src/system/clock.ts";
import type { ApiClient, ApiRequest } from "../../src/watch/api-client.ts";
import { ApiFault } from "../../src/watch/fault.ts";
import { Reflector } from "../../src/watch/reflector.ts";
import { openKruiseSandbox } from "../../src/watch/sandbox-projection.ts";
import { REFLECTOR_SETTINGS } from "../support/defaults.ts";
import { RecordingSink } from "./support/recording-sink.ts";
import { RecordingLog, RecordingObserver } from "./support/watching.ts";

// A reflector over an API whose answers the test gives, on a clock that it moves.

type Answer = string | ApiFault;

function reflecting(answer: (request: ApiRequest, number: number) => Answer | undefined) {
  let nowMs = 1_800_000_000_000;
  const waits: number[] = [];
  const clock: Clock = {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    setTimeout(callback, delayMs) {
      // The grace of liveness is not waited for here.
      if (delayMs === REFLECTOR_SETTINGS.liveGraceMs) return { clear() {} };
      waits.push(delayMs);
      const timer = setImmediate(() => {
        nowMs += delayMs;
        callback();
      });
      return { clear: () => clearImmediate(timer) };
    },
  };
  const requests: ApiRequest[] = [];
  const checks: ApiRequest[] = [];
  const { promise: silent, resolve: fellSilent } = Promise.withResolvers<void>();
  const api: Pick<ApiClient, "get" | "close"> = {
    async get(request) {
      if (/[?&]limit=1$/.test(request.path)) {
        checks.push(request);
        return { chunks: chunksOf(LIST) };
      }
      requests.push(request);
      const given = answer(request, requests.length);
      if (given instanceof ApiFault) throw given;
      if (given === undefined) {
        fellSilent();
        await new Promise((_, reject) => {
          request.signal.addEventListener("abort", () => reject(new ApiFault("closed", "stopped")));
        });
      }
      return { chunks: chunksOf(given ?? "") };
    },
    close: () => Promise.resolve(),
  };
  const log = new RecordingLog();
  const observer = new RecordingObserver();
  const sink = new RecordingSink("");
  const reflector = new Reflector({
    target: { resource: openKruiseSandbox, scope: "", selector: undefined },
    api,
    sink,
    observer,
    log,
    clock,
    random: () => 0,
    settings: { ...REFLECTOR_SETTINGS, list: "paged" },
  });
  return { reflector, requests, checks, waits, observer, log, silent };
}

async function* chunksOf(text: string): AsyncGenerator<Buffer, void, undefined> {
  yield Buffer.from(text);
}

const LIST = JSON.stringify({ metadata: { resourceVersion: "10" }, items: [] });

test("tries that fail leave nothing on the signal that stops them", async () => {
  const { reflector, requests, waits, silent } = reflecting((_, number) =>
    number <= 50 ? new ApiFault("server_error", "broken") : undefined,
  );
  reflector.start();
  await silent;
  const [request] = requests;
  // The last request's own.
  expect(getEventListeners(request?.signal as AbortSignal, "abort").length).toBe(1);
  expect(waits.slice(0, 7)).toEqual([400, 800, 1_600, 3_200, 6_400, 12_800, 15_000]);
  await reflector.stop();
});

test("what is asked for, and for how long: the list, then the watch from its version", async () => {
  const { reflector, requests, silent } = reflecting((_, number) => (number === 1 ? LIST : undefined));
  reflector.start();
  await silent;
  const { firstByteTimeoutMs, listIdleTimeoutMs, stallTimeoutMs, pageSize, watchSeconds } =
    REFLECTOR_SETTINGS;
  const shape = requests.map((request) => [request.firstByteTimeoutMs, request.idleTimeoutMs]);
  expect(shape).toEqual([
    [firstByteTimeoutMs, listIdleTimeoutMs],
    [firstByteTimeoutMs, stallTimeoutMs],
  ]);
  expect(requests[0]?.path).toBe(`/apis/agents.kruise.io/v1alpha1/sandboxes?limit=${pageSize}`);
  const query = new URL(`http://api${requests[1]?.path}`).searchParams;
  expect(Object.fromEntries(query)).toEqual({
    watch: "true",
    allowWatchBookmarks: "true",
    timeoutSeconds: String(watchSeconds[0]),
    resourceVersion: "10",
  });
  await reflector.stop();
});

test("a fault that lasts is logged once in half a minute, and the next outage from its first fault on", async () => {
  const away = new ApiFault("unreachable", "refused");
  const { reflector, log, silent } = reflecting((_, number) =>
    number <= 100 ? away : number === 101 ? LIST : number <= 103 ? away : undefined,
  );
  reflector.start();
  await silent;
  const lines = log.lines.filter(({ level }) => level === "warn");
  // 100 tries at 500 ms.
  expect(lines.map((line) => [line.text, line["untoldBefore"]])).toEqual([
    ["the list failed and is tried again", undefined],
    ["the list failed and is tried again", 59],
    ["the watch failed and is tried again", undefined],
  ]);
  await reflector.stop();
});

test("its status: before the first list, after it, after a fault, and stopped", async () => {
  const { reflector, silent } = reflecting((_, number) =>
    number === 2 ? new ApiFault("reset", "cut") : number < 4 ? LIST : undefined,
  );
  const idle = {
    scope: "",
    state: "idle",
    synced: false,
    live: false,
    connected: false,
    watermark: undefined,
    lastHeardAtMs: undefined,
    ageMs: undefined,
    lastEventAtMs: undefined,
    relists: 0,
    restarts: 0,
    lastFault: undefined,
  };
  expect(reflector.status()).toEqual(idle);
  reflector.start();
  await silent;
  // A list for the watch is no event: the third answer was not what a watch sends.
  expect(reflector.status()).toMatchObject({
    state: "watching",
    synced: true,
    live: true,
    connected: false,
    watermark: "10",
    lastHeardAtMs: expect.any(Number),
    restarts: 2,
    relists: 0,
    lastFault: { kind: "reset" },
  });
  await reflector.stop();
  expect(reflector.status()).toMatchObject({ state: "stopped", live: false, connected: false });
});

test("a list that is tried again is one relist; the next one is another", async () => {
  const fault = (code: "expired" | "unavailable") => new ApiFault(code, "made to fail");
  const answers: (Answer | undefined)[] = [
    LIST,
    fault("expired"),
    fault("unavailable"),
    fault("unavailable"),
    LIST,
    fault("expired"),
    LIST,
    undefined,
  ];
  const { reflector, observer, silent } = reflecting((_, number) => answers[number - 1]);
  reflector.start();
  await silent;
  expect(reflector.status().relists).toBe(2);
  expect(observer.notes.filter((note) => note.startsWith("relisted"))).toEqual([
    "relisted expired",
    "relisted expired",
  ]);
  expect(observer.count("listed expired 0")).toBe(2);
  await reflector.stop();
});

test("credentials are read again for the one request after a 401, not for those after it", async () => {
  const answers: (Answer | undefined)[] = [
    new ApiFault("unauthorized", "no"),
    LIST,
    new ApiFault("unauthorized", "no"),
    new ApiFault("reset", "cut"),
    undefined,
  ];
  const { reflector, requests, silent } = reflecting((_, number) => answers[number - 1]);
  reflector.start();
  await silent;
  expect(requests.map(({ reloadCredentials }) => reloadCredentials)).toEqual([
    false,
    true,
    false,
    true,
    false,
  ]);
  await reflector.stop();
});
