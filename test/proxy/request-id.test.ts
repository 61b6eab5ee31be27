import { describe, expect, it } from "vitest";

import { allValues, firstValue } from "../../src/proxy/http1/request-head.ts";
import { requestIdOf } from "../../src/proxy/record/request-id.ts";

const made = (rawHeaders: readonly string[]): string => requestIdOf(rawHeaders, () => "made");

describe("a request id", () => {
  it.each(["a", "7f1c-2:x/y", "!~", "x".repeat(128)])("%j is kept", (id) => {
    expect(made(["X-Request-ID", id])).toBe(id);
  });

  it.each(["", " ", "a b", "a\t", "x".repeat(129), "\u00e4", "a\u0000", "a\n"])("%j is replaced", (id) => {
    expect(made(["x-request-id", id])).toBe("made");
  });

  it("is made when there is none, or more than one", () => {
    expect(made([])).toBe("made");
    expect(made(["x-request-id", "a", "x-request-id", "a"])).toBe("made");
  });

  it("is a random UUID when nothing else makes it", () => {
    const first = requestIdOf([]);
    expect(first).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(requestIdOf([])).not.toBe(first);
  });
});

describe("looking up raw headers", () => {
  const raw = ["A", "1", "b", "2", "a", "3", "ab", "4"];

  it("ignores case and finds whole names only", () => {
    expect(firstValue(raw, "a")).toBe("1");
    expect(allValues(raw, "a")).toEqual(["1", "3"]);
    expect(allValues(raw, "ab")).toEqual(["4"]);
    expect(firstValue(raw, "c")).toBeUndefined();
    expect(allValues(raw, "c")).toEqual([]);
  });

  it("never takes a value for a name", () => {
    expect(firstValue(["x", "a", "y", "z"], "a")).toBeUndefined();
  });
});
