import { isIPv4 } from "node:net";
import { describe, expect, it } from "vitest";
import { bodyOf, podAddress, sandboxes, sandboxIndexAt } from "../../../lab/bench/sandboxes.ts";

describe("the benchmark's sandboxes", () => {
  it("have each an address and a Host of their own, on the loopback interface", () => {
    const all = sandboxes(10_000, 9000);
    expect(new Set(all.map(({ ip }) => ip)).size).toBe(10_000);
    expect(new Set(all.map(({ host }) => host)).size).toBe(10_000);
    expect(all.every(({ ip }) => isIPv4(ip) && ip.startsWith("127.1."))).toBe(true);
    expect(all[17]).toStrictEqual({
      index: 17,
      id: "s00017",
      host: "9000-s00017.bench.test",
      ip: "127.1.0.18",
    });
  });

  it("are told by the address of a connection", () => {
    for (const index of [0, 1, 249, 250, 9999]) expect(sandboxIndexAt(podAddress(index))).toBe(index);
    for (const other of ["127.0.0.1", "127.1.0.0", "127.1.0.251", "10.1.0.1", "::1", ""]) {
      expect(sandboxIndexAt(other)).toBe(-1);
    }
  });

  it("answer with bodies that differ from the first byte on", () => {
    expect(bodyOf(12, 1024).toString("latin1", 0, 7)).toBe("s00012 ");
    expect(bodyOf(12, 65_536)).toHaveLength(65_536);
    expect(bodyOf(12, 1024).equals(bodyOf(13, 1024))).toBe(false);
    expect(bodyOf(12, 1024).equals(bodyOf(12, 1024))).toBe(true);
  });
});
