import { describe, expect, test } from "vitest";
import { type AccessHead, type AccessTarget, RUNTIME_PORT } from "../../src/access/access.ts";
import { Previews } from "../../src/access/previews.ts";
import type { PreviewGrant } from "../../src/access/preview-token.ts";
import type { RouteInEffect } from "../../src/routes/lookup.ts";
import type { ResourceVersion } from "../../src/routes/resource-version.ts";
import { ManualClock } from "../proxy/support/manual-clock.ts";
import { newAccess } from "../support/new-access.ts";

// docs/access.md: who may pass, by whatever a request shows.

const KEY = "k".repeat(32);
const keys = { current: [KEY] as readonly string[] };
const clock = new ManualClock();
const previews = new Previews(keys, clock);
const access = newAccess({
  previews,
  clock,
  byDefault: "private",
  previewOrigins: ["https://app.example.org"],
});
const open = newAccess({ previews, clock });

const HOST = "3000-box.example.com";

function sandbox(fields: Partial<RouteInEffect["route"]> = {}): RouteInEffect {
  const route = {
    namespace: "ns",
    name: "box",
    id: "box",
    uid: "uid-1",
    owner: "",
    ip: "10.0.0.1",
    state: "running",
    resourceVersion: "1" as ResourceVersion,
    accessToken: "",
    requireTrafficAuth: false,
    ...fields,
  };
  const { access: rule, previewEpoch } = route;
  return {
    kind: "found",
    route,
    state: "running",
    incarnation: undefined,
    ipReassigned: false,
    access: rule,
    previewEpoch,
  };
}

function request(fields: Readonly<Record<string, string>> = {}, line: Partial<AccessHead> = {}): AccessHead {
  const rawHeaders = Object.entries({ host: HOST, ...fields }).flat();
  return { method: "GET", target: "/", rawHeaders, ...line };
}

function at(port: number, more: Partial<AccessTarget> = {}): AccessTarget {
  return { port, path: "/", source: "host", ...more };
}

function token(grant: Partial<PreviewGrant> = {}, epoch = ""): string {
  return previews.sign({ uid: "uid-1", port: 3000, expiresAtS: 3600, ...grant }, epoch);
}

const cookie = (text: string) => ({ cookie: `a=b; __Host-lychgate-preview=${text}; c=d` });
const reasonFor = (head: AccessHead, found = sandbox(), target = at(3000)) =>
  access.check(head, target, found)?.reason ?? "passes";

describe("private or open", () => {
  test.each<[string | undefined, number, string]>([
    [undefined, 3000, "sandbox_private"],
    [undefined, RUNTIME_PORT, "passes"],
    ["open", 3000, "passes"],
    ["private", 3000, "sandbox_private"],
    ["private", RUNTIME_PORT, "passes"],
    ["3000,8080", 3000, "sandbox_private"],
    ["3000,8080", 8080, "sandbox_private"],
    ["3000,8080", 300, "passes"],
    ["3000,8080", RUNTIME_PORT, "passes"],
    [String(RUNTIME_PORT), RUNTIME_PORT, "sandbox_private"],
  ])("with access %s, port %i: %s", (rule, port, expected) => {
    expect(reasonFor(request(), sandbox({ access: rule }), at(port))).toBe(expected);
  });

  test("the default is the configuration's, and the sandbox's own word wins", () => {
    expect(open.check(request(), at(3000), sandbox())).toBeUndefined();
    expect(open.check(request(), at(3000), sandbox({ access: "private" }))?.reason).toBe("sandbox_private");
  });

  test("its access token opens a private port, and explain's words name it", () => {
    const found = sandbox({ accessToken: "s3cret" });
    expect(reasonFor(request({ "x-access-token": "s3cret" }), found)).toBe("passes");
    expect(reasonFor(request({ "x-access-token": "s3cre" }), found)).toBe("sandbox_private");
    expect(reasonFor(request({ "x-access-token": "" }), sandbox())).toBe("sandbox_private");
    expect(access.describe(found, 8080)).toBe("private: needs a token for port 8080");
  });
});

describe.each<[string, (text: string) => Readonly<Record<string, string>>]>([
  ["x-lychgate-token", (text) => ({ "x-lychgate-token": text })],
  ["the cookie", cookie],
])("a preview token in %s", (_where, show) => {
  test("lets its holder in, to a sandbox that asks for an access token or a JWT too", () => {
    expect(reasonFor(request(show(token())))).toBe("passes");
    expect(reasonFor(request(show(token())), sandbox({ requireTrafficAuth: true }))).toBe("passes");
    const guarded = newAccess({ previews, clock, accessToken: true });
    expect(guarded.check(request(show(token())), at(3000), sandbox({ accessToken: "x" }))).toBeUndefined();
  });

  test.each<[string, () => string, Partial<RouteInEffect["route"]>]>([
    ["forged", () => `${token().slice(0, -2)}AA`, {}],
    ["none", () => "nonsense", {}],
    ["expired", () => token({ expiresAtS: 1 }), {}],
    ["for another sandbox", () => token({ uid: "uid-2" }), {}],
    ["of the sandbox that had this name before", () => token(), { uid: "uid-9" }],
    ["for another port", () => token({ port: 8080 }), {}],
    ["for another path", () => token({ pathPrefix: "/docs" }), {}],
    ["for another method", () => token({ methods: ["POST"] }), {}],
    ["of an epoch before", () => token({}, "1"), { previewEpoch: "2" }],
    ["of no epoch, when there is one by now", () => token(), { previewEpoch: "1" }],
  ])("that is %s is refused", (_case, make, fields) => {
    expect(reasonFor(request(show(make())), sandbox(fields))).toBe("preview_token_invalid");
  });

  test("counts until the second in which it expires", () => {
    const shown = request(show(token({ expiresAtS: 2 })));
    const manual = new ManualClock();
    const timed = newAccess({ previews: new Previews(keys, manual), clock: manual, byDefault: "private" });
    expect(timed.check(shown, at(3000), sandbox())).toBeUndefined();
    manual.stall(999);
    expect(timed.check(shown, at(3000), sandbox())).toBeUndefined();
    manual.stall(1);
    expect(timed.check(shown, at(3000), sandbox())?.reason).toBe("preview_token_invalid");
  });

  test("is void when its key is gone, though it was read before", () => {
    const shown = request(show(token()));
    expect(reasonFor(shown)).toBe("passes");
    keys.current = ["o".repeat(32), KEY];
    expect(reasonFor(shown)).toBe("passes");
    keys.current = ["o".repeat(32)];
    expect(reasonFor(shown)).toBe("preview_token_invalid");
    keys.current = [KEY];
    expect(reasonFor(shown)).toBe("passes");
  });

  test("lets nobody in to the runtime", () => {
    const found = sandbox({ access: String(RUNTIME_PORT) });
    expect(reasonFor(request(show(token({ port: RUNTIME_PORT }))), found, at(RUNTIME_PORT))).toBe(
      "sandbox_private",
    );
  });
});

describe("a cookie", () => {
  const other = { "sec-fetch-site": "cross-site", origin: "https://evil.example" };
  const sibling = { "sec-fetch-site": "same-site", origin: "https://3000-evil.example.com" };
  const own = { "sec-fetch-site": "same-origin", origin: `https://${HOST}` };
  const named = { "sec-fetch-site": "cross-site", origin: "https://app.example.org" };

  test.each<[string, string, Readonly<Record<string, string>>, string]>([
    ["a page that embeds it", "GET", { "sec-fetch-site": "cross-site" }, "passes"],
    ["its own page", "POST", own, "passes"],
    ["a page that is named", "POST", named, "passes"],
    ["another site's form", "POST", other, "cross_site"],
    ["another sandbox's form", "POST", sibling, "cross_site"],
    ["another site's DELETE", "DELETE", other, "cross_site"],
    ["a client that says nothing of its page", "PUT", {}, "cross_site"],
    ["its own page's WebSocket", "GET", { ...own, upgrade: "websocket" }, "passes"],
    ["another site's WebSocket", "GET", { ...other, upgrade: "websocket" }, "cross_site"],
    ["another sandbox's WebSocket", "GET", { ...sibling, upgrade: "websocket" }, "cross_site"],
    ["a WebSocket of nobody's page", "GET", { upgrade: "websocket" }, "cross_site"],
  ])("of %s, %s: %s %s", (_case, method, fields, expected) => {
    expect(reasonFor(request({ ...cookie(token()), ...fields }, { method }))).toBe(expected);
  });

  test("of a front that rewrites Host: its own page is that of the Host that clients name", () => {
    const behind = newAccess({ previews, clock, byDefault: "private", hostHeader: "x-real-host" });
    const shown = { ...cookie(token()), ...own, host: "10.0.0.7:7788", "x-real-host": HOST };
    expect(behind.check(request(shown, { method: "POST" }), at(3000), sandbox())).toBeUndefined();
    expect(reasonFor(request(shown, { method: "POST" }))).toBe("cross_site");
  });

  test("counts for a host of its own only, since a shared one's pages all have it", () => {
    const shown = request(cookie(token()));
    expect(reasonFor(shown, sandbox(), at(3000, { source: "path" }))).toBe("sandbox_private");
    expect(reasonFor(shown, sandbox(), at(3000, { source: "header" }))).toBe("sandbox_private");
    expect(reasonFor(request({ "x-lychgate-token": token() }), sandbox(), at(3000, { source: "path" }))).toBe(
      "passes",
    );
  });

  test("of another port or sandbox beside the right one does no harm", () => {
    const both = {
      cookie: `__Host-lychgate-preview=${token({ uid: "x" })}; __Host-lychgate-preview=${token()}`,
    };
    expect(reasonFor(request(both))).toBe("passes");
  });
});

describe("a link", () => {
  const visit = (query: string, line: Partial<AccessHead> = {}) =>
    access.check(request({}, { target: `/a?${query}`, ...line }), at(3000), sandbox());

  test("becomes a cookie of this host alone, and the URL without it", () => {
    const text = token();
    expect(visit(`x=1&lychgate_token=${text}`)).toEqual({
      reason: "preview_entered",
      fields: [
        "location",
        "/a?x=1",
        "set-cookie",
        `__Host-lychgate-preview=${text}; Path=/; Max-Age=3599; Secure; HttpOnly; SameSite=None; Partitioned`,
        "referrer-policy",
        "no-referrer",
      ],
    });
  });

  test.each<[string, () => string, Partial<AccessHead>]>([
    ["that expired", () => token({ expiresAtS: 1 }), {}],
    ["for another port", () => token({ port: 1 }), {}],
    ["that something is sent to", () => token(), { method: "POST" }],
  ])("%s is refused, and never passed on", (_case, make, line) => {
    expect(visit(`lychgate_token=${make()}`, line)?.reason).toBe("preview_token_invalid");
    const toOpen = open.check(
      request({}, { target: `/?lychgate_token=${make()}`, ...line }),
      at(3000),
      sandbox(),
    );
    expect(toOpen?.reason).toBe("preview_token_invalid");
  });

  test("is not for a WebSocket, nor for a path that names the sandbox", () => {
    const target = `/?lychgate_token=${token()}`;
    expect(reasonFor(request({ upgrade: "websocket" }, { target }))).toBe("preview_token_invalid");
    expect(reasonFor(request({}, { target }), sandbox(), at(3000, { source: "path" }))).toBe(
      "preview_token_invalid",
    );
  });

  test("means nothing where there are no preview links", () => {
    const without = newAccess();
    expect(without.check(request({}, { target: "/?lychgate_token=x" }), at(3000), sandbox())).toBeUndefined();
    expect(without.withheldFrom(sandbox(), 3000)).toBeUndefined();
  });
});
