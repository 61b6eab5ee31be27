import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { copyFile, writeFile } from "node:fs/promises";
import { request as plainRequest } from "node:http";
import { Agent, request as tlsRequest } from "node:https";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { ConfigInput } from "../../src/config/schema.ts";
import type { Log } from "../../src/system/log.ts";
import { hasOpenssl, TestCa } from "../support/certificates.ts";
import { eventually } from "../support/eventually.ts";
import { metricOf } from "../support/router-process.ts";
import { startTestRouter, type TestRouter } from "./support.ts";

// Peers that prove who they are by a certificate, over sockets. Needs the openssl command to make some.

interface Identity {
  readonly cert: Buffer;
  readonly key: Buffer;
}

const MANAGER = "manager.sandbox-system.svc";
const SPIFFE = "spiffe://cluster.local/ns/sandbox-system/sa/manager";

describe.skipIf(!hasOpenssl())("TLS on the peer port", () => {
  let directory: string;
  let ca: TestCa;
  let identities: Record<"dns" | "spiffe" | "other" | "expired" | "foreign" | "nameless", Identity>;
  let router: TestRouter;
  let port: number;
  const lines: string[] = [];
  const write = (message: string, fields?: object) => void lines.push(JSON.stringify([message, fields]));
  const log: Log = { debug: write, info: write, warn: write, error: write };
  const file = (name: string) => join(directory, name);

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "lychgate-tls-"));
    ca = new TestCa(directory);
    ca.sign("server", ["DNS:lychgate.test"]);
    identities = {
      dns: ca.sign("dns", [`DNS:${MANAGER}`]),
      spiffe: ca.sign("spiffe", [`URI:${SPIFFE}`]),
      other: ca.sign("other", ["DNS:web.tenant.svc", "URI:spiffe://cluster.local/ns/tenant/sa/web"]),
      expired: ca.sign("expired", [`DNS:${MANAGER}`], -1),
      // The common name is no name of a peer.
      nameless: ca.sign(MANAGER, []),
      foreign: new TestCa(directory, "foreign-ca").sign("foreign", [`DNS:${MANAGER}`]),
    };
  });
  afterAll(() => rmSync(directory, { recursive: true }));
  afterEach(() => router.router.stop());

  const start = async (peers: ConfigInput["peers"] = {}) => {
    lines.length = 0;
    router = await startTestRouter(
      {
        source: "none",
        peers: {
          require: "mtls",
          tlsCertFile: file("server.crt"),
          tlsKeyFile: file("server.key"),
          tlsCaFile: file("ca.crt"),
          tlsNames: ["*.sandbox-system.svc", "spiffe://cluster.local/ns/sandbox-system/sa/*"],
          ...peers,
        },
      },
      { log },
    );
    ({ port } = router.router.addresses.peers);
  };

  let version = 0;
  const route = () =>
    JSON.stringify({
      namespace: "ns",
      name: "x",
      id: "x",
      uid: "u",
      state: "running",
      resourceVersion: String(++version),
    });

  /** Sends a request over TLS, with or without a certificate. */
  const ask = (identity: Identity | undefined, path = "/refresh", options: object = {}) =>
    new Promise<{ status: number | undefined; text: string }>((resolve, reject) => {
      const sent = tlsRequest(
        {
          host: "127.0.0.1",
          port,
          path,
          method: path === "/refresh" ? "POST" : "GET",
          ca: ca.read("ca.crt"),
          servername: "lychgate.test",
          agent: false,
          ...identity,
          ...options,
        },
        (reply) => {
          let text = "";
          reply.on("data", (chunk: Buffer) => (text += chunk.toString()));
          reply.on("end", () => resolve({ status: reply.statusCode, text }));
        },
      );
      sent.on("error", reject).end(path === "/refresh" ? route() : undefined);
    });
  const askPlain = (path: string, method: string) =>
    new Promise<number | undefined>((resolve, reject) => {
      const sent = plainRequest({ host: "127.0.0.1", port, path, method, agent: false }, (reply) => {
        reply.resume().on("end", () => resolve(reply.statusCode));
      });
      sent.on("error", reject).end(method === "POST" ? route() : undefined);
    });
  const proofs = async (result: string) =>
    metricOf(await router.metrics(), "lychgate_peer_proofs_total", `method="mtls",result="${result}"`);

  test("a certificate of the CA with a name on the list may push: DNS names and SPIFFE IDs", async () => {
    await start();
    expect((await ask(identities.dns)).status).toBe(204);
    expect((await ask(identities.spiffe)).status).toBe(204);
    expect(router.router.table.lookup("x").kind).toBe("found");
    expect(await proofs("proven")).toBe(2);
  });

  test("a good certificate with another name gets 403; the log has its names", async () => {
    await start();
    for (const identity of [identities.other, identities.nameless]) {
      expect(await ask(identity)).toEqual({ status: 403, text: "not allowed to push routes\n" });
    }
    expect(router.router.table.stats().entries).toBe(0);
    expect(lines.some((line) => line.includes("peers.tlsNames") && line.includes("web.tenant.svc"))).toBe(
      true,
    );
    expect(await proofs("not_listed")).toBe(2);
    expect(metricOf(await router.metrics(), "lychgate_peer_pushes_total", 'result="not_listed"')).toBe(2);
  });

  test("no certificate, one of another CA, one that has expired, and plain HTTP get 401", async () => {
    await start();
    for (const identity of [undefined, identities.foreign, identities.expired]) {
      expect(await ask(identity)).toEqual({ status: 401, text: "who pushes routes must prove it\n" });
    }
    expect(await askPlain("/refresh", "POST")).toBe(401);
    expect(router.router.table.stats().entries).toBe(0);
    expect([await proofs("missing"), await proofs("untrusted"), await proofs("expired")]).toEqual([2, 1, 1]);
  });

  test("probes are answered over plain HTTP and over TLS without a certificate", async () => {
    await start();
    expect(await askPlain("/readyz", "GET")).toBe(200);
    expect(await ask(undefined, "/healthz")).toEqual({ status: 200, text: "ok\n" });
  });

  test("TLS 1.1 is refused", async () => {
    await start();
    await expect(
      ask(identities.dns, "/healthz", { minVersion: "TLSv1.1", maxVersion: "TLSv1.1" }),
    ).rejects.toThrow();
    expect((await ask(identities.dns, "/healthz", { maxVersion: "TLSv1.2" })).status).toBe(200);
  });

  test("require: none: a certificate proves, and whoever has none pushes as ever", async () => {
    await start({ require: "none" });
    expect(await askPlain("/refresh", "POST")).toBe(204);
    expect((await ask(identities.dns)).status).toBe(204);
    expect((await ask(identities.other)).status).toBe(204);
    expect([await proofs("proven"), await proofs("not_listed"), await proofs("missing")]).toEqual([1, 1, 0]);
  });

  test("new files are used for new connections, and open ones go on", async () => {
    for (const name of ["crt", "key"]) await copyFile(file(`server.${name}`), file(`mounted.${name}`));
    await copyFile(file("ca.crt"), file("mounted-ca.crt"));
    await start({
      tlsCertFile: file("mounted.crt"),
      tlsKeyFile: file("mounted.key"),
      tlsCaFile: file("mounted-ca.crt"),
    });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    expect((await ask(identities.dns, "/refresh", { agent })).status).toBe(204);

    const next = new TestCa(directory, "next-ca");
    next.sign("next-server", ["DNS:next.lychgate.test"]);
    // The certificate first: with a key that does not fit it, the old pair stays.
    await copyFile(file("next-server.crt"), file("mounted.crt"));
    await eventually(() => expect(lines.some((line) => line.includes("of no use"))).toBe(true));
    expect((await ask(identities.dns)).status).toBe(204);

    await copyFile(file("next-server.key"), file("mounted.key"));
    await writeFile(file("mounted-ca.crt"), next.read("next-ca.crt"));
    const renewed = next.sign("renewed", [`DNS:${MANAGER}`]);
    const trusts = { ca: next.read("next-ca.crt"), servername: "next.lychgate.test" };
    await eventually(async () => expect((await ask(renewed, "/refresh", trusts)).status).toBe(204));
    expect((await ask(identities.dns, "/refresh", trusts)).status).toBe(401);
    // On the connection from before.
    const sockets = Object.values(agent.freeSockets).flat().length;
    expect(sockets).toBe(1);
    expect((await ask(identities.dns, "/refresh", { agent })).status).toBe(204);
    agent.destroy();
    expect(lines.join("\n")).not.toContain("PRIVATE KEY");
  });

  test("a connection that is silent, breaks off or sends garbage harms nobody", async () => {
    await start();
    const silent = connect(port, "127.0.0.1");
    const garbage = connect(port, "127.0.0.1", () =>
      garbage.write(Buffer.from([22, 3, 1, 255, 255, 1, 2, 3])),
    );
    const broken = connect(port, "127.0.0.1", () => broken.end("P"));
    const hello = connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false }, () => hello.destroy());
    for (const socket of [silent, garbage, broken, hello]) socket.on("error", () => {});
    const closed = (socket: typeof silent) => eventually(() => socket.destroyed);
    garbage.resume();
    broken.resume();
    await Promise.all([closed(broken), closed(hello)]);
    expect((await ask(identities.dns)).status).toBe(204);
    silent.destroy();
    garbage.destroy();
  });

  test.each([
    ["send nothing", []],
    ["begin a handshake and go no further", [22, 3, 1]],
  ])("connections that %s are bounded, and a peer is served all the same", async (_what, bytes) => {
    await start({ maxConnections: 16, maxConnectionsPerAddress: 16 });
    const flood = Array.from({ length: 60 }, () => {
      const socket = connect(port, "127.0.0.1", () => void socket.write(Buffer.from(bytes)));
      return socket.on("error", () => {}).resume();
    });
    await eventually(() => flood.filter(({ destroyed }) => destroyed).length >= 44);
    expect((await ask(identities.dns)).status).toBe(204);
    await eventually(async () => {
      const metrics = await router.metrics();
      return metricOf(metrics, "lychgate_listener_evictions_total", 'listener="peers"') >= 44;
    });
    for (const socket of flood) socket.destroy();
  });

  test("a router that stops closes the connections that have asked for nothing yet", async () => {
    await start();
    const silent = connect(port, "127.0.0.1");
    const half = connect(port, "127.0.0.1", () => void half.write(Buffer.from([22, 3, 1])));
    const idle = connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false });
    for (const socket of [silent, half, idle]) socket.on("error", () => {}).resume();
    await once(idle, "secureConnect");
    expect((await ask(undefined, "/healthz")).status).toBe(200);
    await router.router.stop();
    await eventually(() => [silent, half, idle].every(({ destroyed }) => destroyed));
  });

  test("a head that comes byte by byte is read whole", async () => {
    await start({ require: "none" });
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    let reply = "";
    socket.on("data", (chunk: Buffer) => (reply += chunk.toString()));
    for (const byte of "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") {
      await new Promise<void>((resolve) => void socket.write(byte, () => resolve()));
    }
    await eventually(() => socket.destroyed);
    expect(reply).toMatch(/^HTTP\/1\.1 200 OK[^]*ok\n$/);
  });

  test("files that do not fit together stop the start and are named", async () => {
    await expect(start({ tlsKeyFile: file("dns.key") })).rejects.toThrow(
      /peers\.tlsCertFile, .* do not fit together/,
    );
    await expect(start({ tlsCaFile: file("nowhere") })).rejects.toThrow(
      /peers\.tlsCaFile can't be read: ENOENT/,
    );
    await start();
  });
});
