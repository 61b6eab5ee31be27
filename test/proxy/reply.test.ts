import { createHash } from "node:crypto";

import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { REASONS } from "../../src/proxy/reply/reasons.ts";

import type { Reason, RefusalReason } from "../../src/proxy/reply/reasons.ts";
import { replyFor } from "../../src/proxy/reply/reply.ts";
import { templatePage } from "../../src/proxy/reply/reply-page.ts";
import type { Reply, ReplyContext } from "../../src/proxy/reply/reply.ts";

const context: ReplyContext = { method: "GET", requestId: "request-1", sandbox: "abc", port: 3000 };
const reasons = Object.keys(REASONS) as Reason[];
const refusals = reasons.filter((reason): reason is RefusalReason => reason !== "ok");

function headersOf({ headers }: Reply): Record<string, string> {
  return Object.fromEntries(
    headers.flatMap((name, i) => (i % 2 === 0 ? [[name, headers[i + 1] ?? ""] as const] : [])),
  );
}

describe("the reasons", () => {
  it("are this closed list, with these statuses and words", () => {
    const table = Object.fromEntries(
      refusals.map((reason) => {
        const { status, body } = replyFor(reason, { ...context, message: "what is wrong" });
        return [reason, `${status} ${body.toString()}`];
      }),
    );
    expect(table).toEqual({
      not_ready: "503 sandbox gateway is not ready",
      no_sandbox: "404 no sandbox in request",
      bad_target: "400 what is wrong",
      bad_request: "400 what is wrong",
      tls_on_plain_port: "400 this port speaks plain HTTP, and what came is TLS",
      plain_on_tls_port: "400 this port speaks TLS, and what came is not: use https",
      https_redirect: "308 what is wrong",
      client_certificate: "403 what is wrong",
      http2_on_plain_port: "505 this port speaks HTTP/1.1, and what came is HTTP/2",
      proxy_protocol: "400 what is wrong",
      version_not_supported: "505 the only versions of HTTP that are understood are 1.0 and 1.1",
      misdirected_request: "421 this connection's certificate is not for the host that was asked for",
      method_not_allowed: "405 CONNECT and TRACE are not passed on",
      max_forwards: "200 answered by the sandbox gateway, since Max-Forwards is 0",
      loop_detected: "508 the request has passed through this sandbox gateway before",
      headers_too_large: "431 request header fields too large",
      request_timeout: "408 request timeout",
      client_too_slow: "408 the client is too slow",
      sandbox_not_found: "502 sandbox not found: abc",
      sandbox_id_conflict: "502 healthy sandbox not found: abc",
      pod_ip_reassigned: "502 healthy sandbox not found: abc",
      pod_ip_not_allowed: "502 healthy sandbox not found: abc",
      sandbox_in_doubt: "502 healthy sandbox not found: abc",
      sandbox_paused: "502 healthy sandbox not found: abc",
      wake_failed: "503 sandbox wake failed",
      wake_unavailable: "503 sandbox wake failed: the API server does not answer",
      sandbox_waking: "503 sandbox abc is waking up",
      sandbox_creating: "502 healthy sandbox not found: abc",
      sandbox_dead: "502 healthy sandbox not found: abc",
      sandbox_not_running: "502 healthy sandbox not found: abc",
      address_not_allowed: "403 requests from this address are not allowed",
      rate_limited: "429 too many requests",
      sandbox_private: "401 private: needs a token for port 3000",
      preview_token_invalid:
        "401 the preview link is not valid here: it has expired, was revoked, or is for something else",
      cross_site: "403 this request comes from a page of another site",
      preview_entered: "302 go on to the page",
      traffic_token_invalid: "403 forbidden: invalid or missing traffic access token",
      traffic_token_mismatch: "403 forbidden: traffic access token does not match sandbox",
      unauthorized: "401 unauthorized: invalid or missing access token",
      jwt_verifier_not_ready: "503 service unavailable: traffic access token verifier is not ready",
      upstream_refused: "502 sandbox abc refused the connection on port 3000",
      upstream_unreachable: "502 sandbox abc is unreachable on port 3000",
      upstream_reset: "502 sandbox abc closed the connection on port 3000 before it responded",
      upstream_protocol: "502 sandbox abc sent an invalid response on port 3000",
      incarnation_ended: "502 sandbox abc ended while the request was on its way",
      connect_timeout: "504 timed out connecting to sandbox abc on port 3000",
      first_byte_timeout: "504 timed out waiting for sandbox abc to respond on port 3000",
      upstream_idle_timeout: "504 sandbox abc sent nothing for too long on port 3000",
      client_closed: "499 client closed the request",
      draining: "503 sandbox gateway is shutting down",
      overloaded: "503 sandbox gateway is overloaded",
      internal_error: "500 internal error",
    });
    expect(reasons).toContain("ok");
  });

  it("tell to retry where waiting helps, and never where it doesn't", () => {
    const retryable = refusals.filter(
      (reason) => headersOf(replyFor(reason, context))["retry-after"] !== undefined,
    );
    expect(retryable).toEqual([
      "not_ready",
      "pod_ip_reassigned",
      "wake_failed",
      "wake_unavailable",
      "sandbox_waking",
      "sandbox_creating",
      "sandbox_in_doubt",
      "rate_limited",
      "upstream_unreachable",
      "incarnation_ended",
      "draining",
      "overloaded",
    ]);
  });

  it("end the connection where what follows may have been read wrongly", () => {
    const closing = refusals.filter((reason) => REASONS[reason].closes);
    expect(closing.toSorted()).toEqual(
      refusals
        .filter(
          (reason) => [400, 405, 505].includes(REASONS[reason].status) || reason === "client_certificate",
        )
        .toSorted((a, b) => (a < b ? -1 : 1)),
    );
  });

  it("name the methods that are passed on, where one is not (RFC 9110 15.5.6)", () => {
    const allow = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
    expect(headersOf(replyFor("method_not_allowed", context))["allow"]).toBe(allow);
    expect(headersOf(replyFor("max_forwards", context))["allow"]).toBe(allow);
    expect(headersOf(replyFor("bad_request", context))["allow"]).toBeUndefined();
  });

  it("are usable as metric labels and header values", () => {
    for (const reason of reasons) expect(reason).toMatch(/^[a-z][a-z0-9]*(_[a-z0-9]+)*$/);
  });
});

describe("a reply", () => {
  it("is plain text, names its reason and is not cached", () => {
    const reply = replyFor("not_ready", context);
    expect(reply.status).toBe(503);
    expect(reply.body.toString()).toBe("sandbox gateway is not ready");
    expect(headersOf(reply)).toEqual({
      "x-lychgate-reason": "not_ready",
      "cache-control": "no-store",
      "x-request-id": "request-1",
      "retry-after": "1",
      "content-type": "text/plain; charset=utf-8",
      "content-length": "28",
    });
  });

  it("to HEAD has the length and no body", () => {
    const reply = replyFor("sandbox_not_found", { ...context, method: "HEAD" });
    expect(reply.body).toHaveLength(0);
    expect(headersOf(reply)["content-length"]).toBe(String("sandbox not found: abc".length));
  });

  it("fills gaps literally, and says when it doesn't know", () => {
    const odd = replyFor("bad_target", { ...context, message: "$& <sandbox> $1" });
    expect(odd.body.toString()).toBe("$& <sandbox> $1");
    const unknown = replyFor("upstream_refused", { method: "GET", requestId: "r" });
    expect(unknown.body.toString()).toBe("sandbox (unknown) refused the connection on port (unknown)");
    const ignored = replyFor("unauthorized", { ...context, message: "a detail" });
    expect(ignored.body.toString()).toBe("unauthorized: invalid or missing access token");
  });
});

describe("JSON", () => {
  it.each([
    ["application/json"],
    ["application/json, text/plain, */*"],
    ["Application/JSON;charset=utf-8"],
    ["application/problem+json"],
    ["text/html;q=0.8, application/json;q=0.9"],
    ["text/html;q=0, application/json;q=0.001"],
    ["*/*;q=0.1, application/json; q=1.0"],
    [", application/json"],
  ])("is given for Accept: %s", (accept) => {
    const reply = replyFor("sandbox_not_found", { ...context, accept });
    expect(headersOf(reply)["content-type"]).toBe("application/json");
    expect(JSON.parse(reply.body.toString())).toEqual({
      code: "sandbox_not_found",
      message: "sandbox not found: abc",
      sandbox: "abc",
    });
    expect(headersOf(reply)["content-length"]).toBe(String(reply.body.length));
  });

  it.each([
    [undefined],
    [""],
    ["*/*"],
    ["application/*"],
    ["text/plain, application/json"],
    ["application/json;q=0.5, */*"],
    ["application/json;q=0"],
    ["application/json;q=2"],
    ["application/json;q=x"],
    ["application/jsonp"],
    ["text/json"],
  ])("is not given for Accept: %s", (accept) => {
    const reply = replyFor("sandbox_not_found", { ...context, accept });
    expect(reply.body.toString()).toBe("sandbox not found: abc");
  });

  it("leaves out a sandbox that is not known", () => {
    const reply = replyFor("no_sandbox", { method: "GET", requestId: "r", accept: "application/json" });
    expect(JSON.parse(reply.body.toString())).toEqual({
      code: "no_sandbox",
      message: "no sandbox in request",
    });
  });
});

describe("gRPC", () => {
  it("gets a trailers-only answer", () => {
    const grpc = { ...context, contentType: "application/grpc", accept: "application/json" };
    const reply = replyFor("sandbox_not_found", grpc);
    expect(reply.status).toBe(200);
    expect(reply.body).toHaveLength(0);
    expect(headersOf(reply)).toEqual({
      "x-lychgate-reason": "sandbox_not_found",
      "cache-control": "no-store",
      "x-request-id": "request-1",
      "content-type": "application/grpc",
      "content-length": "0",
      "grpc-status": "14",
      "grpc-message": "sandbox not found: abc",
    });
  });

  it.each([
    ["application/grpc", "application/grpc"],
    ["application/grpc+proto", "application/grpc+proto"],
    ["Application/gRPC-web+proto; x=y", "application/grpc-web+proto"],
  ])("is recognised by Content-Type: %s", (contentType, expected) => {
    expect(headersOf(replyFor("no_sandbox", { ...context, contentType }))["content-type"]).toBe(expected);
  });

  it.each([[undefined], [""], ["application/grpcx"], ["text/plain"], ["application/json"]])(
    "is not Content-Type: %s",
    (contentType) => {
      expect(replyFor("no_sandbox", { ...context, contentType }).status).toBe(404);
    },
  );

  it("has a code of its own for every status", () => {
    const codes = new Map(
      refusals.map((reason) => {
        const reply = replyFor(reason, { ...context, contentType: "application/grpc" });
        return [REASONS[reason].status, Number(headersOf(reply)["grpc-status"])];
      }),
    );
    // gRPC has no OPTIONS.
    codes.delete(200);
    // Nor does it follow redirects.
    codes.delete(308);
    expect(Object.fromEntries(codes)).toEqual({
      // For browsers.
      302: 2,
      400: 3,
      401: 16,
      403: 7,
      404: 5,
      405: 12,
      408: 4,
      421: 14,
      429: 8,
      431: 8,
      499: 1,
      500: 13,
      502: 14,
      503: 14,
      504: 4,
      505: 12,
      508: 9,
    });
  });

  it("percent-encodes its message", () => {
    const message = "100% \u00e4\u20ac\r\n";
    const reply = replyFor("bad_request", { ...context, contentType: "application/grpc", message });
    expect(headersOf(reply)["grpc-message"]).toBe("100%25 %C3%A4%E2%82%AC%0D%0A");
  });

  it("can be decoded, whatever the message", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (message) => {
        const reply = replyFor("bad_request", { ...context, contentType: "application/grpc", message });
        const encoded = headersOf(reply)["grpc-message"] ?? "";
        expect(encoded).toMatch(/^[\x20-\x7e]*$/);
        expect(decodeURIComponent(encoded)).toBe(message);
      }),
    );
  });
});

const BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

describe("a page", () => {
  it.each([
    ["a browser that opens a page", { accept: BROWSER, fetchMode: "navigate" }],
    [
      "one that takes JSON first, since it was told to show it",
      { accept: "application/json", fetchMode: "navigate" },
    ],
    ["a browser that tells no Sec-Fetch-Mode", { accept: BROWSER }],
    ["who puts XHTML first", { accept: "application/xhtml+xml" }],
  ])("is given to %s", (_who, wishes) => {
    const reply = replyFor("sandbox_paused", { ...context, ...wishes });
    expect(reply.status).toBe(502);
    expect(headersOf(reply)).toMatchObject({
      "content-type": "text/html; charset=utf-8",
      "content-length": String(reply.body.length),
      "x-lychgate-reason": "sandbox_paused",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
    });
    const html = reply.body.toString();
    expect(html).toContain("<h1>The sandbox is paused</h1>");
    expect(html).toContain("<dd>abc</dd>");
    expect(html).toContain("<dd>request-1</dd>");
  });

  it.each([
    ["a script's fetch", { accept: BROWSER, fetchMode: "cors" }],
    ["an image", { accept: "image/avif,image/webp,*/*;q=0.8", fetchMode: "no-cors" }],
    ["curl", { accept: "*/*" }],
    ["who says nothing", {}],
  ])("is not given to %s", (_who, wishes) => {
    const reply = replyFor("sandbox_paused", { ...context, ...wishes });
    expect(reply.body.toString()).toBe("healthy sandbox not found: abc");
  });

  it("has words for each reason, none with a gap left open, and asks again by itself only where the state passes soon", () => {
    const again = refusals.filter((reason) => {
      const reply = replyFor(reason, { ...context, fetchMode: "navigate" });
      const html = reply.body.toString();
      expect(html, reason).toMatch(/<title>[^<]+<\/title>/);
      expect(html, reason).not.toMatch(/\{\{|&lt;port|undefined/);
      return headersOf(reply)["refresh"] !== undefined;
    });
    expect(again).toEqual(["not_ready", "sandbox_waking", "sandbox_creating", "sandbox_in_doubt"]);
    // What a form sent would be sent anew.
    const post = replyFor("sandbox_creating", { ...context, method: "POST", fetchMode: "navigate" });
    expect(headersOf(post)["refresh"]).toBeUndefined();
  });

  it("leaves the port out where none is known", () => {
    const reply = replyFor("connect_timeout", { method: "GET", requestId: "r", fetchMode: "navigate" });
    expect(reply.body.toString()).toContain("No connection to port of the sandbox");
    expect(reply.body.toString()).toContain("<dt>Sandbox</dt><dd>-</dd>");
  });

  it("lets a browser use its own style and nothing else", () => {
    const reply = replyFor("sandbox_paused", { ...context, fetchMode: "navigate" });
    const policy = headersOf(reply)["content-security-policy"] ?? "";
    const style = /<style>([^]*)<\/style>/.exec(reply.body.toString())?.[1] ?? "";
    const hash = createHash("sha256").update(style).digest("base64");
    expect(policy).toBe(
      `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'`,
    );
  });

  it("shows what a client sent as text, whatever it is", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        const sent = { sandbox: text, requestId: text, message: text };
        const reply = replyFor("bad_target", { ...context, ...sent, fetchMode: "navigate" });
        const html = reply.body.toString();
        const plain = replyFor("bad_target", { ...context, fetchMode: "navigate" }).body.toString();
        // Not a mark more than with harmless text.
        expect(html.match(/[<>"]/g)?.length).toBe(plain.match(/[<>"]/g)?.length);
      }),
    );
  });
});

describe("a template of one's own", () => {
  it("is filled in, escaped", () => {
    const page = templatePage("<p title='{{ sandbox }}'>{{status}} {{reason}} {{port}} {{message}}</p>");
    const reply = replyFor("bad_target", {
      ...context,
      sandbox: "<'&\">",
      message: "{{title}} $&",
      fetchMode: "navigate",
      page,
    });
    expect(reply.body.toString()).toBe(
      "<p title='&lt;&#39;&amp;&quot;&gt;'>400 bad_target 3000 {{title}} $&amp;</p>",
    );
    expect(headersOf(reply)["content-security-policy"]).toBeUndefined();
  });

  it.each([["{{sandbx}}"], ["{{constructor}}"], ["{{}}"], ["{{#sandbox}}x{{/sandbox}}"]])(
    "that has %s is refused, and told what there is",
    (template) => {
      expect(() => templatePage(template)).toThrow(/is not one of \{\{title\}\}, .*\{\{requestId\}\}/);
    },
  );
});

describe("a script of another origin", () => {
  const origin = "https://ide.example";

  it("may read status and reason, without credentials", () => {
    for (const more of [{}, { contentType: "application/grpc-web" }]) {
      const headers = headersOf(replyFor("sandbox_paused", { ...context, origin, ...more }));
      expect(headers["access-control-allow-origin"]).toBe("*");
      expect(headers["access-control-expose-headers"]).toContain("x-lychgate-reason");
      expect(headers["access-control-allow-credentials"]).toBeUndefined();
    }
    expect(headersOf(replyFor("sandbox_paused", context))["access-control-allow-origin"]).toBeUndefined();
  });

  it("gets its preflight answered, so that the request itself can tell what is wrong", () => {
    const preflight = {
      ...context,
      method: "OPTIONS",
      origin,
      requestedMethod: "PUT",
      requestedHeaders: "content-type, x-access-token,bad name",
    };
    const reply = replyFor("unauthorized", preflight);
    expect(reply.status).toBe(204);
    expect(reply.body).toHaveLength(0);
    expect(headersOf(reply)).toEqual({
      "x-lychgate-reason": "unauthorized",
      "cache-control": "no-store",
      "x-request-id": "request-1",
      "access-control-allow-origin": "*",
      "access-control-expose-headers":
        "x-lychgate-reason, x-request-id, retry-after, grpc-status, grpc-message",
      "access-control-max-age": "0",
      "access-control-allow-methods": "PUT",
      "access-control-allow-headers": "content-type, x-access-token",
    });
    // What may have been read wrongly is no preflight.
    expect(replyFor("bad_request", preflight).status).toBe(400);
    // Nor is an OPTIONS that no browser sent for a script.
    expect(replyFor("unauthorized", { ...preflight, requestedMethod: undefined }).status).toBe(401);
    expect(replyFor("unauthorized", { ...preflight, method: "GET" }).status).toBe(401);
  });

  it("sends nothing that comes back as more than names", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary" }),
        fc.string({ unit: "binary" }),
        (requestedMethod, requestedHeaders) => {
          const { headers } = replyFor("no_sandbox", {
            ...context,
            method: "OPTIONS",
            origin,
            requestedMethod,
            requestedHeaders,
          });
          for (const text of headers) expect(text).toMatch(/^[\x20-\x7e]*$/);
        },
      ),
    );
  });
});
