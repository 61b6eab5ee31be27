import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

/**
 * No test decides by the clock of the machine it runs on, which may be busy: this only ends one that hangs. It is longer
 * than the deadline of `eventually`, whose message says more.
 */
const TEST_TIMEOUT_MS = 180_000;

export default defineConfig({
  test: {
    // Most tests wait for sockets and processes: more of them at a time than cores.
    maxWorkers: availableParallelism() + 1,
    projects: [
      {
        // Everything that needs nothing but Node: `npm test`.
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/e2e/**", "test/cluster/**"],
          testTimeout: TEST_TIMEOUT_MS,
          hookTimeout: TEST_TIMEOUT_MS,
        },
      },
      {
        // The proxy's tests once more, through the full lane: what users see is the same.
        test: {
          name: "full-lane",
          include: [
            "test/proxy/{full-lane-*,server-limits,connection-limits,drain,held-requests,backpressure,https-redirect,incarnation-end,proxy-protocol,upstream-reuse,tracing}.test.ts",
          ],
          env: { LYCHGATE_TEST_LANE: "full" },
          testTimeout: TEST_TIMEOUT_MS,
          hookTimeout: TEST_TIMEOUT_MS,
        },
      },
      {
        // And without what Node does not document: `.ci/run`.
        test: {
          name: "documented-node",
          include: ["test/proxy/**/*.test.ts"],
          env: { LYCHGATE_TEST_LANE: "documented" },
          testTimeout: TEST_TIMEOUT_MS,
          hookTimeout: TEST_TIMEOUT_MS,
        },
      },
      {
        // Long runs, and what needs kubectl or other real programs: `.ci/run`.
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          testTimeout: TEST_TIMEOUT_MS,
          hookTimeout: TEST_TIMEOUT_MS,
          fileParallelism: false,
        },
      },
      {
        // Beside etcd and Kubernetes' API servers: `npm run test:cluster`.
        test: {
          name: "cluster",
          include: ["test/cluster/**/*.test.ts"],
          testTimeout: 2 * TEST_TIMEOUT_MS,
          hookTimeout: 2 * TEST_TIMEOUT_MS,
          fileParallelism: false,
        },
      },
    ],
  },
});
