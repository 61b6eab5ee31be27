/**
 * How plain requests of these tests are taken. They run three times (vitest.config.ts): through the fast lane, through it
 * without `sharedReadBuffer`, and through the full lane. What a client and a pod see is the same but where a test says
 * otherwise.
 */
export const LANE: "fast" | "full" = process.env["LYCHGATE_TEST_LANE"] === "full" ? "full" : "fast";

/** See {@link LANE}. */
export const SHARED_READ_BUFFER: "auto" | "off" =
  process.env["LYCHGATE_TEST_LANE"] === "documented" ? "off" : "auto";
