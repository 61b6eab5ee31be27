import { spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import type { Socket } from "node:net";

import { describe, expect, onTestFinished, test } from "vitest";

import { ConnectionLimits } from "../../src/proxy/limits/connection-limits.ts";
import { eventually } from "../support/eventually.ts";
import { LANE } from "./support/lane.ts";
import { OK, RawPeer } from "./support/raw-peer.ts";
import { Scene } from "./support/scene.ts";
import { turns } from "./support/station.ts";

/** Sends `text` byte by byte for as long as the connection takes it, and then `filler` for ever. */
function dribble(peer: RawPeer, text: string, filler: string, everyMs = 5): void {
  let sent = 0;
  const timer = setInterval(() => {
    if (peer.closed || peer.ended || !peer.socket.writable) clearInterval(timer);
    else peer.write(text[sent++] ?? filler);
  }, everyMs);
  onTestFinished(() => clearInterval(timer));
}

/** A port whose connections are never accepted, and whose queue is full: packets that ask for one more are dropped. */
async function fullListener(): Promise<number> {
  const program = `require("node:net").createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 }, function () {
    process.stdout.write(String(this.address().port));
  })`;
  const child = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  const [text] = (await once(child.stdout, "data")) as [Buffer];
  const port = Number(text.toString());
  child.kill("SIGSTOP");
  await eventually(() => readFileSync(`/proc/${child.pid}/stat`, "utf8").includes(") T "));
  const queued: Socket[] = [];
  onTestFinished(() => {
    for (const socket of queued) socket.destroy();
  });
  await eventually(async () => {
    const socket = connect({ port, host: "127.0.0.1" }).on("error", () => {});
    queued.push(socket);
    const timer = setTimeout(() => socket.emit("full"), 300);
    const isFull = await Promise.race([
      once(socket, "connect").then(() => false),
      once(socket, "full").then(() => true),
    ]);
    clearTimeout(timer);
    return isFull;
  });
  return port;
}

/** Connects from an address of the loopback net. */
async function connectFrom(localAddress: string, port: number): Promise<RawPeer> {
  const socket = connect({ port, host: "127.0.0.1", localAddress });
  await new Promise((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  return new RawPeer(socket);
}

/** A client that does nothing but wait for its end, a FIN or a RST. `closed` resolves to what it heard. */
function turnedAwayClient(port: number): { connected: Promise<void>; closed: Promise<string> } {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true }).setEncoding("latin1");
  let heard = "";
  const closed = new Promise<string>((resolve) => {
    socket
      .on("data", (text) => (heard += String(text)))
      .on("error", () => resolve(heard))
      .on("end", () => resolve(heard));
  });
  void closed.then(() => setTimeout(() => socket.destroy(), 200));
  return { connected: new Promise((resolve) => socket.once("connect", resolve)), closed };
}

const OVERLOADED = /^HTTP\/1\.1 503 Service Unavailable\r\n[^]*x-lychgate-reason: overloaded\r\n/;

describe("a client that sends slowly", () => {
  test("its head, byte by byte: 408 when the whole takes longer than headerTimeoutMs", async () => {
    const scene = await Scene.open({ server: { headerTimeoutMs: 200 } });
    const client = await scene.router.client();
    dribble(client, scene.head("GET /").slice(0, -2), "x: y\r\n");
    await client.until(/^HTTP\/1\.1 408 [^]*x-lychgate-reason: request_timeout/);
    await client.untilClosed();
    expect(scene.pod.connections).toHaveLength(0);
    expect(scene.router.records).toMatchObject([{ status: 408, reason: "request_timeout" }]);
  });

  test("a later head on its connection: the same, however long an idle connection is kept", async () => {
    const scene = await Scene.open({ server: { headerTimeoutMs: 200, keepAliveTimeoutMs: 60_000 } });
    scene.pod.answerAll(OK);
    const client = await scene.send(scene.head("GET /"));
    await client.until("\r\n\r\nok");
    client.take();
    dribble(client, scene.head("GET /").slice(0, -2), "x: y\r\n");
    await client.until(/^HTTP\/1\.1 408 /);
    await client.untilClosed();
  });

  test("empty lines in place of a head: closed", async () => {
    const scene = await Scene.open({ server: { headerTimeoutMs: 200 } });
    const client = await scene.router.client();
    dribble(client, "", "\r\n");
    await client.untilClosed();
    await eventually(() => scene.router.server.connections.open === 0);
  });

  test("the trailers of its body, byte by byte: 408 after idleTimeoutMs in all", async () => {
    const scene = await Scene.open({ server: { idleTimeoutMs: 300 } });
    const { client } = await scene.begin("POST /", ["Transfer-Encoding: chunked"], "3\r\nabc\r\n0\r\n");
    dribble(client, "", "x: y\r\n");
    await client.until(/^HTTP\/1\.1 4(08|31|00) /);
    await client.untilClosed();
  });
});

describe("a client that reads nothing", () => {
  test("of its refusals: it is read no further, and cut", async () => {
    const scene = await Scene.open({ server: { idleTimeoutMs: 300 } });
    const client = await scene.router.client();
    client.socket.pause();
    // More than the kernel keeps for one who does not read.
    const requests = 40_000;
    client.write("GET / HTTP/1.1\r\nHost: 80-nobody.example.com\r\n\r\n".repeat(requests));
    await eventually(() => scene.router.server.connections.open === 0);
    expect(scene.router.started).toBeLessThan(requests);
    await eventually(() => scene.router.records.length === scene.router.started);
  });
});

test("nothing is kept of an address whose connections are closed", () => {
  const limits = new ConnectionLimits({ maxConnections: 0, maxConnectionsPerAddress: 2 });
  const open = (remoteAddress: string) => {
    const socket = Object.assign(new EventEmitter(), { remoteAddress }) as unknown as Socket;
    expect(limits.admit(socket)).toBe("admitted");
    return socket;
  };
  const kept = open("10.0.0.0");
  for (let i = 1; i <= 100; i++) {
    const sockets = [open(`10.0.0.${i}`), open(`::ffff:10.0.0.${i}`)];
    expect(limits.addresses).toBe(2);
    for (const socket of sockets) socket.emit("close");
  }
  expect(limits).toMatchObject({ open: 1, addresses: 1 });
  kept.emit("close");
  expect(limits).toMatchObject({ open: 0, addresses: 0 });
});

test("a client that pipelines while an answer is awaited is read only so far, as long as that takes", async () => {
  const scene = await Scene.open();
  const { client } = await scene.begin("GET /long-poll");
  const { socket } = client;
  const head = scene.head("GET /", `X: ${"x".repeat(4000)}`);
  // More than the kernel keeps of a connection that nobody reads.
  const bytes = 64 * 1024 * 1024;
  socket.write(head.repeat(Math.ceil(bytes / head.length)), "latin1");
  // Turns in which the router reads all that it would: at least 64 KiB in each.
  await turns((2 * bytes) / 65_536);
  expect(socket.writableLength).toBeGreaterThan(0);
  expect(scene.router.started).toBeLessThan(5_000);
});

describe("a pod that is slow", () => {
  test("to send its head, byte by byte: 504 when the whole takes longer than firstByteTimeoutMs", async () => {
    const scene = await Scene.open({ server: { firstByteTimeoutMs: 200 } });
    const { client, inside } = await scene.begin("GET /");
    dribble(inside, "HTTP/1.1 200 OK\r\n", "x: y\r\n");
    await client.until(/^HTTP\/1\.1 504 [^]*x-lychgate-reason: first_byte_timeout/);
    await eventually(() => inside.ended || inside.closed);
    expect(scene.router.upstreams.stats.idle).toBe(0);
  });

  test("to send its head, byte by byte, but not too slow: it is delivered, and so are 1xx before it", async () => {
    const scene = await Scene.open();
    const { client, inside } = await scene.begin("GET /");
    const hints = "HTTP/1.1 103 Early Hints\r\nx: 1\r\n\r\n";
    for (const byte of `${hints}${hints}HTTP/1.1 200 OK\r\ny: 2\r\nContent-Length: 2\r\n\r\nok`) {
      await new Promise((resolve) => inside.socket.write(byte, "latin1", resolve));
    }
    await client.until("\r\n\r\nok");
    expect(client.received.match(/^HTTP\/1\.1 \d+/gm)).toEqual([
      "HTTP/1.1 103",
      "HTTP/1.1 103",
      "HTTP/1.1 200",
    ]);
  });

  test.runIf(process.platform === "linux")(
    "to accept, for ever: 504 after connectTimeoutMs, and waiting requests are told too",
    async () => {
      const scene = await Scene.open({ upstream: { connectTimeoutMs: 200 } });
      const port = await fullListener();
      const head = `GET / HTTP/1.1\r\nHost: ${port}-box.example.com\r\n\r\n`;
      const asked = await Promise.all([1, 2, 3].map(() => scene.send(head)));
      for (const client of asked) {
        await client.until(/^HTTP\/1\.1 504 [^]*x-lychgate-reason: connect_timeout/);
      }
      expect(scene.router.counts.failures).toEqual(Array(3).fill("connect_timeout"));
      expect(scene.router.upstreams.stats).toMatchObject({ open: 0, waiting: 0 });
    },
  );

  test("to agree to an upgrade, byte by byte: 504 when the whole takes longer than handshakeTimeoutMs", async () => {
    const scene = await Scene.open({ server: { handshakeTimeoutMs: 200 } });
    const { client, inside } = await scene.begin("GET /", ["Connection: Upgrade", "Upgrade: x"]);
    dribble(inside, "HTTP/1.1 101 Switching Protocols\r\n", "x: y\r\n");
    await client.until(/^HTTP\/1\.1 504 [^]*x-lychgate-reason: first_byte_timeout/);
    await client.untilClosed();
    await eventually(() => scene.router.upstreams.stats.open === 0);
  });

  test("to read an upload: 504 after idleTimeoutMs", async () => {
    const scene = await Scene.open({ server: { idleTimeoutMs: 300 } });
    const length = 50_000_000;
    const { client, inside } = await scene.begin("POST /", [`Content-Length: ${length}`], "x");
    inside.socket.pause();
    client.write("x".repeat(length - 2));
    await client.until(/^HTTP\/1\.1 504 [^]*x-lychgate-reason: upstream_idle_timeout/);
    await eventually(() => scene.router.upstreams.stats.open === 0);
  });
});

describe("connections above a limit", () => {
  test("maxConnections: 503 overloaded, closed, counted; one that leaves makes room", async () => {
    const refused: unknown[] = [];
    const scene = await Scene.open({
      server: {
        maxConnections: 2,
        observer: { connectionDropped: (...told: unknown[]) => void refused.push(...told) },
      },
    });
    scene.pod.answerAll(OK);
    const first = await scene.send(scene.head("GET /"));
    await first.until("\r\n\r\nok");
    const second = await scene.send(scene.head("GET /"));
    await second.until("\r\n\r\nok");

    const third = await scene.send(scene.head("GET /"));
    await third.untilClosed();
    expect(third.received).toMatch(OVERLOADED);
    expect(third.received).toMatch(/\r\nretry-after: 1\r\n/i);
    expect(third.received).toMatch(/\r\nConnection: close\r\n/);
    expect(scene.router.server.connections.open).toBe(2);
    expect(scene.pod.connections.length).toBeLessThanOrEqual(2);
    expect(refused).toEqual(["total"]);

    second.end();
    await eventually(() => scene.router.server.connections.open === 1);
    const fourth = await scene.send(scene.head("GET /"));
    await fourth.until("\r\n\r\nok");
    first.take();
    first.write(scene.head("GET /"));
    await first.until("\r\n\r\nok");
  });

  test("maxConnectionsPerAddress: the same, and other addresses are not touched", async () => {
    const refused: unknown[] = [];
    const scene = await Scene.open({
      server: {
        maxConnectionsPerAddress: 1,
        observer: { connectionDropped: (...told: unknown[]) => void refused.push(...told) },
      },
    });
    scene.pod.answerAll(OK);
    const first = await connectFrom("127.0.0.2", scene.router.port);
    first.write(scene.head("GET /"));
    await first.until("\r\n\r\nok");

    const second = await connectFrom("127.0.0.2", scene.router.port);
    await second.untilClosed();
    expect(second.received).toMatch(OVERLOADED);
    expect(refused).toEqual(["address"]);

    const other = await connectFrom("127.0.0.3", scene.router.port);
    other.write(scene.head("GET /"));
    await other.until("\r\n\r\nok");

    first.end();
    await eventually(() => scene.router.server.connections.open === 1);
    const again = await connectFrom("127.0.0.2", scene.router.port);
    again.write(scene.head("GET /"));
    await again.until("\r\n\r\nok");
  });

  test("thousands at once: every one is told or closed, and the admitted are served", async () => {
    const scene = await Scene.open({ server: { maxConnections: 10 } });
    scene.pod.answerAll(OK);
    const admitted = await Promise.all(Array.from({ length: 10 }, () => scene.router.client()));
    const turnedAway: Promise<string>[] = [];
    // In waves that the queue of the listener can hold. None closes before it is closed.
    while (turnedAway.length < 1000) {
      const wave = Array.from({ length: 200 }, () => turnedAwayClient(scene.router.port));
      await Promise.all(wave.map(({ connected }) => connected));
      turnedAway.push(...wave.map(({ closed }) => closed));
    }
    const heard = await Promise.all(turnedAway);
    for (const text of heard) expect(text).toMatch(/^$|^HTTP\/1\.1 503 /);
    expect(scene.router.server.connections.open).toBe(10);
    for (const client of admitted) client.write(scene.head("GET /"));
    for (const client of admitted) await client.until("\r\n\r\nok");
  });

  test("maxTunnelsPerSandbox: 503 overloaded, and requests still pass", async () => {
    const scene = await Scene.open({ upstream: { maxTunnelsPerSandbox: 1 } });
    const upgrade = ["Connection: Upgrade", "Upgrade: x"];
    const { client, inside } = await scene.begin("GET /tunnel", upgrade);
    inside.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    await client.until("101 Switching Protocols");

    const second = await scene.send(scene.head("GET /tunnel", ...upgrade));
    await second.until(OVERLOADED);
    await second.untilClosed();
    expect(await scene.router.record(0)).toMatchObject({ status: 503, reason: "overloaded" });

    const plain = await scene.begin("GET /");
    plain.inside.write(OK);
    await plain.client.until("\r\n\r\nok");

    client.end();
    inside.end();
    await eventually(() => scene.router.server.connections.tunnels === 0);
    const third = await scene.begin("GET /tunnel", upgrade);
    expect(third.head).toContain("Upgrade: x");
  });
});

describe("maxRequestsPerConnection", () => {
  test("the last response says Connection: close, those before do not", async () => {
    const scene = await Scene.open({ server: { maxRequestsPerConnection: 3 } });
    scene.pod.answerAll(OK);
    const client = await scene.router.client();
    const answers: string[] = [];
    for (let i = 0; i < 3; i++) {
      client.write(scene.head("GET /"));
      await client.until("\r\n\r\nok");
      answers.push(client.take());
    }
    await client.untilClosed();
    expect(answers.map((answer) => /\r\nconnection: close\r\n/i.test(answer))).toEqual([false, false, true]);
  });

  test("pipelined requests above it are not sent to the pod", async () => {
    const scene = await Scene.open({ server: { maxRequestsPerConnection: 2 } });
    const paths: (string | undefined)[] = [];
    scene.pod.answerAll((head) => {
      paths.push(head.split(" ")[1]);
      return OK;
    });
    const client = await scene.send([1, 2, 3, 4].map((i) => scene.head(`GET /${i}`)).join(""));
    await client.untilClosed();
    expect(paths).toEqual(["/1", "/2"]);
    expect(client.received.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(2);
  });

  test("refusals count too", async () => {
    const scene = await Scene.open({ server: { maxRequestsPerConnection: 2 } });
    const client = await scene.send("GET / HTTP/1.1\r\nHost: 80-nobody.example.com\r\n\r\n".repeat(5));
    await client.untilClosed();
    expect(client.received.match(/HTTP\/1\.1 502 /g)).toHaveLength(2);
  });
});

const inFastLaneOnly: typeof test = LANE === "fast" ? test : ((() => {}) as unknown as typeof test);

inFastLaneOnly("limits hold for a connection that goes from one lane to the other", async () => {
  const scene = await Scene.open({ server: { maxConnections: 1, headerTimeoutMs: 200 } });
  scene.pod.answerAll(OK);
  const client = await scene.send(scene.head("GET /"));
  await client.until("\r\n\r\nok");
  client.take();
  client.write(scene.head("POST /", "Expect: 100-continue", "Content-Length: 0"));
  await client.until("\r\n\r\nok");
  expect(scene.router.server.connections.open).toBe(1);
  const second = await scene.router.client();
  await second.until(OVERLOADED);
  client.take();
  dribble(client, scene.head("GET /").slice(0, -2), "x: y\r\n");
  await client.until(/^HTTP\/1\.1 408 /);
  await client.untilClosed();
  await eventually(() => scene.router.server.connections.open === 0);
});
