import { randomBytes } from "node:crypto";
import { connect as connectPlain } from "node:net";
import { connect } from "node:tls";
import type { ConnectionOptions, TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";

import type { ProxyServerOptions } from "../../../src/proxy/server-options.ts";
import type { CertificatePair } from "../../../src/proxy/tls/certificate-pair.ts";
import type { TicketKeys } from "../../../src/proxy/tls/ticket-keys.ts";
import type { TlsMaterial } from "../../../src/proxy/tls/tls-acceptor.ts";
import { hasOpenssl, TestCa } from "../../support/certificates.ts";
import { eventually } from "../../support/eventually.ts";
import { RawPeer } from "../support/raw-peer.ts";
import { Scene } from "../support/scene.ts";
import { TlsFiles } from "../support/tls-files.ts";

// Clients that speak TLS, over sockets. Needs the openssl command to make certificates.

const keysOf = (current = randomBytes(48), previous = randomBytes(48)): TicketKeys => {
  return { current, previous, lifetimeS: 3_600 };
};

describe.skipIf(!hasOpenssl())("the TLS listener", () => {
  let files: TlsFiles;
  let first: CertificatePair;
  let wild: CertificatePair;
  let exact: CertificatePair;
  let caText: Buffer;

  beforeAll(() => {
    files = new TlsFiles();
    first = files.pair("first", ["first.test"]);
    wild = files.pair("wild", ["*.example.com", "example.com"]);
    exact = files.pair("exact", ["named.example.com"]);
    caText = files.ca.read("ca.crt");
  });
  afterAll(() => files.remove());

  const material = (changes: Partial<TlsMaterial> = {}): TlsMaterial => {
    return { pairs: [first, wild, exact], clientCa: undefined, ticketKeys: keysOf(), ...changes };
  };

  interface TlsScene {
    readonly scene: Scene;
    readonly results: string[];
    readonly port: number;
    client(options?: ConnectionOptions): Promise<TLSSocket>;
    peer(options?: ConnectionOptions): Promise<RawPeer>;
  }

  const open = async (
    tls: Partial<NonNullable<ProxyServerOptions["tls"]>> = {},
    server: Partial<ProxyServerOptions> = {},
  ): Promise<TlsScene> => {
    const results: string[] = [];
    const scene = await Scene.open({
      server: {
        tls: {
          listen: { host: "127.0.0.1", port: 0 },
          material: material(),
          clientAuth: "off",
          minVersion: "TLSv1.2",
          handshakeTimeoutMs: 600_000,
          maxHandshakes: 1_000,
          ...tls,
        },
        observer: {
          requestStarted: () => void (scene.router.started += 1),
          requestEnded: (record) => scene.router.records.push(record),
          handshakeEnded: (result) => results.push(result),
        },
        ...server,
      },
    });
    const port = scene.router.server.tlsAddress?.port ?? 0;
    const client = (options: ConnectionOptions = {}): Promise<TLSSocket> =>
      new Promise((resolve, reject) => {
        const socket = connect({
          host: "127.0.0.1",
          port,
          servername: "box.example.com",
          ca: caText,
          ...options,
        });
        onTestFinished(() => void socket.destroy());
        socket.once("secureConnect", () => resolve(socket));
        socket.once("error", reject);
      });
    return {
      scene,
      results,
      port,
      client,
      peer: async (options) => new RawPeer(await client(options)),
    };
  };

  test("a request over TLS reaches the pod, which learns of https and its port", async () => {
    const { scene, results, peer } = await open();
    const client = await peer();
    client.write(scene.head("GET /over-tls"));
    const inside = await scene.pod.connection(0);
    const head = await inside.until("\r\n\r\n");
    expect(head).toContain("X-Forwarded-Proto: https\r\n");
    expect(head).toContain("X-Forwarded-Port: 443\r\n");
    expect(head).toContain("X-Forwarded-For: 127.0.0.1\r\n");
    inside.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    expect(await client.until("hi")).toContain("HTTP/1.1 200 OK");
    client.write(
      scene.head("POST /again", "Content-Length: 3", "Cookie: a=b", "X-Forwarded-Proto: http") + "abc",
    );
    const second = await inside.until("\r\n\r\nabc");
    expect(second.slice(second.indexOf("POST"))).toContain("X-Forwarded-Proto: https\r\n");
    inside.write("HTTP/1.1 204 No Content\r\n\r\n");
    await client.until("204 No Content");
    expect(results).toEqual(["full"]);
  });

  test("what only the full lane takes goes through TLS too", async () => {
    const { scene, peer } = await open();
    const client = await peer();
    client.write(scene.head("POST /slow", "Expect: 100-continue", "Content-Length: 2"));
    await client.until("100 Continue");
    client.write("ok");
    const inside = await scene.pod.connection(0);
    const head = await inside.until("ok");
    expect(head).toMatch(/x-forwarded-proto: https\r\n/i);
    inside.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    await client.until("hi");
  });

  test.each([
    ["named.example.com", "exact"],
    ["NAMED.example.com", "exact"],
    ["3000-box.example.com", "wild"],
    ["example.com", "wild"],
    ["a.b.example.com", "first"],
    ["elsewhere.test", "first"],
    ["first.test", "first"],
    [undefined, "first"],
  ])("a client that asks for %s is shown the certificate %s", async (servername, name) => {
    const { client } = await open();
    const socket = await client({
      servername: servername ?? "",
      rejectUnauthorized: false,
    });
    expect(socket.getPeerX509Certificate()?.subject).toBe(`CN=${name}`);
  });

  test("other certificates are for new connections; one that is open goes on", async () => {
    const { scene, client, peer } = await open();
    const kept = await peer();
    scene.router.server.setTlsMaterial(material({ pairs: [exact] }));
    const other = await client({ rejectUnauthorized: false });
    expect(other.getPeerX509Certificate()?.subject).toBe("CN=exact");
    kept.write(scene.head("GET /kept"));
    const inside = await scene.pod.connection(0);
    await inside.until("\r\n\r\n");
    inside.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nkept");
    await kept.until("kept");
  });

  /** The ticket that a connection is given. */
  const ticketOf = async (scene: TlsScene, options: ConnectionOptions): Promise<Buffer> => {
    const socket = await scene.client(options);
    const ticket = options.maxVersion === "TLSv1.2" ? Promise.resolve(socket.getSession()) : undefined;
    return (ticket ?? new Promise<Buffer>((resolve) => socket.once("session", resolve))) as Promise<Buffer>;
  };

  test.each(["TLSv1.2", "TLSv1.3"] as const)(
    "a ticket of %s is taken by another server with the same keys, after one rotation, and not after two",
    async (version) => {
      const options = { minVersion: version, maxVersion: version };
      const keys = keysOf();
      const one = await open({ material: material({ ticketKeys: keys }) });
      const other = await open({ material: material({ ticketKeys: keys }) });
      const session = await ticketOf(one, options);
      expect((await other.client({ ...options, session })).isSessionReused()).toBe(true);

      const next = keysOf(randomBytes(48), Buffer.from(keys.current));
      other.scene.router.server.setTlsMaterial(material({ ticketKeys: next }));
      expect((await other.client({ ...options, session })).isSessionReused()).toBe(true);
      const newer = await ticketOf(other, options);

      const last = keysOf(randomBytes(48), Buffer.from(next.current));
      other.scene.router.server.setTlsMaterial(material({ ticketKeys: last }));
      expect((await other.client({ ...options, session })).isSessionReused()).toBe(false);
      expect((await other.client({ ...options, session: newer })).isSessionReused()).toBe(true);
      await eventually(() => other.results.length === 5);
      expect(other.results).toEqual(["resumed", "resumed", "full", "full", "resumed"]);
    },
  );

  test("plain HTTP on the TLS port is told so", async () => {
    const { scene, results, port } = await open();
    const client = await RawPeer.connect(port);
    client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    const text = await client.until("use https");
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
    expect(text).toContain("x-lychgate-reason: plain_on_tls_port");
    await eventually(() => client.ended);
    expect(results).toEqual(["plain_text"]);
    expect(scene.router.records[0]).toMatchObject({ status: 400, reason: "plain_on_tls_port" });
  });

  test("TLS on the plain port is told so", async () => {
    const { scene } = await open();
    const client = await scene.send("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    expect(await client.until("what came is TLS")).toContain("tls_on_plain_port");
  });

  test("handshakes that fail are counted by why", async () => {
    const { results, client, port } = await open({ minVersion: "TLSv1.3" });
    await expect(client({ maxVersion: "TLSv1.2" })).rejects.toThrow();
    await eventually(() => results.length === 1);
    await expect(client({ ALPNProtocols: ["acme-tls/1"] })).rejects.toThrow();
    await eventually(() => results.length === 2);
    const silent = connectPlain(port, "127.0.0.1");
    silent.once("connect", () => silent.end());
    await eventually(() => results.length === 3);
    expect(results).toEqual(["unsupported_version", "no_shared_protocol", "closed"]);
  });

  test("a client that is silent is cut after the handshake's time", async () => {
    const { results, port } = await open({ handshakeTimeoutMs: 100 });
    const client = await RawPeer.connect(port);
    await eventually(() => client.closed || client.ended);
    await eventually(() => results.length === 1);
    expect(results).toEqual(["timeout"]);
  });

  test("above the limit of handshakes the oldest is cut", async () => {
    const { results, port, client } = await open({ maxHandshakes: 2 });
    const silent: RawPeer[] = [];
    for (let i = 0; i < 2; i++) silent.push(await RawPeer.connect(port));
    await client();
    await eventually(() => results.length === 2);
    expect([...results].sort()).toEqual(["evicted", "full"]);
    await eventually(() => silent.some(({ closed, ended }) => closed || ended));
  });

  describe("certificates of clients", () => {
    let good: { readonly cert: Buffer; readonly key: Buffer };
    let expired: typeof good;
    let foreign: typeof good;

    beforeAll(() => {
      good = files.ca.sign("good", ["DNS:client.test"]);
      expired = files.ca.sign("expired", ["DNS:client.test"], -1);
      foreign = new TestCa(files.directory, "foreign-ca").sign("foreign", ["DNS:client.test"]);
    });

    const answerTo = async (mode: "optional" | "required", options: ConnectionOptions) => {
      const scene = await open({ clientAuth: mode, material: material({ clientCa: caText.toString() }) });
      const client = await scene.peer(options);
      client.write("GET / HTTP/1.1\r\nHost: nothing.example.org\r\n\r\n");
      const [head = ""] = (await client.until("\r\n\r\n")).split("\r\n\r\n");
      return { reason: /x-lychgate-reason: (\S+)/.exec(head)?.[1], results: scene.results };
    };

    test.each(["optional", "required"] as const)("%s: a good one is served", async (mode) => {
      expect(await answerTo(mode, good)).toEqual({ reason: "no_sandbox", results: ["full"] });
    });

    test("optional: a client without one is served; required: it is refused and told why", async () => {
      expect(await answerTo("optional", {})).toEqual({ reason: "no_sandbox", results: ["full"] });
      expect(await answerTo("required", {})).toEqual({
        reason: "client_certificate",
        results: ["client_certificate_missing"],
      });
    });

    test.each(["optional", "required"] as const)("%s: a bad one is refused", async (mode) => {
      const refused = { reason: "client_certificate", results: ["client_certificate_invalid"] };
      expect(await answerTo(mode, expired)).toEqual(refused);
      expect(await answerTo(mode, foreign)).toEqual(refused);
    });
  });

  test("a drain ends handshakes, lets a request end, and says that it is the last", async () => {
    const { scene, peer, port } = await open();
    const silent = await RawPeer.connect(port);
    const client = await peer();
    client.write(scene.head("GET /last"));
    const inside = await scene.pod.connection(0);
    await inside.until("\r\n\r\n");
    const drained = scene.router.server.drain(600_000);
    await eventually(() => silent.closed || silent.ended);
    inside.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast");
    expect(await client.until("last")).toContain("Connection: close");
    await drained;
  });

  test("a response that the pod cuts is cut for the client, who can see it", async () => {
    const { scene, peer } = await open();
    const client = await peer();
    client.write(scene.head("GET /cut"));
    const inside = await scene.pod.connection(0);
    await inside.until("\r\n\r\n");
    // Without a length only the end of the connection tells whether this is all.
    inside.write("HTTP/1.1 200 OK\r\n\r\npart");
    await client.until("part");
    scene.end("dead");
    await eventually(() => client.closed);
    expect(client.errorCode).toBe("ECONNRESET");
  });

  test("connections above a client's limit are closed, and the handshake is not begun", async () => {
    const { results, client } = await open({}, { maxConnectionsPerAddress: 1 });
    await client();
    await expect(client()).rejects.toThrow();
    expect(results).toEqual(["full"]);
  });
});
