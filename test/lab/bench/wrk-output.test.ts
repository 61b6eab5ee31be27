import { describe, expect, it } from "vitest";
import { parseWrkOutput, SUMMARY_MARK, wrkFaults } from "../../../lab/bench/wrk/output.ts";

const FIGURES = "requests=1000 status=1 connect=2 read=3 write=4 timeout=5 p50=100 p99=2000 p999=30000";
/** What wrk prints by itself, with our line at its end. */
const OUTPUT = `Running 1s test @ http://127.0.0.1:8080/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.52ms    3.25ms  52.03ms   95.11%
    Req/Sec    66.90k     6.10k   71.97k    90.00%
  1000 requests in 1.00s, 85.02MB read
Requests/sec:  66582.25
Transfer/sec:     85.02MB
${SUMMARY_MARK}${FIGURES}
`;
const summary = { requests: 1000, statusErrors: 0, socketErrors: 0, p50Us: 1, p99Us: 2, p999Us: 3 };

describe("what wrk counted", () => {
  it("is read from the line that the script printed", () => {
    expect(parseWrkOutput(OUTPUT)).toStrictEqual({
      requests: 1000,
      statusErrors: 1,
      socketErrors: 14,
      p50Us: 100,
      p99Us: 2000,
      p999Us: 30_000,
    });
  });

  it.each([
    ["without the line", OUTPUT.replace(SUMMARY_MARK, "")],
    ["cut off", OUTPUT.replace(" p999=30000", "")],
    ["with a figure that is none", OUTPUT.replace("status=1", "status=one")],
    ["with an empty figure", OUTPUT.replace("status=1", "status=")],
    ["of nothing", ""],
  ])("is unknown %s", (_, output) => {
    expect(parseWrkOutput(output)).toBeUndefined();
  });

  it("has no fault when each answer is a pod's, some of which wrk did not wait for", () => {
    expect(wrkFaults(summary, 1000)).toStrictEqual({ errors: 0 });
    expect(wrkFaults(summary, 1064)).toStrictEqual({ errors: 0 });
  });

  it("counts statuses of 400 and more, failed connections, and answers that no pod sent", () => {
    expect(wrkFaults({ ...summary, statusErrors: 7 }, 993)).toStrictEqual({
      errors: 7,
      firstError: "wrk counted 7 answers with a status of 400 or more",
    });
    expect(wrkFaults({ ...summary, socketErrors: 2 }, 1000).errors).toBe(2);
    // Redirects, for one: wrk does not count them as errors.
    expect(wrkFaults(summary, 900)).toStrictEqual({
      errors: 100,
      firstError: "wrk counted 100 answers that no pod sent",
    });
  });
});
