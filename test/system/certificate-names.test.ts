import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { certificateNames, namesMatcher } from "../../src/system/certificate-names.ts";

describe("names of a certificate, as node:crypto writes them", () => {
  test.each<[string | undefined, string[], string[]]>([
    [undefined, [], []],
    ["DNS:a.svc, DNS:B.svc", ["a.svc", "b.svc"], []],
    ["URI:spiffe://x/a, DNS:a, IP Address:10.0.0.1", ["a"], ["spiffe://x/a"]],
    // Node quotes what could be taken for a separator (CVE-2021-44532): part of a name is no name.
    ['DNS:"evil, DNS:manager.svc"', [], []],
    ['URI:"http://a/b, DNS:manager.svc", DNS:c', ["c"], []],
    ["URI:spiffe://x/a, URI:spiffe://x/b", [], []],
    ["DNS:a.svc, garbage", [], []],
    ["DNS:a.svc\n", ["a.svc\n"], []],
  ])("%s", (text, dns, uris) => {
    expect(certificateNames(text)).toEqual({ dns, uris });
  });

  test("never throws", () => {
    fc.assert(fc.property(fc.string(), (text) => void certificateNames(text)));
  });
});

describe("names on the list", () => {
  const allows = (pattern: string, san: string) => namesMatcher([pattern])(certificateNames(san));

  test.each([
    ["manager.svc", "DNS:manager.svc", true],
    ["manager.svc", "DNS:MANAGER.svc", true],
    ["manager.svc", "DNS:a.manager.svc", false],
    ["manager.svc", "DNS:manager.svc.", false],
    ["manager.svc", "DNS:manager.svc\n", false],
    ["*.svc", "DNS:manager.svc", true],
    ["*.svc", "DNS:svc", false],
    ["*.svc", "DNS:a.b.svc", false],
    ["*.svc", "DNS:.svc", false],
    // A certificate with a wildcard is for a server of many names, and no peer's.
    ["*.svc", "DNS:*.svc", false],
    ["spiffe://x/ns/a/sa/m", "URI:spiffe://x/ns/a/sa/m", true],
    ["spiffe://x/ns/a/sa/m", "URI:spiffe://x/ns/A/sa/m", false],
    ["spiffe://x/ns/*/sa/m", "URI:spiffe://x/ns/a/sa/m", true],
    ["spiffe://x/ns/*/sa/m", "URI:spiffe://x/ns/a/b/sa/m", false],
    ["spiffe://x/ns/*/sa/m", "URI:spiffe://x/ns//sa/m", false],
    ["spiffe://x/ns/*/sa/m", "URI:spiffe://x/ns/../sa/m", false],
    ["spiffe://x/ns/*/sa/m", "URI:spiffe://x/ns/%2e/sa/m", false],
    ["spiffe://x/ns/*/sa/m", "URI:spiffe://y/ns/a/sa/m", false],
    ["spiffe://x/ns/*", "URI:spiffe://x/ns/a?b", false],
    ["spiffe://x/a", "DNS:spiffe://x/a", false],
    ["manager.svc", "URI:manager.svc", false],
  ])("%s allows %s: %s", (pattern, san, expected) => {
    expect(allows(pattern, san)).toBe(expected);
  });

  test("an empty list allows nobody", () => {
    expect(namesMatcher([])(certificateNames("DNS:a"))).toBe(false);
  });
});
