import { describe, expect, it } from "vitest";
import type { StoredSandbox } from "../../../lab/devcluster/sandbox.ts";
import { parseSelector } from "../../../lab/devcluster/selector.ts";

const selects = (query: Record<string, string>, labels: Record<string, string>): boolean =>
  parseSelector(
    undefined,
    new URLSearchParams(query),
  )({
    metadata: { name: "a", namespace: "ns", labels },
  } as unknown as StoredSandbox);

describe("label selectors", () => {
  it.each([
    ["", {}, true],
    ["tier=gold", { tier: "gold" }, true],
    ["tier==gold", { tier: "lead" }, false],
    ["tier=gold", {}, false],
    ["tier!=gold", {}, true],
    ["tier!=gold", { tier: "gold" }, false],
    ["tier in (gold, lead)", { tier: "lead" }, true],
    ["tier in (gold,lead)", {}, false],
    ["tier in ()", {}, false],
    ["tier notin (gold)", {}, true],
    ["tier notin (gold)", { tier: "gold" }, false],
    ["tier", { tier: "" }, true],
    ["tier", {}, false],
    ["!tier", {}, true],
    ["! tier", { tier: "x" }, false],
    ["a=1,tier in (gold,lead),!c", { a: "1", tier: "gold" }, true],
    ["a=1,tier in (gold,lead),!c", { a: "1", tier: "gold", c: "" }, false],
    ["agents.kruise.io/sandbox-claimed=true", { "agents.kruise.io/sandbox-claimed": "true" }, true],
    ["constructor", {}, false],
    ["toString!=x", {}, true],
  ])("%j on %j is %s", (labelSelector, labels, expected) => {
    expect(selects({ labelSelector }, labels)).toBe(expected);
  });

  it.each(["tier in gold", "tier=gold=x", "a,,b", "tier in (gold", "tier > 3"])(
    "%j is refused",
    (labelSelector) => {
      expect(() => selects({ labelSelector }, {})).toThrow(/unable to parse requirement/);
    },
  );
});

describe("field selectors", () => {
  it.each([
    ["metadata.name=a", true],
    ["metadata.name==b", false],
    ["metadata.name!=a", false],
    ["metadata.name=a,metadata.namespace=ns", true],
    ["metadata.namespace!=ns", false],
  ])("%j is %s", (fieldSelector, expected) => {
    expect(selects({ fieldSelector }, {})).toBe(expected);
  });
});
