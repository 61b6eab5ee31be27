import { expect, test } from "vitest";

import { fuzz } from "../fuzz/http-fuzz.ts";
import { eventually } from "../support/eventually.ts";
import { OK } from "./support/raw-peer.ts";
import { Scene } from "./support/scene.ts";

// What the differential test and the fuzzer found, as it was sent. Each was wrong once.

test("an empty line before a request may come in two pieces (RFC 9112 2.2)", async () => {
  const scene = await Scene.open();
  scene.pod.answerAll(OK);
  const client = await scene.send("\r");
  await eventually(() => scene.router.server.connections.open === 1);
  client.write(`\n${scene.head("GET /1")}`);
  await client.until("ok");
  client.take();
  client.write("\r");
  client.write(`\n${scene.head("GET /2")}`);
  await client.until("ok");
});

test("a repeated Content-Length is malformed, whatever the verdict on its sandbox is (RFC 9112 6.3)", async () => {
  const scene = await Scene.open();
  const client = await scene.send(
    "POST / HTTP/1.1\r\nHost: 80-nobody.example.com\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
  );
  await client.until(/^HTTP\/1\.1 400 [^]*x-lychgate-reason: bad_request\r\n/);
  await eventually(() => client.ended);
});

test("a response head that is sent before its body keeps its bytes above ASCII (RFC 9110 5.5)", async () => {
  const scene = await Scene.open();
  const { client, inside } = await scene.begin("GET /");
  inside.write("HTTP/1.1 200 OK\r\nX-Latin: \xe9\xff\r\nContent-Length: 2\r\n\r\n");
  expect(await client.until("\r\n\r\n")).toContain("X-Latin: \xe9\xff\r\n");
  inside.write("ok");
  await client.until("\r\n\r\nok");
});

test("the head of an early response keeps its bytes above ASCII", async () => {
  const scene = await Scene.open({ server: { smallBodyBytes: 0 } });
  const { client, inside } = await scene.begin("POST /", ["Content-Length: 10"], "hello");
  inside.write("HTTP/1.1 413 No\r\nX-Latin: \xe9\xff\r\nContent-Length: 0\r\n\r\n");
  expect(await client.until("\r\n\r\n")).toContain("X-Latin: \xe9\xff\r\n");
});

/*
 * The bytes of a connection that was handed over while its socket had read ahead came in another order: a pod got a body
 * that no client had sent. It takes a resume and a pause of the socket in one turn, which this seed brings about.
 */
test("a connection that is handed over keeps the order of its bytes", async () => {
  const { violations } = await fuzz({ seed: 2, lane: "fast", amount: { talks: 130 } });
  expect(violations).toEqual([]);
});

test("chunks that are none, behind the head of a response that ends with the connection: never a clean end", async () => {
  const scene = await Scene.open({ server: { fastLane: true } });
  const { client, inside } = await scene.begin("POST /", ["Transfer-Encoding: chunked"]);
  inside.write("HTTP/1.1 200 OK\r\n\r\nhalf");
  await client.until("half");
  client.write("no chunk\r\n");
  await client.untilClosed();
  expect(client.errorCode).toBe("ECONNRESET");
});
