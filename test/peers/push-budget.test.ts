import { once } from "node:events";
import { Agent, request, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../src/system/clock.ts";
import { type LogFields, silentLog } from "../../src/system/log.ts";
import type { PeerServerOptions } from "../../src/peers/peer-server.ts";
import { PushBudget, type PushRates } from "../../src/peers/push-budget.ts";
import { pushOf, startPeerServer } from "./peer-fixture.ts";

// Who may push, and how much: no sender takes the event loop that serves traffic.

const NO_LIMIT: PushRates = { pushesPerSender: 0, bytesPerSender: 0, pushesInAll: 0, bytesInAll: 0 };

async function start(options: Partial<PeerServerOptions>) {
  let nowMs = 0;
  const warnings: string[] = [];
  const log = {
    ...silentLog,
    warn: (message: string, fields?: LogFields) => void warnings.push(`${message} ${JSON.stringify(fields)}`),
  };
  const clock = { ...systemClock, monotonicMs: () => nowMs };
  const fixture = await startPeerServer({ clock, log, ...options });
  onTestFinished(() => fixture[Symbol.asyncDispose]());
  const results = () => {
    const counts: Record<string, number> = {};
    for (const { result } of fixture.results) counts[result] = (counts[result] ?? 0) + 1;
    return counts;
  };
  /** Pushes from another address of this host. */
  const pushFrom = async (localAddress: string, body: string | Buffer = JSON.stringify(pushOf())) => {
    const agent = new Agent();
    const sent = request(`${fixture.url}/refresh`, { method: "POST", localAddress, agent });
    sent.end(body);
    const [answer] = (await once(sent, "response")) as [IncomingMessage];
    const { statusCode: status, headers } = answer;
    const said = { status, text: await text(answer), headers };
    agent.destroy();
    return said;
  };
  return { fixture, warnings, results, pushFrom, pass: (ms: number) => void (nowMs += ms) };
}

describe("peers.allowFrom", () => {
  const mayPush = (address: string) => address === "127.0.0.3";

  test("others get 403, unread and counted; who may is answered as ever", async () => {
    const { fixture, pushFrom, results } = await start({ mayPush });
    expect(await pushFrom("127.0.0.1")).toMatchObject({ status: 403, text: "not allowed to push routes\n" });
    expect(await pushFrom("127.0.0.2", "not even JSON")).toMatchObject({ status: 403 });
    expect(fixture.sink.calls).toEqual([]);
    expect(await pushFrom("127.0.0.3")).toMatchObject({ status: 204, text: "" });
    expect(results()).toEqual({ forbidden: 2, applied: 1 });
  });

  test("probes are answered to all; other methods and paths are as ever", async () => {
    const { fixture } = await start({ mayPush });
    for (const path of ["/healthz", "/readyz"]) expect((await fetch(fixture.url + path)).status).toBe(200);
    expect((await fetch(`${fixture.url}/refresh`)).status).toBe(405);
    expect((await fetch(`${fixture.url}/nothing`)).status).toBe(404);
  });

  test("refused senders are logged once a minute", async () => {
    const { pushFrom, warnings, pass } = await start({ mayPush });
    for (let i = 0; i < 5; i++) await pushFrom("127.0.0.2");
    pass(60_000);
    await pushFrom("127.0.0.2");
    expect(warnings).toEqual([
      `pushes refused: their sender is not in peers.allowFrom {"from":"127.0.0.2"}`,
      `pushes refused: their sender is not in peers.allowFrom {"from":"127.0.0.2","untoldBefore":4}`,
    ]);
  });

  test("a body that never comes is not waited for", async () => {
    const { fixture } = await start({ mayPush });
    const socket = connect(fixture.port, "127.0.0.1");
    socket.write("POST /refresh HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n");
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 403 .*connection: close/is);
  });
});

describe("the budget of one sender", () => {
  test("above it a push gets 429 with Retry-After, unread; time pays for more; others are not touched", async () => {
    const { fixture, pushFrom, results, pass, warnings } = await start({
      rates: { ...NO_LIMIT, pushesPerSender: 3 },
    });
    const statuses = async (from: string, count: number) => {
      const seen = [];
      for (let i = 0; i < count; i++) seen.push((await pushFrom(from)).status);
      return seen;
    };
    expect(await statuses("127.0.0.2", 5)).toEqual([204, 204, 204, 429, 429]);
    expect(await statuses("127.0.0.3", 3)).toEqual([204, 204, 204]);
    expect(await pushFrom("127.0.0.2", "not JSON")).toMatchObject({
      status: 429,
      text: "too many pushes from this address\n",
      headers: { "retry-after": "1", connection: "close" },
    });
    pass(334);
    expect(await statuses("127.0.0.2", 2)).toEqual([204, 429]);
    pass(3_600_000);
    expect(await statuses("127.0.0.2", 4)).toEqual([204, 204, 204, 429]);
    expect(results()).toEqual({ applied: 10, rate_limited: 5 });
    expect(fixture.sink.calls).toHaveLength(10);
    expect(warnings).toHaveLength(2);
    expect(warnings[0]).toContain(`peers.maxPush… allows one address {"from":"127.0.0.2"}`);
    for (const path of ["/healthz", "/readyz"]) expect((await fetch(fixture.url + path)).status).toBe(200);
  });

  test("bytes count, of bodies that end in 400 or 413 too; the debt is paid by time", async () => {
    const { fixture, pushFrom, pass } = await start({
      maxBodyBytes: 10_000,
      rates: { ...NO_LIMIT, bytesPerSender: 1_000 },
    });
    const junk = "x".repeat(3_500);
    expect((await pushFrom("127.0.0.2", junk)).status).toBe(400);
    expect((await pushFrom("127.0.0.2")).status).toBe(429);
    pass(2_400);
    expect((await pushFrom("127.0.0.2")).status).toBe(429);
    pass(200);
    expect((await pushFrom("127.0.0.2")).status).toBe(204);
    expect((await pushFrom("127.0.0.3", "x".repeat(50_000))).status).toBe(413);
    expect((await pushFrom("127.0.0.3")).status).toBe(429);
    expect(fixture.sink.calls).toHaveLength(1);
  });

  test("bodies that arrive together are not all parsed: what was read beyond the budget gets 429", async () => {
    const { fixture, results } = await start({ rates: { ...NO_LIMIT, bytesPerSender: 1_000 } });
    const body = JSON.stringify(pushOf({ accessToken: "t".repeat(2_000) }));
    const sockets = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const socket = connect(fixture.port, "127.0.0.1");
        await once(socket, "connect");
        // The head goes out alone: all eight are admitted before a byte of a body is here.
        socket.write(
          "POST /refresh HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
        );
        await once(socket, "data");
        return socket;
      }),
    );
    const answers = sockets.map((socket) => text(socket));
    for (const socket of sockets)
      socket.write(`${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`, () => socket.end());
    const statuses = (await Promise.all(answers)).map((answer) => answer.split(" ")[1]);
    expect(statuses.filter((status) => status === "204")).toHaveLength(1);
    expect(statuses.filter((status) => status === "429")).toHaveLength(7);
    expect(results()).toEqual({ applied: 1, rate_limited: 7 });
  });
});

describe("the budget of all senders", () => {
  test("above it every sender gets 503, which managers try again after", async () => {
    const { pushFrom, results, pass } = await start({ rates: { ...NO_LIMIT, pushesInAll: 2 } });
    expect((await pushFrom("127.0.0.2")).status).toBe(204);
    expect((await pushFrom("127.0.0.3")).status).toBe(204);
    expect(await pushFrom("127.0.0.4")).toMatchObject({
      status: 503,
      text: "too many pushes at once\n",
      headers: { "retry-after": "1" },
    });
    pass(500);
    expect((await pushFrom("127.0.0.4")).status).toBe(204);
    expect(results()).toEqual({ applied: 3, overloaded: 1 });
  });

  test("bounds bytes too", async () => {
    const { pushFrom } = await start({ rates: { ...NO_LIMIT, bytesInAll: 100 } });
    expect((await pushFrom("127.0.0.2")).status).toBe(204);
    expect((await pushFrom("127.0.0.3")).status).toBe(503);
  });
});

test("with defaults of the configuration a real manager never meets a limit: 1,000 pushes at once", () => {
  const budget = new PushBudget(
    { pushesPerSender: 1_000, bytesPerSender: 4 << 20, pushesInAll: 4_000, bytesInAll: 8 << 20 },
    0,
  );
  for (let i = 0; i < 1_000; i++) {
    expect(budget.admitPush("10.0.0.1", 0)).toBe("admitted");
    expect(budget.admitBody("10.0.0.1", 260, 0)).toBe("admitted");
  }
});

const steps = fc.array(fc.record({ afterMs: fc.nat(2_000), sender: fc.nat(3), bytes: fc.nat(3_000) }), {
  maxLength: 200,
});

test("in any stretch of time: no sender, and not all together, get more than their rate and one second's worth", () => {
  const rates: PushRates = { pushesPerSender: 5, bytesPerSender: 2_000, pushesInAll: 12, bytesInAll: 5_000 };
  fc.assert(
    fc.property(steps, (history) => {
      const budget = new PushBudget(rates, 0);
      const taken: { atMs: number; sender: number; bytes: number }[] = [];
      let nowMs = 0;
      for (const { afterMs, sender, bytes } of history) {
        nowMs += afterMs;
        if (budget.admitPush(String(sender), nowMs) !== "admitted") continue;
        const isTaken = budget.admitBody(String(sender), bytes, nowMs) === "admitted";
        taken.push({ atMs: nowMs, sender, bytes: isTaken ? bytes : 0 });
      }
      for (const [from, { atMs: startMs }] of taken.entries()) {
        for (let to = from; to < taken.length; to++) {
          const window = taken.slice(from, to + 1);
          const seconds = ((window.at(-1)?.atMs ?? startMs) - startMs) / 1_000 + 1;
          const within = (mine: typeof window, pushes: number, bytes: number) => {
            expect(mine.length).toBeLessThanOrEqual(pushes * seconds + 1e-6);
            // The last body may go into debt.
            const sum = mine.slice(0, -1).reduce((total, each) => total + each.bytes, 0);
            expect(sum).toBeLessThanOrEqual(bytes * seconds + 3_000);
          };
          within(window, rates.pushesInAll, rates.bytesInAll);
          for (const sender of [0, 1, 2, 3]) {
            const mine = window.filter((each) => each.sender === sender);
            within(mine, rates.pushesPerSender, rates.bytesPerSender);
          }
        }
      }
    }),
    { numRuns: 50 },
  );
});

test("senders are remembered up to a bound; who is forgotten still meets the budget of all", () => {
  const budget = new PushBudget({ ...NO_LIMIT, pushesPerSender: 1, pushesInAll: 5_000 }, 0);
  let admitted = 0;
  for (let i = 0; i < 20_000; i++) {
    const sender = `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
    if (budget.admitPush(sender, 0) === "admitted") admitted += 1;
  }
  expect(budget.senders).toBe(1_024);
  expect(admitted).toBe(5_000);
});
