import { describe, expect, test } from "vitest";

import type { RouteInEffect } from "../../src/routes/lookup.ts";
import type { WakeState } from "../../src/routes/route.ts";
import { sleeperOf } from "../../src/routes/sleeper.ts";
import { rv } from "./support/timeline.ts";

const found = (state: string, wake: WakeState | undefined, inEffect = state): RouteInEffect => ({
  kind: "found",
  route: {
    namespace: "team-a",
    name: "box",
    id: "box",
    uid: "u1",
    owner: "",
    ip: "",
    state,
    resourceVersion: rv(1),
    accessToken: "",
    requireTrafficAuth: false,
    wake,
  },
  state: inEffect,
  incarnation: undefined,
  ipReassigned: false,
});

describe("a sleeper", () => {
  test.each<[string, RouteInEffect, boolean]>([
    ["is a paused sandbox that traffic may wake", found("paused", "asleep"), false],
    ["is one that was told to run and does not yet", found("creating", "resuming"), false],
    ["may be joined only, where it is not ready", found("dead", "resuming"), true],
  ])("%s", (_what, route, joinsOnly) => {
    expect(sleeperOf(route)).toEqual({ key: "team-a/box", uid: "u1", joinsOnly });
  });

  test.each<[string, RouteInEffect]>([
    ["that traffic may not wake", found("paused", undefined)],
    ["whose shutdownTime has passed", found("paused", "asleep", "dead")],
    ["of which a peer pushed the end", found("paused", "asleep", "doubted")],
  ])("is no sandbox %s", (_what, route) => {
    expect(sleeperOf(route)).toBeUndefined();
  });
});
