import { describe, expect, it } from "vitest";
import { capturedHeads } from "../../../lab/bench/heads/heads.ts";
import { headOf, STAGES } from "../../../lab/bench/workloads.ts";

describe("the workloads", () => {
  const workloads = STAGES.flat();
  const find = (name: string) => workloads.find((each) => each.name === name);

  it("have names of their own", () => {
    expect(new Set(workloads.map(({ name }) => name)).size).toBe(workloads.length);
  });

  it.each(["small-get", "mixed"])("have %s with 1, 16, 64 and 512 connections", (name) => {
    const base = find(name === "mixed" ? "mixed-get" : name);
    expect(base?.load.connections).toBe(64);
    for (const connections of [1, 16, 512]) {
      expect(find(`${name}-${connections}`)?.load).toStrictEqual({ ...base?.load, connections });
    }
  });

  it("send each captured head by itself, and as a POST when it was one", () => {
    const heads = capturedHeads();
    expect(heads.some(({ isPost }) => isPost)).toBe(true);
    for (const { name, isPost } of heads) {
      expect(find(`head-${name}`)?.load).toMatchObject({ heads: [name], requestBytes: 0 });
      expect(find(`post-${name}`)?.load.requestBytes).toBe(isPost ? 1024 : undefined);
    }
    expect(headOf("head-e2b-js")).toBe("e2b-js");
    expect(headOf("post-grpc-web")).toBe("grpc-web");
    expect(["small-post", "mixed-post", "upload-64k"].map(headOf)).toStrictEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  it("draw the sizes of mixed-sizes: hundreds, half of them below 4,000 bytes, the largest above 64 KiB", () => {
    const sizes = find("mixed-sizes")?.load.responseSizes?.toSorted((a, b) => a - b) ?? [];
    expect(sizes.length).toBeGreaterThanOrEqual(100);
    expect(sizes[Math.floor(sizes.length / 2)]).toBeLessThan(4000);
    expect(sizes.at(-1)).toBeGreaterThan(65_536);
    expect(sizes.at(-1)).toBeLessThanOrEqual(900_000);
  });
});
