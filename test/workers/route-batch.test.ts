import { deserialize, serialize } from "node:v8";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { RouteInEffect } from "../../src/routes/lookup.ts";
import { objectKey } from "../../src/routes/route.ts";
import { rv } from "../routes/support/timeline.ts";
import { decodeRoute, encodeRoute, type RouteTuple } from "../../src/workers/route-batch.ts";

/** Any text at all: halves of surrogate pairs, NUL, nothing. A peer may push it. */
const text = fc.string({ unit: "binary", maxLength: 40 });

const inEffect: fc.Arbitrary<RouteInEffect> = fc
  .record({
    route: fc.record({
      namespace: text,
      name: text,
      id: text,
      uid: text,
      owner: text,
      ip: text,
      state: text,
      resourceVersion: fc.nat().map((version) => rv(version)),
      accessToken: text,
      requireTrafficAuth: fc.boolean(),
      shutdownAtMs: fc.option(fc.double({ noNaN: true }), { nil: undefined }),
      podUid: fc.option(text, { nil: undefined }),
      readyAtS: fc.option(fc.nat(), { nil: undefined }),
      wake: fc.constantFrom(undefined, "asleep" as const, "resuming" as const),
      access: fc.option(text, { nil: undefined }),
      previewEpoch: fc.option(text, { nil: undefined }),
    }),
    state: text,
    number: fc.option(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), { nil: undefined }),
    ipReassigned: fc.boolean(),
  })
  .map(({ route, state, number, ipReassigned }) => {
    const { namespace, name, uid, ip, access, previewEpoch } = route;
    const incarnation =
      number === undefined ? undefined : { number, key: objectKey(namespace, name), uid, ip };
    return { kind: "found", route, state, incarnation, ipReassigned, access, previewEpoch };
  });

test("a route comes out of the channel as it went in, whatever a peer wrote into it", () => {
  fc.assert(
    fc.property(inEffect, (found) => {
      const tuple = deserialize(serialize(encodeRoute(found))) as RouteTuple;
      const { route, state, incarnation, ipReassigned } = found;
      expect(decodeRoute(tuple)).toStrictEqual({
        route: { ...route },
        state,
        incarnation: incarnation?.number ?? 0,
        ipReassigned,
      });
    }),
  );
});
