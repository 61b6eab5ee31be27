import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { TargetOptionsError } from "../../src/proxy/target/target-options-error.ts";
import type { TargetOptions, TargetResult } from "../../src/proxy/target/target.ts";
import { newTargetParser } from "../support/defaults.ts";

/** One line per result: `id abc :3000 /path (host)`, `none`, `malformed: why [sandbox]`. */
function show(result: TargetResult): string {
  if (result.kind === "none") return "none";
  if (result.kind === "malformed") {
    return `malformed: ${result.message}${result.sandbox === undefined ? "" : ` [${result.sandbox}]`}`;
  }
  const { by, port, path, source } = result.target;
  const who = by.kind === "id" ? `id ${by.id}` : `object ${by.namespace}/${by.name}`;
  return `${who} :${port} ${path} (${source})`;
}

interface Request {
  readonly target?: string;
  readonly method?: string;
  readonly headers?: readonly (readonly [string, string])[];
}

function parse(
  { target = "/", method = "GET", headers = [] }: Request,
  options?: Partial<TargetOptions>,
): string {
  return show(newTargetParser(options)({ method, target, rawHeaders: headers.flat() }));
}

const host = (value: string, target = "/"): Request => ({ target, headers: [["Host", value]] });
const path = (target: string): Request => host("gateway.example.com", target);
const withHeaders = (...headers: readonly (readonly [string, string])[]): Request => ({ headers });

const BAD_HOST_PORT = "malformed: the port in the Host must be 1 to 65535";
const BAD_PATH_PORT = "malformed: the port in the path must be 1 to 65535";
const BAD_HEADER_PORT = "malformed: the port in the header must be 1 to 65535";
const SHAPE = "malformed: the path must be /kruise/<sandbox id>/<port>/…";

describe("a Host <port>-<id>.<domain>", () => {
  it.each([
    ["9222-sandbox1234.example.com", "id sandbox1234 :9222 / (host)"],
    ["3000-sandbox5678.example.com:7788", "id sandbox5678 :3000 / (host)"],
    ["8080-default--host-sandbox.example.com", "id default--host-sandbox :8080 / (host)"],
    ["3000-NS--X.Example.COM", "id ns--x :3000 / (host)"],
    ["3000-abc.example.com.", "id abc :3000 / (host)"],
    ["3000--abc-.example.com", "id -abc- :3000 / (host)"],
    ["1-a.b", "id a :1 / (host)"],
    ["65535-a.b", "id a :65535 / (host)"],
    [`3000-${"a".repeat(253)}.example.com`, `id ${"a".repeat(253)} :3000 / (host)`],
  ])("%s names a sandbox", (value, expected) => {
    expect(parse(host(value))).toBe(expected);
  });

  it.each([
    ["invalid-authority"],
    ["invalid-host-format.example.com"],
    ["example.com"],
    ["localhost:7788"],
    ["10.0.0.1"],
    ["3000"],
    ["3000-abc"], // the dot after the id is mandatory
    ["3000-abc."],
    ["3000-abc.."],
    ["a3000-abc.example.com"],
    ["-5-abc.example.com"],
    ["[::1]:7788"],
    ["[2001:db8::3000]"],
    [""],
  ])("%s names none (404; the gateway we replace passed it through)", (value) => {
    expect(parse(host(value))).toBe("none");
  });

  it("is none without a Host", () => {
    expect(parse({})).toBe("none");
  });

  it.each([
    ["0-abc.example.com", `${BAD_HOST_PORT} [abc]`],
    ["65536-abc.example.com", `${BAD_HOST_PORT} [abc]`],
    ["70000-abc.example.com", `${BAD_HOST_PORT} [abc]`],
    ["080-abc.example.com", `${BAD_HOST_PORT} [abc]`],
    ["99999999999999999999-abc.example.com", `${BAD_HOST_PORT} [abc]`],
    ["3000-a_b.example.com", "malformed: the Host names an invalid sandbox id"],
    ["3000-.example.com", "malformed: the Host names an invalid sandbox id"],
    [`3000-${"a".repeat(254)}.example.com`, "malformed: the Host names an invalid sandbox id"],
  ])("%s is malformed (400)", (value, expected) => {
    expect(parse(host(value))).toBe(expected);
  });

  it.each([
    ["3000-abc.example.com@evil.example"],
    ["3000-abc.example.com,3000-def.example.com"],
    ["3000-abc.example.com, x"],
    ["3000-abc.example.com:99999"],
    ["3000-abc.example.com:80x"],
    ["3000-abc.example.com/path"],
    ["3000-%61bc.example.com"],
    ["["],
    ["[::1"],
    ["[::1]x"],
    ["[::g]"],
    ["[]"],
    ["[10.0.0.1]"],
    ["[::1%25eth0]"],
    [":80"],
    ["3000-\u00e4.example.com"],
    [`3000-abc.${"x".repeat(512)}`],
  ])("%s is an invalid Host, whatever else names the sandbox", (value) => {
    expect(parse(host(value))).toBe("malformed: the Host is invalid");
    expect(parse({ target: "/kruise/abc/3000/", headers: [["host", value]] })).toBe(
      "malformed: the Host is invalid",
    );
  });

  it("must not be repeated, even with the same value", () => {
    const twice = withHeaders(["Host", "3000-a.example.com"], ["hOST", "3000-a.example.com"]);
    expect(parse(twice)).toBe("malformed: the header host must not be repeated");
  });

  it("is limited to the allowed domains on label boundaries", () => {
    const options = { domains: ["example.com", "Sandbox.Internal."] };
    expect(parse(host("3000-a.example.com"), options)).toBe("id a :3000 / (host)");
    expect(parse(host("3000-a.EU.example.COM."), options)).toBe("id a :3000 / (host)");
    expect(parse(host("3000-a.sandbox.internal:80"), options)).toBe("id a :3000 / (host)");
    for (const foreign of ["3000-a.evil.com", "3000-a.evilexample.com", "3000-a.example.com.evil.com"]) {
      expect(parse(host(foreign), options)).toBe("none");
    }
    expect(parse(host("3000-example.com"), options)).toBe("none");
    expect(parse(host("70000-a.evil.com"), options)).toBe("none");
  });

  it("can be stood in for by another header", () => {
    const options = { hostHeader: "X-Original-Host" };
    const both = withHeaders(["Host", "1-a.example.com"], ["x-original-host", "2-b.example.com"]);
    expect(parse(both, options)).toBe("id b :2 / (host)");
    expect(parse(withHeaders(["x-original-host", "2-b.example.com"]), options)).toBe("id b :2 / (host)");
    expect(parse(host("1-a.example.com"), options)).toBe("id a :1 / (host)");
    const empty = withHeaders(["Host", "1-a.example.com"], ["x-original-host", ""]);
    expect(parse(empty, options)).toBe("id a :1 / (host)");
    expect(parse(host("unusable"), options)).toBe("none");
    expect(parse(withHeaders(["x-original-host", "2-b.e.com/"]), options)).toBe(
      "malformed: the header x-original-host is invalid",
    );
    const repeated = withHeaders(["x-original-host", "2-b.e.com"], ["X-Original-Host", "3-c.e.com"]);
    expect(parse(repeated, options)).toBe("malformed: the header x-original-host must not be repeated");
  });
});

describe("headers that name an ID", () => {
  it.each<[string, Request, string]>([
    [
      "id and port",
      withHeaders(["e2b-sandbox-id", "Abc"], ["E2B-Sandbox-Port", "80"]),
      "id abc :80 / (header)",
    ],
    ["the default port", withHeaders(["E2b-Sandbox-Id", "abc"]), "id abc :49983 / (header)"],
    [
      "an empty port",
      withHeaders(["e2b-sandbox-id", "a"], ["e2b-sandbox-port", ""]),
      "id a :49983 / (header)",
    ],
    [
      "before a valid Host",
      withHeaders(["Host", "3000-other.example.com"], ["e2b-sandbox-id", "abc"]),
      "id abc :49983 / (header)",
    ],
    [
      "what a Host can't spell",
      withHeaders(["e2b-sandbox-id", "ns--my.app_1"]),
      "id ns--my.app_1 :49983 / (header)",
    ],
  ])("%s", (_case, request, expected) => {
    expect(parse(request)).toBe(expected);
  });

  it("fall back to the Host when the id is empty or only a port is sent", () => {
    const empty = withHeaders(["Host", "3000-a.example.com"], ["e2b-sandbox-id", ""]);
    expect(parse(empty)).toBe("id a :3000 / (host)");
    const portOnly = withHeaders(["Host", "3000-a.example.com"], ["e2b-sandbox-port", "nonsense"]);
    expect(parse(portOnly)).toBe("id a :3000 / (host)");
    expect(parse(withHeaders(["e2b-sandbox-id", ""]))).toBe("none");
    expect(parse(withHeaders(["e2b-sandbox-port", "80"]))).toBe("none");
  });

  it.each(["not-a-number", "-5", "0", "+80", "080", "65536", "70000", "80 ", "8e1", "0x50"])(
    "with the port %s are malformed",
    (port) => {
      const request = withHeaders(["e2b-sandbox-id", "abc"], ["e2b-sandbox-port", port]);
      expect(parse(request)).toBe(`${BAD_HEADER_PORT} [abc]`);
    },
  );

  it.each(["a b", "a/b", "a\u00e4", "a,b", "a".repeat(321)])("with the id %s are malformed", (id) => {
    expect(parse(withHeaders(["e2b-sandbox-id", id]))).toBe(
      "malformed: the header names an invalid sandbox id",
    );
  });

  it("must not be repeated", () => {
    for (const name of ["e2b-sandbox-id", "e2b-sandbox-port", "x-sandbox-id"]) {
      const request = withHeaders(["e2b-sandbox-id-x", "a"], [name, "a"], [name.toUpperCase(), "a"]);
      expect(parse(request)).toBe(`malformed: the header ${name} must not be repeated`);
    }
  });

  it("can have other names and another default port", () => {
    const options = { sandboxHeader: "X-Box", portHeader: "X-Box-Port", defaultPort: 8080 };
    expect(parse(withHeaders(["x-box", "abc"]), options)).toBe("id abc :8080 / (header)");
    expect(parse(withHeaders(["x-box", "abc"], ["x-box-port", "1"]), options)).toBe("id abc :1 / (header)");
    expect(parse(withHeaders(["e2b-sandbox-id", "abc"]), options)).toBe("none");
  });
});

describe("headers that name an object (kubernetes-sigs clients)", () => {
  it.each<[string, Request, string]>([
    [
      "all three",
      withHeaders(["X-Sandbox-ID", "box"], ["X-Sandbox-Namespace", "team"], ["X-Sandbox-Port", "80"]),
      "object team/box :80 / (header)",
    ],
    ["the defaults", withHeaders(["x-sandbox-id", "Box.1"]), "object default/box.1 :8888 / (header)"],
    [
      "an ID goes first",
      withHeaders(["x-sandbox-id", "box"], ["e2b-sandbox-id", "abc"]),
      "id abc :49983 / (header)",
    ],
    ["a pod IP is not believed", withHeaders(["x-sandbox-pod-ip", "10.0.0.1"]), "none"],
    [
      "a bad name",
      withHeaders(["x-sandbox-id", "-box"]),
      "malformed: the header x-sandbox-id is not an object's name",
    ],
    [
      "a bad namespace",
      withHeaders(["x-sandbox-id", "box"], ["x-sandbox-namespace", "a.b"]),
      "malformed: the header x-sandbox-namespace is not a namespace",
    ],
    [
      "a bad port",
      withHeaders(["x-sandbox-id", "box"], ["x-sandbox-port", "0"]),
      `${BAD_HEADER_PORT} [default/box]`,
    ],
  ])("%s", (_case, request, expected) => {
    expect(parse(request)).toBe(expected);
  });
});

describe("a path /kruise/<id>/<port>", () => {
  it.each([
    ["/kruise/sandbox1234/9222/some/path", "id sandbox1234 :9222 /some/path (path)"],
    ["/kruise/ns--mysandbox/3000/api/v1/data", "id ns--mysandbox :3000 /api/v1/data (path)"],
    ["/kruise/abc/3000", "id abc :3000 / (path)"],
    ["/kruise/abc/3000/", "id abc :3000 / (path)"],
    ["/kruise/abc/3000?x=1", "id abc :3000 /?x=1 (path)"], // the gateway we replace can't parse it
    ["/kruise/abc/3000/?x=/1", "id abc :3000 /?x=/1 (path)"],
    ["/kruise/abc/3000?x=a/b?c", "id abc :3000 /?x=a/b?c (path)"],
    ["/kruise/ABC/3000/UPPER/a/../b/%2e%2e/%2F//c", "id abc :3000 /UPPER/a/../b/%2e%2e/%2F//c (path)"],
    ["/kruise/abc/3000//double", "id abc :3000 //double (path)"],
    ["/kruise/abc/3000/\u00ff\u0080", "id abc :3000 /\u00ff\u0080 (path)"],
    ["/kruise/abc/3000/kruise/def/80/", "id abc :3000 /kruise/def/80/ (path)"],
  ])("%s names a sandbox", (target, expected) => {
    expect(parse(path(target))).toBe(expected);
  });

  it.each([
    ["/kruise/", SHAPE],
    ["/kruise/?x", SHAPE],
    ["/kruise//3000/", SHAPE],
    ["/kruise/sandbox1234", `${SHAPE} [sandbox1234]`],
    ["/kruise/sandbox1234?a/3000/", `${SHAPE} [sandbox1234]`],
    ["/kruise/sandbox1234/", `${BAD_PATH_PORT} [sandbox1234]`],
    ["/kruise/sandbox1234/invalid-port/some/path", `${BAD_PATH_PORT} [sandbox1234]`],
    ["/kruise/abc/0/", `${BAD_PATH_PORT} [abc]`],
    ["/kruise/abc/-5/", `${BAD_PATH_PORT} [abc]`],
    ["/kruise/abc/+80/", `${BAD_PATH_PORT} [abc]`],
    ["/kruise/abc/65536/", `${BAD_PATH_PORT} [abc]`],
    ["/kruise/abc/%33000/", `${BAD_PATH_PORT} [abc]`],
    ["/kruise/a%2Fb/3000/", "malformed: the path names an invalid sandbox id"],
    [`/kruise/${"a".repeat(321)}/3000/`, "malformed: the path names an invalid sandbox id"],
  ])("%s is malformed (400; the gateway we replace passed it through)", (target, expected) => {
    expect(parse(path(target))).toBe(expected);
  });

  it("goes before headers and Host", () => {
    const request = {
      target: "/kruise/abc/3000/x",
      headers: [
        ["Host", "1-other.example.com"],
        ["e2b-sandbox-id", "another"],
      ],
    } as const;
    expect(parse(request)).toBe("id abc :3000 /x (path)");
  });

  it("needs the whole prefix: another path belongs to the sandbox that the Host names", () => {
    for (const target of [
      "/kruise",
      "/kruise?x",
      "/kruiseX/abc/3000/",
      "/KRUISE/abc/3000/",
      "/%6bruise/abc/3000/",
    ]) {
      expect(parse(host("80-a.example.com", target))).toBe(`id a :80 ${target} (host)`);
    }
  });

  it("can have another prefix, or none", () => {
    expect(parse(path("/a/b/abc/3000/x"), { pathPrefix: "/a/b" })).toBe("id abc :3000 /x (path)");
    expect(parse(path("/kruise/abc/3000/x"), { pathPrefix: "/a/b" })).toBe("none");
    expect(parse(host("80-a.example.com", "/kruise/abc/3000/x"), { pathPrefix: "" })).toBe(
      "id a :80 /kruise/abc/3000/x (host)",
    );
  });
});

describe("a template", () => {
  const ATE = "{name}.{namespace}.actors.resources.substrate.ate.dev";
  it.each([
    [ATE, "My-Actor.team.actors.resources.substrate.ate.dev:443", "object team/my-actor :49983 / (template)"],
    [`${ATE}:80`, "actor.team.actors.resources.substrate.ate.dev.", "object team/actor :80 / (template)"],
    [
      "{id}.actors.resources.substrate.ate.dev",
      "actor.actors.resources.substrate.ate.dev",
      "id actor :49983 / (template)",
    ],
    ["{id}.p{port}.box.dev", "abc.p80.box.dev", "id abc :80 / (template)"],
    ["{port}x-{id}.Box.Dev", "80x-a-b.box.dev", "id a-b :80 / (template)"],
    ["{id}-{port}.box.dev", "a-1-80.box.dev", "id a-1 :80 / (template)"],
    ["x-{name}-y.{namespace}.box.dev", "x-n-y.s.box.dev", "object s/n :49983 / (template)"],
    ["{id}.p{port}.box.dev", "abc.p70000.box.dev", `${BAD_HOST_PORT} [abc]`],
    ["{name}.{namespace}-{port}.box.dev", "n.s-0.box.dev", `${BAD_HOST_PORT} [s/n]`],
    [ATE, "actor.actors.resources.substrate.ate.dev", "none"],
    [ATE, "actor.team.actors.resources.substrate.ate.dev.evil.com", "none"],
    [ATE, "a_b.team.actors.resources.substrate.ate.dev", "none"],
    ["x-{id}-y.box.dev", "x--y.box.dev", "none"],
    ["x-{id}-x.box.dev", "x-x.box.dev", "none"],
    ["{id}-{port}.box.dev", "a.box.dev", "none"],
    ["{id}-{port}.box.dev", "a-x.box.dev", "none"],
  ])("%s with Host %s", (template, value, expected) => {
    expect(parse(host(value), { templates: [template] })).toBe(expected);
  });

  it("comes after <port>-<id>.<domain>, so a domain list keeps them apart", () => {
    const value = "3000-abc.team.actors.resources.substrate.ate.dev";
    expect(parse(host(value), { templates: [ATE] })).toBe("id abc :3000 / (host)");
    expect(parse(host(value), { templates: [ATE], domains: ["example.com"] })).toBe(
      "object team/3000-abc :49983 / (template)",
    );
  });

  it("may match what <port>-<id> finds malformed, and the first that matches wins", () => {
    const templates = ["{id}.one.dev", "{name}.{namespace}.dev"];
    expect(parse(host("0-a.one.dev"), { templates })).toBe("id 0-a :49983 / (template)");
    expect(parse(host("a.two.dev"), { templates })).toBe("object two/a :49983 / (template)");
    expect(parse(host("0-a.b.c.dev"), { templates })).toBe(`${BAD_HOST_PORT} [a]`);
  });

  it.each([
    ["", 'template "" must hold either {id}, or both {name} and {namespace}'],
    ["{id}..dev", 'template "{id}..dev" must be a host name around its placeholders'],
    ["box.dev", "must hold either {id}, or both {name} and {namespace}"],
    ["{name}.dev", "must hold either {id}, or both {name} and {namespace}"],
    ["{id}.{namespace}.dev", "must hold either {id}, or both {name} and {namespace}"],
    ["{id}", 'template "{id}" must end in a domain without placeholders'],
    ["box.{id}", "must end in a domain without placeholders"],
    ["{id}.{id}.dev", "must not use a placeholder twice"],
    ["{uid}.dev", "must not use {uid}: known are {id}, {name}, {namespace}, {port}"],
    ["{id.dev", "must hold either {id}, or both {name} and {namespace}"],
    ["{id}}.dev", "must be a host name around its placeholders"],
    ["{id}.dev:0", "must end in a port from 1 to 65535 after its colon"],
    ["{id}.dev:80:80", "must end in a port from 1 to 65535 after its colon"],
    ["{id}-{port}.dev:80", "must not hold {port} beside a port after a colon"],
    ["{name}-{namespace}.dev", "must not hold two names in one label"],
    ["{id}{port}.dev", "must part {port} from a name in its label by - or letters"],
    ["{port}-1-{id}.dev", "must part {port} from a name in its label by - or letters"],
    ["{id}.d v", "must be a host name around its placeholders"],
    [`{id}.${"d".repeat(64)}`, "must be a host name around its placeholders"],
  ])("%j is refused with its fault", (template, fault) => {
    const make = (): unknown => newTargetParser({ templates: ["{id}.fine.dev", template] });
    expect(make).toThrow(TargetOptionsError);
    expect(make).toThrow(fault);
    expect(make).toThrow(expect.objectContaining({ code: "bad_template" }));
  });
});

describe("the request-target", () => {
  it.each([
    ["http://3000-abc.example.com/x?y", "id abc :3000 /x?y (host)"],
    ["HTTPS://3000-abc.example.com:443/x", "id abc :3000 /x (host)"],
    ["http://3000-abc.example.com", "id abc :3000 / (host)"],
    ["http://3000-abc.example.com?q", "id abc :3000 /?q (host)"],
    ["http://gateway/kruise/def/80/x", "id def :80 /x (path)"],
  ])("%s in absolute-form: its authority wins over Host (RFC 9112 3.2.2)", (target, expected) => {
    expect(parse(host("1-other.example.com", target))).toBe(expected);
  });

  it.each([
    ["http:///x", "malformed: the request-target names no host"],
    [
      "http://user:secret@3000-abc.example.com/",
      "malformed: the request-target must not hold user information",
    ],
    ["http://3000-abc.example.com:x/", "malformed: the Host is invalid"],
    ["ftp://3000-abc.example.com/", "malformed: the request-target must begin with / or be an http URL"],
    ["x", "malformed: the request-target must begin with / or be an http URL"],
    ["", "malformed: the request-target must begin with / or be an http URL"],
    ["/a#b", "malformed: the request-target must not hold a fragment (#)"],
    ["http://3000-abc.example.com#b", "malformed: the request-target must not hold a fragment (#)"],
    ["/a b", "malformed: the request-target must not hold spaces or control characters"],
    ["/a\u0000", "malformed: the request-target must not hold spaces or control characters"],
    ["/\u0100", "malformed: the request-target must not hold spaces or control characters"],
    ["*", "malformed: the request-target * is for OPTIONS only"],
  ])("%j is malformed", (target, expected) => {
    expect(parse(host("3000-abc.example.com", target))).toBe(expected);
  });

  it("is malformed when the Host beside an absolute-form is invalid", () => {
    expect(parse(host("[", "http://3000-abc.example.com/"))).toBe("malformed: the Host is invalid");
  });

  it("* passes as the path of OPTIONS; CONNECT is refused", () => {
    const headers = [["Host", "3000-abc.example.com"]] as const;
    expect(parse({ method: "OPTIONS", target: "*", headers })).toBe("id abc :3000 * (host)");
    expect(parse({ method: "OPTIONS", target: "http://3000-abc.example.com" })).toBe("id abc :3000 * (host)");
    expect(parse({ method: "CONNECT", target: "3000-abc.example.com:80", headers })).toBe(
      "malformed: CONNECT is not supported",
    );
  });
});

describe("strict mode", () => {
  const strict = { strict: true };
  const CONFLICT = "malformed: path, headers and Host name different sandboxes";

  it("refuses sources that name different sandboxes", () => {
    const request = withHeaders(["Host", "3000-a.example.com"], ["e2b-sandbox-id", "b"]);
    expect(parse(request)).toBe("id b :49983 / (header)");
    expect(parse(request, strict)).toBe(`${CONFLICT} [b]`);
    expect(parse(host("3000-a.example.com", "/kruise/b/80/"), strict)).toBe(`${CONFLICT} [b]`);
  });

  it("accepts sources that agree on the sandbox, an object with its legacy ID too", () => {
    const same = withHeaders(["Host", "3000-A.example.com"], ["e2b-sandbox-id", "a"]);
    expect(parse(same, strict)).toBe("id a :49983 / (header)");
    const legacy = withHeaders(
      ["Host", "3000-team--box.example.com"],
      ["x-sandbox-id", "box"],
      ["x-sandbox-namespace", "team"],
    );
    expect(parse(legacy, strict)).toBe("object team/box :8888 / (header)");
    expect(parse(host("gateway.example.com", "/kruise/a/80/"), strict)).toBe("id a :80 / (path)");
    expect(parse(host("gateway.example.com"), strict)).toBe("none");
  });

  it("refuses a malformed source even when another is fine", () => {
    const request = withHeaders(["Host", "0-a.example.com"], ["e2b-sandbox-id", "a"]);
    expect(parse(request)).toBe("id a :49983 / (header)");
    expect(parse(request, strict)).toBe(`${BAD_HOST_PORT} [a]`);
  });
});

describe("options that can't work", () => {
  it.each<[Partial<TargetOptions>, string, string]>([
    [{ domains: ["*.example.com"] }, "bad_domain", 'domain "*.example.com" is not a domain name'],
    [{ domains: [".example.com"] }, "bad_domain", "write it as example.com"],
    [{ domains: [""] }, "bad_domain", 'domain ""'],
    [{ pathPrefix: "kruise" }, "bad_path_prefix", '"kruise"'],
    [{ pathPrefix: "/kruise/" }, "bad_path_prefix", '"/kruise/"'],
    [{ pathPrefix: "/" }, "bad_path_prefix", '"/"'],
    [{ sandboxHeader: "a b" }, "bad_header_name", '"a b"'],
    [{ hostHeader: "a b" }, "bad_header_name", '"a b"'],
    [{ sandboxHeader: "X-A", portHeader: "x-a" }, "bad_header_name", '"x-a"'],
    [{ defaultPort: 0 }, "bad_default_port", "default port 0"],
    [{ defaultPort: 80.5 }, "bad_default_port", "default port 80.5"],
  ])("%j throws %s", (options, code, message) => {
    const make = (): unknown => newTargetParser(options);
    expect(make).toThrow(expect.objectContaining({ name: "TargetOptionsError", code }));
    expect(make).toThrow(message);
  });
});

describe("any request", () => {
  const options: Partial<TargetOptions> = {
    templates: ["{name}.{namespace}.actors.dev", "{port}-x-{id}.box.dev"],
    hostHeader: "x-host",
  };
  const latin1 = fc.string({
    unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
  });
  const piece = fc.oneof(
    latin1,
    fc.constantFrom(
      "/kruise/",
      "http://",
      "3000-abc.",
      "actors.dev",
      "box.dev",
      "/",
      "?",
      "*",
      "[",
      ":80",
      "80-x-a",
    ),
    fc.integer({ min: -1, max: 70_000 }).map(String),
  );
  const text = fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join(""));
  const name = fc.constantFrom(
    "Host",
    "e2b-sandbox-id",
    "e2b-sandbox-port",
    "x-sandbox-id",
    "x-sandbox-namespace",
    "x-sandbox-port",
    "x-host",
    "accept",
  );
  const head = fc.record({
    method: fc.constantFrom("GET", "OPTIONS", "CONNECT"),
    target: fc.oneof(
      text,
      text.map((rest) => `/${rest}`),
    ),
    rawHeaders: fc.array(fc.tuple(name, text), { maxLength: 5 }).map((fields) => fields.flat()),
  });

  it("gives a result: a target in range whose path is a tail of what was sent, never an exception", () => {
    for (const strict of [false, true]) {
      const parser = newTargetParser({ ...options, strict });
      fc.assert(
        fc.property(head, (request) => {
          const result = parser(request);
          if (result.kind !== "target") return;
          const { port, path: sent, label, by } = result.target;
          expect(Number.isInteger(port) && port >= 1 && port <= 65_535).toBe(true);
          expect(sent === "*" || sent.startsWith("/")).toBe(true);
          expect(
            request.target.endsWith(sent) || request.target.endsWith(sent.slice(1)) || sent === "*",
          ).toBe(true);
          expect(label).toMatch(/^[a-z0-9._/-]+$/);
          expect(by.kind === "id" ? by.id : `${by.namespace}/${by.name}`).toBe(label);
        }),
        { numRuns: 2_000 },
      );
    }
  });

  it("that was built from an id and a port is read back as them", () => {
    const id = fc.stringMatching(/^[A-Za-z0-9-]{1,63}$/);
    const port = fc.integer({ min: 1, max: 65_535 });
    const rest = fc
      .webPath({ size: "small" })
      .map((webPath) => (webPath.startsWith("/") ? webPath : `/${webPath}`));
    const parser = newTargetParser({ templates: ["{id}.p{port}.box.dev"], domains: ["example.com"] });
    const get = (target: string, ...rawHeaders: string[]): TargetResult =>
      parser({ method: "GET", target, rawHeaders });
    fc.assert(
      fc.property(id, port, rest, (sandbox, number, webPath) => {
        const by = { kind: "id", id: sandbox.toLowerCase() };
        const expected = { kind: "target", target: { by, port: number, path: webPath } };
        expect(get(webPath, "host", `${number}-${sandbox}.example.com`)).toMatchObject(expected);
        expect(get(webPath, "host", `${sandbox}.p${number}.box.dev`)).toMatchObject(expected);
        expect(get(webPath, "e2b-sandbox-id", sandbox, "e2b-sandbox-port", String(number))).toMatchObject(
          expected,
        );
        expect(get(`/kruise/${sandbox}/${number}${webPath}`)).toMatchObject(expected);
      }),
    );
  });
});
