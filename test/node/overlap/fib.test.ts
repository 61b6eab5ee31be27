import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Cidr, cidrAt, contains, parseCidr } from "../../../src/node/cidr.ts";
import { Fib, type Outcome } from "../../../src/node/fib/fib.ts";
import { type KernelRoute, readKernelRoute } from "../../../src/node/fib/kernel-route.ts";
import { type KernelRule, readKernelRule } from "../../../src/node/fib/kernel-rule.ts";

const BASE = parseCidr("10.0.0.0/26", "the base");

const route = fc
  .record({
    offset: fc.nat(63),
    length: fc.integer({ min: 24, max: 32 }),
    table: fc.constantFrom(100, 254),
    metric: fc.constantFrom(0, 5),
    type: fc.constantFrom("unicast", "unicast", "unicast", "blackhole", "throw"),
    dead: fc.boolean(),
  })
  .map(({ offset, length, table, metric, type, dead }): KernelRoute => ({
    destination:
      length === 24
        ? cidrAt({ family: 4, value: 0n }, 0)
        : cidrAt({ family: 4, value: BASE.first + BigInt(offset) }, length),
    type: type as KernelRoute["type"],
    table,
    metric,
    protocol: 3,
    nextHops: type === "unicast" ? [{ dev: "eth0", dead }] : [],
    scope: 0,
    condition: "",
  }));

const rule = fc
  .record({
    priority: fc.integer({ min: 1, max: 9 }),
    to: fc.option(fc.record({ offset: fc.nat(63), length: fc.integer({ min: 26, max: 32 }) }), {
      nil: undefined,
    }),
    toOthers: fc.boolean(),
    table: fc.constantFrom(100, 254),
    suppressUpTo: fc.constantFrom(-1, 0, 28),
  })
  .map(asRule);

function asRule(drawn: {
  readonly priority: number;
  readonly to: { readonly offset: number; readonly length: number } | undefined;
  readonly toOthers: boolean;
  readonly table: number;
  readonly suppressUpTo: number;
}): KernelRule {
  const { priority, to, toOthers, table, suppressUpTo } = drawn;
  const action = { kind: "table", table, suppressUpTo } as const;
  const rest = { priority, takes: "always", condition: "", action } as const;
  if (!to) return { ...rest, toOthers: false };
  const block = cidrAt({ family: 4, value: BASE.first + BigInt(to.offset) }, to.length);
  return { ...rest, to: block, toOthers };
}

/** The kernel's lookup, for one address, in the plainest way. */
function naive(rules: readonly KernelRule[], routes: readonly KernelRoute[], value: bigint): Outcome {
  for (const one of rules.toSorted((a, b) => a.priority - b.priority)) {
    const within = one.to === undefined || contains(one.to, { family: 4, value });
    if (one.to && within === one.toOthers) continue;
    if (one.action.kind !== "table") continue;
    const { table, suppressUpTo } = one.action;
    const matching = routes
      .filter((r) => r.table === table && contains(r.destination, { family: 4, value }))
      .filter((r) => r.nextHops.length === 0 || r.nextHops.some(({ dead }) => !dead))
      .toSorted((a, b) => b.destination.prefixLength - a.destination.prefixLength || a.metric - b.metric);
    const [best] = matching;
    if (best && best.type !== "throw" && best.destination.prefixLength > suppressUpTo)
      return { kind: "routes", routes: [best], rule: one };
  }
  return { kind: "no_route" };
}

describe("the fate of a range of addresses", () => {
  test("is that of each of its addresses", () => {
    fc.assert(
      fc.property(fc.array(rule, { maxLength: 4 }), fc.array(route, { maxLength: 14 }), (rules, routes) => {
        const fates = new Fib(4, rules, routes).fates(BASE);
        expect(fates[0]?.first).toBe(BASE.first);
        expect(fates.at(-1)?.last).toBe(BASE.last);
        for (const [index, { first, last, outcome }] of fates.entries()) {
          if (index > 0) expect(first).toBe((fates[index - 1]?.last ?? 0n) + 1n);
          for (let value = first; value <= last; value += 1n)
            expect(outcome).toEqual(naive(rules, routes, value));
        }
      }),
      { numRuns: 300 },
    );
  });

  test("of 20 000 routes is known in no time", () => {
    const routes = Array.from(
      { length: 20_000 },
      (_, index) =>
        readKernelRoute(
          { dst: `10.${index >> 8}.${index & 255}.0/24`, dev: index === 777 ? "ib0" : "eth0" },
          4,
        ) as KernelRoute,
    );
    const rules = [readKernelRule({ priority: 32_766, table: "254" }, 4) as KernelRule];
    const fates = new Fib(4, rules, routes).fates(parseCidr("10.0.0.0/8", "all"));
    const stray = fates.filter(
      ({ outcome }) => outcome.kind === "routes" && outcome.routes[0]?.nextHops[0]?.dev === "ib0",
    );
    expect(stray).toMatchObject([{ first: parseCidr("10.3.9.0/24", "it").first }]);
  });
});

describe("rules as iproute2 prints them", () => {
  const read = (value: object) => readKernelRule(value, 4);

  test.each([
    [{ src: "all", table: "254" }, "always", ""],
    [{ src: "all", iif: "lo", table: "254" }, "always", ""],
    [{ src: "all", fwmark: "0x200", fwmask: "0xf00", table: "9" }, "sometimes", "fwmark 0x200/0xf00"],
    [{ src: "all", fwmark: "0", fwmask: "0xf00", table: "9" }, "always", ""],
    [{ src: "10.0.0.0", srclen: 8, table: "9" }, "sometimes", "from 10.0.0.0/8"],
    [{ src: "all", iif: "cni0", table: "9" }, "sometimes", "iif cni0"],
    // wg-quick's: all that WireGuard itself does not send.
    [{ not: null, src: "all", fwmark: "0xca6c", table: "51820" }, "always", ""],
    [{ src: "all", l3mdev: null, table: "9" }, "never", ""],
    [{ src: "all", iif: "gone", iif_detached: null, table: "9" }, "never", ""],
  ])("%j concerns plain packets: %s", (value, takes, condition) => {
    expect(read({ priority: 1, ...value })).toMatchObject({ takes, condition });
  });

  test("what they do", () => {
    expect(read({ priority: 1, src: "all", goto: 60 })?.action).toEqual({ kind: "goto", priority: 60 });
    expect(read({ priority: 1, src: "all", action: "7" })?.action).toEqual({
      kind: "refuse",
      type: "unreachable",
    });
    expect(read({ priority: 1, src: "all", nop: null })?.action).toEqual({ kind: "nothing" });
    expect(read({ priority: 1, table: "254", suppress_prefixlen: 0 })?.action).toEqual({
      kind: "table",
      table: 254,
      suppressUpTo: 0,
    });
    const to = read({ priority: 1, dst: "10.1.0.0", dstlen: 16, not: null, table: "9" });
    expect(to).toMatchObject({ to: parseCidr("10.1.0.0/16", "it") satisfies Cidr, toOthers: true });
  });
});
