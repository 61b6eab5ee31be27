import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Clock } from "../../../src/system/clock.ts";
import { silentLog } from "../../../src/system/log.ts";
import type { Backend, BackendState } from "../../../src/node/anycast/backend.ts";
import { BirdError } from "../../../src/node/anycast/bird-announcer.ts";
import type { AnycastObserver } from "../../../src/node/anycast/observer.ts";
import type { BirdPort } from "../../../src/node/anycast/announcements.ts";
import { AnycastReconciler, type KernelPort } from "../../../src/node/anycast/reconciler.ts";
import { ModelKernel } from "./support/model-kernel.ts";

const silentAnycastObserver: AnycastObserver = {
  addresses() {},
  backends() {},
  reconciled() {},
  changed() {},
  drifted() {},
  birdConfigured() {},
  withdrawn() {},
};

const A = "192.0.2.10";
const B = "192.0.2.11";

const backend = (pod: number, state: BackendState): Backend => ({
  key: `pod ${pod}`,
  addresses: pod % 2 === 0 ? [A] : [A, B],
  nexthops: [`10.1.0.${pod}`],
  state,
});

/** `stuck`: it refuses, and does not disable a protocol either. */
type Mood = "ok" | "refused" | "stuck" | "unreachable";

/** A BIRD that is told of as a real one is, with a file that outlives it. */
class ModelBird {
  routes: ReadonlySet<string> = new Set();
  file: ReadonlySet<string> = new Set();
  mood: Mood = "ok";

  announce(target: ReadonlySet<string>): void {
    if (this.mood === "unreachable") {
      this.file = target;
      throw new BirdError("unreachable", "BIRD is away", {});
    }
    if (this.mood !== "ok") {
      // The file is put back; what must go is disabled.
      if (this.mood === "refused") {
        this.routes = new Set([...this.routes].filter((address) => target.has(address)));
      }
      throw new BirdError("refused", "BIRD refused its configuration", {});
    }
    this.file = target;
    this.routes = target;
  }
}

type Event =
  | { readonly kind: "tell"; readonly pod: number; readonly state: BackendState }
  | { readonly kind: "forget" | "link" | "unlink"; readonly pod: number }
  | { readonly kind: "bird"; readonly mood: Mood }
  | { readonly kind: "drift"; readonly what: "routes" | "bird" | "file" }
  | { readonly kind: "foreign" };

const pod = fc.integer({ min: 1, max: 3 });
const event: fc.Arbitrary<Event> = fc.oneof(
  fc.record({
    kind: fc.constant("tell" as const),
    pod,
    state: fc.constantFrom<BackendState>("eligible", "terminating", "not_ready"),
  }),
  fc.record({ kind: fc.constantFrom("forget" as const, "link" as const, "unlink" as const), pod }),
  fc.record({
    kind: fc.constant("bird" as const),
    mood: fc.constantFrom<Mood>("ok", "ok", "refused", "stuck", "unreachable"),
  }),
  fc.record({
    kind: fc.constant("drift" as const),
    what: fc.constantFrom("routes" as const, "bird" as const, "file" as const),
  }),
  fc.constant({ kind: "foreign" } as const),
);

/** A node whose kernel and BIRD answer when the scheduler says so, and whose time is the scheduler's. */
function nodeOf(scheduler: fc.Scheduler) {
  const kernel = new ModelKernel();
  const bird = new ModelBird();
  const pods = new Map<number, Backend>();
  const eligible = (address: string): boolean =>
    [...pods.values()].some(({ addresses, state }) => state === "eligible" && addresses.includes(address));
  const turn = (label: string): Promise<void> => scheduler.schedule(Promise.resolve(), label);
  let nowMs = 0;
  const clock: Clock = {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    setTimeout(callback, delayMs) {
      let cleared = false;
      const wait = async (): Promise<void> => {
        await turn(`after ${delayMs} ms`);
        nowMs += Math.min(delayMs, 1000);
        if (!cleared) callback();
      };
      void wait();
      return { clear: () => void (cleared = true) };
    },
  };
  const kernelPort: KernelPort = {
    async read() {
      await turn("kernel.read");
      const { paths, hostAddresses, nexthops, groups, foreignIds, routes, foreignRoutes } = kernel;
      return {
        paths: new Map(paths),
        hostAddresses,
        nexthops: new Map(nexthops),
        groups: new Map(groups),
        foreignIds,
        routes: new Map(routes),
        foreignRoutes: new Map(foreignRoutes),
      };
    },
    async apply(steps) {
      await turn("kernel.apply");
      return steps.flatMap((step) => {
        try {
          if (step.kind === "drop_route" && bird.mood !== "unreachable") {
            expect([...bird.routes], `${step.address} is torn down while announced`).not.toContain(
              step.address,
            );
          }
        } catch (error) {
          violations.push(String(error));
        }
        try {
          kernel.do(step);
          return [];
        } catch {
          // The model refuses, as the kernel does when a link went in between.
          return [{ step, why: "refused" }];
        }
      });
    },
    hashPolicyAdvice: () => Promise.resolve([]),
  };
  const violations: string[] = [];
  const birdPort: BirdPort = {
    async announced() {
      await turn("bird.announced");
      if (bird.mood === "unreachable") throw new BirdError("unreachable", "BIRD is away", {});
      return new Set(bird.routes);
    },
    async isUp(target) {
      await turn("bird.isUp");
      if (bird.mood === "unreachable") throw new BirdError("unreachable", "BIRD is away", {});
      return bird.routes.size === target.size && [...target].every((address) => bird.routes.has(address));
    },
    inFile: () => Promise.resolve(new Set(bird.file)),
    async announce(target) {
      for (const address of target) {
        if (!bird.routes.has(address) && !eligible(address))
          violations.push(`${address} announced without a backend`);
      }
      await turn("bird.announce");
      bird.announce(target);
    },
  };
  const reconciler = new AnycastReconciler({
    addresses: [A, B],
    sources: ["pods"],
    groupType: "resilient",
    lingerMs: 0,
    resyncMs: 1000,
    kernel: kernelPort,
    bird: birdPort,
    observer: silentAnycastObserver,
    clock,
    log: silentLog,
  });
  const tell = (): void => reconciler.setBackends("pods", [...pods.values()]);
  const happen = (happened: Event): void => {
    switch (happened.kind) {
      case "tell":
        pods.set(happened.pod, backend(happened.pod, happened.state));
        tell();
        break;
      case "forget":
        pods.delete(happened.pod);
        tell();
        break;
      case "link":
        kernel.addLink(`lxc${happened.pod}`, `10.1.0.${happened.pod}`);
        reconciler.kernelChanged();
        break;
      case "unlink":
        kernel.removeLink(`lxc${happened.pod}`);
        reconciler.kernelChanged();
        break;
      case "bird":
        // One that comes back has read its file.
        if (bird.mood === "unreachable" && happened.mood !== "unreachable") bird.routes = bird.file;
        bird.mood = happened.mood;
        break;
      case "drift":
        if (happened.what === "routes") kernel.routes.clear();
        else if (happened.what === "bird") bird.routes = new Set();
        else bird.file = new Set();
        break;
      case "foreign":
        // Another program sets a route for the address, or takes it away.
        if (!kernel.foreignRoutes.delete(A)) kernel.foreignRoutes.set(A, "192.0.2.10 dev eth0");
        break;
    }
  };
  const run = async (turns: number): Promise<void> => {
    for (let turn = 0; turn < turns && scheduler.count() > 0; turn += 1) {
      await scheduler.waitOne();
      // What follows from the turn within the same tick.
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { kernel, bird, pods, happen, tell, run, violations, reconciler };
}

describe("the running reconciler", () => {
  test("in any interleaving of pods, links, BIRD's moods and passes: never announced without an eligible backend, and right in the end", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(fc.tuple(event, fc.nat(12)), { maxLength: 25 }),
        async (scheduler, events) => {
          const node = nodeOf(scheduler);
          for (const pod of [1, 2, 3]) node.happen({ kind: "link", pod });
          node.tell();
          for (const [happened, turns] of events) {
            node.happen(happened);
            await node.run(turns);
          }
          node.happen({ kind: "bird", mood: "ok" });
          node.reconciler.kernelChanged();
          await node.run(60);
          expect(node.violations).toEqual([]);
          const served = [A, B].filter(
            (address) =>
              !node.kernel.foreignRoutes.has(address) &&
              [...node.pods.values()].some(
                ({ addresses, state, nexthops }) =>
                  state === "eligible" &&
                  addresses.includes(address) &&
                  node.kernel.paths.get(nexthops[0] ?? "")?.kind === "link",
              ),
          );
          expect([...node.bird.routes].sort((a, b) => a.localeCompare(b))).toEqual(served);
          expect([...node.bird.file].sort((a, b) => a.localeCompare(b))).toEqual(served);
          for (const address of served) expect(node.kernel.behind(address).length).toBeGreaterThan(0);
          await Promise.race([node.reconciler.stop(false), node.run(60)]);
        },
      ),
      { numRuns: 400 },
    );
  });

  test("nothing is done before every source was heard: what an earlier run left stays", async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), async (scheduler) => {
        const node = nodeOf(scheduler);
        node.bird.routes = new Set([A]);
        node.bird.file = new Set([A]);
        node.reconciler.kernelChanged();
        await node.run(10);
        expect([...node.bird.routes]).toEqual([A]);
        expect(node.reconciler.status().addresses[0]?.why).toBe("waiting for the sources of backends");
        node.tell();
        await node.run(20);
        expect([...node.bird.routes]).toEqual([]);
      }),
      { numRuns: 5 },
    );
  });
});
