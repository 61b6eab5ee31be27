import { expect, test } from "vitest";
import { systemClock } from "../../../src/system/clock.ts";
import { ObjectStore } from "../../../lab/devcluster/object-store.ts";
import { seededRandom } from "../../../lab/devcluster/random.ts";

test("events come in the order of their versions, also when a listener changes the store", () => {
  const store = new ObjectStore({ clock: systemClock, random: seededRandom(1) });
  const manifest = (name: string) => ({
    apiVersion: "agents.kruise.io/v1alpha1" as const,
    kind: "Sandbox" as const,
    metadata: { namespace: "ns", name },
    spec: {},
  });
  store.subscribe(({ type, object }) => {
    if (type === "ADDED" && object.metadata.name === "one") store.create(manifest("two"));
  });
  const seen: [string, bigint][] = [];
  store.subscribe(({ object }) => seen.push([object.metadata.name, BigInt(object.metadata.resourceVersion)]));
  store.create(manifest("one"));
  expect(seen.map(([name]) => name)).toEqual(["one", "two"]);
  expect(seen.map(([, version]) => version)).toEqual([1001n, 1002n]);
});
