import { describe, expect, it } from "vitest";

import { decide } from "../../src/proxy/passage/verdict.ts";
import type { Verdict } from "../../src/proxy/passage/verdict.ts";
import type { Lookup, RouteLookup } from "../../src/routes/lookup.ts";
import { objectKey } from "../../src/routes/route.ts";
import type { Route } from "../../src/routes/route.ts";
import type { ResourceVersion } from "../../src/routes/resource-version.ts";
import { newTargetParser } from "../support/defaults.ts";
import { newAccess } from "../support/new-access.ts";

type Header = readonly [string, string];

interface Sandbox {
  readonly id?: string;
  readonly state?: string;
  readonly ip?: string;
  readonly accessToken?: string;
  readonly requireTrafficAuth?: boolean;
  readonly ipReassigned?: boolean;
  readonly served?: boolean;
}

/** What a table would say that holds this one sandbox, `ns/mysandbox`. */
function found(sandbox: Sandbox = {}): Lookup {
  const { state = "running", ip = "10.0.0.1", ipReassigned = false } = sandbox;
  const route: Route = {
    namespace: "ns",
    name: "mysandbox",
    id: sandbox.id ?? "ns--mysandbox",
    uid: "uid-1",
    owner: "",
    ip,
    state,
    resourceVersion: "1" as ResourceVersion,
    accessToken: sandbox.accessToken ?? "",
    requireTrafficAuth: sandbox.requireTrafficAuth ?? false,
  };
  const served = sandbox.served ?? (state === "running" && !ipReassigned && ip !== "");
  const incarnation = served ? { number: 7, key: objectKey("ns", "mysandbox"), uid: "uid-1", ip } : undefined;
  return { kind: "found", route, state, incarnation, ipReassigned };
}

function table(lookup: Lookup, synced = true): RouteLookup {
  return {
    synced,
    lookup: (id) => (id === "ns--mysandbox" ? lookup : { kind: "unknown" }),
    lookupObject: (namespace, name) =>
      namespace === "ns" && name === "mysandbox" ? lookup : { kind: "unknown" },
    doubtful: 0,
    isHeld: () => false,
    isObjectHeld: () => false,
  };
}

const off = newAccess();
const on = newAccess({ accessToken: true });
const host: Header = ["Host", "3000-ns--mysandbox.example.com"];
const parse = newTargetParser();

function verdict(
  routes: RouteLookup,
  access = off,
  headers: readonly Header[] = [host],
  target = "/api?x=1",
): Verdict {
  const head = { method: "GET", target, rawHeaders: headers.flat() };
  return decide(head, parse(head), routes, access);
}

const refused = { kind: "refuse", sandbox: "ns--mysandbox", port: 3000 };
const forwarded = { kind: "forward", label: "ns--mysandbox", port: 3000 };

describe("a request for a running sandbox", () => {
  it("goes to its incarnation", () => {
    const lookup = found();
    expect(verdict(table(lookup))).toEqual({
      kind: "forward",
      route: lookup.kind === "found" && lookup.route,
      incarnation: { number: 7, key: "ns/mysandbox", uid: "uid-1", ip: "10.0.0.1" },
      port: 3000,
      path: "/api?x=1",
      label: "ns--mysandbox",
    });
  });

  it("goes there by path and by object too", () => {
    const byPath = verdict(table(found()), off, [], "/kruise/ns--mysandbox/3000/api/v1/data");
    expect(byPath).toMatchObject({ ...forwarded, path: "/api/v1/data" });
    const byObject = verdict(table(found()), off, [
      ["x-sandbox-id", "mysandbox"],
      ["x-sandbox-namespace", "ns"],
    ]);
    expect(byObject).toMatchObject({ kind: "forward", label: "ns/mysandbox", port: 8888 });
  });

  it("goes to an IPv6 address as the route has it, without brackets", () => {
    const result = verdict(table(found({ ip: "2001:db8::1" })));
    expect(result).toMatchObject({ ...forwarded, incarnation: { ip: "2001:db8::1" } });
  });
});

describe("local replies", () => {
  it("missing: sandbox_not_found", () => {
    expect(verdict(table({ kind: "unknown" }))).toEqual({ ...refused, reason: "sandbox_not_found" });
  });

  it.each([
    ["paused", "sandbox_paused"],
    ["creating", "sandbox_creating"],
    ["dead", "sandbox_dead"],
    ["available", "sandbox_not_running"],
    ["", "sandbox_not_running"],
    ["future-state", "sandbox_not_running"],
    ["Running", "sandbox_not_running"],
  ])("state %j: %s", (state, reason) => {
    expect(verdict(table(found({ state })))).toEqual({ ...refused, reason });
  });

  it("running by its word but dead by the clock: sandbox_dead", () => {
    const lookup = { ...found({ served: false }), state: "dead" };
    expect(verdict(table(lookup as Lookup))).toEqual({ ...refused, reason: "sandbox_dead" });
  });

  it("running without an incarnation: sandbox_not_running", () => {
    expect(verdict(table(found({ served: false })))).toEqual({ ...refused, reason: "sandbox_not_running" });
  });

  it("an ID of two objects: sandbox_id_conflict", () => {
    const conflict: Lookup = { kind: "id_conflict", keys: ["ns/a", "ns/b"] };
    expect(verdict(table(conflict), on)).toEqual({ ...refused, reason: "sandbox_id_conflict" });
  });

  it("a pod IP that is another's: pod_ip_reassigned", () => {
    expect(verdict(table(found({ ipReassigned: true })))).toEqual({
      ...refused,
      reason: "pod_ip_reassigned",
    });
  });

  it("not ready, at the start or later: not_ready before all else", () => {
    expect(verdict(table(found(), false))).toEqual({ kind: "refuse", reason: "not_ready" });
    expect(verdict(table(found(), false), off, [])).toEqual({ kind: "refuse", reason: "not_ready" });
    expect(verdict(table(found(), false), off, [["Host", "["]])).toEqual({
      kind: "refuse",
      reason: "not_ready",
    });
  });
});

describe("what the gateway we replace passed through", () => {
  it.each<[string, Header[]]>([
    ["no headers", []],
    ["an empty id header", [["e2b-sandbox-id", ""]]],
    ["invalid-host-format.example.com", [["Host", "invalid-host-format.example.com"]]],
  ])("%s: 404 here", (_case, headers) => {
    expect(verdict(table(found()), off, headers)).toEqual({ kind: "refuse", reason: "no_sandbox" });
  });

  it("/kruise/sandbox1234: 400 here, with what is wrong", () => {
    expect(verdict(table(found()), off, [], "/kruise/sandbox1234")).toEqual({
      kind: "refuse",
      reason: "bad_target",
      message: "the path must be /kruise/<sandbox id>/<port>/…",
      sandbox: "sandbox1234",
    });
    expect(verdict(table(found()), off, [["Host", "["]])).toEqual({
      kind: "refuse",
      reason: "bad_target",
      message: "the Host is invalid",
    });
  });
});

describe("the access token", () => {
  const guarded = table(found({ accessToken: "good" }));
  const token = (value: string, name = "x-access-token"): Header[] => [host, [name, value]];
  const unauthorized = { ...refused, reason: "unauthorized" };

  it("that matches is let through", () => {
    expect(verdict(guarded, on, token("good"))).toMatchObject(forwarded);
    expect(verdict(guarded, on, token("good", "X-Access-Token"))).toMatchObject(forwarded);
  });

  it.each(["bad", "", "goo", "good ", "GOOD", "goodgood", "good\0", `good${"\0".repeat(400)}`])(
    "%j that doesn't match is 401",
    (value) => {
      expect(verdict(guarded, on, token(value))).toEqual(unauthorized);
    },
  );

  it("that is missing or ambiguous is 401", () => {
    expect(verdict(guarded, on)).toEqual(unauthorized);
    const twice: Header[] = [...token("good"), ["x-access-token", "good"]];
    expect(verdict(guarded, on, twice)).toEqual(unauthorized);
  });

  it("is not asked for by a route without one, or when checking is off", () => {
    expect(verdict(table(found()), on)).toMatchObject(forwarded);
    expect(verdict(table(found()), on, token("any"))).toMatchObject(forwarded);
    expect(verdict(guarded, off)).toMatchObject(forwarded);
  });

  it("is asked for by path too", () => {
    const path = "/kruise/ns--mysandbox/3000/x";
    const asked = (value: string): Verdict => verdict(guarded, on, [["x-access-token", value]], path);
    expect(asked("good")).toMatchObject(forwarded);
    expect(asked("bad")).toEqual(unauthorized);
  });

  it("can come in another header", () => {
    const renamed = newAccess({ accessToken: true, accessTokenHeader: "x-token" });
    expect(verdict(guarded, renamed, token("good", "X-Token"))).toMatchObject(forwarded);
    expect(verdict(guarded, renamed, token("good"))).toEqual(unauthorized);
  });

  it.each([255, 256, 257, 4000])("of %i characters is compared whole", (length) => {
    const secret = "s".repeat(length);
    const long = table(found({ accessToken: secret }));
    expect(verdict(long, on, token(secret))).toMatchObject(forwarded);
    for (const other of [`${secret}s`, secret.slice(1), `${secret.slice(1)}x`, `x${secret.slice(1)}`]) {
      expect(verdict(long, on, token(other))).toEqual(unauthorized);
    }
  });

  it("compares bytes, not text", () => {
    const latin1 = table(found({ accessToken: "\u00e4" }));
    expect(verdict(latin1, on, token("\u00e4"))).toMatchObject(forwarded);
    expect(verdict(latin1, on, token("\u00e5"))).toEqual(unauthorized);
  });

  it.each<[string, Sandbox]>([
    ["paused", { state: "paused" }],
    ["creating", { state: "creating" }],
    ["dead", { state: "dead" }],
    ["available", { state: "available" }],
    ["pod_ip_reassigned", { ipReassigned: true }],
    ["pod_ip_not_allowed", { state: "ip_not_allowed" }],
  ])("comes before the state is told: %s", (_case, sandbox) => {
    const routes = table(found({ ...sandbox, accessToken: "good" }));
    expect(verdict(routes, on)).toEqual(unauthorized);
    expect(verdict(routes, on, token("good"))).toMatchObject({
      kind: "refuse",
      reason: expect.not.stringMatching("unauthorized"),
    });
  });

  it("never stands in a refusal", () => {
    const routes = table(found({ accessToken: "s3cret", state: "paused" }));
    for (const headers of [[host], token("s3cret"), token("s3cret-not")]) {
      expect(JSON.stringify(verdict(routes, on, headers))).not.toContain("s3cret");
    }
  });
});

describe("a sandbox that requires a JWT", () => {
  it.each([
    ["on", on],
    ["off", off],
  ])("is refused while nothing can verify one, with access tokens %s", (_case, options) => {
    const routes = table(found({ requireTrafficAuth: true, accessToken: "good" }));
    const headers: Header[] = [host, ["x-access-token", "good"]];
    expect(verdict(routes, options, headers)).toEqual({ ...refused, reason: "jwt_verifier_not_ready" });
    const paused = table(found({ requireTrafficAuth: true, state: "paused" }));
    expect(verdict(paused, options)).toEqual({ ...refused, reason: "jwt_verifier_not_ready" });
  });
});
