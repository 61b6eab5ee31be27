import { expect, test } from "vitest";

import { OK } from "./support/raw-peer.ts";
import { Scene } from "./support/scene.ts";

// Who is behind us may see another value in a field with tabs or spaces around it, and so another message: what frames a
// message reaches the pod in one spelling.

test.each([
  ["Transfer-Encoding: chunked\t", "2\r\nhi\r\n0\r\n\r\n", /\r\ntransfer-encoding: chunked\r\n/i],
  ["Transfer-Encoding:\t chunked", "2\r\nhi\r\n0\r\n\r\n", /\r\ntransfer-encoding: chunked\r\n/i],
  ["Content-Length: 2 \t ", "hi", /\r\ncontent-length: 2\r\n/i],
  ["Content-Length:  2", "hi", /\r\ncontent-length: 2\r\n/i],
])("%j of a client", async (line, body, framing) => {
  const scene = await Scene.open();
  const { client, inside, head } = await scene.begin("POST /", [line], body);
  expect(head).toMatch(framing);
  await inside.until("hi");
  inside.write(OK);
  await client.until("\r\n\r\nok");
});

test.each([
  ["Transfer-Encoding: chunked \t", "2\r\nok\r\n0\r\n\r\n", /\r\ntransfer-encoding: chunked\r\n/i],
  ["Content-Length:\t2 ", "ok", /\r\ncontent-length: 2\r\n/i],
])("%j of a pod", async (line, body, framing) => {
  const scene = await Scene.open();
  const { client, inside } = await scene.begin("GET /");
  inside.write(`HTTP/1.1 200 OK\r\n${line}\r\n\r\n${body}`);
  expect(await client.until("ok")).toMatch(framing);
});

test("trailers that come byte by byte", async () => {
  const scene = await Scene.open();
  const { client, inside } = await scene.begin("GET /", ["TE: trailers"]);
  inside.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n");
  await client.until("ok");
  for (const byte of "X-One: 1\r\nX-Two: 2\r\n\r\n") {
    inside.write(byte);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await client.until(/\r\n0\r\nX-One: 1\r\nX-Two: 2\r\n\r\n$/);
});
