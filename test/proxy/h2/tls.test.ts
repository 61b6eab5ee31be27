import { execFile, execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { connect } from "node:http2";
import type { ClientHttp2Session, OutgoingHttpHeaders } from "node:http2";
import { connect as connectTls } from "node:tls";
import type { ConnectionOptions, TLSSocket } from "node:tls";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";

import type { ProxyServerOptions } from "../../../src/proxy/server-options.ts";
import type { CertificatePair } from "../../../src/proxy/tls/certificate-pair.ts";
import { hasOpenssl } from "../../support/certificates.ts";
import { DEFAULTS } from "../../support/defaults.ts";
import { eventually } from "../../support/eventually.ts";
import { RawPeer } from "../support/raw-peer.ts";
import { Scene } from "../support/scene.ts";
import { TlsFiles } from "../support/tls-files.ts";

// HTTP/2 by ALPN, over the TLS listener. Needs the openssl command to make certificates.

interface Answer {
  readonly status: unknown;
  readonly reason: unknown;
  readonly body: string;
}

function ask(session: ClientHttp2Session, headers: OutgoingHttpHeaders, body?: string): Promise<Answer> {
  const stream = session.request({ ":path": "/", ...headers });
  stream.end(body);
  let text = "";
  let status: unknown;
  let reason: unknown;
  stream.on("response", (fields) => {
    status = fields[":status"];
    reason = fields["x-lychgate-reason"];
  });
  stream.on("data", (bytes: Buffer) => (text += bytes.toString("latin1")));
  return new Promise((resolve, reject) => {
    stream.once("error", reject);
    stream.once("close", () => resolve({ status, reason, body: text }));
  });
}

function curlSpeaksHttp2(): boolean {
  try {
    return execFileSync("curl", ["--version"], { encoding: "utf8" }).includes("nghttp2");
  } catch {
    return false;
  }
}

describe.skipIf(!hasOpenssl())("HTTP/2 by ALPN", () => {
  let files: TlsFiles;
  let wild: CertificatePair;
  let good: CertificatePair;
  let ca: Buffer;

  beforeAll(() => {
    files = new TlsFiles();
    wild = files.pair("wild", ["*.example.com"]);
    good = files.pair("good", ["client.test"]);
    ca = files.ca.read("ca.crt");
  });
  afterAll(() => files.remove());

  const open = async (
    tls: Partial<NonNullable<ProxyServerOptions["tls"]>> = {},
    server: Partial<ProxyServerOptions> = {},
  ) => {
    const keys = { current: randomBytes(48), previous: randomBytes(48), lifetimeS: 3_600 };
    const scene = await Scene.open({
      server: {
        tls: {
          listen: { host: "127.0.0.1", port: 0 },
          material: { pairs: [wild], clientCa: ca.toString(), ticketKeys: keys },
          clientAuth: "off",
          minVersion: "TLSv1.2",
          handshakeTimeoutMs: 600_000,
          maxHandshakes: 1_000,
          ...tls,
        },
        ...server,
      },
    });
    const port = scene.router.server.tlsAddress?.port ?? 0;
    const secure = (options: ConnectionOptions = {}): TLSSocket => {
      const socket = connectTls({
        port,
        host: "127.0.0.1",
        servername: scene.host,
        ca,
        ALPNProtocols: ["h2", "http/1.1"],
        ...options,
      });
      socket.on("error", () => {});
      onTestFinished(() => void socket.destroy());
      return socket;
    };
    const session = (options?: ConnectionOptions): ClientHttp2Session => {
      const made = connect(`https://${scene.host}`, { createConnection: () => secure(options) });
      made.on("error", () => {});
      onTestFinished(() => made.destroy());
      return made;
    };
    return { scene, port, secure, session };
  };

  test("requests come to the pod as over HTTP/1.1: https, port 443, the client's address", async () => {
    const { scene, session } = await open();
    let head = "";
    scene.pod.answerAll((text) => {
      head = text;
      return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    });
    const client = session();
    expect(await ask(client, {})).toEqual({ status: 200, reason: undefined, body: "ok" });
    expect(client.alpnProtocol).toBe("h2");
    expect(head).toContain("X-Forwarded-Proto: https\r\n");
    expect(head).toContain("X-Forwarded-Port: 443\r\n");
    expect(head).toContain("X-Forwarded-For: 127.0.0.1\r\n");
    expect(head).toMatch(/\r\nVia: 2\.0 lychgate-/);
    expect(await scene.router.record(0)).toMatchObject({ protocol: "HTTP/2.0", status: 200, reason: "ok" });
    expect(scene.router.server.connections.open).toBe(1);
  });

  test("a Host that is neither the certificate's nor the one of the handshake gets 421, and the connection goes on", async () => {
    const { scene, session } = await open();
    scene.pod.answerAll("HTTP/1.1 204 No Content\r\n\r\n");
    const client = session();
    const statusOf = async (authority: string) => {
      const { status, reason } = await ask(client, { ":authority": authority });
      return [status, reason];
    };
    expect(await statusOf(scene.host)).toEqual([204, undefined]);
    const other = scene.host.replace("example.com", "example.org");
    expect(await statusOf(other)).toEqual([421, "misdirected_request"]);
    expect(await statusOf(`${scene.host}:8443`)).toEqual([204, undefined]);
    expect(scene.router.server.connections.open).toBe(1);
    // One that asked for that name was shown a certificate of another, and did not mind.
    const careless = session({ servername: other, rejectUnauthorized: false });
    const { status, reason } = await ask(careless, { ":authority": other });
    expect([status, reason]).toEqual([204, undefined]);
  });

  test("an upload at once, of 1 KiB to 4 MiB, and several at a time", async () => {
    const { scene, session } = await open();
    const sizes = [1, 64, 100, 1024, 4096].map((kib) => kib * 1024);
    scene.pod.onConnection = (peer) => {
      peer.socket.on("data", () => {
        const length = Number(/content-length: (\d+)/i.exec(peer.received)?.[1]);
        const at = peer.received.indexOf("\r\n\r\n") + 4;
        if (peer.received.length < at + length) return;
        const isGood = peer.received.slice(at) === "x".repeat(length);
        peer.received = "";
        peer.write(`HTTP/1.1 ${isGood ? 204 : 500} X\r\n\r\n`);
      });
    };
    for (const size of sizes) {
      const client = session();
      const answers = await Promise.all(
        [0, 1].map(() =>
          ask(client, { ":method": "POST", "content-length": String(size) }, "x".repeat(size)),
        ),
      );
      expect(answers.map(({ status }) => status)).toEqual([204, 204]);
    }
  });

  test("both versions on one port; and HTTP/1.1 alone where http2.enabled is off", async () => {
    const agreed = async (secure: (options?: ConnectionOptions) => TLSSocket, ALPNProtocols: string[]) => {
      const socket = secure({ ALPNProtocols });
      await new Promise((resolve) => socket.once("secureConnect", resolve));
      return { socket, alpn: socket.alpnProtocol };
    };
    const on = await open();
    expect((await agreed(on.secure, ["h2", "http/1.1"])).alpn).toBe("h2");
    expect((await agreed(on.secure, ["http/1.1", "h2"])).alpn).toBe("h2");
    const { socket, alpn } = await agreed(on.secure, ["http/1.1"]);
    expect(alpn).toBe("http/1.1");
    const client = new RawPeer(socket);
    client.write("GET / HTTP/1.1\r\nHost: 80-nobody.example.com\r\n\r\n");
    expect(await client.until("\r\n\r\n")).toMatch(/^HTTP\/1\.1 502 /);
    const off = await open({}, { http2: { ...DEFAULTS.http2, enabled: false } });
    expect((await agreed(off.secure, ["h2", "http/1.1"])).alpn).toBe("http/1.1");
  });

  test.each([
    ["required", "none", 403],
    ["required", "a good one", 502],
    ["optional", "none", 502],
    ["optional", "one that nobody has signed here", 403],
  ] as const)(
    "a client certificate is %s, and the client shows %s: %i",
    async (clientAuth, shown, expected) => {
      const { scene, session } = await open({ clientAuth });
      const pairs = {
        none: {},
        "a good one": { cert: good.cert, key: good.key },
        "one that nobody has signed here": selfSigned(),
      };
      const client = session(pairs[shown]);
      const goaway = new Promise((resolve) => client.once("goaway", resolve));
      const { status, reason } = await ask(client, { ":authority": "80-nobody.example.com" });
      expect(status).toBe(expected);
      expect(reason).toBe(expected === 403 ? "client_certificate" : "sandbox_not_found");
      if (expected !== 403) return;
      await goaway;
      await eventually(() => scene.router.server.connections.open === 0, { everyMs: 2 });
      expect(scene.router.records.map((record) => record.reason)).toEqual(["client_certificate"]);
      expect(scene.router.started).toBe(1);
    },
  );

  const selfSigned = () => {
    const other = new TlsFiles();
    const { cert, key } = other.pair("self", ["client.test"]);
    other.remove();
    return { cert, key };
  };

  test("a drain says GOAWAY, and what is under way is answered", async () => {
    const { scene, session } = await open();
    const client = session();
    const answer = ask(client, {});
    const inside = await scene.pod.connection(0);
    await inside.until("\r\n\r\n");
    const goaway = new Promise((resolve) => client.once("goaway", resolve));
    const drained = scene.router.server.drain(600_000);
    await goaway;
    inside.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast");
    expect(await answer).toMatchObject({ status: 200, body: "last" });
    await drained;
  });

  test("a client that vanishes closes its connections to pods, and nothing of it stays", async () => {
    const { scene, secure } = await open();
    const socket = secure();
    const client = connect(`https://${scene.host}`, { createConnection: () => socket });
    client.on("error", () => {});
    const stream = client.request({ ":path": "/" });
    stream.on("error", () => {});
    const inside = await scene.pod.connection(0);
    await inside.until("\r\n\r\n");
    socket.destroy();
    await eventually(() => inside.closed || inside.ended, { everyMs: 2 });
    await eventually(() => scene.router.server.connections.open === 0, { everyMs: 2 });
    expect(await scene.router.record(0)).toMatchObject({ reason: "client_closed" });
  });

  test.skipIf(!curlSpeaksHttp2())("curl --http2: a GET, uploads, an answer of ours", async () => {
    const { scene, port } = await open();
    scene.pod.onConnection = (peer) => {
      peer.socket.on("data", () => {
        const at = peer.received.indexOf("\r\n\r\n") + 4;
        if (at < 4) return;
        const length = Number(/content-length: (\d+)/i.exec(peer.received)?.[1] ?? 0);
        if (peer.received.length < at + length) return;
        const text = `${peer.received.slice(0, peer.received.indexOf(" "))} ${length}`;
        peer.received = "";
        peer.write(`HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`);
      });
    };
    const curl = async (host: string, ...args: string[]): Promise<string> => {
      const ways = ["--resolve", `${host}:${port}:127.0.0.1`, "--cacert", files.path("ca.crt")];
      const common = ["-sS", "--http2", "-w", "\n%{http_version} %{http_code}", ...ways];
      const url = `https://${host}:${port}/`;
      return (await promisify(execFile)("curl", [...common, ...args, url], { encoding: "utf8" })).stdout;
    };
    expect(await curl(scene.host)).toBe("GET 0\n2 200");
    expect(await curl(scene.host, "-d", "x".repeat(100_000))).toBe("POST 100000\n2 200");
    expect(await curl("80-nobody.example.com")).toBe("sandbox not found: nobody\n2 502");
  });
});
