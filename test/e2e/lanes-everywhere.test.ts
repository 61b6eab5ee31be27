/*
 * The differential test of the lanes once more, with each message of up to 500 bytes cut at every place. Everything is in
 * its file; this one is for the time it takes.
 */
process.env["LYCHGATE_TEST_CUTS"] = "all";
await import("../proxy/lanes-differential.test.ts");
