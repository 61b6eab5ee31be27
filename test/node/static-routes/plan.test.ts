import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cidrAt, formatCidr } from "../../../src/node/cidr.ts";
import { Fib } from "../../../src/node/fib/fib.ts";
import { type KernelRoute, readKernelRoute } from "../../../src/node/fib/kernel-route.ts";
import { type KernelRule, readKernelRule } from "../../../src/node/fib/kernel-rule.ts";
import {
  commandOf,
  formatStep,
  planRoutes,
  STATIC_ROUTES_PROTOCOL,
} from "../../../src/node/static-routes/plan.ts";
import { type ResolvedRoute, resolveRoute } from "../../../src/node/static-routes/resolve.ts";

const block = (index: number, length: number) =>
  cidrAt({ family: 4, value: (10n << 24n) + (BigInt(index) << 8n) }, length);

const wantedRoute = fc
  .record({
    destination: fc.record({ index: fc.nat(3), length: fc.constantFrom(16, 24) }),
    gateway: fc.constantFrom(undefined, "192.168.0.1", "192.168.0.2"),
    dev: fc.constantFrom("eth0", "eth1"),
    metric: fc.constantFrom(0, 5),
  })
  .map(({ destination, gateway, dev, metric }) =>
    asWanted({ destination: block(destination.index, destination.length), dev, metric }, gateway),
  );

function asWanted(route: ResolvedRoute, gateway: string | undefined): ResolvedRoute {
  return gateway === undefined ? route : { ...route, gateway };
}

const keyOf = ({ destination, metric }: { destination: ResolvedRoute["destination"]; metric: number }) =>
  `${formatCidr(destination)} ${metric}`;

const kernelRoute = fc
  .record({
    like: wantedRoute,
    protocol: fc.constantFrom(STATIC_ROUTES_PROTOCOL, 2, 3),
    table: fc.constantFrom(254, 254, 100),
  })
  .map(({ like, protocol, table }): KernelRoute => asKernel(like, protocol, table));

function asKernel(
  { destination, gateway, dev, metric }: ResolvedRoute,
  protocol: number,
  table = 254,
): KernelRoute {
  const hop = { dev, dead: false };
  const nextHops = [gateway === undefined ? hop : { ...hop, gateway }];
  return { destination, type: "unicast", table, metric, protocol, nextHops, scope: 0, condition: "" };
}

/** What the kernel would hold after the steps. */
function after(kernel: readonly KernelRoute[], steps: ReturnType<typeof planRoutes>): readonly KernelRoute[] {
  let now = [...kernel];
  for (const step of steps) {
    if (step.kind === "add") now.push(asKernel(step.route, STATIC_ROUTES_PROTOCOL));
    if (step.kind === "replace")
      now = now.map((one) => (one === step.before ? asKernel(step.route, STATIC_ROUTES_PROTOCOL) : one));
    if (step.kind === "remove") now = now.filter((one) => one !== step.before);
  }
  return now;
}

describe("a plan", () => {
  test("leaves exactly what is wanted of ours, never touches others', and there is nothing to do afterwards", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(wantedRoute, { selector: keyOf, maxLength: 6 }),
        fc.uniqueArray(kernelRoute, { selector: (one) => `${keyOf(one)} ${one.table}`, maxLength: 8 }),
        (wanted, kernel) => {
          const steps = planRoutes(wanted, kernel);
          const now = after(kernel, steps);
          const others = (routes: readonly KernelRoute[]) =>
            routes.filter(({ protocol, table }) => protocol !== STATIC_ROUTES_PROTOCOL || table !== 254);
          expect(others(now)).toEqual(others(kernel));
          const taken = new Set(
            steps.flatMap((step) =>
              step.kind === "conflict" || (step.kind === "keep" && step.others) ? [keyOf(step.route)] : [],
            ),
          );
          // Beside another's route ours changes nothing: it may be there or not.
          const ours = now
            .filter((route) => !others(now).includes(route) && !taken.has(keyOf(route)))
            .map((one) => JSON.stringify([keyOf(one), one.nextHops]));
          const expected = wanted
            .filter((route) => !taken.has(keyOf(route)))
            .map((route) => JSON.stringify([keyOf(route), asKernel(route, 0).nextHops]));
          expect(new Set(ours)).toEqual(new Set(expected));
          for (const { kind } of planRoutes(wanted, now)) expect(["keep", "conflict"]).toContain(kind);
        },
      ),
    );
  });

  test("puts routes on a link before those by a gateway, and removals last", () => {
    const left = asKernel({ destination: block(9, 24), dev: "eth0", metric: 0 }, STATIC_ROUTES_PROTOCOL);
    const steps = planRoutes(
      [
        { destination: block(1, 24), gateway: "10.9.9.9", dev: "eth0", metric: 0 },
        { destination: block(2, 24), dev: "eth0", metric: 0 },
      ],
      [left],
    );
    expect(steps.map(commandOf)).toEqual([
      "route add 10.0.2.0/24 dev eth0 proto 76",
      "route add 10.0.1.0/24 via 10.9.9.9 dev eth0 proto 76",
      "route del 10.0.9.0/24 dev eth0 proto 76",
    ]);
  });

  test("another's route that does the same is as it should be, and says whose it is", () => {
    const kernel = [{ dst: "10.52.0.0/16", gateway: "192.168.0.1", dev: "eth0", protocol: "3" }].map(
      (one) => readKernelRoute(one, 4) as KernelRoute,
    );
    const destination = kernel[0]?.destination ?? block(0, 24);
    const steps = planRoutes([{ destination, gateway: "192.168.0.1", dev: "eth0", metric: 0 }], kernel);
    expect(steps.map(formatStep)).toEqual([
      "= 10.52.0.0/16 via 192.168.0.1 dev eth0 (another's, the same: 10.52.0.0/16 via 192.168.0.1 dev eth0 proto boot)",
    ]);
    expect(steps.map(commandOf)).toEqual([undefined]);
  });

  test("a route for some packets only is in nobody's way", () => {
    const kernel = [{ dst: "10.52.0.0/16", dev: "ib0", tos: "0x10", protocol: "3" }].map(
      (one) => readKernelRoute(one, 4) as KernelRoute,
    );
    const destination = kernel[0]?.destination ?? block(0, 24);
    expect(planRoutes([{ destination, dev: "eth0", metric: 0 }], kernel)).toMatchObject([{ kind: "add" }]);
  });

  test("reads as a diff, and a conflict says whose route it is and what to write", () => {
    const kernel = [{ dst: "172.16.0.0/16", dev: "ib0", protocol: "2" }].map(
      (one) => readKernelRoute(one, 4) as KernelRoute,
    );
    const destination = kernel[0]?.destination ?? block(0, 24);
    const steps = planRoutes([{ destination, gateway: "192.168.0.1", dev: "eth0", metric: 0 }], kernel);
    expect(steps.map(formatStep)).toEqual([
      "! 172.16.0.0/16 via 192.168.0.1 dev eth0: 172.16.0.0/16 dev ib0 proto kernel is another's; write the destination as its two halves, which are narrower and win",
    ]);
    expect(steps.map(commandOf)).toEqual([undefined]);
  });
});

describe("what an entry leaves out", () => {
  const read = (...routes: object[]) => routes.map((one) => readKernelRoute(one, 4) as KernelRoute);
  const fibOf = (routes: readonly KernelRoute[]) =>
    new Fib(4, [readKernelRule({ priority: 32_766, src: "all", table: "254" }, 4) as KernelRule], routes);
  const entry = { destination: block(1, 24), metric: 0 };
  const one = read({ dst: "default", gateway: "192.168.0.1", dev: "eth0" });
  const halves = read(
    { dst: "0.0.0.0/1", gateway: "10.8.0.1", dev: "tun0" },
    { dst: "128.0.0.0/1", gateway: "10.8.0.2", dev: "tun1" },
  );
  const twoNics = read(
    { dst: "default", gateway: "192.168.0.1", dev: "eth0", metric: 5 },
    { dst: "default", gateway: "172.16.0.1", dev: "ib0", metric: 500 },
    { dst: "172.16.0.0/16", dev: "ib0", scope: "253" },
  );
  const several = read({
    dst: "default",
    nexthops: [
      { gateway: "192.168.0.1", dev: "eth0", flags: ["dead"] },
      { gateway: "192.168.1.1", dev: "eth1", flags: [] },
    ],
  });

  test.each<[string, object, readonly KernelRoute[], object]>([
    ["both", {}, one, { gateway: "192.168.0.1", dev: "eth0" }],
    ["the gateway", { dev: "eth0" }, one, { gateway: "192.168.0.1", dev: "eth0" }],
    ["the device", { gateway: "192.168.0.9" }, one, { gateway: "192.168.0.9", dev: "eth0" }],
    [
      "the gateway, of the device's own default route though another one wins",
      { dev: "ib0" },
      twoNics,
      { gateway: "172.16.0.1", dev: "ib0" },
    ],
    [
      "the device, which is the link that the gateway is on",
      { gateway: "172.16.7.7" },
      twoNics,
      { gateway: "172.16.7.7", dev: "ib0" },
    ],
    ["the device of an on-link route", { gateway: "none" }, twoNics, { gateway: undefined, dev: "eth0" }],
    [
      "nothing but a gateway that is not wanted",
      { gateway: "none", dev: "ib0" },
      [],
      { gateway: undefined, dev: "ib0" },
    ],
    ["nothing", { gateway: "10.0.0.9", dev: "ib0" }, [], { gateway: "10.0.0.9", dev: "ib0" }],
    ["both, by the half that holds it", {}, halves, { gateway: "10.8.0.1", dev: "tun0" }],
    ["both, by the next hop that lives", {}, several, { gateway: "192.168.1.1", dev: "eth1" }],
    ["both, by a default route without a gateway", {}, read({ dst: "default", dev: "wg0" }), { dev: "wg0" }],
  ])("%s", (_, given, defaults, resolved) => {
    expect(resolveRoute({ ...entry, ...given }, fibOf(defaults))).toEqual({ ...entry, ...resolved });
  });

  test.each<[object, readonly KernelRoute[], string]>([
    [{}, [], "there is no default route to take its gateway and device from"],
    [{ dev: "ib0" }, one, "the default route leaves by eth0, not by ib0"],
  ])("%j can't be known: %#", (given, defaults, words) => {
    expect(() => resolveRoute({ ...entry, ...given }, fibOf(defaults))).toThrow(words);
  });
});
