/**
 * The lane that plain requests of these tests go through. They run twice, once for each (vitest.config.ts): what a client
 * and a pod see is the same but where a test says otherwise.
 */
export const LANE: "fast" | "full" = process.env["LYCHGATE_TEST_LANE"] === "full" ? "full" : "fast";
