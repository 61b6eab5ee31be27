import { readFileSync } from "node:fs";

import { describe, expect, test } from "vitest";

import {
  fittingConnections,
  openFileLimit,
  openFilesFor,
  openFilesWarning,
  parseOpenFileLimit,
} from "../../src/router/open-files.ts";

const LIMITS = [
  "Limit                     Soft Limit           Hard Limit           Units     ",
  "Max processes             63482                63482                processes ",
  "Max open files            1024                 524288               files     ",
  "Max locked memory         8388608              8388608              bytes     ",
].join("\n");

describe("the limit of open files in /proc/self/limits", () => {
  test("is the soft one", () => expect(parseOpenFileLimit(LIMITS)).toBe(1024));
  test("may be unlimited", () => {
    expect(parseOpenFileLimit(LIMITS.replace(/ 1024 /, " unlimited "))).toBe(Infinity);
  });
  test("is unknown when it is not there", () => expect(parseOpenFileLimit("")).toBeUndefined());

  test.runIf(process.platform === "linux")("is read from this process", () => {
    expect(openFileLimit()).toBe(parseOpenFileLimit(readFileSync("/proc/self/limits", "utf8")));
    expect(openFileLimit()).toBeGreaterThan(0);
  });
});

describe("client connections", () => {
  test("fit as they are under a high limit, none, or an unknown one", () => {
    for (const limit of [openFilesFor(20_000), 1_048_576, Infinity]) {
      expect(fittingConnections(20_000, limit)).toBe(20_000);
      expect(openFilesWarning(20_000, limit)).toBeUndefined();
    }
  });

  test("are fewer under a low one, and the warning names the limit and the settings", () => {
    expect(fittingConnections(20_000, 128)).toBe(30);
    expect(openFilesFor(fittingConnections(20_000, 128))).toBeLessThanOrEqual(128);
    expect(fittingConnections(20_000, openFilesFor(20_000) - 1)).toBeLessThan(20_000);
    const warning = openFilesWarning(20_000, 1024) ?? "";
    for (const said of ["457", "20000", "1024", "ulimit -n", "client.maxConnections", "42064"]) {
      expect(warning).toContain(said);
    }
  });

  test("are at least one, however low the limit", () => {
    for (const limit of [0, 10, 64, 65]) expect(fittingConnections(20_000, limit)).toBe(1);
  });
});
