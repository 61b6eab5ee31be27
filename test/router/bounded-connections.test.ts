import { createServer, get } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import { connect } from "node:net";
import type { AddressInfo } from "node:net";

import { describe, expect, onTestFinished, test } from "vitest";

import { boundConnections } from "../../src/system/bounded-connections.ts";
import type { ConnectionBounds, ConnectionCounts } from "../../src/system/bounded-connections.ts";
import { systemClock } from "../../src/system/clock.ts";
import type { LogFields } from "../../src/system/log.ts";
import { silentLog } from "../../src/system/log.ts";
import { listedTable, startAdminServer, tableSource } from "../admin/admin-fixture.ts";
import { startPeerServer } from "../peers/peer-fixture.ts";
import { RawPeer } from "../proxy/support/raw-peer.ts";
import { eventually } from "../support/eventually.ts";
import { flood } from "../support/flood.ts";

const PATIENCE = { timeoutMs: 60_000 };
const TEST_MS = 110_000;
const WHOLE = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const HALF_HEAD = "GET / HTTP/1.1\r\nHo";
const HALF_BODY = "POST /refresh HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{";

interface Bounded {
  readonly counts: ConnectionCounts;
  readonly port: number;
  readonly evictions: () => number;
  readonly logged: { readonly message: string; readonly fields: LogFields | undefined }[];
  /** Answers that wait for {@link ServerResponse.end}. */
  readonly held: ServerResponse[];
  /** A client from an address of the loopback net, once the server has it. */
  client(localAddress: string, text?: string): Promise<RawPeer>;
}

/** A server with bounds. It answers `/` at once and holds everything else. */
async function bounded(bounds: Partial<ConnectionBounds>): Promise<Bounded> {
  let evictions = 0;
  let accepted = 0;
  const logged: Bounded["logged"] = [];
  const held: ServerResponse[] = [];
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    request.resume();
    if (request.url === "/") response.end("ok");
    else held.push(response);
  });
  const counts = boundConnections(server, {
    maxConnections: 4,
    maxConnectionsPerAddress: 4,
    evicted: () => void evictions++,
    clock: systemClock,
    log: { ...silentLog, warn: (message, fields) => void logged.push({ message, fields }) },
    ...bounds,
  });
  server.on("connection", () => void accepted++);
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  return {
    counts,
    port,
    evictions: () => evictions,
    logged,
    held,
    async client(localAddress, text = "") {
      const before = accepted;
      const peer = new RawPeer(connect({ port, host: "127.0.0.1", localAddress }));
      onTestFinished(() => void peer.socket.destroy());
      await eventually(() => accepted > before, PATIENCE);
      if (text === "") return peer;
      peer.write(text);
      if (text === WHOLE) await peer.until("ok");
      return peer;
    },
  };
}

describe("above the limit", () => {
  test("the newest is taken, and the one that did nothing for longest is closed", async () => {
    const { client, evictions } = await bounded({});
    const first = await client("127.0.0.1");
    const second = await client("127.0.0.1");
    await client("127.0.0.1");
    await client("127.0.0.1");
    const fifth = await client("127.0.0.1", WHOLE);
    await eventually(() => first.closed, PATIENCE);
    expect(evictions()).toBe(1);
    await client("127.0.0.1", WHOLE);
    await eventually(() => second.closed, PATIENCE);
    expect(fifth.closed).toBe(false);
  });

  test("half a head and half a body count as nothing; an answer counts from its end", async () => {
    const { client } = await bounded({});
    const first = await client("127.0.0.1");
    const head = await client("127.0.0.1", HALF_HEAD);
    const body = await client("127.0.0.1", HALF_BODY);
    const last = await client("127.0.0.1");
    first.write(WHOLE);
    await first.until("ok");
    await client("127.0.0.1", WHOLE);
    await eventually(() => head.closed, PATIENCE);
    await client("127.0.0.1", WHOLE);
    await eventually(() => body.closed, PATIENCE);
    await client("127.0.0.1", WHOLE);
    await eventually(() => last.closed, PATIENCE);
    expect(first.closed).toBe(false);
    await client("127.0.0.1", WHOLE);
    await eventually(() => first.closed, PATIENCE);
  });

  test("what is being answered is spared, unless there is nothing else", async () => {
    const { client, held } = await bounded({});
    const long: RawPeer[] = [];
    for (let i = 0; i < 3; i++) {
      long.push(await client("127.0.0.1", WHOLE.replace("/ ", "/long ")));
      await eventually(() => held.length === i + 1, PATIENCE);
    }
    const idle = await client("127.0.0.1", WHOLE);
    const next = await client("127.0.0.1", WHOLE.replace("/ ", "/long "));
    await eventually(() => idle.closed && held.length === 4, PATIENCE);
    expect(long.map(({ closed }) => closed)).toEqual([false, false, false]);
    const probe = await client("127.0.0.1", WHOLE);
    await eventually(() => long[0]?.closed === true, PATIENCE);
    expect([next.closed, probe.closed]).toEqual([false, false]);
    for (const response of held) response.end("done");
    await long[1]?.until("done");
  });

  test("an address that has too many loses one of its own; else the address that has most does", async () => {
    const { client, evictions } = await bounded({ maxConnections: 5, maxConnectionsPerAddress: 3 });
    const honest = await client("127.0.0.2");
    const greedy: RawPeer[] = [];
    for (let i = 0; i < 4; i++) greedy.push(await client("127.0.0.3"));
    await eventually(() => greedy[0]?.closed === true, PATIENCE);
    await client("127.0.0.4");
    expect(evictions()).toBe(1);
    await client("127.0.0.5");
    await eventually(() => greedy[1]?.closed === true, PATIENCE);
    expect(evictions()).toBe(2);
    expect(honest.closed).toBe(false);
  });

  test("connections that were closed otherwise make room, and their addresses are forgotten", async () => {
    const { client, counts, evictions } = await bounded({});
    for (let i = 1; i <= 20; i++) {
      const peer = await client(`127.0.0.${i}`, WHOLE);
      expect(counts).toMatchObject({ open: 1, addresses: 1 });
      peer.socket.destroy();
      await eventually(() => counts.open === 0, PATIENCE);
      expect(counts.addresses).toBe(0);
    }
    expect(evictions()).toBe(0);
  });

  test("the log says so once a minute", async () => {
    let nowMs = 0;
    const clock = { ...systemClock, monotonicMs: () => nowMs };
    const { client, logged } = await bounded({ maxConnections: 1, clock });
    for (let i = 0; i < 4; i++) await client("127.0.0.2");
    expect(logged.map(({ fields }) => fields)).toEqual([{ from: "127.0.0.2" }]);
    nowMs = 61_000;
    await client("127.0.0.2");
    expect(logged[1]?.fields).toEqual({ from: "127.0.0.2", untoldBefore: 2 });
  });
});

/** The status of a request on a new connection from `localAddress`; rejects when it is cut. */
function ask(port: number, path: string, localAddress: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    get({ port, path, host: "127.0.0.1", localAddress, agent: false }, (response) => {
      response.resume().on("end", () => resolve(response.statusCode));
    }).on("error", reject);
  });
}

async function askAll(
  port: number,
  paths: readonly string[],
  from: string,
  times: number,
): Promise<unknown[]> {
  const answers: unknown[] = [];
  for (let i = 0; i < times; i++) {
    for (const path of paths) answers.push(await ask(port, path, from).catch((error: unknown) => error));
  }
  return answers;
}

const FLOODS = [
  { from: "the address of the probes", addresses: ["127.0.0.1"] },
  { from: "another address", addresses: ["127.0.0.2"] },
  { from: "many addresses", addresses: Array.from({ length: 250 }, (_, i) => `127.0.1.${i + 1}`) },
];

describe("probes and scrapes survive a flood of connections that are held, and opened again when cut", () => {
  test.each(FLOODS)("of the peer port, from $from", { timeout: TEST_MS }, async ({ addresses }) => {
    await using peer = await startPeerServer();
    await flood({ port: peer.port, connections: 1300, addresses, text: HALF_BODY });
    const answers = await askAll(peer.port, ["/readyz", "/healthz"], "127.0.0.1", 30);
    expect(answers).toEqual(Array(60).fill(200));
  });

  test.each(FLOODS)("of the admin port, from $from", { timeout: TEST_MS }, async ({ addresses }) => {
    await using admin = await startAdminServer(tableSource(listedTable(1, [])), { token: "secret" });
    const token = { port: admin.port, connections: 100, addresses, text: HALF_HEAD };
    await flood(token);
    const answers = await askAll(admin.port, ["/healthz"], "127.0.0.1", 30);
    expect(answers).toEqual(Array(30).fill(200));
    for (let i = 0; i < 30; i++) {
      const response = await fetch(`${admin.url}/metrics`, {
        headers: { authorization: "Bearer secret", connection: "close" },
      });
      expect(response.status).toBe(200);
      await response.text();
    }
  });
});
