import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  covers,
  isPathPrefix,
  isPlainPath,
  type PreviewGrant,
  readPreviewToken,
  signPreviewToken,
} from "../../src/access/preview-token.ts";
import { locationOf, previewCookies, takePreviewParameter } from "../../src/access/preview-cookie.ts";
import { isOwnPage } from "../../src/access/own-page.ts";

// docs/access.md#preview-links: the token, the link and the cookie, each by itself.

const KEY = "k".repeat(32);
const OTHER = "o".repeat(32);

const segment = fc.stringMatching(/^[a-z0-9_-]{1,8}$/);
const grants: fc.Arbitrary<PreviewGrant> = fc
  .record({
    uid: fc.string({ unit: "binary", minLength: 1, maxLength: 60 }).filter((text) => text.isWellFormed()),
    port: fc.integer({ min: 1, max: 65_535 }),
    expiresAtS: fc.integer({ min: 1, max: 2 ** 40 }),
    path: fc.option(fc.array(segment, { minLength: 1, maxLength: 3 }), { nil: undefined }),
    methods: fc.option(fc.uniqueArray(fc.constantFrom("GET", "POST", "PUT"), { minLength: 1 }), {
      nil: undefined,
    }),
  })
  .map(({ path, ...grant }) => Object.assign(grant, { pathPrefix: path && `/${path.join("/")}` }));
const epochs = fc.string({ maxLength: 20 });

describe("the codec", () => {
  test("reads what it signed, with any of the keys and for the same epoch", () => {
    fc.assert(
      fc.property(grants, epochs, (grant, epoch) => {
        const token = signPreviewToken(grant, epoch, KEY);
        expect(token).toMatch(/^[\w.-]+$/);
        expect(readPreviewToken(token, epoch, [OTHER, KEY])).toEqual(grant);
      }),
    );
  });

  test("reads nothing with another key, for another epoch, or with any letter changed, added or cut", () => {
    fc.assert(
      fc.property(
        grants,
        epochs,
        epochs,
        fc.nat(),
        fc.constantFrom(..."AaZ9-_.= ".split("")),
        (grant, epoch, next, nat, letter) => {
          const token = signPreviewToken(grant, epoch, KEY);
          const at = nat % token.length;
          expect(readPreviewToken(token, epoch, [OTHER])).toBeUndefined();
          expect(readPreviewToken(token, epoch, [])).toBeUndefined();
          if (next !== epoch) expect(readPreviewToken(token, next, [KEY])).toBeUndefined();
          const changed = token.slice(0, at) + letter + token.slice(at + 1);
          if (changed !== token) expect(readPreviewToken(changed, epoch, [KEY])).toBeUndefined();
          expect(readPreviewToken(token.slice(0, at), epoch, [KEY])).toBeUndefined();
          expect(readPreviewToken(token + letter, epoch, [KEY])).toBeUndefined();
        },
      ),
    );
  });

  test("never throws, whatever it reads", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => readPreviewToken(text, "", [KEY]) === undefined),
    );
  });

  test.each([
    ["no port", { port: 0 }],
    ["a fraction of a second", { expiresAtS: 1.5 }],
    ["no UID", { uid: "" }],
    ["a path with dots", { pathPrefix: "/a/../b" }],
    ["a path that ends with a slash", { pathPrefix: "/a/" }],
    ["no method at all", { methods: [] }],
    ["a UID that does not fit a cookie", { uid: "u".repeat(3000) }],
  ])("does not sign %s", (_case, wrong) => {
    expect(() => signPreviewToken({ uid: "u", port: 80, expiresAtS: 9, ...wrong }, "", KEY)).toThrow(
      RangeError,
    );
  });
});

describe("a path prefix", () => {
  const grant = { uid: "u", port: 80, expiresAtS: 9, pathPrefix: "/docs" };
  test.each(["/docs", "/docs/", "/docs/a", "/docs/a.b/~c", "/docs/%20"])("covers %s", (path) => {
    expect(covers(grant, "GET", path)).toBe(true);
  });
  test.each([
    "/",
    "/doc",
    "/docsearch",
    "/Docs",
    "//docs",
    "/docs/../admin",
    "/docs/..",
    "/docs/./a",
    "/docs//a",
    "/docs/%2e%2e/admin",
    "/docs/%2E./admin",
    "/docs/..%2fadmin",
    "/docs\\..\\admin",
    "/docs/%5c..%5cadmin",
    "/docs/..;/admin",
    "/docs/%252e%252e/admin",
  ])("does not cover %s", (path) => {
    expect(covers(grant, "GET", path)).toBe(false);
  });

  test("is one that means nothing else", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(..."/.a%2e;\\".split("")) }), (path) => {
        if (isPathPrefix(path)) expect(new URL(path, "http://h").pathname).toBe(path);
        if (path.startsWith("/") && !path.startsWith("//") && isPlainPath(path)) {
          expect(new URL(path, "http://h").pathname).toBe(path);
        }
      }),
    );
  });

  test("methods: HEAD goes with GET, and no other with any", () => {
    const only = { uid: "u", port: 80, expiresAtS: 9, methods: ["GET"] };
    expect(["GET", "HEAD", "POST", "get", "OPTIONS"].map((method) => covers(only, method, "/"))).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
  });
});

describe("the link", () => {
  test.each([
    ["/?lychgate_token=t", "t", "/"],
    ["/a/b?x=1&lychgate_token=t&y=%20", "t", "/a/b?x=1&y=%20"],
    ["/?lychgate_token=", "", "/"],
    ["/?lychgate_token=a&lychgate_token=b", "a", "/"],
  ])("%s: the token is taken out, and nothing else", (target, token, rest) => {
    expect(takePreviewParameter(target)).toEqual({ token, rest });
  });

  test.each(["/", "/?a=lychgate_token=b", "/lychgate_token=a", "/?xlychgate_token=a"])(
    "%s has none",
    (target) => {
      expect(takePreviewParameter(target)).toBeUndefined();
    },
  );

  test("leads to the same host, whatever its path", () => {
    const odd = fc.string({ unit: fc.constantFrom(..."/\\.@:evil".split("")) }).map((text) => `/${text}`);
    fc.assert(
      fc.property(odd, (path) => {
        expect(new URL(locationOf(path), "https://own.example").host).toBe("own.example");
      }),
    );
  });
});

test("a host without a port before it is one page's only, whatever its neighbours are called", () => {
  const host = "box.team.x.dev";
  const isOwn = (origin: string) => isOwnPage({ origin, host, fetchSite: "same-site" }, []);
  expect([isOwn(`https://${host}`), isOwn(`https://${host}:443`), isOwn(`https://3000-${host}`)]).toEqual([
    true,
    true,
    false,
  ]);
});

test("cookies: all of the name, and of no other", () => {
  const values = [
    "a=b; __Host-lychgate-preview=t1;__Host-lychgate-preview=t2",
    "x__Host-lychgate-preview=no",
    "__Host-lychgate-preview=t3",
  ];
  expect(previewCookies(values)).toEqual(["t1", "t2", "t3"]);
});

describe("a page's own requests", () => {
  const host = "3000-box.example.com";
  const origins = ["https://app.example.org"];
  test.each([
    ["the same origin", { origin: "https://3000-box.example.com", fetchSite: "same-origin" }, true],
    ["its front speaks plain HTTP", { origin: "http://3000-box.example.com", fetchSite: undefined }, true],
    ["another port of the sandbox", { origin: "https://8080-box.example.com", fetchSite: "same-site" }, true],
    ["a page that is named", { origin: "https://app.example.org", fetchSite: "cross-site" }, true],
    ["an old browser's GET of its own page", { origin: undefined, fetchSite: "same-origin" }, true],
    ["typed by a person", { origin: undefined, fetchSite: "none" }, true],
    [
      "another sandbox of the domain",
      { origin: "https://3000-evil.example.com", fetchSite: "same-site" },
      false,
    ],
    ["another site", { origin: "https://evil.example", fetchSite: "cross-site" }, false],
    [
      "the named page's host at another port",
      { origin: "https://app.example.org:8443", fetchSite: "cross-site" },
      false,
    ],
    ["a sandboxed iframe", { origin: "null", fetchSite: "cross-site" }, false],
    [
      "a sandbox that a template names alike",
      { origin: "https://box.example.com", fetchSite: "same-site" },
      false,
    ],
    ["a name that ends alike", { origin: "https://x3000-box.example.com", fetchSite: "same-site" }, false],
    ["nothing is said", { origin: undefined, fetchSite: undefined }, false],
    ["only that it is the same site", { origin: undefined, fetchSite: "same-site" }, false],
  ])("%s", (_case, fields, expected) => {
    expect(isOwnPage({ ...fields, host }, origins)).toBe(expected);
  });
});
