import { expect, test } from "vitest";
import { parseCidr } from "../../../src/node/cidr.ts";
import type { KernelRoute } from "../../../src/node/fib/kernel-route.ts";
import { planRoutes, STATIC_ROUTES_PROTOCOL } from "../../../src/node/static-routes/plan.ts";
import type { ResolvedRoute } from "../../../src/node/static-routes/resolve.ts";

const destination = parseCidr("172.16.5.0/24", "destination");
const wanted: ResolvedRoute = { destination, gateway: "192.168.0.1", dev: "eth0", metric: 0 };

const held = (...nextHops: KernelRoute["nextHops"]): KernelRoute => ({
  destination,
  type: "unicast",
  table: 254,
  metric: 0,
  protocol: STATIC_ROUTES_PROTOCOL,
  nextHops,
  scope: 0,
  condition: "",
});
const right = { gateway: "192.168.0.1", dev: "eth0", dead: false };
const other = { gateway: "192.168.0.9", dev: "eth1", dead: false };

test("a route of ours by the wanted gateway alone is kept", () => {
  expect(planRoutes([wanted], [held(right)]).map(({ kind }) => kind)).toEqual(["keep"]);
});

test("one that sends a share of the packets by another gateway as well is replaced", () => {
  for (const kernel of [held(right, other), held(other, right)]) {
    expect(planRoutes([wanted], [kernel])).toEqual([{ kind: "replace", route: wanted, before: kernel }]);
  }
});
