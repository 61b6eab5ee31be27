import { expect, test } from "vitest";
import { systemClock } from "../../src/system/clock.ts";
import { METRICS, PROCESS_METRICS } from "../../src/metrics/names.ts";
import { createMetrics } from "../../src/metrics/registry.ts";

const request = { method: "GET", status: 200, reason: "ok", durationMs: 1, bytesIn: 0, bytesOut: 7 };

test("the named metrics and no other, in this process", async () => {
  const metrics = createMetrics({ version: "1" });
  metrics.requestFinished(request);
  const read = await metrics.read([METRICS.requests.name, METRICS.responseBytes.name, "no_such_metric"]);
  expect(read.map(({ name }) => name)).toEqual([METRICS.requests.name, METRICS.responseBytes.name]);
  expect(read[0]?.values).toMatchObject([{ labels: { method: "GET", code: "200", reason: "ok" }, value: 1 }]);
  metrics.close();
});

test("with workers: the sum, and each process's own beside it; what a scrape sums up is not touched", async () => {
  let nowMs = 0;
  const clock = { ...systemClock, monotonicMs: () => nowMs };
  const [primary, worker] = [createMetrics({ version: "1", clock }), createMetrics({ version: "1" })];
  worker.requestFinished(request);
  let living = true;
  const asked: (readonly string[] | undefined)[] = [];
  primary.addWorkers(async (names) => {
    asked.push(names);
    if (!living) return [];
    return [{ worker: 0, id: 77, metrics: await (names ? worker.read(names) : worker.snapshot()) }];
  });
  const names = [METRICS.requests.name, PROCESS_METRICS.residentMemory.name];
  const read = await primary.read(names);
  expect(asked).toEqual([names]);
  expect(read.map(({ name }) => name)).toEqual(names);
  expect(read[0]?.values).toMatchObject([{ value: 1 }]);
  expect(read[1]?.values.map(({ labels }) => labels["worker"])).toEqual(["primary", "0"]);

  const before = await primary.text();
  expect(before).toContain("lychgate_response_bytes_total 7");
  await primary.read(names);
  living = false;
  // The worker is gone: its counters stay, those that were not read by name too.
  nowMs += 2_000;
  expect(await primary.text()).toContain("lychgate_response_bytes_total 7");
  primary.close();
  worker.close();
});
