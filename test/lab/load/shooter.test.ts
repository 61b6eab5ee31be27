import { createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import autocannon from "autocannon";
import { afterEach, expect, test } from "vitest";
import type { Answer } from "../../../lab/load/answer.ts";
import { BatchCollector } from "../../../lab/load/batch.ts";
import { monotonicMs } from "../../../lab/load/monotonic.ts";
import { Shooter } from "../../../lab/load/shooter.ts";
import { TargetPicker } from "../../../lab/load/target-picker.ts";
import { eventually } from "../../support/eventually.ts";

const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of cleanUp.splice(0).reverse()) await end();
});

interface Asked {
  readonly socket: Socket;
  /** From 1, over all connections. */
  readonly n: number;
  readonly path: string;
  readonly host: string;
  readonly requestId: string;
}

/** A server of raw bytes. */
async function startServer(answer: (asked: Asked) => void): Promise<string> {
  let n = 0;
  const server: Server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk) => {
      const head = chunk.toString();
      const found = (pattern: RegExp) => pattern.exec(head)?.[1] ?? "";
      answer({
        socket,
        n: ++n,
        path: found(/^GET (\S+)/),
        host: found(/host: (\S+)/i),
        requestId: found(/x-request-id: (\S+)/i),
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanUp.push(() => new Promise((resolve) => server.close(resolve)));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Shoots over one connection at sandboxes `a` (index 0) and `b` (index 1) in turn. */
function shoot(url: string): Answer[] {
  const answers: Answer[] = [];
  let serial = 0;
  const shooting = autocannon(
    {
      url,
      connections: 1,
      duration: 60,
      setupClient: (client) =>
        void new Shooter(client, {
          pick: () => ({ index: serial % 2, host: serial % 2 === 0 ? "a" : "b" }),
          report: (answer) => void answers.push(answer),
          nowMs: monotonicMs,
          nextSerial: () => ++serial,
          timeoutMs: 10_000,
        }),
    },
    () => {},
  );
  cleanUp.push(() => shooting.stop());
  return answers;
}

function send(socket: Socket, body: string, headers = ""): void {
  socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${headers}\r\n${body}`);
}

const identity = (name: string, path: string): string => JSON.stringify({ namespace: "ns", name, path });

test("each request names another sandbox, and each answer is told with who gave it", async () => {
  const url = await startServer(({ socket, host, path }) => send(socket, identity(host, path)));
  const answers = shoot(url);
  await eventually(() => answers.length >= 6);
  for (const { target, outcome, sentMs, answeredMs } of answers) {
    expect(outcome).toMatchObject({ kind: "pod", status: 200, speaker: { name: target === 0 ? "a" : "b" } });
    expect(answeredMs).toBeGreaterThanOrEqual(sentMs);
  }
  expect(answers.slice(0, 4).map(({ target }) => target)).toEqual([0, 1, 0, 1]);
});

test("the router's own reply is told by its reason", async () => {
  const url = await startServer(({ socket, requestId }) => {
    const headers = `X-Lychgate-Reason: sandbox_paused\r\nx-request-id: ${requestId}\r\n`;
    socket.write(`HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n${headers}\r\nno`);
  });
  const answers = shoot(url);
  await eventually(() => answers.length > 0);
  expect(answers[0]?.outcome).toEqual({ kind: "router", status: 502, reason: "sandbox_paused" });
});

test("a connection that is cut within an answer is told, and what comes after it is read right", async () => {
  const url = await startServer(({ socket, n, host, path }) => {
    if (n % 3 !== 2) return send(socket, identity(host, path));
    // Half an answer; autocannon's parser would take the next answer's head for the rest of it.
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"name":"left over`, () =>
      socket.resetAndDestroy(),
    );
  });
  const answers = shoot(url);
  await eventually(() => answers.length >= 9);
  const kinds = answers.slice(0, 9).map(({ outcome }) => outcome.kind);
  expect(kinds).toEqual(["pod", "cut", "pod", "pod", "cut", "pod", "pod", "cut", "pod"]);
  for (const { outcome, target, sentMs, answeredMs } of answers) {
    if (outcome.kind !== "pod") continue;
    expect(outcome.speaker.name).toBe(target === 0 ? "a" : "b");
    // autocannon's own clock would count from the lost request.
    expect(answeredMs - sentMs).toBeLessThan(2_000);
  }
});

test("a request on a connection whose closing was announced is nobody's fault", async () => {
  const url = await startServer(({ socket, n, host, path }) => {
    send(socket, identity(host, path), n % 2 === 0 ? "Connection: close\r\n" : "");
    if (n % 2 === 0) socket.end();
  });
  const answers = shoot(url);
  await eventually(() => answers.length >= 8);
  expect(new Set(answers.map(({ outcome }) => outcome.kind))).toEqual(new Set(["pod"]));
});

test("the answer to another request is told as such, from a pod and from the router", async () => {
  const url = await startServer(({ socket, n, host }) => {
    if (n === 1) return send(socket, identity(host, "/lychgate-load?n=999"));
    const headers = "x-lychgate-reason: sandbox_paused\r\nx-request-id: load-999\r\n";
    socket.write(`HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n${headers}\r\n`);
  });
  const answers = shoot(url);
  await eventually(() => answers.length >= 2);
  expect(answers.slice(0, 2).map(({ outcome }) => outcome.kind)).toEqual(["foreign", "foreign"]);
});

test("answers of one pod are gathered, all others stay as they are", () => {
  const collector = new BatchCollector();
  const speaker = { namespace: "ns", name: "a", podUid: "p" };
  for (const sentMs of [3, 9, 5]) {
    const outcome = { kind: "pod", status: 200, speaker } as const;
    collector.add({ target: 1, sentMs, answeredMs: sentMs + 1, outcome });
  }
  collector.add({ target: 1, sentMs: 1, answeredMs: 2, outcome: { kind: "timeout" } });
  const batch = collector.take();
  expect(batch.pods).toEqual([{ target: 1, status: 200, speaker, count: 3, lastSentMs: 9 }]);
  expect(batch.others).toHaveLength(1);
  expect(collector.take()).toEqual({ pods: [], others: [], unjudged: 0, latency: [] });
});

test("most requests go to what runs, some to what rests, and some to what has gone", () => {
  let seed = 1;
  const picker = new TargetPicker(() => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647);
  expect(picker.pick()).toBeUndefined();
  picker.change({ index: 0, host: "0", mode: "running" });
  picker.change({ index: 1, host: "1", mode: "running" });
  picker.change({ index: 2, host: "2", mode: "running" });
  picker.change({ index: 1, host: "1", mode: "resting" });
  picker.change({ index: 2, host: "2", mode: "ended" });
  const counts = [0, 0, 0];
  for (let i = 0; i < 10_000; i++) counts[picker.pick()?.index ?? 0]!++;
  expect(counts[0]).toBeGreaterThan(7_500);
  expect(counts[1]).toBeGreaterThan(800);
  expect(counts[2]).toBeGreaterThan(800);
});
