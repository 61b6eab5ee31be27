import { expect, test } from "vitest";

import { fuzz } from "../fuzz/http-fuzz.ts";

/** `FUZZ_SECONDS` (default 40) for both lanes together; `FUZZ_SEED` to begin as a run that found something. */
const SECONDS = Number(process.env["FUZZ_SECONDS"] ?? 40);
const SEED = Number(process.env["FUZZ_SEED"] ?? Math.floor(Math.random() * 2 ** 32));

test.each([
  ["fast", 0.7],
  ["full", 0.3],
] as const)(
  "the %s lane keeps its promises to whatever clients and pods send",
  async (lane, share) => {
    console.log(`fuzz: FUZZ_SEED=${SEED} lane ${lane}`);
    const report = await fuzz({ seed: SEED, lane, amount: { seconds: SECONDS * share } });
    console.log(
      `fuzz: ${report.connections} connections, ${report.hurt} of them hurt, ${report.requests} requests, ${report.answered} answers of pods, heap ${Math.round(report.heapGrowthBytes / 1024)} KiB more`,
    );
    expect(report.violations).toEqual([]);
    expect(report.answered).toBeGreaterThan(0);
    expect(report.heapGrowthBytes).toBeLessThan(100 * 1024 * 1024);
  },
  SECONDS * 1000 + 180_000,
);
