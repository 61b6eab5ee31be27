import { createServer } from "node:http";
import type { IncomingMessage, Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";

import * as fc from "fast-check";
import { Client } from "undici";
import type { Dispatcher } from "undici";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { forwardRequestHead } from "../../src/proxy/forwarding/forwarding.ts";
import type { ForwardedRequest } from "../../src/proxy/forwarding/forwarding.ts";

interface Arrived {
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly rawHeaders: readonly string[];
  readonly body: string;
}

let pod: Server;
let client: Client;
const arrived: Arrived[] = [];

beforeAll(async () => {
  pod = createServer({ insecureHTTPParser: false, requireHostHeader: false }, (request, response) => {
    void read(request).then((body) => {
      arrived.push({ method: request.method, url: request.url, rawHeaders: request.rawHeaders, body });
      response.end();
    });
  });
  await new Promise<void>((resolve) => {
    pod.listen(0, "127.0.0.1", resolve);
  });
  client = new Client(`http://127.0.0.1:${(pod.address() as AddressInfo).port}`);
});

afterAll(async () => {
  await client.close();
  pod.closeAllConnections();
  pod.close();
});

async function read(request: IncomingMessage): Promise<string> {
  let body = "";
  for await (const chunk of request.setEncoding("latin1")) body += String(chunk);
  return body;
}

/** How undici took the head: `answered`, or its error, with a note when it refused the arguments. */
function dispatch(options: Dispatcher.DispatchOptions): Promise<string> {
  return new Promise((resolve) => {
    client.dispatch(options, {
      onRequestStart() {},
      onResponseStart() {},
      onResponseData() {},
      onResponseEnd: () => resolve("answered"),
      onResponseError: (controller, error) => {
        // undici hands no controller over when it refuses the arguments; its types don't say so.
        const refused = (controller as unknown) === null;
        resolve(`${refused ? "REFUSED: " : ""}${error.message}`);
      },
    });
  });
}

function send(forwarded: Extract<ForwardedRequest, { kind: "forward" }>, body: string): Promise<string> {
  const { method, path, headers } = forwarded;
  return dispatch({
    method,
    path,
    headers,
    body: forwarded.body === "none" ? null : Readable.from([Buffer.from(body, "latin1")]),
  });
}

/** The first word of how undici took these arguments. */
async function begin(headers: string[], path = "/"): Promise<string | undefined> {
  return (await dispatch({ method: "GET", path, headers })).split(":")[0];
}

const char = (max: number): fc.Arbitrary<string> =>
  fc.integer({ min: 0, max }).map((code) => String.fromCharCode(code));
/** Mostly what may pass, now and then anything. */
const value = fc.oneof(
  { weight: 4, arbitrary: fc.stringMatching(/^[\x20-\x7e\x80-\xff]{0,12}$/) },
  { weight: 1, arbitrary: fc.string({ unit: char(0x120), maxLength: 6 }) },
);
const name = fc.oneof(
  { weight: 4, arbitrary: fc.stringMatching(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,14}$/) },
  {
    weight: 1,
    arbitrary: fc.constantFrom("__proto__", "constructor", "toString", "Content-Type", "content-type"),
  },
  { weight: 1, arbitrary: fc.string({ unit: char(0xff), maxLength: 4 }) },
);
const special = fc.oneof(
  fc.tuple(
    fc.constantFrom("Host", "host"),
    fc.constantFrom(
      "",
      "a.example.com",
      "a:80",
      "[::1]:80",
      "[",
      "[]",
      "]",
      "[::1",
      "a b",
      "::",
      ":",
      "a,b",
      "\u00e4",
    ),
  ),
  fc.tuple(
    fc.constantFrom(
      "Connection",
      "connection",
      "Keep-Alive",
      "Proxy-Connection",
      "TE",
      "Upgrade",
      "Expect",
      "Trailer",
    ),
    fc.constantFrom(
      "",
      ",",
      "close",
      "keep-alive, x",
      "a b",
      "\u00e4",
      "trailers",
      "100-continue",
      "websocket",
      "host",
    ),
  ),
  fc.tuple(
    fc.constantFrom("Transfer-Encoding", "transfer-encoding"),
    fc.constantFrom("chunked", "gzip, chunked", ""),
  ),
  fc.tuple(
    fc.constant("Content-Length"),
    fc.constantFrom("", "0", "4", "04", "4x", "-4", "4, 4", "1e1", "0x4"),
  ),
  fc.tuple(fc.constantFrom("X-Forwarded-For", "Forwarded", "X-Request-Id", "Proxy-Authorization"), value),
);
const field = fc.oneof({ weight: 3, arbitrary: fc.tuple(name, value) }, { weight: 2, arbitrary: special });
const path = fc.oneof(
  { weight: 4, arbitrary: fc.stringMatching(/^\/[\x21-\x22\x24-\x7e\x80-\xff]{0,12}$/) },
  { weight: 1, arbitrary: fc.string({ unit: char(0x120), maxLength: 6 }) },
  { weight: 1, arbitrary: fc.constantFrom("", "*", "x", "//", "http://a/x", "/a#b", "/\u007f") },
);
const method = fc.constantFrom(
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "PATCH",
  "DELETE",
  "OPTIONS",
  "TRACE",
  "PROPFIND",
  "QUERY",
  "get",
  "CONNECT",
  "",
  "G T",
  "M\u00c4H",
);
const head = fc.record({
  method,
  target: fc.oneof(path, fc.constantFrom("http://a.example.com/x", "http://[/x", "http://[::1]:80/")),
  rawHeaders: fc.array(field, { maxLength: 6 }).map((fields) => fields.flat()),
});

describe("any head that is forwarded", () => {
  it("is taken by undici, and any that is refused here never reaches it", async () => {
    let forwardedCount = 0;
    await fc.assert(
      fc.asyncProperty(head, path, fc.boolean(), async (request, upstreamPath, trustForwarded) => {
        const forwarded = forwardRequestHead(request, upstreamPath, {
          clientAddress: "192.0.2.7",
          scheme: "http",
          via: "1.1 lychgate-test",
          requestId: "request-1",
          trustForwarded,
        });
        if (forwarded.kind === "bad_request") return;
        forwardedCount += 1;
        const length = Number(forwarded.headers[forwarded.headers.indexOf("Content-Length") + 1]);
        const body = forwarded.body === "length" ? "x".repeat(length) : "hello";
        const outcome = await send(forwarded, body);
        // The pod's own parser may dislike a method or a body where it expects none; undici must not.
        expect(outcome).not.toMatch(/^REFUSED|assert|invalid|mismatch/i);
      }),
      { numRuns: 1_500 },
    );
    expect(forwardedCount).toBeGreaterThan(200);
  });

  it("arrives byte for byte", async () => {
    arrived.length = 0;
    const rawHeaders = [
      "X-A",
      "1",
      "Host",
      "3000-abc.example.com",
      "x-a",
      "\u00e4 \u00ff",
      "COOKIE",
      "a",
      "Cookie",
      "b",
      "TE",
      "trailers",
    ];
    const forwarded = forwardRequestHead(
      { method: "GET", target: "/", rawHeaders },
      "/a/../b/%2e%2E//c?x&&y=%E4|{",
      {
        clientAddress: "192.0.2.7",
        scheme: "https",
        requestId: "request-1",
        via: "1.1 lychgate-test",
        trustForwarded: false,
      },
    );
    if (forwarded.kind !== "forward") throw new Error(forwarded.message);
    expect(await send(forwarded, "")).toBe("answered");
    expect(arrived).toEqual([
      {
        method: "GET",
        url: "/a/../b/%2e%2E//c?x&&y=%E4|{",
        // undici writes Host and Connection itself, first.
        rawHeaders: [
          "host",
          "3000-abc.example.com",
          "connection",
          "keep-alive",
          "X-A",
          "1",
          "x-a",
          "\u00e4 \u00ff",
          "COOKIE",
          "a",
          "Cookie",
          "b",
          "X-Forwarded-For",
          "192.0.2.7",
          "X-Forwarded-Host",
          "3000-abc.example.com",
          "X-Forwarded-Proto",
          "https",
          "X-Forwarded-Port",
          "443",
          "Via",
          "1.1 lychgate-test",
          "X-Request-Id",
          "request-1",
          "TE",
          "trailers",
        ],
        body: "",
      },
    ]);
  });

  it("would be needed: undici refuses what the rules drop or refuse", async () => {
    for (const headers of [
      ["Keep-Alive", "x"],
      ["Expect", "x"],
      ["Upgrade", "x"],
      ["Transfer-Encoding", "chunked"],
      ["Host", "["],
      ["Host", "a", "Host", "a"],
      ["Content-Length", "x"],
    ]) {
      expect(await begin(headers)).toBe("REFUSED");
    }
    expect(await begin([], "*")).toBe("REFUSED");
    expect(await begin([], "/a b")).toBe("REFUSED");
  });
});
