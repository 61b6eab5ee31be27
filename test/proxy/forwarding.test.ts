import { readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

import {
  forwardRequestHead,
  forwardResponseHeaders,
  forwardTrailers,
} from "../../src/proxy/forwarding/forwarding.ts";
import { REQUEST_PREFIXES, TOLD_BY_PROXIES } from "../../src/proxy/forwarding/field-rules.ts";
import type { ForwardedRequest, RequestForwarding } from "../../src/proxy/forwarding/forwarding.ts";
import type { RequestHead } from "../../src/proxy/http1/request-head.ts";

type Field = readonly [string, string];

const options: RequestForwarding = {
  clientAddress: "192.0.2.7",
  scheme: "http",
  via: "1.1 lychgate-test",
  requestId: "request-1",
  trustForwarded: false,
};

function forward(
  fields: readonly Field[],
  head: Partial<RequestHead> = {},
  more: Partial<RequestForwarding> = {},
) {
  const { method = "GET", target = "/x" } = head;
  const path = target.startsWith("/") ? target : "/x";
  return forwardRequestHead({ method, target, rawHeaders: fields.flat() }, path, { ...options, ...more });
}

function pairs(headers: readonly string[]): Field[] {
  return headers.flatMap((name, i) => (i % 2 === 0 ? [[name, headers[i + 1] ?? ""] as const] : []));
}

function fieldsOf(result: ForwardedRequest): Field[] {
  if (result.kind !== "forward") throw new Error(result.message);
  return pairs(result.headers);
}

/** The fields that came from the client, without what is added to every request. */
function passed(fields: readonly Field[]): Field[] {
  return fieldsOf(forward(fields)).filter(
    ([name, value]) =>
      !/^(x-forwarded-(for|host|proto|port)|x-request-id)$/i.test(name) && value !== options.via,
  );
}

function values(result: ForwardedRequest, name: string): string[] {
  return fieldsOf(result)
    .filter(([field]) => field.toLowerCase() === name)
    .map(([, value]) => value);
}

function message(result: ForwardedRequest): string {
  return result.kind === "bad_request" ? result.message : "forwarded";
}

/** The TE field that goes on when the client sends these. */
function te(...sent: string[]): string[] {
  return values(forward(sent.map((value) => ["TE", value])), "te");
}

/** What the client gets of a pod's fields, or why none. */
function respond(fields: readonly Field[], status = 200): unknown {
  const raw = fields.flat();
  const result = forwardResponseHeaders(
    raw.map((text) => Buffer.from(text, "latin1")),
    status,
  );
  expect(forwardResponseHeaders(raw, status)).toEqual(result);
  return result.kind === "forward" ? pairs(result.headers) : result.message;
}

describe("request fields", () => {
  it("keep names, order, case, duplicates and bytes", () => {
    const fields: Field[] = [
      ["hOsT", "3000-abc.example.com"],
      ["X-Twice", "1"],
      ["Accept", '*/*;q="\u00e4\u0080\t"'],
      ["x-twice", "2"],
      ["Cookie", "a=1"],
      ["Cookie", "b=2"],
      ["x-access-token", "secret"],
      ["Authorization", "Bearer x"],
      ["traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
      ["e2b-sandbox-id", "abc"],
      ["Empty", ""],
      ["Trailer", "x-sum"],
    ];
    expect(passed(fields)).toEqual(fields);
  });

  it.each([
    "Connection",
    "Keep-Alive",
    "Proxy-Connection",
    "Upgrade",
    "Expect",
    "Proxy-Authorization",
    "Proxy-Authenticate",
  ])("%s is hop-by-hop and goes no further", (name) => {
    expect(
      passed([
        ["A", "1"],
        [name, "x"],
        [name.toLowerCase(), "y"],
        ["B", "2"],
      ]),
    ).toEqual([
      ["A", "1"],
      ["B", "2"],
    ]);
  });

  it("that Connection nominates go no further, over all Connection fields", () => {
    const fields: Field[] = [
      ["X-One", "1"],
      ["Connection", "keep-alive, x-ONE ,,X-Two"],
      ["x-one", "1"],
      ["Keep", "1"],
      ["X-Two", "2"],
      ["connection", "X-Three"],
      ["X-Three", "3"],
    ];
    expect(passed(fields)).toEqual([["Keep", "1"]]);
  });

  it("that a pod relies on can't be stripped by nominating them", () => {
    const essential = [
      "Host",
      "Content-Length",
      "Authorization",
      "Cookie",
      "X-Access-Token",
      "X-Forwarded-For",
      "X-Forwarded-Host",
      "X-Forwarded-Proto",
      "X-Forwarded-Port",
      "X-Request-Id",
      "Via",
    ];
    const result = forward([
      ["Connection", essential.join(", ")],
      ["Host", "3000-abc.example.com"],
      ["Content-Length", "3"],
      ["Authorization", "Bearer x"],
      ["Cookie", "a=1"],
      ["X-Access-Token", "secret"],
    ]);
    expect(
      fieldsOf(result)
        .map(([name]) => name)
        .sort(),
    ).toEqual(essential.sort());
    expect(result).toMatchObject({ body: "length" });
  });

  it("TE is reduced to trailers, which are passed on", () => {
    expect(te("trailers")).toEqual(["trailers"]);
    expect(te("deflate;q=0.5, Trailers;q=1", "gzip")).toEqual(["trailers"]);
    expect(te("deflate")).toEqual([]);
    expect(te()).toEqual([]);
  });
});

describe("the body's framing", () => {
  it.each<[string, Field[], string]>([
    ["no field", [], "none"],
    ["Content-Length", [["content-length", "12"]], "length"],
    ["Content-Length 0", [["Content-Length", "0"]], "length"],
    ["chunked", [["Transfer-Encoding", " Chunked"]], "chunked"],
  ])("%s", (_case, fields, body) => {
    expect(forward(fields)).toMatchObject({ kind: "forward", body });
    expect(values(forward(fields), "transfer-encoding")).toEqual([]);
  });

  it.each<[Field[], string]>([
    [
      [
        ["Content-Length", "1"],
        ["content-length", "1"],
      ],
      "the header content-length must not be repeated",
    ],
    [[["Content-Length", "1, 1"]], "the content-length is not a length"],
    [[["Content-Length", "-1"]], "the content-length is not a length"],
    [[["Content-Length", "+1"]], "the content-length is not a length"],
    [[["Content-Length", ""]], "the content-length is not a length"],
    [[["Content-Length", "1000000000000000"]], "the content-length is not a length"],
    [[["Content-Length", "100000000000000000000000"]], "the content-length is not a length"],
    [
      [
        ["Content-Length", "1"],
        ["Transfer-Encoding", "chunked"],
      ],
      "content-length and transfer-encoding exclude each other",
    ],
    [[["Transfer-Encoding", "gzip, chunked"]], "the only transfer-encoding that is understood is chunked"],
    [
      [
        ["Transfer-Encoding", "chunked"],
        ["Transfer-Encoding", "chunked"],
      ],
      "the only transfer-encoding that is understood is chunked",
    ],
    [[["Transfer-Encoding", "identity"]], "the only transfer-encoding that is understood is chunked"],
  ])("%j is a bad request", (fields, expected) => {
    expect(message(forward(fields))).toBe(expected);
  });
});

describe("what can't be forwarded is a bad request", () => {
  it.each<[string, Field[], Partial<RequestHead>, string]>([
    ["a space in the path", [], { target: "/a b" }, "the path can't be forwarded"],
    ["a control in the path", [], { target: "/a\u0001" }, "the path can't be forwarded"],
    ["a fragment", [], { target: "/a#b" }, "the path can't be forwarded"],
    ["beyond latin1", [], { target: "/\u0100" }, "the path can't be forwarded"],
    ["CONNECT", [], { method: "CONNECT" }, "CONNECT is not supported"],
    ["a bad method", [], { method: "GE T" }, "the method is not a token"],
    ["a bad name", [["a b", "1"]], {}, "a header name is not a token"],
    ["an empty name", [["", "1"]], {}, "a header name is not a token"],
    ["a line break in a value", [["A", "1\r\nB: 2"]], {}, "the header a holds control characters"],
    [
      "a NUL in a dropped value",
      [["Keep-Alive", "\u0000"]],
      {},
      "the header keep-alive holds control characters",
    ],
    [
      "two Hosts",
      [
        ["Host", "a"],
        ["host", "a"],
      ],
      {},
      "the header host must not be repeated",
    ],
    ["a Host that undici would choke on", [["Host", "["]], {}, "the Host is invalid"],
    ["a bad absolute-form", [["Host", "a"]], { target: "http://a:x/" }, "the Host is invalid"],
    [
      "user information",
      [["Host", "a"]],
      { target: "http://u@a/" },
      "the request-target must not hold user information",
    ],
  ])("%s", (_case, fields, head, expected) => {
    expect(message(forward(fields, head))).toBe(expected);
  });

  it("the path * (undici can't send it)", () => {
    const head = { method: "OPTIONS", target: "*", rawHeaders: ["Host", "a"] };
    expect(message(forwardRequestHead(head, "*", options))).toContain("can't be forwarded");
  });
});

describe("Host", () => {
  it("is the authority of an absolute-form request-target (RFC 9112 3.2.2)", () => {
    const head = { target: "http://3000-abc.example.com:80/x" };
    const replaced = forward(
      [
        ["A", "1"],
        ["Host", "other"],
      ],
      head,
    );
    expect(fieldsOf(replaced).slice(0, 2)).toEqual([
      ["A", "1"],
      ["Host", "3000-abc.example.com:80"],
    ]);
    expect(values(replaced, "x-forwarded-host")).toEqual(["3000-abc.example.com:80"]);
    expect(values(forward([], head), "host")).toEqual(["3000-abc.example.com:80"]);
  });

  it("may be empty or absent", () => {
    expect(values(forward([["Host", ""]]), "host")).toEqual([""]);
    expect(values(forward([]), "host")).toEqual([]);
    expect(values(forward([]), "x-forwarded-host")).toEqual([]);
  });
});

describe("X-Forwarded-* and X-Request-Id", () => {
  const claims: Field[] = [
    ["Host", "3000-abc.example.com"],
    ["X-Forwarded-For", "10.9.9.9"],
    ["X-FORWARDED-HOST", "public.example.com"],
    ["X-Forwarded-Proto", "https"],
    ["X-Forwarded-Port", "443"],
    ["Forwarded", "for=10.9.9.9"],
    ["x-forwarded-for", "10.8.8.8"],
  ];

  it("tell the pod who asks, and a client can't claim otherwise", () => {
    const expected: Field[] = [
      ["Host", "3000-abc.example.com"],
      ["X-Forwarded-For", "192.0.2.7"],
      ["X-Forwarded-Host", "3000-abc.example.com"],
      ["X-Forwarded-Proto", "http"],
      ["X-Forwarded-Port", "80"],
      ["Via", "1.1 lychgate-test"],
      ["X-Request-Id", "request-1"],
    ];
    expect(fieldsOf(forward(claims))).toEqual(expected);
    expect(fieldsOf(forward(claims.slice(0, 1)))).toEqual(expected);
  });

  it("keep and append to what a trusted proxy told", () => {
    expect(fieldsOf(forward(claims, {}, { trustForwarded: true }))).toEqual([
      ["Host", "3000-abc.example.com"],
      ["X-FORWARDED-HOST", "public.example.com"],
      ["X-Forwarded-Proto", "https"],
      ["X-Forwarded-Port", "443"],
      ["Forwarded", "for=10.9.9.9"],
      ["X-Forwarded-For", "10.9.9.9, 10.8.8.8, 192.0.2.7"],
      ["Via", "1.1 lychgate-test"],
      ["X-Request-Id", "request-1"],
    ]);
    expect(values(forward(claims.slice(0, 2), {}, { trustForwarded: true }), "x-forwarded-proto")).toEqual([
      "http",
    ]);
  });

  const told = [
    ...TOLD_BY_PROXIES,
    "X-Forwarded-Ssl",
    "x-forwarded-server",
    "X-Forwarded-Scheme",
    "X-Forwarded-Prefix",
    "X-FORWARDED-User",
    `x-forwarded-${"y".repeat(80)}`,
  ];

  it.each(told)("%s of a client is dropped, and kept from a trusted proxy", (name) => {
    expect(passed([[name, "/evil"]])).toEqual([]);
    expect(values(forward([[name, "/told"]], {}, { trustForwarded: true }), name.toLowerCase())).toEqual([
      "/told",
    ]);
  });

  it.each([
    "X_Forwarded_For",
    "X-Forwarded_For",
    "x_forwarded-proto",
    "X_FORWARDED_ANYTHING",
    "X_Real_IP",
    "True_Client-IP",
    "X-Original_URL",
    "X_Request_Id",
  ])("%s is one of them to CGI, WSGI and Rack, and dropped whoever sends it", (name) => {
    expect(passed([[name, "evil"]])).toEqual([]);
    expect(values(forward([[name, "evil"]], {}, { trustForwarded: true }), name.toLowerCase())).toEqual([]);
  });

  it("leave alone what only looks like them", () => {
    const fields: Field[] = [
      ["X-Forwarded", "1"],
      ["X_Foo", "2"],
      ["X-Real-IPs", "3"],
      ["Content_Language", "4"],
    ];
    expect(passed(fields)).toEqual(fields);
  });

  const portOf = (fields: Field[], more: Partial<RequestForwarding> = {}, head: Partial<RequestHead> = {}) =>
    values(forward(fields, head, more), "x-forwarded-port");

  it("tell the port of the Host, else the scheme's", () => {
    expect(portOf([["Host", "3000-a.localhost:7788"]])).toEqual(["7788"]);
    expect(portOf([["Host", "[::1]:8080"]])).toEqual(["8080"]);
    expect(portOf([["Host", "3000-a.example.com"]])).toEqual(["80"]);
    expect(portOf([["Host", "3000-a.example.com"]], { scheme: "https" })).toEqual(["443"]);
    expect(portOf([])).toEqual(["80"]);
    expect(portOf([["Host", "b"]], {}, { target: "http://3000-a.example.com:81/x" })).toEqual(["81"]);
  });

  it("tell the port of what a trusted proxy was asked for", () => {
    const trusted = { trustForwarded: true };
    const host: Field = ["Host", "3000-a.example.com"];
    expect(portOf([host, ["X-Forwarded-Proto", "https"]], trusted)).toEqual(["443"]);
    expect(portOf([host, ["X-Forwarded-Proto", "WSS, http"]], trusted)).toEqual(["443"]);
    expect(
      portOf([host, ["X-Forwarded-Host", "a.b:8443, c:1"], ["X-Forwarded-Proto", "https"]], trusted),
    ).toEqual(["8443"]);
    expect(portOf([host, ["X-Forwarded-Port", "9443"]], trusted)).toEqual(["9443"]);
    expect(portOf([host, ["X-Forwarded-Proto", "https"]])).toEqual(["80"]);
  });

  it("tell what was taken off the path, behind what a trusted proxy took off", () => {
    const prefix = "/kruise/a/3000";
    const prefixes = (fields: Field[], more: Partial<RequestForwarding>) =>
      values(forward(fields, {}, more), "x-forwarded-prefix");
    expect(prefixes([], { prefix })).toEqual([prefix]);
    expect(prefixes([["X-Forwarded-Prefix", "/api/"]], { prefix })).toEqual([prefix]);
    expect(prefixes([["X-Forwarded-Prefix", "/api/"]], { prefix, trustForwarded: true })).toEqual([
      `/api${prefix}`,
    ]);
    expect(prefixes([], {})).toEqual([]);
  });

  it("tell in Via that the request was here, behind who had it before (RFC 9110 7.6.3)", () => {
    const fields: Field[] = [
      ["Via", "1.0 fred"],
      ["via", "1.1 p.example.net"],
      ["Connection", "Via"],
    ];
    expect(values(forward(fields), "via")).toEqual(["1.0 fred", "1.1 p.example.net", "1.1 lychgate-test"]);
  });

  it("count Max-Forwards of OPTIONS down, and of nothing else (RFC 9110 7.6.2)", () => {
    const of = (method: string, value: string) =>
      values(forward([["Max-Forwards", value]], { method }), "max-forwards");
    expect(of("OPTIONS", "5")).toEqual(["4"]);
    expect(of("OPTIONS", "many")).toEqual(["many"]);
    expect(of("GET", "5")).toEqual(["5"]);
  });

  it("skip an empty X-Forwarded-For", () => {
    const empty = forward([["X-Forwarded-For", ""]], {}, { trustForwarded: true });
    expect(values(empty, "x-forwarded-for")).toEqual(["192.0.2.7"]);
  });

  it("name the client in X-Forwarded-For", () => {
    expect(values(forward([], {}, { clientAddress: "2001:db8::1" }), "x-forwarded-for")).toEqual([
      "2001:db8::1",
    ]);
  });

  it("keep the client's request id in its place when it is the request's, else replace it", () => {
    const twice = forward([
      ["x-REQUEST-id", "request-1"],
      ["x-request-id", "request-1"],
    ]);
    expect(fieldsOf(twice)[0]).toEqual(["x-REQUEST-id", "request-1"]);
    expect(values(twice, "x-request-id")).toEqual(["request-1"]);
    const others = forward([
      ["X-Request-Id", "a"],
      ["X-Request-Id", "b"],
    ]);
    expect(values(others, "x-request-id")).toEqual(["request-1"]);
  });
});

describe("response fields", () => {
  it("keep names, order, case, duplicates and bytes", () => {
    const fields: Field[] = [
      ["Set-Cookie", "a=1"],
      ["sErver", "\u00e4\u0080"],
      ["Set-Cookie", "b=2"],
      ["Trailer", "x-sum"],
      ["content-length", "12"],
      ["x-request-id", "the pod's own"],
    ];
    expect(respond(fields)).toEqual(fields);
  });

  it("lose what is hop-by-hop, what Connection nominates, and our own reason", () => {
    const fields: Field[] = [
      ["A", "1"],
      ["Connection", "close, X-Hop, content-length"],
      ["Keep-Alive", "timeout=5"],
      ["Proxy-Connection", "close"],
      ["Transfer-Encoding", "chunked"],
      ["TE", "x"],
      ["Upgrade", "h2c"],
      ["Proxy-Authenticate", "Basic"],
      ["X-Hop", "1"],
      ["X-Lychgate-Reason", "ok"],
      ["B", "2"],
    ];
    expect(respond(fields)).toEqual([
      ["A", "1"],
      ["B", "2"],
    ]);
  });

  it("keep one length, which Transfer-Encoding overrides and Connection can't strip (RFC 9112 6.3)", () => {
    expect(
      respond([
        ["Content-Length", "5"],
        ["Transfer-Encoding", "chunked"],
      ]),
    ).toEqual([]);
    expect(
      respond([
        ["Content-Length", "5"],
        ["content-length", "5"],
      ]),
    ).toEqual([["Content-Length", "5"]]);
    expect(
      respond([
        ["Connection", "content-length"],
        ["Content-Length", "5"],
      ]),
    ).toEqual([["Content-Length", "5"]]);
    expect(
      respond([
        ["Content-Length", "5"],
        ["content-length", "6"],
      ]),
    ).toBe("the content-length is not a length");
    expect(respond([["Content-Length", "5, 5"]])).toBe("the content-length is not a length");
  });

  it.each([100, 103, 101, 204])("have no length in a %i, which has no body (RFC 9110 8.6)", (status) => {
    expect(
      respond(
        [
          ["Content-Length", "5"],
          ["A", "1"],
        ],
        status,
      ),
    ).toEqual([["A", "1"]]);
  });

  it.each([["gzip"], ["gzip, chunked"], ["identity"], ["chunked", "chunked"], [""]])(
    "are invalid with a transfer-encoding that can't be passed on: %s",
    (...codings) => {
      expect(respond(codings.map((coding) => ["Transfer-Encoding", coding] as const))).toBe(
        "the only transfer-encoding that is understood is chunked",
      );
    },
  );

  it("are invalid when node:http could not write them", () => {
    expect(respond([["A", "\u0001"]])).toBe("the header a holds control characters");
    expect(respond([["A B", "1"]])).toBe("a header name is not a token");
  });

  it.each([
    "Content-Length",
    "set-cookie",
    "Host",
    "Transfer-Encoding",
    "Authorization",
    "X-Forwarded-For",
    "X-Forwarded-Anything",
    "X_Real_IP",
    "Via",
    "Max-Forwards",
    "x-access-token",
    "X-Lychgate-Reason",
    "Connection",
    "Trailer",
  ])("in trailers: %s frames, routes or authenticates and goes no further (RFC 9110 6.5.1)", (name) => {
    expect(forwardTrailers(["Grpc-Status", "0", name, "5", "x-sum", "\u00e4"])).toEqual([
      ["Grpc-Status", "0"],
      ["x-sum", "\u00e4"],
    ]);
  });

  it("in trailers that name a sandbox go no further", () => {
    const routing = new Set(["host", "e2b-sandbox-id"]);
    const raw = ["E2B-Sandbox-Id", "other", "e2b_sandbox_id", "other", "x-sum", "1"];
    expect(forwardTrailers(raw, routing)).toEqual([["x-sum", "1"]]);
  });

  it("in trailers that can't be written are left out", () => {
    const raw = ["bad name", "1", "X", "\r\n", "x-sum", "\u00e4"];
    expect(forwardTrailers(raw.map((text) => Buffer.from(text, "latin1")))).toEqual([["x-sum", "\u00e4"]]);
  });
});

it("all that only a proxy may tell stands in the documentation", () => {
  const page = readFileSync(new URL("../../docs/forwarding.md", import.meta.url), "utf8").toLowerCase();
  for (const name of TOLD_BY_PROXIES) expect(page).toContain(`\`${name}\``);
  for (const prefix of REQUEST_PREFIXES) expect(page).toContain(`\`${prefix}*\``);
});
