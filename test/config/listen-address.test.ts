import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { localUrl, parseListenAddress } from "../../src/config/listen-address.ts";

describe("listen addresses", () => {
  test.each([
    [":7788", undefined, 7788, "http://127.0.0.1:7788"],
    ["0.0.0.0:1", "0.0.0.0", 1, "http://127.0.0.1:1"],
    ["[::]:1", "::", 1, "http://[::1]:1"],
    ["127.0.0.1:0", "127.0.0.1", 0, undefined],
    ["[fd00::1]:65535", "fd00::1", 65_535, "http://[fd00::1]:65535"],
    ["router.internal:80", "router.internal", 80, "http://router.internal:80"],
  ])("%s", (text, host, port, url) => {
    const address = parseListenAddress(text);
    expect(address).toEqual({ host, port });
    if ("port" in address) expect(localUrl(address)).toBe(url);
  });

  test.each([
    "",
    "7788",
    "localhost",
    ":",
    ":65536",
    ":-1",
    ":1e3",
    ": 80",
    "::1:80",
    "[::1]",
    "[]:80",
    "[127.0.0.1]:80",
    "[::g]:80",
    "a b:80",
    "-a:80",
    "http://x:80",
  ])("refused: %s", (text) => {
    expect(parseListenAddress(text)).toHaveProperty("fault", expect.stringMatching(/^(must|names)/));
  });

  test("an IPv6 address without brackets is told how to be written", () => {
    expect(parseListenAddress("::1:80")).toEqual({
      fault: 'must put an IPv6 address in brackets: "[::1]:80"',
    });
  });

  test("no text makes it throw, and what it accepts has a port in range", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const address = parseListenAddress(text);
        if ("port" in address) expect(address.port).toBeLessThanOrEqual(65_535);
      }),
    );
  });
});
