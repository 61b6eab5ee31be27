import { describe, expect, test } from "vitest";
import { SECTION_TITLES } from "../../src/config/schema.ts";
import { SETTINGS, flagOf, variableOf } from "../../src/config/settings.ts";
import { nearest } from "../../src/config/suggest.ts";

describe("names follow from the key by rule", () => {
  test.each([
    ["listen", "--listen", "LYCHGATE_LISTEN"],
    ["upstream.connectTimeoutMs", "--upstream-connect-timeout-ms", "LYCHGATE_UPSTREAM_CONNECT_TIMEOUT_MS"],
    ["routes.onePodPerIp", "--routes-one-pod-per-ip", "LYCHGATE_ROUTES_ONE_POD_PER_IP"],
  ])("%s", (key, flag, variable) => {
    expect(flagOf(key)).toBe(flag);
    expect(variableOf(key)).toBe(variable);
  });

  test("no two settings share a flag or a variable", () => {
    expect(new Set(SETTINGS.map(({ flag }) => flag)).size).toBe(SETTINGS.length);
    expect(new Set(SETTINGS.map(({ variable }) => variable)).size).toBe(SETTINGS.length);
    expect(SETTINGS.map(({ variable }) => variable)).not.toContain("LYCHGATE_CONFIG");
  });
});

describe("every setting is documented", () => {
  test.each(SETTINGS.map((setting) => [setting.key, setting] as const))(
    "%s",
    (_, { description, section, kind, type }) => {
      expect(description).toMatch(/^[A-Z].{20,}\.$/);
      expect(SECTION_TITLES[section]).toBeTruthy();
      // Nothing is unbounded.
      if (kind === "integer") expect(type).toMatch(/^(integer|milliseconds|bytes), \d+ to \d+$/);
    },
  );
});

describe("the nearest name", () => {
  const names = ["listen", "peerListen", "watch.pageSize", "watch.backoffMinMs", "watch.backoffMaxMs"];
  test.each([
    ["lisetn", "listen"],
    ["peer-listen", "peerListen"],
    ["pageSize", "watch.pageSize"],
    ["watch.backofMaxMs", "watch.backoffMaxMs"],
    ["volume", undefined],
    ["", undefined],
  ])("%s → %s", (name, near) => {
    expect(nearest(name, names)).toBe(near);
  });
});
