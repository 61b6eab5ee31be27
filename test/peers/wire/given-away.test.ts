import { connect } from "node:net";
import { expect, test } from "vitest";
import { startPeerServer } from "../peer-fixture.ts";

test("what waits behind a flood of pushes when the connection goes to node:http is answered whole and in order", async () => {
  await using peer = await startPeerServer();
  const body = JSON.stringify({
    namespace: "ns",
    name: "a",
    id: "a",
    state: "running",
    resourceVersion: "2",
  });
  const push = `POST /refresh HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const other = `GET /healthz HTTP/1.1\r\nHost: a\r\nX-Pad: ${"p".repeat(200)}\r\n\r\n`;
  const [pushes, others] = [1_500, 2_000];
  const text = await new Promise<string>((resolve, reject) => {
    let received = "";
    const socket = connect({ port: peer.port, host: "127.0.0.1" }, () => {
      socket.write(push.repeat(pushes) + other.repeat(others - 1));
      socket.write(other.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
    });
    socket.on("data", (bytes: Buffer) => (received += bytes.toString("latin1")));
    socket.on("error", reject).on("close", () => resolve(received));
  });
  const statuses = [...text.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, status]) => status);
  const expected = [...Array<string>(pushes).fill("204"), ...Array<string>(others).fill("200")];
  expect(statuses.join(" ")).toBe(expected.join(" "));
});
