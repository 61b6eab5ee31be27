import { describe, expect, it } from "vitest";
import { parseOptions, UsageError } from "../../../lab/bench/options.ts";

const known = { proxies: ["lychgate", "nginx"], workloads: ["small-get", "websocket"] };

describe("the benchmark's flags", () => {
  it("ask for three rounds of everything by default, and less when quick", () => {
    expect(parseOptions([], known)).toMatchObject({
      rounds: 3,
      seconds: 2,
      only: [],
      workloads: [],
      cores: [0, 1],
      withWrk: true,
    });
    expect(parseOptions(["--without-wrk"], known)).toMatchObject({ withWrk: false });
    expect(parseOptions(["--quick"], known)).toMatchObject({ rounds: 1, seconds: 0.8, quick: true });
    expect(parseOptions(["--quick", "--rounds", "2"], known)).toMatchObject({ rounds: 2 });
    expect(parseOptions(["--help"], known)).toBe("help");
  });

  it("take lists with commas or repeated", () => {
    expect(parseOptions(["--only", "lychgate,nginx"], known)).toMatchObject({ only: ["lychgate", "nginx"] });
    expect(parseOptions(["--only=nginx", "--only=lychgate"], known)).toMatchObject({
      only: ["nginx", "lychgate"],
    });
  });

  it.each([
    [["--only", "apache"], /no "apache"; there are lychgate, nginx/],
    [["--workload", "ftp"], /no "ftp"/],
    [["--rounds", "0"], /--rounds takes 1 to 100/],
    [["--rounds", ""], /--rounds/],
    [["--seconds", "soon"], /--seconds/],
    [["--cores", "1,1"], /two different cores/],
    [["--fast"], /--fast/],
    [["extra"], /extra/],
  ])("refuse %j and say what is possible", (args, message) => {
    expect(() => parseOptions(args, known)).toThrow(UsageError);
    expect(() => parseOptions(args, known)).toThrow(message);
  });
});
