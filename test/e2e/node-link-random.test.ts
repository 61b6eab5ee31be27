import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { differences } from "../../src/node/link/differences.ts";
import { moveLink, rollBack } from "../../src/node/link/mover.ts";
import { look, makePod, moveOf, surroundings } from "../node/link/support/pod.ts";
import { NO_NAMESPACES } from "../node/support/namespaces.ts";

const title = `random route tables${NO_NAMESPACES ? ` (${NO_NAMESPACES})` : ""}`;

/** Few numbers, so that routes cover, contain and hide each other's gateways. */
const part = fc.integer({ min: 0, max: 3 });
const table = fc.constantFrom("", "", "", " table 101", " table 102");

const address4 = fc.tuple(part, part, part).map(([a, b, c]) => `10.${a}.${b}.${c + 1}`);
const block4 = fc
  .tuple(part, part, part, fc.constantFrom(8, 16, 24, 32))
  .map(([a, b, c, length]) =>
    length === 32 ? `10.${a}.${b}.${c + 1}` : `10.${length > 8 ? a : 0}.${length > 16 ? b : 0}.0/${length}`,
  );
const address6 = fc.tuple(part, part, part).map(([a, b, c]) => `2001:db8:${a}:${b}::${c + 1}`);
const block6 = fc
  .tuple(part, part, part, fc.constantFrom(32, 48, 64, 128))
  .map(([a, b, c, length]) =>
    length === 128
      ? `2001:db8:${a}:${b}::${c + 1}`
      : `2001:db8:${length > 32 ? a : 0}:${length > 48 ? b : 0}::/${length}`,
  );
const extra = fc.constantFrom(
  "",
  "",
  " mtu lock 1300",
  " mtu 1400 advmss 1200",
  " metric 5",
  " proto 42",
  " congctl cubic",
);

/** Routes over two gateways, nexthop objects from `firstId` on, and routes that use those. */
const linesOf = (block: fc.Arbitrary<string>, address: fc.Arbitrary<string>, firstId: number) => {
  const id = fc.integer({ min: firstId, max: firstId + 3 });
  const arbitraries = [
    fc
      .tuple(block, address, address)
      .map(
        ([to, one, two]) =>
          `route append ${to} nexthop via ${one} dev eth0 nexthop via ${two} dev eth0 weight 3`,
      ),
    fc.tuple(id, address).map(([of, via]) => `nexthop add id ${of} via ${via} dev eth0`),
    fc.tuple(block, id).map(([to, of]) => `route append ${to} nhid ${of}`),
  ];
  return arbitraries.map((arbitrary) => ({ weight: 1, arbitrary }));
};

const lines4 = fc.oneof(
  {
    weight: 2,
    arbitrary: fc
      .tuple(address4, fc.constantFrom(24, 32))
      .map(([one, length]) => `address add ${one}/${length} dev eth0`),
  },
  {
    weight: 4,
    arbitrary: fc
      .tuple(block4, table, extra)
      .map(([to, of, more]) => `route append ${to} dev eth0${of}${more}`),
  },
  {
    weight: 6,
    arbitrary: fc
      .tuple(fc.oneof(block4, fc.constant("default")), address4, table, extra)
      .map(([to, via, of, more]) => `route append ${to} via ${via} dev eth0${of}${more}`),
  },
  ...linesOf(block4, address4, 1),
  {
    weight: 1,
    arbitrary: fc.constantFrom(101, 102).map((of) => `rule add from 0.0.0.0/0 priority ${of} lookup ${of}`),
  },
);
const lines6 = fc.oneof(
  {
    weight: 2,
    arbitrary: fc
      .tuple(address6, fc.constantFrom(64, 128))
      .map(([one, length]) => `address add ${one}a/${length} dev eth0 nodad`),
  },
  {
    weight: 4,
    arbitrary: fc
      .tuple(block6, table, extra)
      .map(([to, of, more]) => `route append ${to} dev eth0${of}${more}`),
  },
  {
    weight: 6,
    arbitrary: fc
      .tuple(fc.oneof(block6, fc.constant("::/0")), fc.oneof(address6, fc.constant("fe80::1")), table, extra)
      .map(([to, via, of, more]) => `route append ${to} via ${via} dev eth0${of}${more}`),
  },
  ...linesOf(block6, address6, 11),
);
/** What the kernel allows though nothing depends on it any more afterwards: a cover goes, its dependants stay. */
const deletions = fc.oneof(block4, block6).map((to) => `route delete ${to} dev eth0`);

/**
 * Without routes over a gateway that is an address of the link itself. The kernel takes such a route while another one covers the gateway,
 * and afterwards neither without `onlink` nor with it ("Nexthop has invalid gateway"): a move is refused then, and touches nothing.
 */
function withoutOwnGateways(lines: readonly string[]): string[] {
  const own = new Set(lines.map((line) => /^address add ([^/]+)/.exec(line)?.[1]));
  return lines.filter((line) => ![...line.matchAll(/via (\S+)/g)].some(([, gateway]) => own.has(gateway)));
}

/**
 * Makes the table, moves the link, compares, takes it back, compares. Returns how many routes needed `onlink` that are in no circle: a route
 * that got its hops one by one may come to hide what another one's gateway is reached by, and that one its own.
 */
async function thereAndBack(
  lines: readonly string[],
): Promise<{ readonly routes: number; readonly onlink: number }> {
  const made = makePod();
  await made.pod.ip.batch(lines);
  const before = await look(made.pod);
  const options = moveOf(made, { neighbourTimeoutMs: 0 });
  const { step, onlink, unrestorable } = await moveLink(options, surroundings());
  const excused = { onlink, unrestorable, pinned: false };
  expect(step).toEqual({ at: "restored" });
  expect(unrestorable).toEqual([]);
  expect(differences(before, await look(made.interior), excused)).toEqual([]);
  expect(await rollBack(options.statePath, surroundings())).toMatchObject({ differences: [] });
  const back = await look(made.pod);
  expect(differences(before, back, excused)).toEqual([]);
  const needless = onlink.filter(({ why }) => !why.includes("in a circle"));
  return { routes: before.routes.length, onlink: needless.length };
}

describe.skipIf(NO_NAMESPACES)(title, () => {
  test("what the kernel took once it takes again in our order, and no route needs onlink", async () => {
    let routes = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(lines4, lines6), { minLength: 30, maxLength: 60 }),
        async (lines) => {
          const result = await thereAndBack(lines);
          routes += result.routes;
          expect(result.onlink).toBe(0);
        },
      ),
      { numRuns: 8, endOnFailure: true },
    );
    expect(routes).toBeGreaterThan(80);
  });

  test("tables whose covers went away come back the same but for onlink", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(lines4, lines6), { minLength: 30, maxLength: 60 }),
        fc.array(deletions, { minLength: 30, maxLength: 60 }),
        async (lines, gone) => {
          await thereAndBack([...withoutOwnGateways(lines), ...gone]);
        },
      ),
      { numRuns: 6, endOnFailure: true },
    );
  });
});
