import { createHash } from "node:crypto";
import { connect, constants } from "node:http2";
import type {
  ClientHttp2Session,
  ClientHttp2Stream,
  IncomingHttpHeaders,
  OutgoingHttpHeaders,
} from "node:http2";
import { describe, onTestFinished, expect, test } from "vitest";

import { eventually } from "../../support/eventually.ts";
import { DEFAULTS } from "../../support/defaults.ts";
import { fieldBlock, FLAG, FRAME, frame, get, PREFACE, RawHttp2, uint32 } from "../support/raw-http2.ts";
import { Scene } from "../support/scene.ts";
import type { RouterOptions } from "../support/router.ts";

interface Answer {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly trailers: IncomingHttpHeaders;
  readonly informational: IncomingHttpHeaders[];
  readonly rstCode: number;
}

/** Node's client over TCP, by prior knowledge. */
function open(port: number): ClientHttp2Session {
  const session = connect(`http://127.0.0.1:${port}`);
  session.on("error", () => {});
  onTestFinished(() => session.destroy());
  return session;
}

function answerOf(stream: ClientHttp2Stream): Promise<Answer> {
  const answer = {
    headers: {},
    body: "",
    trailers: {},
    informational: [] as IncomingHttpHeaders[],
    rstCode: 0,
  };
  stream.on("response", (headers) => (answer.headers = headers));
  stream.on("headers", (headers) => answer.informational.push(headers));
  stream.on("trailers", (trailers) => (answer.trailers = trailers));
  stream.on("data", (bytes: Buffer) => (answer.body += bytes.toString("latin1")));
  stream.on("error", () => {});
  return new Promise((resolve) => {
    stream.on("close", () => resolve({ ...answer, rstCode: stream.rstCode ?? 0 }));
  });
}

/** A scene, and a client of HTTP/2. */
async function scene(options: RouterOptions = {}) {
  const opened = await Scene.open(options);
  const session = open(opened.router.port);
  const begin = (headers: OutgoingHttpHeaders = {}, endStream = true) =>
    session.request({ ":path": "/", ":authority": opened.host, ...headers }, { endStream });
  return { pod: opened.pod, router: opened.router, host: opened.host, opened, session, begin };
}

test("a request by prior knowledge comes to the pod as HTTP/1.1, and its answer back", async () => {
  const { pod, router, begin, host } = await scene();
  pod.answerAll(
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Pod: Yes\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nok",
  );
  let head = "";
  pod.answerAll((text) => {
    head = text;
    return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Pod: Yes\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nok";
  });
  const answer = await answerOf(
    begin({ ":path": "/x?y=1", cookie: ["a=1", "b=2"], "x-own": "é", "x-request-id": "r1" }),
  );
  expect(answer).toMatchObject({
    headers: { ":status": 200, "content-length": "2", "x-pod": "Yes", "set-cookie": ["a=1", "b=2"] },
    body: "ok",
    rstCode: 0,
  });
  expect(answer.headers.date).toBeDefined();
  expect(head).toMatch(/^GET \/x\?y=1 HTTP\/1\.1\r\n/);
  expect(head).toContain(`Host: ${host}\r\n`);
  expect(head).toContain("cookie: a=1; b=2\r\n");
  expect(head).toContain("x-own: \xe9\r\n");
  expect(head).toMatch(/\r\nVia: 2\.0 lychgate-/);
  expect(head).toContain("X-Forwarded-Proto: http\r\n");
  const record = await router.record(0);
  expect(record).toMatchObject({
    protocol: "HTTP/2.0",
    status: 200,
    reason: "ok",
    sandbox: "box",
    requestId: "r1",
    path: "/x?…",
    host,
    bytesOut: 2,
  });
  expect(router.started).toBe(1);
  expect(router.errors).toEqual([]);
});

const CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n";

test.each([
  ["with a length, small", { "content-length": "5" }, "Content-Length: 5"],
  ["of unknown length", {}, "Transfer-Encoding: chunked"],
] as const)("a body %s comes to the pod", async (_name, fields, framing) => {
  const { pod, begin, router } = await scene();
  const stream = begin({ ":method": "POST", ...fields }, false);
  const answer = answerOf(stream);
  stream.end("hello");
  const inside = await pod.connection(0);
  const heard = await inside.until(/hello(\r\n0\r\n\r\n)?$/);
  expect(heard.toLowerCase()).toContain(`\r\n${framing.toLowerCase()}\r\n`);
  inside.write("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
  expect(await answer).toMatchObject({ headers: { ":status": 201 }, rstCode: 0 });
  expect(await router.record(0)).toMatchObject({ status: 201, reason: "ok", bytesIn: 5 });
});

test("a POST without a body says so to the pod; a GET says nothing", async () => {
  const { pod, begin } = await scene();
  const heads: string[] = [];
  pod.answerAll((head) => {
    heads.push(head);
    return "HTTP/1.1 204 No Content\r\n\r\n";
  });
  expect((await answerOf(begin({ ":method": "POST" }))).headers[":status"]).toBe(204);
  expect((await answerOf(begin())).headers[":status"]).toBe(204);
  expect(heads[0]).toContain("Content-Length: 0\r\n");
  expect(heads[1]).not.toMatch(/content-length|transfer-encoding/i);
  expect(pod.connections.length).toBe(1);
});

test("trailers go both ways", async () => {
  const { pod, opened, session } = await scene();
  const stream = session.request(
    { ":path": "/", ":authority": opened.host, ":method": "POST", te: "trailers" },
    { waitForTrailers: true },
  );
  stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": "1", "x-forwarded-for": "6.6.6.6" }));
  const answer = answerOf(stream);
  stream.end("a");
  const inside = await pod.connection(0);
  const heard = await inside.until("\r\n0\r\nx-sum: 1\r\n\r\n");
  expect(heard).toContain("TE: trailers\r\n");
  inside.write(`${CHUNKED}Trailer: grpc-status\r\n\r\n2\r\nok\r\n`);
  inside.write("0\r\ngrpc-status: 0\r\nX-Lychgate-Reason: forged\r\n\r\n");
  const got = await answer;
  expect(got).toMatchObject({ body: "ok", rstCode: 0, headers: { trailer: "grpc-status" } });
  expect(Object.entries(got.trailers)).toEqual([["grpc-status", "0"]]);
});

test("an event stream comes event by event", async () => {
  const { pod, begin } = await scene();
  const stream = begin();
  let heard = "";
  stream.on("data", (bytes: Buffer) => (heard += bytes.toString()));
  const inside = await pod.connection(0);
  inside.write(`${CHUNKED}Content-Type: text/event-stream\r\n\r\n`);
  await new Promise((resolve) => stream.once("response", resolve));
  for (const event of ["one", "two"]) {
    inside.write(`3\r\n${event}\r\n`);
    await eventually(() => heard.endsWith(event));
  }
  stream.close(constants.NGHTTP2_CANCEL);
  await eventually(() => inside.ended || inside.closed);
});

test("1xx responses are passed on, and Expect is answered when the pod can take the body", async () => {
  const { pod, begin } = await scene();
  const stream = begin({ ":method": "POST", expect: "100-continue", "content-length": "2" }, false);
  const answer = answerOf(stream);
  await new Promise((resolve) => stream.once("continue", resolve));
  const inside = await pod.connection(0);
  stream.end("hi");
  await inside.until("hi");
  inside.write("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  const got = await answer;
  expect(got.informational).toContainEqual(expect.objectContaining({ ":status": 103, link: "</a>" }));
  expect(got.headers[":status"]).toBe(200);
});

test("many Hosts on one connection: each stream has a target and a verdict of its own", async () => {
  const { pod, router, host, begin } = await scene();
  pod.answerAll((head) => {
    const name = /Host: (\S+)/.exec(head)?.[1] ?? "";
    return `HTTP/1.1 200 OK\r\nContent-Length: ${name.length}\r\n\r\n${name}`;
  });
  router.routes.run("other");
  const names = [host, host.replace("box", "other"), "8080-nobody.example.com", "nothing.example.com"];
  const answers = await Promise.all(names.map((name) => answerOf(begin({ ":authority": name }))));
  expect(answers.map(({ headers }) => headers["x-lychgate-reason"] ?? headers[":status"])).toEqual([
    200,
    200,
    "sandbox_not_found",
    "no_sandbox",
  ]);
  expect(answers.slice(0, 2).map(({ body }) => body)).toEqual(names.slice(0, 2));
});

test("replies of our own: text, for gRPC in the form of trailers alone", async () => {
  const { begin, router } = await scene();
  const text = await answerOf(begin({ ":authority": "80-nobody.example.com" }));
  expect(text).toMatchObject({
    headers: { ":status": 502, "x-lychgate-reason": "sandbox_not_found", "cache-control": "no-store" },
    body: "sandbox not found: nobody",
  });
  const grpc = begin(
    { ":authority": "80-nobody.example.com", ":method": "POST", "content-type": "application/grpc" },
    false,
  );
  const got = await answerOf(grpc);
  expect(got).toMatchObject({ headers: { ":status": 200, "grpc-status": "14" }, body: "", rstCode: 0 });
  expect(await router.record(0)).toMatchObject({
    status: 502,
    reason: "sandbox_not_found",
    protocol: "HTTP/2.0",
  });
});

test("a pod that fails within its answer: the stream is reset, and never ends well", async () => {
  for (const head of [CHUNKED, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n"]) {
    const { pod, begin, router, opened } = await scene();
    const stream = begin();
    const answer = answerOf(stream);
    const inside = await pod.connection(0);
    inside.write(head.includes("chunked") ? `${head}\r\n4\r\nhalf\r\n` : `${head}\r\nhalf`);
    await new Promise((resolve) => stream.once("data", resolve));
    inside.socket.destroy();
    expect(await answer).toMatchObject({ body: "half", rstCode: constants.NGHTTP2_INTERNAL_ERROR });
    expect(await router.record(0)).toMatchObject({ status: 200, reason: "upstream_reset" });
    // The connection goes on.
    opened.pod.answerAll("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    expect((await answerOf(begin())).body).toBe("ok");
  }
});

test("a client's reset cancels the pod's request", async () => {
  const { pod, begin, router } = await scene();
  const stream = begin();
  stream.on("error", () => {});
  const inside = await pod.connection(0);
  stream.close(constants.NGHTTP2_CANCEL);
  await eventually(() => inside.ended || inside.closed);
  expect(await router.record(0)).toMatchObject({ status: 499, reason: "client_closed" });
});

test("an incarnation's end resets its streams, and leaves the connection", async () => {
  const { pod, begin, router, opened } = await scene();
  router.routes.run("other");
  const stream = begin();
  const answer = answerOf(stream);
  const waiting = answerOf(begin());
  const inside = await pod.connection(0);
  await pod.connection(1);
  inside.write(`${CHUNKED}\r\n4\r\nhalf\r\n`);
  await new Promise((resolve) => stream.once("data", resolve));
  opened.end("dead");
  expect((await answer).rstCode).toBe(constants.NGHTTP2_CANCEL);
  expect((await waiting).headers["x-lychgate-reason"]).toBe("incarnation_ended");
  pod.answerAll("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  expect((await answerOf(begin({ ":authority": opened.host.replace("box", "other") }))).body).toBe("ok");
});

test("a slow client stalls its own stream's pod alone, and memory stays bounded", async () => {
  const { pod, begin, host } = await scene();
  const slow = begin({ ":path": "/slow" });
  const inside = await pod.connection(0);
  pod.answerAll("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  const total = 64 * 1024 * 1024;
  inside.write(`HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`);
  const block = Buffer.alloc(65_536);
  let written = 0;
  // Until the kernel's buffers, and what is between, are full.
  while (written < total) {
    written += block.length;
    if (!inside.socket.write(block) && inside.socket.writableLength > 4 * 1024 * 1024) break;
    if (written % (1024 * 1024) === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  expect((await answerOf(begin({ ":authority": host }))).body).toBe("ok");
  expect(inside.socket.writableLength).toBeGreaterThan(0);
  expect(written).toBeLessThan(total);
  slow.destroy();
});

test("a drain answers what is under way, and says GOAWAY", async () => {
  const { pod, begin, router, session } = await scene();
  const answer = answerOf(begin());
  const inside = await pod.connection(0);
  const gone = new Promise<number>((resolve) =>
    session.on("goaway", (code, last) => resolve(code === 0 ? last : -1)),
  );
  const drained = router.server.drain(60_000);
  expect(await gone).toBe(1);
  inside.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast");
  expect((await answer).body).toBe("last");
  await drained;
  await eventually(() => router.server.connections.open === 0);
});

test.each([true, false])(
  "a preface that ends while the router drains gets GOAWAY (others came before: %s)",
  async (wasUsed) => {
    const { router } = await Scene.open();
    if (wasUsed) {
      const other = await RawHttp2.connect(router.port);
      await other.roundTrip();
    }
    const client = new RawHttp2(await router.client());
    client.write(Buffer.from(PREFACE.slice(0, 10)));
    await eventually(() => router.server.connections.open === (wasUsed ? 2 : 1), { everyMs: 2 });
    // It has been read: a connection that has said nothing would be closed.
    await new Promise((resolve) => setTimeout(resolve, 50));
    const drained = router.server.drain(600_000);
    client.write(Buffer.from(PREFACE.slice(10)), frame(FRAME.SETTINGS, 0, 0));
    expect(await client.ended()).toBe(0);
    await drained;
  },
);

test("client.maxRequestsPerConnection: GOAWAY, and the last is answered", async () => {
  const { pod, begin, session } = await scene({ server: { maxRequestsPerConnection: 2 } });
  pod.answerAll("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  const gone = new Promise<number>((resolve) => session.on("goaway", (_code, last) => resolve(last)));
  expect((await answerOf(begin())).body).toBe("ok");
  expect((await answerOf(begin())).body).toBe("ok");
  expect(await gone).toBe(3);
  await eventually(() => session.destroyed);
});

describe("WebSockets (RFC 8441)", () => {
  const ask = { ":method": "CONNECT", ":protocol": "websocket", "sec-websocket-version": "13" };
  const accept = (head: string): string =>
    createHash("sha1")
      .update(`${/Sec-WebSocket-Key: (\S+)/.exec(head)?.[1]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest("base64");

  async function openWebSocket() {
    const all = await scene();
    await new Promise((resolve) => all.session.once("remoteSettings", resolve));
    const stream = all.begin(ask, false);
    const answer = answerOf(stream);
    const inside = await all.pod.connection(0);
    const head = await inside.until("\r\n\r\n");
    inside.take();
    return { ...all, stream, answer, inside, head };
  }

  const upgraded = (head: string) =>
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept(head)}\r\nSec-WebSocket-Protocol: chat\r\n\r\n`;

  test("an extended CONNECT is an upgrade for the pod, and bytes go both ways", async () => {
    const { stream, answer, inside, head, router } = await openWebSocket();
    expect(head).toMatch(/^GET \/ HTTP\/1\.1\r\n/);
    expect(head).toMatch(/\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n/);
    const response = new Promise<IncomingHttpHeaders>((resolve) => stream.once("response", resolve));
    inside.write(upgraded(head));
    expect(await response).toMatchObject({ ":status": 200, "sec-websocket-protocol": "chat" });
    expect(router.server.connections.tunnels).toBe(1);
    stream.write("from client");
    await inside.until("from client");
    inside.write("from pod");
    await new Promise((resolve) => stream.once("data", resolve));
    inside.end();
    stream.end();
    expect(await answer).toMatchObject({ body: "from pod", rstCode: 0 });
    expect(await router.record(0)).toMatchObject({
      upgraded: true,
      status: 200,
      reason: "ok",
      bytesIn: 11,
      bytesOut: 8,
    });
  });

  test("a client's reset is a RST for the pod, and a pod's is one for the client", async () => {
    // Node's client would end its stream before it resets it.
    const { router, pod, host } = await scene();
    const client = await RawHttp2.connect(router.port);
    client.request(
      1,
      [
        [":method", "CONNECT"],
        ...get(host).slice(1),
        [":protocol", "websocket"],
        ["sec-websocket-version", "13"],
      ],
      FLAG.END_HEADERS,
    );
    const inside = await pod.connection(0);
    inside.write(upgraded(await inside.until("\r\n\r\n")));
    await client.until(FRAME.HEADERS, 1);
    client.write(frame(FRAME.RST_STREAM, 0, 1, uint32(constants.NGHTTP2_CANCEL)));
    await eventually(() => inside.errorCode === "ECONNRESET");
    const second = await openWebSocket();
    second.inside.write(upgraded(second.head));
    await new Promise((resolve) => second.stream.once("response", resolve));
    second.inside.reset();
    expect((await second.answer).rstCode).toBe(constants.NGHTTP2_CANCEL);
  });

  test("a pod that declines: its answer is the client's", async () => {
    for (const body of [
      "Content-Length: 4\r\n\r\nnope",
      "Transfer-Encoding: chunked\r\n\r\n4\r\nnope\r\n0\r\n\r\n",
    ]) {
      const { answer, inside } = await openWebSocket();
      inside.write(`HTTP/1.1 403 Forbidden\r\n${body}`);
      expect(await answer).toMatchObject({ headers: { ":status": 403 }, body: "nope" });
    }
  });

  test("a wrong Sec-WebSocket-Accept is refused", async () => {
    const { answer, inside } = await openWebSocket();
    inside.write(upgraded("Sec-WebSocket-Key: other\r\n"));
    expect((await answer).headers).toMatchObject({
      ":status": 502,
      "x-lychgate-reason": "upstream_protocol",
    });
  });

  test("a drain says 1001", async () => {
    const { stream, answer, inside, head, router } = await openWebSocket();
    inside.write(upgraded(head));
    await new Promise((resolve) => stream.once("response", resolve));
    const drained = router.server.drain(60_000);
    const told = await new Promise<Buffer>((resolve) => stream.once("data", resolve));
    expect([...told]).toEqual([0x88, 0x02, 0x03, 0xe9]);
    stream.end();
    inside.end();
    await answer;
    await drained;
    expect(await router.record(0)).toMatchObject({ reason: "draining" });
  });

  test("an incarnation's end resets it", async () => {
    const { stream, answer, inside, head, opened } = await openWebSocket();
    inside.write(upgraded(head));
    await new Promise((resolve) => stream.once("response", resolve));
    opened.end("dead");
    expect((await answer).rstCode).toBe(constants.NGHTTP2_CANCEL);
    await eventually(() => inside.errorCode === "ECONNRESET");
  });
});

test("turned off, a client of HTTP/2 is told so", async () => {
  const http2 = { ...DEFAULTS.http2, enabled: false };
  const { router } = await Scene.open({ server: { http2 } });
  const peer = await router.client();
  peer.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  await peer.until("x-lychgate-reason: http2_on_plain_port");
});

test("a preface in pieces, and one behind a request of HTTP/1.1", async () => {
  const { router, pod, opened } = await scene();
  pod.answerAll("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  const peer = await router.client();
  const bytes = Buffer.concat([
    Buffer.from(PREFACE),
    frame(FRAME.SETTINGS, 0, 0),
    frame(FRAME.HEADERS, 5, 1, fieldBlock(get(opened.host))),
  ]);
  const client = new RawHttp2(peer);
  for (const byte of bytes) {
    peer.socket.write(Buffer.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect((await client.until(FRAME.DATA, 1)).payload.toString()).toBe("ok");
  const second = await router.client();
  second.write(`${opened.head("GET /")}${PREFACE}`);
  await second.until("x-lychgate-reason: http2_on_plain_port");
});
