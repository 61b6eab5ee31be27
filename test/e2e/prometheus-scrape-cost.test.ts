import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, it, onTestFinished } from "vitest";
import { startRouter } from "../../src/router/app.ts";
import { configFrom } from "../../src/config/load.ts";
import { silentLog } from "../../src/system/log.ts";

const ROUTES = 100_000;
/** The bound. */
const MOST_MS = 20;

it(`a scrape of a router with ${ROUTES} routes keeps the event loop busy for less than ${MOST_MS} ms`, async () => {
  const config = configFrom({
    source: "none",
    listen: "127.0.0.1:0",
    peerListen: "127.0.0.1:0",
    adminListen: "127.0.0.1:0",
  });
  const router = await startRouter(config, { log: silentLog });
  onTestFinished(() => router.stop());
  for (let i = 0; i < ROUTES; i++) {
    router.table.pushUpdate(
      {
        namespace: `team-${i % 50}`,
        name: `box-${i}`,
        id: `id${i}`,
        uid: `uid-${i}`,
        owner: "ada",
        ip: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`,
        state: i % 3 === 0 ? "paused" : "running",
        resourceVersion: String(i + 1),
        accessToken: "",
        requireTrafficAuth: false,
      },
      Date.now(),
    );
  }
  const url = `http://127.0.0.1:${router.addresses.admin.port}/metrics`;
  const busyMs: number[] = [];
  for (let scrape = 0; scrape < 9; scrape++) {
    // The text is kept for a second.
    await sleep(1_050);
    const before = performance.eventLoopUtilization();
    const text = await (await fetch(url)).text();
    const { active } = performance.eventLoopUtilization(before);
    expect(text).toContain(`lychgate_routes{state="paused"} ${Math.ceil(ROUTES / 3)}\n`);
    busyMs.push(active);
  }
  // Busy with all of it: the router's part and this client's. The median, since others share the machine.
  const median = busyMs.sort((a, b) => a - b)[4] ?? Infinity;
  console.log(
    `busy ms per scrape: ${busyMs.map((ms) => ms.toFixed(1)).join(", ")}; median ${median.toFixed(1)}`,
  );
  expect(median).toBeLessThan(MOST_MS);
});
