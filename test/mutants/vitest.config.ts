import { defineConfig } from "vitest/config";

import { sharedSettings } from "./run-settings.ts";

const { include, exclude } = sharedSettings();

/** The tests that look at mutants; how long one may take is up to Stryker. */
export default defineConfig({
  test: {
    include: [...include],
    exclude: [...exclude],
    testTimeout: 180_000,
    hookTimeout: 180_000,
    // A mutant that lets a test wait in vain is found out sooner than a fault on a busy machine need be.
    env: { LYCHGATE_TEST_PATIENCE_MS: "10000" },
  },
});
