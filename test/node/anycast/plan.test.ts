import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Backend, BackendState } from "../../../src/node/anycast/backend.ts";
import {
  addressesWithBackend,
  NEXTHOP_IDS,
  plan,
  type Step,
  type Wanted,
} from "../../../src/node/anycast/plan.ts";
import { ModelKernel } from "./support/model-kernel.ts";

const A = "192.0.2.10";
const B = "2001:db8::10";

const backend = (name: string, number: number, state: BackendState = "eligible"): Backend => ({
  key: `pod edge/${name} (u${number})`,
  addresses: [A, B],
  nexthops: [`10.1.0.${number}`, `fd00::${number}`],
  state,
});

const wanted = (backends: readonly Backend[], lingering: readonly string[] = []): Wanted => ({
  addresses: [A, B],
  backends,
  lingering: new Set(lingering),
  groupType: "resilient",
});

function settle(kernel: ModelKernel, wish: Wanted, announced: Set<string>): readonly Step[] {
  const { steps } = plan(wish, kernel, announced);
  for (const step of steps) {
    kernel.do(step);
    if (step.kind === "withdraw") for (const address of step.addresses) announced.delete(address);
    if (step.kind === "announce") for (const address of step.addresses) announced.add(address);
  }
  return steps;
}

describe("what is done, and in which order", () => {
  test("install, then announce", () => {
    const kernel = new ModelKernel();
    kernel.addLink("lxc1", "10.1.0.1", "fd00::1");
    const steps = settle(kernel, wanted([backend("one", 1)]), new Set());
    expect(steps.map(({ kind }) => kind)).toEqual([
      "add_nexthop",
      "set_group",
      "set_route",
      "add_nexthop",
      "set_group",
      "set_route",
      "announce",
    ]);
    expect(steps.at(-1)).toEqual({ kind: "announce", addresses: [A, B] });
  });

  test("the last pod is told to end: withdrawn, and its route stays until it is gone", () => {
    const kernel = new ModelKernel();
    kernel.addLink("lxc1", "10.1.0.1", "fd00::1");
    const announced = new Set<string>();
    settle(kernel, wanted([backend("one", 1)]), announced);
    expect(settle(kernel, wanted([backend("one", 1, "terminating")]), announced)).toEqual([
      { kind: "withdraw", addresses: [A, B] },
    ]);
    expect(kernel.behind(A)).toEqual(["lxc1"]);
    expect(settle(kernel, wanted([]), announced).map(({ kind }) => kind)).toEqual([
      "drop_route",
      "drop_route",
      "drop_group",
      "drop_group",
      "drop_nexthop",
      "drop_nexthop",
    ]);
    expect([kernel.nexthops.size, kernel.groups.size, kernel.routes.size]).toEqual([0, 0, 0]);
  });

  test("one of two is told to end: the group shrinks in one step, and nothing is withdrawn", () => {
    const kernel = new ModelKernel();
    kernel.addLink("lxc1", "10.1.0.1", "fd00::1");
    kernel.addLink("lxc2", "10.1.0.2", "fd00::2");
    const announced = new Set<string>();
    settle(kernel, wanted([backend("one", 1), backend("two", 2)]), announced);
    const steps = settle(kernel, wanted([backend("one", 1, "terminating"), backend("two", 2)]), announced);
    expect(steps.map((step) => (step.kind === "set_group" ? step.change : step.kind))).toEqual([
      "shrink",
      "shrink",
      "drop_nexthop",
      "drop_nexthop",
    ]);
    expect(kernel.behind(A)).toEqual(["lxc2"]);
    expect([...announced]).toEqual([A, B]);
  });

  test("one that lingers stays with the least weight, so that it gets nothing new", () => {
    const kernel = new ModelKernel();
    kernel.addLink("lxc1", "10.1.0.1", "fd00::1");
    kernel.addLink("lxc2", "10.1.0.2", "fd00::2");
    const announced = new Set<string>();
    const [one, two] = [backend("one", 1), backend("two", 2)];
    settle(kernel, wanted([one, two]), announced);
    settle(kernel, wanted([{ ...one, state: "terminating" }, two], [one.key]), announced);
    const group = kernel.groups.get(kernel.routes.get(A) ?? 0);
    expect(new Set(group?.members.values())).toEqual(new Set([1, 256]));
    // It never comes in anew.
    const fresh = new ModelKernel();
    fresh.addLink("lxc1", "10.1.0.1", "fd00::1");
    fresh.addLink("lxc2", "10.1.0.2", "fd00::2");
    settle(fresh, wanted([{ ...one, state: "terminating" }, two], [one.key]), new Set());
    expect(fresh.behind(A)).toEqual(["lxc2"]);
  });

  test("another program's route is left alone, and the address is not announced", () => {
    const kernel = new ModelKernel();
    kernel.addLink("lxc1", "10.1.0.1", "fd00::1");
    kernel.foreignRoutes.set(A, "192.0.2.10 dev eth0 proto 4");
    const { steps, addresses } = plan(wanted([backend("one", 1)]), kernel, new Set([A]));
    expect(steps[0]).toEqual({ kind: "withdraw", addresses: [A] });
    expect(steps.filter((step) => "address" in step && step.address === A)).toEqual([]);
    expect(addresses[0]?.why).toBe("another program has a route for it: 192.0.2.10 dev eth0 proto 4");
    expect(addresses[1]).toMatchObject({ address: B, announced: true });
  });

  test("a backend that can't be reached over a link of the node is told, and doesn't count", () => {
    const kernel = new ModelKernel();
    kernel.paths.set("10.1.0.1", {
      kind: "none",
      why: "it is not on a link of this node (default gateway 10.0.0.1)",
    });
    const { addresses, steps } = plan(
      wanted([{ ...backend("one", 1), nexthops: ["10.1.0.1"] }]),
      kernel,
      new Set(),
    );
    expect(steps).toEqual([]);
    expect(addresses.map(({ why }) => why)).toEqual([
      "pod edge/one (u1) can't be reached at 10.1.0.1: it is not on a link of this node (default gateway 10.0.0.1)",
      "pod edge/one (u1) has no IPv6 address",
    ]);
  });

  test("a pod on the host network needs no route, only that the host has the address", () => {
    const kernel = new ModelKernel();
    kernel.paths.set("10.0.0.1", { kind: "host" });
    const host: Backend = { ...backend("edge", 1), addresses: [A], nexthops: ["10.0.0.1"] };
    expect(plan(wanted([host]), kernel, new Set()).addresses[0]).toMatchObject({
      announced: false,
      why: "pod edge/edge (u1) is on the host network, and the host does not have the address",
    });
    kernel.hostAddresses.add(A);
    expect(plan(wanted([host]), kernel, new Set()).steps).toEqual([{ kind: "announce", addresses: [A] }]);
    // And a pod of its own network would never get anything of it.
    kernel.addLink("lxc1", "10.1.0.1");
    const { addresses } = plan(wanted([backend("one", 1)]), kernel, new Set());
    expect(addresses[0]).toMatchObject({
      announced: false,
      why: "the host itself has the address, so nothing of it reaches pod edge/one (u1)",
    });
  });

  test("an address given to a new pod with a new link is a new nexthop; the old one goes", () => {
    const kernel = new ModelKernel();
    kernel.addLink("lxc1", "10.1.0.1", "fd00::1");
    const announced = new Set<string>();
    settle(kernel, wanted([backend("one", 1)]), announced);
    kernel.addLink("lxc9", "10.1.0.1", "fd00::1");
    settle(kernel, wanted([{ ...backend("one", 1), key: "pod edge/one (u2)" }]), announced);
    expect(kernel.behind(A)).toEqual(["lxc9"]);
    expect(kernel.nexthops.size).toBe(2);
  });

  test("the type of the groups changes: a group of the other type takes the route over", () => {
    const kernel = new ModelKernel();
    kernel.addLink("lxc1", "10.1.0.1", "fd00::1");
    const announced = new Set<string>();
    settle(kernel, { ...wanted([backend("one", 1)]), groupType: "mpath" }, announced);
    settle(kernel, wanted([backend("one", 1)]), announced);
    expect([...kernel.groups.values()].map(({ type }) => type)).toEqual(["resilient", "resilient"]);
  });

  test("IDs that others took are passed over", () => {
    const kernel = new ModelKernel();
    kernel.addLink("lxc1", "10.1.0.1", "fd00::1");
    kernel.foreignIds.add(NEXTHOP_IDS.first).add(NEXTHOP_IDS.first + 2);
    settle(kernel, wanted([backend("one", 1)]), new Set());
    expect(kernel.behind(A)).toEqual(["lxc1"]);
  });
});

// Histories of pods, links and passes. A pod's link and its object come and go independently, as in a real node.

type Event =
  | { readonly kind: "tell"; readonly pod: number; readonly state: BackendState }
  | { readonly kind: "forget"; readonly pod: number }
  | { readonly kind: "link" | "unlink"; readonly pod: number }
  | { readonly kind: "linger"; readonly pod: number }
  | { readonly kind: "pass"; readonly stopAfter: number };

const podNumber = fc.integer({ min: 1, max: 4 });
const event: fc.Arbitrary<Event> = fc.oneof(
  fc.record({
    kind: fc.constant("tell" as const),
    pod: podNumber,
    state: fc.constantFrom<BackendState>("eligible", "terminating", "not_ready"),
  }),
  fc.record({ kind: fc.constant("forget" as const), pod: podNumber }),
  fc.record({ kind: fc.constantFrom("link" as const, "unlink" as const), pod: podNumber }),
  fc.record({ kind: fc.constant("linger" as const), pod: podNumber }),
  // A pass may break off anywhere: the process is killed, or BIRD or the kernel refuse the rest.
  fc.record({ kind: fc.constant("pass" as const), stopAfter: fc.oneof(fc.constant(99), fc.nat(6)) }),
);

test("whatever happens in whatever order: announced only with an eligible backend, withdrawn before the teardown", () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 40 }), (events) => {
      const kernel = new ModelKernel();
      kernel.foreignIds.add(NEXTHOP_IDS.first + 1);
      const announced = new Set<string>();
      const pods = new Map<number, Backend>();
      const lingering = new Set<string>();
      const wish = (): Wanted => wanted([...pods.values()], [...lingering]);
      const pass = (stopAfter: number): void => {
        const { steps } = plan(wish(), kernel, announced);
        for (const step of steps.slice(0, stopAfter)) {
          if (step.kind === "drop_route") expect([...announced]).not.toContain(step.address);
          const before = new Map([A, B].map((address) => [address, kernel.behind(address).length]));
          kernel.do(step);
          for (const address of announced) {
            // Never through empty on the way from one set of members to another.
            if ((before.get(address) ?? 0) > 0) expect(kernel.behind(address).length).toBeGreaterThan(0);
          }
          if (step.kind === "withdraw") for (const address of step.addresses) announced.delete(address);
          if (step.kind === "announce") {
            const allowed = addressesWithBackend(wish());
            for (const address of step.addresses) {
              expect([...allowed]).toContain(address);
              const links = [...pods.values()].flatMap(({ state, nexthops }) =>
                state === "eligible" ? nexthops.map((nexthop) => kernel.paths.get(nexthop)) : [],
              );
              expect(links).toContainEqual({ kind: "link", device: kernel.behind(address)[0] });
              announced.add(address);
            }
          }
        }
      };
      for (const happened of events) {
        if (happened.kind === "pass") pass(happened.stopAfter);
        else {
          const { pod } = happened;
          const one = backend(`p${pod}`, pod);
          if (happened.kind === "tell") pods.set(pod, { ...one, state: happened.state });
          else if (happened.kind === "forget") pods.delete(pod);
          else if (happened.kind === "link") kernel.addLink(`lxc${pod}`, ...one.nexthops);
          else if (happened.kind === "unlink") kernel.removeLink(`lxc${pod}`);
          else if (lingering.has(one.key)) lingering.delete(one.key);
          else lingering.add(one.key);
        }
      }
      pass(99);
      // What is eligible and linked is announced, all else is not, and nothing is left to do or left over.
      const served = [...pods.values()].filter(
        ({ state, nexthops }) => state === "eligible" && kernel.paths.get(nexthops[0] ?? "")?.kind === "link",
      );
      expect([...announced].sort()).toEqual(served.length > 0 ? [A, B] : []);
      expect(plan(wish(), kernel, announced).steps).toEqual([]);
      const eligible = served
        .map(({ nexthops }) => kernel.paths.get(nexthops[0] ?? ""))
        .map((path) => path && "device" in path && path.device);
      expect(kernel.behind(A)).toEqual(expect.arrayContaining(eligible));
      if (pods.size === 0)
        expect([kernel.nexthops.size, kernel.groups.size, kernel.routes.size]).toEqual([0, 0, 0]);
    }),
    { numRuns: 500 },
  );
});
