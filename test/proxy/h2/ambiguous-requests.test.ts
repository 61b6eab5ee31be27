import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { readStreamHead } from "../../../src/proxy/h2/stream-head.ts";
import { isMeantFor } from "../../../src/proxy/h2/misdirected.ts";
import { eventually } from "../../support/eventually.ts";
import { LEGAL, MALFORMED } from "../corpus/requests.ts";
import { ERROR, FLAG, FRAME, frame, get, post, RawHttp2 } from "../support/raw-http2.ts";
import { readMessages, valuesOf } from "../support/reference-http.ts";
import { Scene } from "../support/scene.ts";

/*
 * RFC 9113 8: what a stream says must have one meaning when it is written as HTTP/1.1. Each case ends in a 400, in a reset, or
 * in a request that the pod reads as exactly one.
 */

type Fields = readonly (readonly [string, string])[];
const swapped = (fields: Fields, name: string, value: string | undefined): Fields =>
  fields.flatMap((field) =>
    field[0] !== name ? [field] : value === undefined ? [] : [[name, value] as const],
  );

const REFUSED: readonly (readonly [string, (host: string) => Fields])[] = [
  ["host differs from :authority", (host) => [...get(host), ["host", "8080-other.example.com"]]],
  ["host twice", (host) => [...swapped(get(host), ":authority", undefined), ["host", host], ["host", host]]],
  ["an absolute URL as :path", (host) => swapped(get(host), ":path", "http://8080-other.example.com/")],
  ["an empty :path", (host) => swapped(get(host), ":path", "")],
  ["a :path without a slash", (host) => swapped(get(host), ":path", "x")],
  ["a :path with a space and a version", (host) => swapped(get(host), ":path", "/ HTTP/1.1")],
  ["a :path with CRLF", (host) => swapped(get(host), ":path", "/ HTTP/1.1\r\nHost: other\r\n\r\n")],
  ["a :method with CRLF", (host) => swapped(get(host), ":method", "GET / HTTP/1.1\r\nX: y\r\n\r\nGET")],
  ["a :method with a space", (host) => swapped(get(host), ":method", "GET /admin")],
  [":authority with CRLF", (host) => swapped(get(host), ":authority", `${host}\r\nx: y`)],
  [":authority with user information", (host) => swapped(get(host), ":authority", `a@${host}`)],
  ["no :path", (host) => swapped(get(host), ":path", undefined)],
  ["no :method", (host) => swapped(get(host), ":method", undefined)],
  ["no :scheme", (host) => swapped(get(host), ":scheme", undefined)],
  ["a strange :scheme", (host) => swapped(get(host), ":scheme", "ftp")],
  [":path twice", (host) => [...get(host), [":path", "/b"]]],
  ["an unknown pseudo-header field", (host) => [...get(host), [":x", "y"]]],
  ["a pseudo-header field behind a field", (host) => [["x", "y"], ...get(host)]],
  [":status of a response", (host) => [...get(host), [":status", "200"]]],
  [":protocol without CONNECT", (host) => [...get(host), [":protocol", "websocket"]]],
  ["transfer-encoding", (host) => [...post(host), ["transfer-encoding", "chunked"]]],
  ["connection", (host) => [...get(host), ["connection", "x-access-token"]]],
  ["keep-alive", (host) => [...get(host), ["keep-alive", "timeout=5"]]],
  ["proxy-connection", (host) => [...get(host), ["proxy-connection", "close"]]],
  ["upgrade", (host) => [...get(host), ["upgrade", "websocket"]]],
  ["te other than trailers", (host) => [...get(host), ["te", "gzip"]]],
  ["two content-lengths", (host) => [...post(host), ["content-length", "1"], ["content-length", "2"]]],
  ["a content-length that is none", (host) => [...post(host), ["content-length", "+1"]]],
  ["a content-length without a body", (host) => [...post(host), ["content-length", "5"]]],
  ["a name in upper case", (host) => [...get(host), ["X-Upper", "y"]]],
  [
    "CONNECT",
    (host) => [
      [":method", "CONNECT"],
      [":authority", host],
    ],
  ],
  ["TRACE", (host) => swapped(get(host), ":method", "TRACE")],
];

/** What nghttp2 leaves out, and passes the rest on: nothing of it may reach the pod. */
const LEFT_OUT: Fields = [
  ["x-a", "b\r\nx-smuggled: 1"],
  ["x-a", "b\nx-smuggled: 1"],
  ["x-a", "b\0x-smuggled"],
  ["x-smuggled: 1\r\nx-b", "c"],
  ["x-smuggled ", "c"],
  ["x-smuggled:", "c"],
  ["", "x-smuggled"],
];

describe("what is ambiguous reaches no pod", () => {
  test.each(REFUSED)("%s", async (_name, fieldsOf) => {
    const scene = await Scene.open();
    const client = await RawHttp2.connect(scene.router.port);
    client.request(1, fieldsOf(scene.host));
    await eventually(
      () =>
        client.framesOf(FRAME.HEADERS, 1).length + client.framesOf(FRAME.RST_STREAM, 1).length > 0 ||
        client.peer.ended,
    );
    expect(scene.pod.connections).toEqual([]);
    for (const { reason } of scene.router.records)
      expect(["bad_request", "bad_target", "method_not_allowed", "client_closed"]).toContain(reason);
    client.peer.socket.destroy();
  });

  test.each(LEFT_OUT)("a field %j: %j", async (name, value) => {
    const scene = await Scene.open();
    const client = await RawHttp2.connect(scene.router.port);
    client.request(1, [...get(scene.host), [name, value]]);
    await Promise.race([scene.pod.connection(0), client.reset(1), client.ended()]).catch(() => {});
    const inside = scene.pod.connections[0];
    if (inside) expect((await inside.until("\r\n\r\n")).toLowerCase()).not.toContain("smuggled");
    client.peer.socket.destroy();
  });

  test.each([
    ["longer", "3", "hello"],
    ["shorter", "9", "hello"],
  ])(
    "a body %s than its content-length: the pod gets no byte above it, and its connection is not used again",
    async (_name, length, body) => {
      const scene = await Scene.open({ server: { smallBodyBytes: 0 } });
      const client = await RawHttp2.connect(scene.router.port);
      client.request(1, [...post(scene.host), ["content-length", length]], FLAG.END_HEADERS);
      const inside = await scene.pod.connection(0);
      await inside.until("\r\n\r\n");
      client.write(frame(FRAME.DATA, FLAG.END_STREAM, 1, Buffer.from(body)));
      const code = await Promise.race([client.reset(1), client.ended()]);
      expect([ERROR.PROTOCOL_ERROR, ERROR.INTERNAL_ERROR]).toContain(code);
      await eventually(() => inside.ended || inside.closed);
      expect(inside.received.split("\r\n\r\n")[1]?.length).toBeLessThanOrEqual(Number(length));
      client.peer.socket.destroy();
    },
  );
});

test("host beside an :authority that says the same, and host alone", () => {
  const both = readStreamHead([
    ":method",
    "GET",
    ":scheme",
    "http",
    ":path",
    "/",
    ":authority",
    "A.b",
    "host",
    "a.B",
  ]);
  expect(both).toMatchObject({ fault: undefined, head: { rawHeaders: ["Host", "A.b"] } });
  const alone = readStreamHead([":method", "GET", ":scheme", "http", ":path", "/", "host", "a.b"]);
  expect(alone).toMatchObject({ fault: undefined, head: { rawHeaders: ["Host", "a.b"] } });
});

test("no head has a pseudo-header field, a second Host or a field about a connection, unless it is refused", () => {
  const name = fc.constantFrom(
    ":authority",
    ":path",
    ":method",
    ":scheme",
    ":protocol",
    "host",
    "cookie",
    "te",
    "connection",
    "upgrade",
    "x",
    "content-length",
  );
  const value = fc.constantFrom("a", "b", "/", "http", "GET", "CONNECT", "trailers", "1", "", "websocket");
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value), { maxLength: 12 }), (fields) => {
      const { head, fault } = readStreamHead(fields.flat());
      const names = head.rawHeaders.filter((_, i) => i % 2 === 0);
      expect(names.filter((each) => each.startsWith(":"))).toEqual(fault ? expect.anything() : []);
      expect(names.filter((each) => each.toLowerCase() === "cookie").length).toBeLessThanOrEqual(1);
      expect(names.filter((each) => each.toLowerCase() === "host").length).toBeLessThanOrEqual(1);
      if (!fault) for (const each of ["connection", "upgrade"]) expect(names).not.toContain(each);
    }),
  );
});

test.each([
  [["a.example.com"], undefined, "a.example.com", true],
  [["a.example.com"], undefined, "A.example.com.:443", true],
  [["*.example.com"], undefined, "a.example.com", true],
  [["*.example.com"], "a.example.com", "a.b.example.com", false],
  [["*.example.com"], undefined, "example.com", false],
  [["*.example.com"], undefined, ".example.com", false],
  [["*.com"], undefined, "com", false],
  [["a.example.com"], "a.example.com", "b.example.com", false],
  // It was shown a certificate of another name, and did not mind.
  [["a.example.com"], "b.example.com", "b.example.com", true],
  [["a.example.com"], undefined, "10.0.0.1:8443", true],
  [["a.example.com"], undefined, "[::1]:8443", true],
  [[], undefined, "a", false],
] as const)(
  "a certificate of %j, the SNI %s and the Host %s: %s",
  (certificateNames, servername, host, expected) => {
    expect(isMeantFor({ certificateNames, servername }, host)).toBe(expected);
  },
);

/** The corpus of the HTTP/1.1 lanes, as far as its heads can be said in HTTP/2. */
describe("the corpus of all lanes, by HTTP/2", () => {
  const cases = [...LEGAL, ...MALFORMED].filter(({ text }) => /^[\x20-\x7e]+ HTTP\/1\.1\r\n/.test(text));

  test("whatever of it comes to the pod is one request, well formed, with the Host that was asked for", async () => {
    const scene = await Scene.open();
    const seen: string[] = [];
    scene.pod.onConnection = (peer) => {
      peer.socket.on("data", () => {
        const { messages } = readMessages(peer.received, "request");
        if (messages.length === 0) return;
        seen.push(peer.received);
        peer.received = "";
        peer.write("HTTP/1.1 204 No Content\r\n\r\n");
      });
    };
    let passed = 0;
    for (const { text, name } of cases) {
      const [line = "", ...lines] = (text.split("\r\n\r\n")[0] ?? "").split("\r\n");
      const [method = "", target = ""] = line.split(" ");
      const fields = lines.flatMap((each): [string, string][] => {
        const colon = each.indexOf(":");
        const field = each.slice(0, colon).toLowerCase();
        const value = each
          .slice(colon + 1)
          .trim()
          .replace("HOST", scene.host);
        return colon < 1 || ["host", "content-length", "transfer-encoding", "connection"].includes(field)
          ? []
          : [[field, value]];
      });
      const client = await RawHttp2.connect(scene.router.port);
      client.request(1, [
        [":method", method],
        [":scheme", "http"],
        [":path", target],
        [":authority", scene.host],
        ...fields,
      ]);
      await eventually(() => {
        const isOver =
          client.framesOf(FRAME.HEADERS, 1).length > 0 || client.framesOf(FRAME.RST_STREAM, 1).length > 0;
        expect(
          isOver || client.peer.ended,
          `${name}: ${JSON.stringify(scene.pod.connections.at(-1)?.received)}`,
        ).toBe(true);
      });
      for (const each of seen.splice(0)) {
        passed += 1;
        const { messages, rest, fault } = readMessages(each, "request");
        expect({ name, count: messages.length, rest, fault }).toEqual({
          name,
          count: 1,
          rest: "",
          fault: undefined,
        });
        expect(valuesOf(messages[0]?.fields ?? [], "host"), name).toEqual([scene.host]);
      }
      client.peer.socket.destroy();
    }
    expect(passed).toBeGreaterThan(20);
  });
});
