import { request } from "node:http";
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { describe, expect, it } from "vitest";
import { createPeerServer } from "../../src/peers/peer-server.ts";
import { CONNECTIONS } from "../support/defaults.ts";
import { eventually } from "../support/eventually.ts";
import { exchange, pushOf, ScriptedSink, startPeerServer } from "./peer-fixture.ts";

describe("paths and methods", () => {
  it.each([
    ["GET", "/healthz", 200, "ok\n", null],
    ["POST", "/healthz", 405, "Method Not Allowed\n", "GET, HEAD"],
    ["GET", "/readyz", 200, "ok\n", null],
    ["POST", "/readyz", 405, "Method Not Allowed\n", "GET, HEAD"],
    ["GET", "/refresh", 405, "Method Not Allowed\n", "POST"],
    ["PUT", "/refresh", 405, "Method Not Allowed\n", "POST"],
    ["GET", "/", 404, "404 page not found\n", null],
    ["POST", "/refresh/", 404, "404 page not found\n", null],
    ["POST", "/Refresh", 404, "404 page not found\n", null],
    ["GET", "/healthz/x", 404, "404 page not found\n", null],
  ])("%s %s → %i", async (method, path, status, body, allow) => {
    await using peer = await startPeerServer();
    const response = await fetch(peer.url + path, { method });
    expect(response.status).toBe(status);
    expect(await response.text()).toBe(body);
    expect(response.headers.get("allow")).toBe(allow);
    expect(response.headers.get("content-type")).toBe("text/plain; charset=utf-8");
    expect(response.headers.get("x-content-type-options")).toBe("nosniff");
    expect(peer.sink.calls).toEqual([]);
  });

  it("HEAD is GET without the body, and not a way into /refresh", async () => {
    await using peer = await startPeerServer();
    const healthy = await fetch(`${peer.url}/healthz`, { method: "HEAD" });
    expect([healthy.status, await healthy.text()]).toEqual([200, ""]);
    expect((await fetch(`${peer.url}/refresh`, { method: "HEAD" })).status).toBe(405);
  });

  it("ignores a query on /refresh", async () => {
    await using peer = await startPeerServer();
    const body = JSON.stringify(pushOf());
    const response = await fetch(`${peer.url}/refresh?from=manager`, { method: "POST", body });
    expect(response.status).toBe(204);
  });
});

describe("a request target in absolute form, as a client writes it for a proxy", () => {
  it("names the same path", async () => {
    await using peer = await startPeerServer();
    const body = JSON.stringify(pushOf());
    const head = (target: string) =>
      `POST ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n`;
    expect(await exchange(peer.port, head("http://peer:7789/refresh?a=b") + body)).toMatch(
      /^HTTP\/1\.1 204 /,
    );
    expect(await exchange(peer.port, head("http://peer/healthz/refresh") + body)).toMatch(/^HTTP\/1\.1 404 /);
    expect(peer.sink.calls).toHaveLength(1);
  });
});

describe("readiness", () => {
  it("is 503 while a check fails, and later checks are not consulted", async () => {
    let asked = 0;
    await using peer = await startPeerServer({
      readinessChecks: [
        { name: "extra", ready: () => false },
        { name: "synced", ready: () => ((asked += 1), true) },
      ],
    });
    const response = await fetch(`${peer.url}/readyz`);
    expect(response.status).toBe(503);
    expect(await response.text()).toBe("gateway is not ready\n");
    expect(asked).toBe(0);
  });

  it("is 503 until the table is synced, 200 from then on, and absent checks are ignored", async () => {
    let synced = false;
    await using peer = await startPeerServer({
      readinessChecks: [undefined, { name: "synced", ready: () => synced }],
    });
    expect((await fetch(`${peer.url}/readyz`)).status).toBe(503);
    synced = true;
    expect((await fetch(`${peer.url}/readyz`)).status).toBe(200);
  });

  it("lists every check with ?verbose, failed ones with their reason", async () => {
    await using peer = await startPeerServer({
      readinessChecks: [
        { name: "synced", ready: () => "the first list is not in" },
        { name: "draining", ready: () => true },
        {
          name: "odd",
          ready: () => {
            throw new Error("sekrit");
          },
        },
      ],
    });
    const response = await fetch(`${peer.url}/readyz?verbose`);
    expect(response.status).toBe(503);
    expect(await response.text()).toBe(
      "[-]synced failed: the first list is not in\n" +
        "[+]draining ok\n" +
        "[-]odd failed: the check itself failed\n" +
        "gateway is not ready\n",
    );
  });

  it("is not needed for a push: a paused route is stored before it", async () => {
    await using peer = await startPeerServer({ readinessChecks: [{ name: "synced", ready: () => false }] });
    expect((await peer.push(pushOf({ state: "paused" }))).status).toBe(204);
    expect(peer.sink.calls).toMatchObject([{ kind: "update", route: { state: "paused", id: "short" } }]);
    expect((await fetch(`${peer.url}/healthz`)).status).toBe(200);
  });
});

describe("limits", () => {
  it("takes a body of exactly 1 MiB and refuses one byte more, with or without a Content-Length", async () => {
    await using peer = await startPeerServer();
    const head = JSON.stringify(pushOf());
    const fits = Buffer.from(head.padEnd(1 << 20, " "));
    const over = Buffer.from(head.padEnd((1 << 20) + 1, " "));
    for (const chunked of [false, true]) {
      expect(await post(peer.port, fits, chunked)).toBe(204);
      expect(await post(peer.port, over, chunked)).toBe(413);
    }
    expect(peer.sink.calls).toHaveLength(2);
    expect(peer.results.map(({ result }) => result)).toEqual([
      "applied",
      "too_large",
      "applied",
      "too_large",
    ]);
  });

  it("closes the connection of a client that won't stop writing", async () => {
    await using peer = await startPeerServer({ maxBodyBytes: 10 });
    const endless = connect(peer.port, "127.0.0.1");
    endless.on("error", () => {});
    endless.write("POST /refresh HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    const chunk = `10000\r\n${"x".repeat(0x10000)}\r\n`;
    const pump = () => {
      while (!endless.destroyed && endless.write(chunk));
    };
    endless.on("drain", pump);
    pump();
    await eventually(() => endless.destroyed);
    expect(peer.results.map(({ result }) => result)).toEqual(["too_large"]);
    expect(peer.sink.calls).toEqual([]);
  });

  it("cuts a body that does not arrive in time, and changes nothing", async () => {
    await using peer = await startPeerServer({ requestTimeoutMs: 100 });
    const reply = await exchange(
      peer.port,
      'POST /refresh HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"id":"x"}',
    );
    expect(reply).toMatch(/^HTTP\/1\.1 408 /);
    await eventually(() => peer.results.length === 1);
    expect(peer.results[0]?.result).toBe("incomplete");
    expect(peer.sink.calls).toEqual([]);
  });

  it("cuts a connection that says nothing", async () => {
    await using peer = await startPeerServer({ requestTimeoutMs: 100 });
    expect(await exchange(peer.port, "")).toMatch(/^HTTP\/1\.1 408 /);
  });

  it("survives a client that leaves in the middle of a body", async () => {
    await using peer = await startPeerServer();
    const socket = connect(peer.port, "127.0.0.1");
    socket.write('POST /refresh HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"id":');
    await new Promise((resolve) => socket.once("connect", resolve));
    socket.resetAndDestroy();
    const again = await peer.push(pushOf());
    expect(again.status).toBe(204);
  });

  it("holds no more bodies than its memory allows, and recovers", async () => {
    await using peer = await startPeerServer({ maxBufferedBytes: 8_192 });
    const open = [1, 2].map(() => {
      const socket = connect(peer.port, "127.0.0.1");
      socket.on("error", () => {});
      socket.write(`POST /refresh HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n${"x".repeat(100)}`);
      return socket;
    });
    const body = JSON.stringify(pushOf());
    const inPieces = `POST /refresh HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, -1)}`;
    const refused = await eventually(async () => {
      const reply = await exchange(peer.port, inPieces, body.slice(-1));
      if (!reply.startsWith("HTTP/1.1 503 ")) throw new Error(reply);
      return reply;
    });
    expect(refused).toMatch(/\r\nretry-after: 1\r\n.*\r\n\r\ntoo many pushes at once\n$/s);
    // One that comes whole is never held.
    expect((await peer.push(body)).status).toBe(204);
    for (const socket of open) socket.destroy();
    await eventually(async () => (await exchange(peer.port, inPieces, body.slice(-1))).includes(" 204 "));
  });

  it("answers what is not HTTP with 400 and lives", async () => {
    await using peer = await startPeerServer();
    expect(await exchange(peer.port, "\x16\x03\x01 hello\r\n\r\n")).toMatch(/^HTTP\/1\.1 400 /);
    expect((await peer.push(pushOf())).status).toBe(204);
  });
});

describe("life cycle", () => {
  it("keeps a connection open for the next push", async () => {
    await using peer = await startPeerServer();
    const body = JSON.stringify(pushOf());
    const one = `POST /refresh HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    const last = one.replace("Host: x", "Host: x\r\nConnection: close");
    const replies = await exchange(peer.port, one + one + last);
    expect(replies.match(/HTTP\/1\.1 204 No Content\r\n/g)).toHaveLength(3);
    expect(peer.sink.calls).toHaveLength(3);
  });

  it("says which address it could not have, and why", async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const { port } = taken.address() as AddressInfo;
    const server = createPeerServer({
      ...CONNECTIONS.peers,
      sink: new ScriptedSink(),
      host: "127.0.0.1",
      port,
    });
    const failure = await server.listen().catch((error: unknown) => error as Error);
    expect(failure).toMatchObject({ cause: { code: "EADDRINUSE" } });
    expect((failure as Error).message).toContain(`127.0.0.1:${port}`);
    taken.close();
  });

  it("close of a server that never listened is nothing", async () => {
    const sink = new ScriptedSink();
    await expect(createPeerServer({ ...CONNECTIONS.peers, sink, port: 0 }).close()).resolves.toBeUndefined();
    expect(sink.calls).toEqual([]);
  });

  it("close ends idle connections and those that never finish their request", async () => {
    const peer = await startPeerServer();
    const idle = connect(peer.port, "127.0.0.1");
    const stuck = connect(peer.port, "127.0.0.1");
    for (const socket of [idle, stuck]) socket.on("error", () => {});
    stuck.write("POST /refresh HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{");
    idle.write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    await new Promise((resolve) => idle.once("data", resolve));
    await peer.server.close();
    await eventually(() => idle.destroyed && stuck.destroyed);
    expect(peer.sink.calls).toEqual([]);
  });
});

function post(port: number, body: Buffer, chunked: boolean): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = chunked ? { "transfer-encoding": "chunked" } : { "content-length": body.length };
    const outgoing = request({ port, host: "127.0.0.1", method: "POST", path: "/refresh", headers });
    outgoing.on("error", reject);
    outgoing.on("response", (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    outgoing.end(body);
  });
}
