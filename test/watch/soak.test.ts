import fc from "fast-check";
import { expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import type { Fault } from "./support/faulty-api-server.ts";
import { watching } from "./support/watching.ts";

/** What happens to the cluster between two requests of the reflector, or at any time. */
type Step =
  | { readonly kind: "put"; readonly name: string }
  | { readonly kind: "delete"; readonly name: string }
  | { readonly kind: "compact" }
  | { readonly kind: "end-watches" }
  | { readonly kind: "pause"; readonly ms: number };

const name = fc.constantFrom("a", "b", "c", "d", "e", "f", "g");
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("put" as const), name }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("delete" as const), name }) },
  { weight: 1, arbitrary: fc.constant({ kind: "compact" as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: "end-watches" as const }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("pause" as const), ms: fc.integer({ min: 0, max: 6 }) }),
  },
);
const by = fc.constantFrom("fin" as const, "rst" as const);
const fault: fc.Arbitrary<Fault> = fc.oneof(
  fc.record({ kind: fc.constant("cut" as const), afterBytes: fc.integer({ min: 1, max: 2_000 }), by }),
  fc.record({ kind: fc.constant("cut" as const), afterEvents: fc.integer({ min: 1, max: 3 }), by }),
  fc.record({
    kind: fc.constant("status" as const),
    code: fc.constantFrom(401, 403, 404, 410, 429, 500, 502, 503, 504),
  }),
  fc.record({ kind: fc.constant("error-event" as const), code: fc.constantFrom(410, 429, 500) }),
  fc.constantFrom<Fault>(
    { kind: "reset" },
    { kind: "end" },
    { kind: "silent" },
    { kind: "stall" },
    { kind: "body", bytes: "garbage\n" },
    { kind: "body", bytes: '{"type":"ADDED","object":{"metadata":{"resourceVersion":"01"}}}\n' },
    { kind: "body", bytes: `{"type":"ADDED","object":"${"x".repeat(9_000)}"}\n` },
  ),
);

test.each([
  ["streamed", "stream"],
  ["paged", "paged"],
] as const)(
  "whatever goes wrong while objects change, with lists that are %s, the sink misses nothing, repeats nothing, and the loop goes on",
  async (_, list) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 20, maxLength: 60 }),
        fc.array(fc.option(fault, { nil: undefined, freq: 3 }), { maxLength: 40 }),
        async (steps, faults) => {
          const left = [...faults];
          await using w = await watching({
            settings: {
              list,
              stallTimeoutMs: 25,
              firstByteTimeoutMs: 25,
              listIdleTimeoutMs: 25,
              maxEventBytes: 8_000,
            },
            bookmarkEveryMs: 7,
            before: (store, server) => {
              for (const initial of ["a", "b", "c", "d"]) store.put("ns", initial);
              server.chooseFault = () => left.shift();
            },
          });
          for (const step of steps) {
            if (step.kind === "put") w.store.put("ns", step.name);
            else if (step.kind === "delete") w.store.delete("ns", step.name);
            else if (step.kind === "compact") w.store.compact();
            else if (step.kind === "end-watches") w.server.endWatches();
            else await new Promise((resolve) => void setTimeout(resolve, step.ms));
          }
          left.length = 0;
          w.store.put("ns", "last");
          await eventually(() => {
            expect(w.sink.contents).toEqual(w.store.contents());
            return true;
          });
          // The recording sink notes every version that is not above the last: so nothing was told twice.
          expect(w.sink.violations).toEqual([]);
          expect(w.log.lines.filter((line) => line["reason"] === "internal")).toEqual([]);
          await eventually(() => w.informer.status().scopes[0]?.state === "watching");
        },
      ),
      { numRuns: 60 },
    );
  },
);

test("between two lists every event is delivered exactly once, whatever cuts the watch", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 900 }), { minLength: 5, maxLength: 30 }),
      async (cuts) => {
        const left = [...cuts];
        await using w = await watching({
          settings: {
            retry: {
              backoff: { baseMs: 1, maxMs: 2 },
              steadyMs: 2,
              shortWatchMs: 0,
              healthyAfterMs: 1,
              watchFaultsBeforeRelist: 1e9,
              behindRetries: 3,
            },
          },
          before: (_, server) => {
            server.chooseFault = ({ kind }) => {
              const afterBytes = kind === "watch" ? left.shift() : undefined;
              return afterBytes === undefined
                ? undefined
                : { kind: "cut", afterBytes, by: afterBytes % 2 ? "fin" : "rst" };
            };
          },
        });
        await w.informer.waitForSync();
        for (let i = 0; i < 40; i++) {
          w.store.put("ns", `s${i % 5}`);
          if (i % 4 === 0) await new Promise((resolve) => void setTimeout(resolve, 1));
        }
        await eventually(() => w.sink.watermark === "1040");
        expect(w.sink.delivered()).toEqual(Array.from({ length: 40 }, (_, i) => String(1_001 + i)));
        expect(w.server.count("list")).toBe(1);
        expect(w.sink.violations).toEqual([]);
      },
    ),
    { numRuns: 15 },
  );
});
