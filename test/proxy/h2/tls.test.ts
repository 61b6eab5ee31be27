import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:http2";
import { createServer as createTlsServer, connect as connectTls } from "node:tls";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";

import { hasOpenssl, TestCa } from "../../support/certificates.ts";
import { Scene } from "../support/scene.ts";

test.skipIf(!hasOpenssl())(
  "over TLS by ALPN: the pod is told https, and a Host that is none of the certificate's gets 421",
  async () => {
    const directory = mkdtempSync(join(tmpdir(), "lychgate-h2-"));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    const ca = new TestCa(directory);
    const { cert, key } = ca.sign("server", ["DNS:*.example.com"]);
    const scene = await Scene.open();
    let head = "";
    scene.pod.answerAll((text) => {
      head = text;
      return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    });
    const listener = createTlsServer(
      { cert, key, ALPNProtocols: ["h2", "http/1.1"], allowHalfOpen: true },
      (socket) => {
        const alpn = socket.alpnProtocol === "h2" ? "h2" : "http/1.1";
        const servername = socket.servername || undefined;
        scene.router.server.serveAccepted(socket, {
          tls: { alpn, servername, certificateNames: ["*.example.com"] },
        });
      },
    );
    await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void listener.close());
    const { port } = listener.address() as AddressInfo;
    const session = connect(`https://${scene.host}`, {
      createConnection: () =>
        connectTls({
          port,
          host: "127.0.0.1",
          servername: scene.host,
          ca: ca.read("ca.crt"),
          ALPNProtocols: ["h2"],
        }),
    });
    onTestFinished(() => session.destroy());
    const statusOf = async (authority: string): Promise<[unknown, unknown]> => {
      const stream = session.request({ ":path": "/", ":authority": authority });
      const headers = await new Promise<Record<string, unknown>>((resolve) =>
        stream.once("response", resolve),
      );
      stream.resume();
      return [headers[":status"], headers["x-lychgate-reason"]];
    };
    expect(await statusOf(scene.host)).toEqual([200, undefined]);
    expect(head).toContain("X-Forwarded-Proto: https\r\n");
    expect(head).toContain("X-Forwarded-Port: 443\r\n");
    expect(await statusOf(scene.host.replace("example.com", "example.org"))).toEqual([
      421,
      "misdirected_request",
    ]);
    expect(await statusOf(`${scene.host}:8443`)).toEqual([200, undefined]);
    expect(scene.router.server.connections.open).toBe(1);
  },
);
