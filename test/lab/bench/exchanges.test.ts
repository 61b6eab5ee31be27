import { describe, expect, it } from "vitest";
import { exchanges } from "../../../lab/bench/exchanges.ts";

const plan = { requestBytes: 0, responseBytes: 10, clientCloses: false, podsClose: false };
const POD_PORT = 8080;

/** What tells a request: host, program, size. */
function tell(request: string): string {
  const [path = "", host = "", agent = ""] = [/ (\S+) HTTP/, /^host: (\S+)/im, /^user-agent: (\S+)/im].map(
    (pattern) => pattern.exec(request)?.[1],
  );
  return `${host} ${agent} ${path}`;
}

describe("the requests of a plan", () => {
  it.each([
    [1, ["curl", "go"], [1, 2, 3]],
    [1, ["curl", "go"], [1, 2, 3, 4]],
    [5, ["curl", "go", "got"], [1, 2, 3]],
    [3, ["aiohttp", "curl", "go", "got"], [7, 8, 9, 10, 11, 12]],
  ])(
    "are each of %i hosts with each of the heads %j and each of the sizes %j once",
    (hosts, heads, sizes) => {
      const told = exchanges({ ...plan, hosts, heads, responseSizes: sizes }, POD_PORT).map(({ request }) =>
        tell(request),
      );
      expect(told).toHaveLength(hosts * heads.length * sizes.length);
      expect(new Set(told).size).toBe(told.length);
    },
  );

  it("differ from their neighbours in host, head and size", () => {
    const told = exchanges(
      { ...plan, hosts: 5, heads: ["curl", "go", "got"], responseSizes: [1, 2] },
      POD_PORT,
    ).map(({ request }) => tell(request).split(" "));
    // Five hosts a round: within one, all three change with each request.
    for (const [index, one] of told.entries()) {
      const next = told[index + 1];
      if (next === undefined || index % 5 === 4) continue;
      for (const part of [0, 1, 2]) expect(next[part]).not.toBe(one[part]);
    }
  });
});
