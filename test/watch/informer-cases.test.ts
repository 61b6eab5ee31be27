import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/system/clock.ts";
import { silentLog } from "../../src/system/log.ts";
import type { Observation } from "../../src/routes/observation.ts";
import { silentObserver } from "../../src/watch/reflector-observer.ts";
import { openKruiseSandbox } from "../../src/watch/sandbox-projection.ts";
import { ScopeFeed } from "../../src/watch/scope-feed.ts";
import { parseWatchEvent } from "../../src/watch/watch-event.ts";
import { makeRoute, rv } from "../routes/support/timeline.ts";
import { newTable } from "../support/defaults.ts";

// The informer handler's cases of docs/openkruise.md#cases in words: lines of a watch go through the feed into a real table.
// Differences meant: a watch's DELETED always carries the object and its version, so client-go's tombstones
// (DeletedFinalStateUnknown) are here what a relist lacks; and a replay is refused by the watermark, with no timer.

interface Fields {
  readonly metadata?: object;
  readonly spec?: object;
  readonly status?: object;
  readonly kind?: string;
}

function sandbox(version: string, { metadata, spec, status, kind = "Sandbox" }: Fields = {}) {
  return {
    apiVersion: "agents.kruise.io/v1alpha1",
    kind,
    metadata: { namespace: "ns", name: "sandbox", uid: "uid-1", resourceVersion: version, ...metadata },
    spec: spec ?? {},
    status: {
      phase: "Running",
      conditions: [{ type: "Ready", status: "True" }],
      podInfo: { podIP: "10.0.0.1" },
      ...status,
    },
  };
}

function informer() {
  const table = newTable({ scopes: [""] });
  const rejected: string[] = [];
  const feed = new ScopeFeed({
    target: { resource: openKruiseSandbox, scope: "", selector: undefined },
    sink: {
      relist: (scope, version, observations) => table.relist(scope, version, observations, 0),
      startOver: (scope, version, observations) => table.startOver(scope, version, observations, 0),
      observe: (scope, observation) => void table.observe(scope, observation, 0),
      remove: (scope, namespace, name, uid, version) =>
        void table.remove(scope, namespace, name, uid, version, 0),
      bookmark: (scope, version) => table.bookmark(scope, version, 0),
      setLive: (scope, live) => table.setLive(scope, live, 0),
    },
    observer: { ...silentObserver, invalidObject: (reason) => void rejected.push(reason) },
    log: silentLog,
    clock: systemClock,
  });
  const list = (version: number, listed: readonly Observation[]) => feed.replace(rv(version), listed, false);
  list(5, []);
  return {
    table,
    rejected,
    list,
    tell: (type: string, object: object) => feed.deliver(parseWatchEvent(JSON.stringify({ type, object }))),
    found: () => {
      const lookup = table.lookup("ns--sandbox");
      return lookup.kind === "found" ? lookup : undefined;
    },
    /** The same object pushed again, as a manager's cache has it. */
    replay: (version: number) => table.pushUpdate(makeRoute("sandbox", version, { uid: "uid-1" }), 0),
    /** A later life under the same name. */
    newer: (version: number) => table.pushUpdate(makeRoute("sandbox", version, { uid: "uid-2" }), 0),
  };
}

test("add @10: found; update @11 with phase Paused: version 11, not running; the JWT annotation is carried", () => {
  const { tell, found } = informer();
  tell("ADDED", sandbox("10"));
  expect(found()).toMatchObject({
    state: "running",
    route: { resourceVersion: "10", requireTrafficAuth: false },
  });
  const annotations = { "security.agents.kruise.io/enable-jwt-auth": "true" };
  tell("MODIFIED", sandbox("11", { metadata: { annotations }, status: { phase: "Paused" } }));
  expect(found()).toMatchObject({
    state: "paused",
    incarnation: undefined,
    route: { resourceVersion: "11", requireTrafficAuth: true },
  });
});

describe("each signal of a deletion: the route is gone, a replay stays gone, a newer life appears", () => {
  const signals: [string, (scene: ReturnType<typeof informer>) => void, last: number][] = [
    [
      "a terminating update, 20 to 21",
      ({ tell }) => {
        tell("ADDED", sandbox("20"));
        tell("MODIFIED", sandbox("21", { metadata: { deletionTimestamp: "2026-11-21T00:00:00Z" } }));
      },
      21,
    ],
    [
      "DELETED @21",
      ({ tell }) => {
        tell("ADDED", sandbox("20"));
        tell("DELETED", sandbox("21"));
      },
      21,
    ],
    [
      "a list @30 that lacks it",
      ({ tell, list }) => {
        tell("ADDED", sandbox("20"));
        list(30, []);
      },
      30,
    ],
    [
      "a list @42 that lacks it, the last version known being 42",
      ({ tell, list }) => {
        tell("ADDED", sandbox("41"));
        tell("MODIFIED", sandbox("42"));
        list(42, []);
      },
      42,
    ],
  ];
  for (const [name, signal, last] of signals) {
    test(name, () => {
      const scene = informer();
      signal(scene);
      expect(scene.found()).toBeUndefined();
      expect(scene.replay(last)).toBe("ignored_watermark");
      expect(scene.found()).toBeUndefined();
      expect(scene.newer(last + 1)).toBe("applied");
      expect(scene.found()).toMatchObject({ route: { uid: "uid-2" } });
    });
  }
});

describe("what can't be read leaves the record that is there", () => {
  const cases: [string, string, object, reason: string][] = [
    ["another kind of object", "ADDED", sandbox("21", { kind: "Pod" }), "wrong_kind"],
    ["a sandbox without a UID", "MODIFIED", sandbox("21", { metadata: { uid: "" } }), "no_uid"],
    ["a deletion that names no object", "DELETED", sandbox("21", { metadata: { name: "" } }), "no_key"],
    ["an event of an unknown type", "EXPIRED", sandbox("21"), "unknown_event_type"],
    [
      "a terminating object whose version is not a number",
      "MODIFIED",
      sandbox("not-a-number", { metadata: { deletionTimestamp: "2026-11-21T00:00:00Z" } }),
      "protocol",
    ],
  ];
  for (const [name, type, object, reason] of cases) {
    test(name, () => {
      const { tell, found, rejected } = informer();
      tell("ADDED", sandbox("20"));
      // A version that can't be compared is read again by a new watch, not passed over.
      if (reason === "protocol")
        expect(() => tell(type, object)).toThrow(expect.objectContaining({ code: "protocol" }) as Error);
      else tell(type, object);
      expect(rejected).toEqual(reason === "protocol" ? [] : [reason]);
      expect(found()).toMatchObject({ state: "running", route: { resourceVersion: "20" } });
    });
  }
});
