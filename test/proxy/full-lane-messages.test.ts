import { expect, test } from "vitest";

import { eventually } from "../support/eventually.ts";
import { LANE } from "./support/lane.ts";
import { OK, RawPod } from "./support/raw-peer.ts";
import { Scene } from "./support/scene.ts";
import { newTargetParser } from "../support/defaults.ts";

test("path and field names, order, case and duplicates reach the pod byte for byte", async () => {
  const scene = await Scene.open();
  const { head } = await scene.begin("GET /raw/../x/%2e%2e//y?a=1&&b=%00;", [
    "X-CaSe: One",
    "aaa: 1",
    "x-case: two",
    "X-Latin: \xff\xe9",
  ]);
  expect(head).toMatch(/^GET \/raw\/\.\.\/x\/%2e%2e\/\/y\?a=1&&b=%00; HTTP\/1\.1\r\n/);
  expect(head).toContain("\r\nX-CaSe: One\r\naaa: 1\r\nx-case: two\r\nX-Latin: \xff\xe9\r\n");
});

test("status, reason phrase and fields reach the client byte for byte", async () => {
  const scene = await Scene.open();
  const { client, inside } = await scene.begin("GET /");
  inside.write(
    "HTTP/1.1 209 Sch\xc3\xb6n  so\r\nX-OdD: a\xff\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nDate: x\r\nKeep-Alive: timeout=9\r\nConnection: X-Hop\r\nX-Hop: 1\r\nContent-Length: 2\r\n\r\nok",
  );
  const answer = await client.until("\r\n\r\nok");
  expect(answer).toMatch(
    /^HTTP\/1\.1 209 Sch\xc3\xb6n {2}so\r\nX-OdD: a\xff\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nDate: x\r\nContent-Length: 2\r\n/,
  );
  expect(answer).not.toContain("X-Hop");
  expect(answer).not.toContain("timeout=9");
});

test("a reason phrase that is no text reaches the client as it is", async () => {
  const scene = await Scene.open();
  const { client, inside } = await scene.begin("GET /");
  inside.write("HTTP/1.1 200 Sch\xf6n\r\nContent-Length: 2\r\n\r\nok");
  await client.until("\r\n\r\nok");
  expect(client.received).toMatch(/^HTTP\/1\.1 200 Sch\xf6n\r\n/);
});

test("a body with a length goes both ways", async () => {
  const scene = await Scene.open({ server: { smallBodyBytes: 0 } });
  const { client, inside, head } = await scene.begin("POST /", ["Content-Length: 10"], "hello");
  expect(head).toMatch(/content-length: 10/i);
  client.write("world");
  await inside.until("helloworld");
  inside.write(OK);
  expect(await client.until("\r\n\r\nok")).toMatch(/Content-Length: 2\r\n/);
  expect(await scene.router.record(0)).toMatchObject({ status: 200, reason: "ok", bytesIn: 10, bytesOut: 2 });
});

test("a chunked body goes both ways as it comes", async () => {
  const scene = await Scene.open();
  const { client, inside } = await scene.begin("POST /", ["Transfer-Encoding: chunked"], "5\r\nhello\r\n");
  await inside.until(/transfer-encoding: chunked\r\n[^]*\r\n\r\n5\r\nhello|chunked\r\n\r\n5\r\nhello/i);
  client.write("5\r\nworld\r\n");
  await inside.until("world");
  client.write("0\r\n\r\n");
  await inside.until(/0\r\n\r\n$/);
  inside.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  expect(await client.until(/\r\n\r\n3\r\nabc\r\n$/)).toContain("Transfer-Encoding: chunked\r\n");
  inside.write("2\r\nde\r\n0\r\n\r\n");
  await client.until(/2\r\nde\r\n0\r\n\r\n$/);
  expect(await scene.router.record(0)).toMatchObject({ bytesIn: 10, bytesOut: 5 });
});

test("trailers go both ways, without those that frame or authenticate", async () => {
  const scene = await Scene.open();
  const { client, inside } = await scene.begin(
    "POST /",
    ["TE: trailers", "Transfer-Encoding: chunked"],
    "2\r\nhi\r\n0\r\nX-Sum: \xe9 1\r\nAuthorization: no\r\n\r\n",
  );
  expect(await inside.until(/hi\r\n0\r\n[^]*\r\n\r\n$/)).toMatch(/hi\r\n0\r\nX-Sum: \xe9 1\r\n\r\n$/);
  inside.write(
    "HTTP/1.1 200 OK\r\nTrailer: X-Done\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Done: yes\r\nSet-Cookie: x\r\n\r\n",
  );
  const answer = await client.until(/ok\r\n0\r\n[^]*\r\n\r\n$/);
  expect(answer).toContain("Trailer: X-Done\r\n");
  expect(answer).toMatch(/ok\r\n0\r\nX-Done: yes\r\n\r\n$/);
});

test("request trailers never reach a next request on the same connection", async () => {
  const scene = await Scene.open();
  // An empty chunked body has no last chunk once undici has given it a length of 0.
  const { client, inside } = await scene.begin(
    "POST /1",
    ["Transfer-Encoding: chunked"],
    "0\r\nX-Sum: 1\r\n\r\n",
  );
  inside.take();
  inside.write(OK);
  await client.until("ok");
  client.write(`${scene.head("POST /2", "Transfer-Encoding: chunked")}2\r\nhi\r\n0\r\n\r\n`);
  const second = await inside.until(/0\r\n\r\n$/);
  expect(second).toContain("hi");
  expect(second).not.toContain("X-Sum");
});

test("Trailer where there can be no trailers is no fault", async () => {
  const scene = await Scene.open();
  const { client, inside } = await scene.begin("GET /");
  inside.write("HTTP/1.1 200 OK\r\nTrailer: X-Done\r\nContent-Length: 2\r\n\r\nok");
  const answer = await client.until("\r\n\r\nok");
  // It does no harm; node:http can't write it.
  if (LANE === "full") expect(answer).not.toContain("Trailer");
});

test("HEAD, 204 and 304 have no body and keep the connection in step", async () => {
  const scene = await Scene.open();
  scene.pod.answerAll((head) => {
    if (head.startsWith("HEAD")) return "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    if (head.startsWith("PUT")) return "HTTP/1.1 204 No Content\r\n\r\n";
    if (head.startsWith("GET /304"))
      return "HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\nETag: x\r\n\r\n";
    return OK;
  });
  const client = await scene.send(scene.head("HEAD /"));
  expect(await client.until("\r\n\r\n")).toMatch(/Content-Length: 1000/);
  client.take();
  client.write(scene.head("PUT /", "Content-Length: 0"));
  expect(await client.until("\r\n\r\n")).not.toMatch(/chunked|content-length/i);
  client.take();
  client.write(scene.head("GET /304"));
  expect(await client.until("\r\n\r\n")).toMatch(/^HTTP\/1\.1 304 Not Modified\r\n[^]*ETag: x/);
  client.take();
  client.write(scene.head("GET /"));
  expect(await client.until("\r\n\r\nok")).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
});

test("a response that ends with the connection is complete for an HTTP/1.1 client", async () => {
  const scene = await Scene.open();
  const { client, inside } = await scene.begin("GET /");
  inside.end("HTTP/1.1 200 OK\r\n\r\nuntil the end");
  if (LANE === "full") {
    await client.until(/d\r\nuntil the end\r\n0\r\n\r\n$/);
  } else {
    await client.untilClosed();
    expect(client.received).toMatch(/Connection: close\r\n[^]*\r\n\r\nuntil the end$/);
  }
  expect(await scene.router.record(0)).toMatchObject({ reason: "ok", bytesOut: 13 });
});

test("an HTTP/1.0 client gets no chunks and the end of the connection", async () => {
  const scene = await Scene.open();
  const client = await scene.send(`GET / HTTP/1.0\r\nHost: ${scene.host}\r\n\r\n`);
  const inside = await scene.pod.connection(0);
  await inside.until("\r\n\r\n");
  inside.write(
    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTrailer: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n",
  );
  await client.until(/\r\n\r\nabc$/);
  await client.untilClosed();
  expect(client.received).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  expect(client.received).not.toMatch(/chunked|Trailer/);
  expect(client.errorCode).toBeUndefined();
});

test("1xx responses are passed on at once, with all their fields", async () => {
  const scene = await Scene.open();
  const { client, inside } = await scene.begin("GET /");
  inside.write("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nX-More: 1\r\n\r\n");
  expect(await client.until("\r\n\r\n")).toBe(
    "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nX-More: 1\r\n\r\n",
  );
  inside.write(`HTTP/1.1 104 Upload Resumption\r\n\r\n${OK}`);
  expect(await client.until("ok")).toMatch(/104 Upload Resumption\r\n\r\nHTTP\/1\.1 200 OK\r\n/);
  expect((await scene.router.record(0)).status).toBe(200);
});

test("Expect: 100-continue: the client is asked for the body once the pod can be reached", async () => {
  const scene = await Scene.open();
  const client = await scene.send(scene.head("PUT /", "Expect: 100-continue", "Content-Length: 4"));
  await client.until("HTTP/1.1 100 Continue\r\n\r\n");
  client.write("data");
  const inside = await scene.pod.connection(0);
  expect(await inside.until("\r\n\r\ndata")).not.toMatch(/expect/i);
  inside.write(OK);
  expect(await client.until("ok")).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK\r\n/);
});

test("Expect: 100-continue: a refusal comes instead, and the connection is closed", async () => {
  const scene = await Scene.open();
  const client = await scene.send(
    `PUT / HTTP/1.1\r\nHost: 80-nobody.example.com\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n`,
  );
  await client.until(/^HTTP\/1\.1 502 [^]*Connection: close\r\n[^]*sandbox not found: nobody$/);
  await client.untilClosed();
  expect(await scene.router.record(0)).toMatchObject({ status: 502, reason: "sandbox_not_found" });
});

test("an event stream's head and each of its events flow at once", async () => {
  const scene = await Scene.open();
  const { client, inside } = await scene.begin("GET /events");
  inside.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
  await client.until("text/event-stream\r\n");
  await client.until("\r\n\r\n");
  for (const event of ["one", "two", "three"]) {
    inside.write(`5\r\n${event.padEnd(5)}\r\n`);
    await client.until(event);
  }
});

test("a refused request leaves its connection open for the next", async () => {
  const scene = await Scene.open();
  scene.pod.answerAll(OK);
  const client = await scene.send("GET / HTTP/1.1\r\nHost: 80-nobody.example.com\r\n\r\n");
  await client.until("sandbox not found: nobody");
  expect(client.received).not.toContain("Connection: close");
  client.write(scene.head("GET /"));
  await client.until("\r\n\r\nok");
  expect(scene.router.records.map(({ reason }) => reason)).toEqual(["sandbox_not_found", "ok"]);
});

test("pipelined requests are sent one after the other: a next one finds what the one before has done", async () => {
  const scene = await Scene.open();
  const client = await scene.send(
    scene.head("POST /1", "Content-Length: 1") + "x" + scene.head("GET /2") + scene.head("DELETE /3"),
  );
  const inside = await scene.pod.connection(0);
  await inside.until("POST /1");
  await inside.until(/x$/);
  expect(inside.take()).not.toContain("GET /2");
  inside.write("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
  await inside.until("GET /2");
  expect(inside.take()).not.toContain("DELETE /3");
  inside.write("HTTP/1.1 103 Hints\r\nX: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2");
  await inside.until("DELETE /3");
  inside.write("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n3");
  expect(await client.until("\r\n\r\n3")).toMatch(
    /\r\n\r\n1HTTP\/1\.1 103 Hints\r\nX: 1\r\n\r\nHTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n2HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n3$/,
  );
  expect(scene.pod.connections).toHaveLength(1);
});

test("a client that pipelines a thousand requests is answered, whatever the limits of one sandbox", async () => {
  const scene = await Scene.open({ upstream: { maxConnectionsPerSandbox: 1, maxWaitingPerSandbox: 0 } });
  scene.pod.answerAll(OK);
  const client = await scene.send(scene.head("GET /").repeat(1000));
  await eventually(() => scene.router.records.length === 1000);
  expect(scene.router.records.filter(({ reason }) => reason !== "ok")).toEqual([]);
  await eventually(() => client.received.match(/HTTP\/1\.1 200 OK/g)?.length === 1000);
});

test("while an answer is awaited only so many pipelined requests are read", async () => {
  const scene = await Scene.open();
  const client = await scene.send(scene.head("GET /long-poll"));
  const inside = await scene.pod.connection(0);
  await inside.until("\r\n\r\n");
  client.write(scene.head("GET /").repeat(200_000));
  if (LANE === "full") await eventually(() => scene.router.started > 100);
  await eventually(() => client.socket.writableLength > 0);
  // What one read of the socket held, and not 200,000.
  expect(scene.router.started).toBeLessThan(5_000);
});

test("a Host that extends the one before, or is its beginning, is another on the same connection", async () => {
  const parseTarget = newTargetParser({ domains: ["example.com"] });
  const scene = await Scene.open({ server: { parseTarget } });
  const seen: string[] = [];
  scene.pod.answerAll((head) => {
    seen.push(/x-forwarded-host: (.*)\r\n/i.exec(head)?.[1] ?? "");
    return OK;
  });
  const client = await scene.router.client();
  const { host } = scene;
  const hosts = [host, `${host}.other.org`, host, `${host}:80`, host, host.slice(0, -1)];
  const statuses: string[] = [];
  for (const each of hosts) {
    client.take();
    client.write(`GET / HTTP/1.1\r\nHost: ${each}\r\n\r\n`);
    statuses.push((await client.until(/\r\n\r\n(ok|no sandbox)/)).slice(9, 12));
  }
  expect(statuses).toEqual(["200", "404", "200", "200", "200", "404"]);
  expect(seen).toEqual([host, host, `${host}:80`, host]);
});

test("a sandbox behind IPv6 is reached", async () => {
  const scene = await Scene.open();
  const pod = await RawPod.listen("::1");
  pod.answerAll(OK);
  scene.router.routes.run("six", "::1");
  const client = await scene.send(`GET / HTTP/1.1\r\nHost: ${pod.port}-six.example.com\r\n\r\n`);
  await client.until("\r\n\r\nok");
  expect((await scene.router.record(0)).upstream).toBe(`[::1]:${pod.port}`);
  await pod.close();
});

test.each(["auto", "off"] as const)(
  "what comes at once with an unusual head is read on, whatever its length (shared read buffer %s)",
  async (sharedReadBuffer) => {
    const scene = await Scene.open({ server: { sharedReadBuffer } });
    for (const kib of [1, 63, 64, 65, 100, 1024]) {
      const body = "x".repeat(kib * 1024);
      const number = scene.pod.connections.length;
      const client = await scene.send(
        scene.head("POST /", `Content-Length: ${body.length}`, "Expect: 100-continue", "Connection: close") +
          body,
      );
      const inside = await scene.pod.connection(number);
      await eventually(() => inside.received.endsWith(`\r\n\r\n${body}`), { everyMs: 2 });
      inside.write("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
      await client.until("204 No Content");
      inside.end();
    }
  },
);
