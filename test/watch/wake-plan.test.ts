import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { agentSandbox } from "../../src/watch/agent-sandbox-projection.ts";
import { openKruiseSandbox } from "../../src/watch/sandbox-projection.ts";
import { parseDuration } from "../../src/watch/wake-plan.ts";

const NOW = Date.parse("2026-11-27T12:00:00Z");
const RULE = { autoPausePolicy: { resume: { onIngressTraffic: {} } } };

interface Made {
  readonly spec?: object;
  readonly annotations?: object;
  readonly metadata?: object;
  readonly status?: object;
}

const made = ({ spec = {}, annotations = {}, metadata = {}, status = { phase: "Paused" } }: Made) => ({
  metadata: { namespace: "team-a", name: "box", uid: "u1", resourceVersion: "7", annotations, ...metadata },
  spec,
  status,
});

const plan = (object: Made, uid = "u1") => openKruiseSandbox.planWake?.(made(object), uid, NOW);
const ASLEEP = { ...RULE, paused: true };

describe("an OpenKruise Sandbox is woken", () => {
  test("by spec.paused alone, for exactly the version and the UID that were read", () => {
    expect(plan({ spec: ASLEEP })).toEqual({
      kind: "patch",
      body: { metadata: { uid: "u1", resourceVersion: "7" }, spec: { paused: false } },
    });
  });

  test.each([
    ["five minutes at least", "1m", "2026-11-27T12:05:00Z"],
    ["as long as its rule says", "1h30m", "2026-11-27T13:30:00Z"],
    ["not at all, without a time in the rule", undefined, null],
    ["not at all, with a time of zero", "0s", null],
    ["not at all, with a time below zero", "-5m", null],
    ["not at all, with what is no time", "soon", null],
  ])("and is paused again after %s, when it has a pauseTime", (_what, pauseTimeout, pauseTime) => {
    const spec = {
      paused: true,
      pauseTime: "2026-11-27T11:00:00Z",
      shutdownTime: "2026-11-28T11:00:00Z",
      autoPausePolicy: { resume: { onIngressTraffic: { pauseTimeout } } },
    };
    expect(plan({ spec })).toMatchObject({
      body: { spec: { paused: false, pauseTime, shutdownTime: "2126-11-03T12:00:00Z" } },
    });
  });

  test("by the annotations that came before the rule, whose time is in seconds", () => {
    const annotations = {
      "agents.kruise.io/wake-on-traffic": "true",
      "agents.kruise.io/wake-timeout-seconds": "900",
    };
    const spec = { paused: true, pauseTime: "2026-11-27T11:00:00Z" };
    expect(plan({ spec, annotations })).toMatchObject({
      body: { spec: { paused: false, pauseTime: "2026-11-27T12:15:00Z" } },
    });
    const odd = { ...annotations, "agents.kruise.io/wake-timeout-seconds": "never" };
    expect(plan({ spec, annotations: odd })).toMatchObject({ body: { spec: { pauseTime: null } } });
  });

  test("and keeps a shutdownTime that has no pauseTime beside it", () => {
    const spec = { ...ASLEEP, shutdownTime: "2026-11-28T11:00:00Z" };
    expect(plan({ spec })).toMatchObject({ body: { spec: { paused: false } } });
    expect(JSON.stringify(plan({ spec }))).not.toContain("shutdownTime");
  });

  test.each<[string, Made, string, string]>([
    ["that is not told to sleep", { spec: RULE }, "u1", "awake"],
    ["whose owner does not allow it", { spec: { paused: true } }, "u1", "not_allowed"],
    [
      "whose rule is null",
      { spec: { paused: true, autoPausePolicy: { resume: { onIngressTraffic: null } } } },
      "u1",
      "not_allowed",
    ],
    [
      "whose annotation says no",
      { spec: { paused: true }, annotations: { "agents.kruise.io/wake-on-traffic": "1" } },
      "u1",
      "not_allowed",
    ],
    [
      "whose time is over",
      { spec: { ...ASLEEP, shutdownTime: "2026-11-27T12:00:00Z" } },
      "u1",
      "not_allowed",
    ],
    ["that was made again under its name", { spec: ASLEEP }, "u0", "replaced"],
    [
      "that is being deleted",
      { spec: ASLEEP, metadata: { deletionTimestamp: "2026-11-27T11:59:00Z" } },
      "u1",
      "replaced",
    ],
  ])("but not one %s", (_what, object, uid, kind) => {
    expect(plan(object, uid)).toEqual({ kind });
  });
});

describe("a Sandbox of kubernetes-sigs is woken", () => {
  const annotations = { "lychgate.dev/wake-on-traffic": "true" };
  const wake = (object: Made, uid = "u1") => agentSandbox("v1beta1").planWake?.(made(object), uid, NOW);

  test.each([
    ["operatingMode", { operatingMode: "Suspended" }, { operatingMode: "Running" }],
    ["replicas", { replicas: 0 }, { replicas: 1 }],
  ])("by %s, whichever told it to sleep", (_what, spec, changed) => {
    expect(wake({ spec, annotations })).toEqual({
      kind: "patch",
      body: { metadata: { uid: "u1", resourceVersion: "7" }, spec: changed },
    });
  });

  test("but not without the annotation, nor when it runs, nor another object", () => {
    expect(wake({ spec: { replicas: 0 } })).toEqual({ kind: "not_allowed" });
    expect(wake({ spec: { replicas: 1 }, annotations })).toEqual({ kind: "awake" });
    expect(wake({ spec: { replicas: 0 }, annotations }, "u2")).toEqual({ kind: "replaced" });
  });
});

describe("whatever the object is", () => {
  test("a plan is made of it, and no patch for another object than the one that was meant", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        for (const resource of [openKruiseSandbox, agentSandbox("v1beta1")])
          expect(resource.planWake?.(value, "u1", NOW)).toEqual({ kind: "replaced" });
      }),
    );
    const field = fc.jsonValue();
    fc.assert(
      fc.property(field, field, field, (spec, annotations, status) => {
        const object = { ...made({}), spec, status };
        Object.assign(object.metadata, { annotations });
        for (const resource of [openKruiseSandbox, agentSandbox("v1beta1")])
          expect(["not_allowed", "awake"]).toContain(resource.planWake?.(object, "u1", NOW).kind);
      }),
    );
  });
});

describe("the route says whether traffic may wake the sandbox", () => {
  const wakeOf = (object: Made): unknown => {
    const projection = openKruiseSandbox.project(made(object));
    return projection.kind === "observation"
      ? [projection.observation.route?.state, projection.observation.route?.wake]
      : projection;
  };
  const podInfo = { podIP: "10.0.0.1" };
  const ready = [{ type: "Ready", status: "True" }];

  test.each<[string, Made, [string, string | undefined]]>([
    [
      "paused and told to sleep",
      { spec: ASLEEP, status: { phase: "Paused", podInfo } },
      ["paused", "asleep"],
    ],
    [
      "its pod gone, and told to sleep",
      { spec: ASLEEP, status: { phase: "Paused" } },
      ["creating", "asleep"],
    ],
    ["on its way", { spec: RULE, status: { phase: "Resuming", podInfo } }, ["paused", "resuming"]],
    ["its new pod not ready", { spec: RULE, status: { phase: "Running", podInfo } }, ["dead", "resuming"]],
    [
      "running",
      { spec: RULE, status: { phase: "Running", podInfo, conditions: ready } },
      ["running", undefined],
    ],
    ["ended", { spec: RULE, status: { phase: "Succeeded", podInfo } }, ["dead", undefined]],
    [
      "paused, and not to be woken",
      { spec: { paused: true }, status: { phase: "Paused", podInfo } },
      ["paused", undefined],
    ],
  ])("%s", (_what, object, expected) => {
    expect(wakeOf(object)).toEqual(expected);
  });
});

describe("a duration as Go writes it", () => {
  test.each([
    ["5m", 300_000],
    ["1h30m", 5_400_000],
    ["1.5s", 1_500],
    ["100ms", 100],
    ["-2m", -120_000],
    ["0", 0],
    [".5h", 1_800_000],
    ["1m0.5s", 60_500],
  ])("%s", (text, ms) => {
    expect(parseDuration(text)).toBeCloseTo(ms);
  });

  test.each(["", "5", "m", "5 m", "5d", "1h-5m", "--1s", "1e3s", "infinity", 5, null, {}])(
    "%j is none",
    (value) => {
      expect(parseDuration(value)).toBeUndefined();
    },
  );
});
