import fc from "fast-check";
import { connect, Socket } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import type { PeerServerOptions } from "../../../src/peers/peer-server.ts";
import { eventually } from "../../support/eventually.ts";
import { type PeerFixture, pushOf, startPeerServer } from "../peer-fixture.ts";

// docs/peers.md#post-refresh: a peer can't see whether node:http or the short way has read its push.

const GO_FIELDS = "User-Agent: Go-http-client/1.1\r\nContent-Type: application/json\r\nAccept-Encoding: gzip";

/** A push as Go's client writes it, but for `fields` and `body`. */
function pushBytes(
  body: string,
  { fields = GO_FIELDS, line = "POST /refresh HTTP/1.1", host = "Host: x" } = {},
): string {
  return `${line}\r\n${host}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${fields}\r\n\r\n${body}`;
}

const GOOD = JSON.stringify(pushOf());
const DEAD = JSON.stringify(pushOf({ state: "dead", resourceVersion: "9" }));
const PUSH = pushBytes(GOOD);

/** What clients may send, each followed by the end of their half. */
const CORPUS: Readonly<Record<string, string>> = {
  "a push": PUSH,
  "a deletion": pushBytes(DEAD),
  "a body that is no JSON": pushBytes("{"),
  "an empty body": pushBytes(""),
  "a text that is not ASCII": pushBytes(JSON.stringify(pushOf({ owner: "Zoë ☃" }))),
  "three pushes, the second wrong": PUSH + pushBytes("[]") + PUSH,
  "Connection: close": pushBytes(GOOD, { fields: "Connection: close" }),
  "Connection: keep-alive": pushBytes(GOOD, { fields: "connection:keep-alive" }) + PUSH,
  "Connection with two options": pushBytes(GOOD, { fields: "Connection: close, x" }),
  "Proxy-Connection: close": pushBytes(GOOD, { fields: "Proxy-Connection: close" }),
  "a query": pushBytes(GOOD, { line: "POST /refresh?from=me HTTP/1.1" }) + PUSH,
  "another path": pushBytes(GOOD, { line: "POST /refreshed HTTP/1.1" }) + PUSH,
  "another method": pushBytes(GOOD, { line: "PUT /refresh HTTP/1.1" }) + PUSH,
  "HTTP/1.0": pushBytes(GOOD, { line: "POST /refresh HTTP/1.0" }),
  "a probe between pushes": `${PUSH}GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n${PUSH}`,
  chunks: `${PUSH}POST /refresh HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${GOOD.length.toString(16)}\r\n${GOOD}\r\n0\r\n\r\n${PUSH}`,
  "Content-Length beside chunks": pushBytes("0\r\n\r\n", { fields: "Transfer-Encoding: chunked" }),
  "two lengths": pushBytes(GOOD, { fields: `Content-Length: ${GOOD.length}` }),
  "two lengths that differ": pushBytes(GOOD, { fields: "Content-Length: 3" }),
  "a length that is no number": PUSH.replace(/Content-Length: \d+/, "Content-Length: +5"),
  "no length": `POST /refresh HTTP/1.1\r\nHost: x\r\n\r\n${PUSH}`,
  "no Host": pushBytes(GOOD, { host: "X: y" }),
  "two Hosts": pushBytes(GOOD, { fields: "Host: y" }),
  Expect: pushBytes(GOOD, { fields: "Expect: 100-continue" }),
  Upgrade: pushBytes(GOOD, { fields: "Connection: Upgrade\r\nUpgrade: x" }),
  "a field without a name": pushBytes(GOOD, { fields: ": x" }),
  "a folded field": pushBytes(GOOD, { fields: "X: y\r\n z" }),
  "a space before the colon": pushBytes(GOOD, { fields: "X : y" }),
  "a bare line feed": PUSH.replace("Host: x\r\n", "Host: x\n"),
  "a long head": pushBytes(GOOD, { fields: `X: ${"y".repeat(5_000)}` }),
  "half a head": PUSH.slice(0, 60),
  "half a body": PUSH.slice(0, -10),
  "an empty line first": `\r\n${PUSH}`,
  nothing: "",
};

/** Sends pieces, each when the server had time to read the one before, then ends; returns what came back, with one Date. */
async function exchange(port: number, pieces: readonly (string | Buffer)[]): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  const closed = new Promise<void>((resolve, reject) => {
    socket.on("close", () => resolve());
    socket.on("error", (error: NodeJS.ErrnoException) => {
      // The server may have closed while this side still wrote.
      if (error.code !== "EPIPE" && error.code !== "ECONNRESET") reject(error);
    });
  });
  for (const piece of pieces) {
    if (!socket.writable) break;
    await new Promise<void>((written) => socket.write(piece, () => written()));
    await turn();
    await turn();
  }
  socket.end();
  await closed;
  return Buffer.concat(chunks)
    .toString("latin1")
    .replace(/Date: .*/g, "Date: now");
}

/** What node:http answers: a connection that has brought a probe is its own. */
async function byNodeHttp(port: number, bytes: string): Promise<string> {
  const probe = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
  const answer = await exchange(port, [probe, Buffer.from(bytes)]);
  return answer.slice(answer.indexOf("\r\n\r\nok\n") + 7);
}

/** The pushes of `peer` so far, and forgets them. */
function pushesOf({ sink, results }: PeerFixture): unknown[] {
  return [
    ...sink.calls.splice(0),
    ...results.splice(0).map(({ result, push }) => ({ result, push: push && { ...push, arrivedMs: 0 } })),
  ];
}

async function inBatches<T>(all: readonly T[], each: (one: T) => Promise<void>): Promise<void> {
  for (let at = 0; at < all.length; at += 20) await Promise.all(all.slice(at, at + 20).map(each));
}

describe("on both ways the replies, the table and the counters are the same", () => {
  for (const [name, bytes] of Object.entries(CORPUS)) {
    test(name, async () => {
      await using peer = await startPeerServer();
      const expected = await byNodeHttp(peer.port, bytes);
      const pushes = pushesOf(peer);
      expect(await exchange(peer.port, [Buffer.from(bytes)])).toBe(expected);
      expect(pushesOf(peer)).toEqual(pushes);
    });
  }

  // A head that is not well formed is refused by node:http as soon as it comes, and by the short way when it is whole.
  for (const name of [
    "a push",
    "three pushes, the second wrong",
    "a probe between pushes",
    "chunks",
    "another method",
  ]) {
    test(`${name}, cut in two at every place`, async () => {
      await using peer = await startPeerServer();
      const bytes = Buffer.from(CORPUS[name] ?? "");
      const expected = await byNodeHttp(peer.port, bytes.toString());
      const pushes = pushesOf(peer);
      const cuts = Array.from({ length: bytes.length - 1 }, (_, at) => at + 1);
      await inBatches(cuts, async (at) => {
        expect(await exchange(peer.port, [bytes.subarray(0, at), bytes.subarray(at)]), `cut at ${at}`).toBe(
          expected,
        );
      });
      const all = pushesOf(peer);
      expect(all).toHaveLength(pushes.length * cuts.length);
      for (const one of pushes) {
        expect(all.filter((each) => JSON.stringify(each) === JSON.stringify(one))).toHaveLength(
          cuts.length * pushes.filter((each) => JSON.stringify(each) === JSON.stringify(one)).length,
        );
      }
    });
  }

  test("any sequence of requests, cut anywhere", async () => {
    await using peer = await startPeerServer();
    const whole = [
      "a push",
      "a deletion",
      "a body that is no JSON",
      "three pushes, the second wrong",
      "Connection: keep-alive",
    ]
      .concat([
        "a query",
        "another path",
        "another method",
        "a probe between pushes",
        "chunks",
        "no length",
        "nothing",
      ])
      .map((name) => CORPUS[name] ?? "");
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(...whole, PUSH, PUSH, PUSH), { minLength: 1, maxLength: 5 }),
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 6 }),
        async (requests, shares) => {
          const bytes = Buffer.from(requests.join(""));
          const cuts = shares.map((share) => Math.floor(share * bytes.length)).toSorted((a, b) => a - b);
          const pieces = [0, ...cuts].map((from, i) => bytes.subarray(from, cuts[i] ?? bytes.length));
          const expected = await byNodeHttp(peer.port, bytes.toString());
          const pushes = pushesOf(peer);
          expect(await exchange(peer.port, pieces)).toBe(expected);
          expect(pushesOf(peer)).toEqual(pushes);
        },
      ),
      { numRuns: 60 },
    );
  });

  test("what follows a push with Connection: close is not looked at", async () => {
    await using peer = await startPeerServer();
    const answer = await exchange(peer.port, [
      pushBytes(GOOD, { fields: "Connection: close" }) + pushBytes(DEAD),
    ]);
    expect(answer).toBe("HTTP/1.1 204 No Content\r\nDate: now\r\nConnection: close\r\n\r\n");
    expect(peer.sink.calls).toHaveLength(1);
  });

  const REFUSALS: Readonly<Record<string, Partial<PeerServerOptions>>> = {
    "the sender may not push": { mayPush: () => false },
    "a signature is required, and missing": {
      proof: { require: "hmac", hmac: { keys: () => ["a key of 16 bytes"], windowMs: 30_000 } },
    },
    "a certificate is required, and missing": { proof: { require: "mtls" } },
    "the sender pushes more than it may": {
      rates: { pushesPerSender: 0.5, bytesPerSender: 0, pushesInAll: 0, bytesInAll: 0 },
    },
    "all together push more than they may": {
      rates: { pushesPerSender: 0, bytesPerSender: 0, pushesInAll: 0.5, bytesInAll: 0 },
    },
    "the body is too large": { maxBodyBytes: GOOD.length - 1 },
    "the table refuses the push": {
      sink: { pushUpdate: () => "invalid_key", pushDelete: () => "applied" },
    },
    "the sink throws": {
      sink: {
        pushUpdate() {
          throw new Error("a bug");
        },
        pushDelete: () => "applied",
      },
    },
  };
  for (const [name, options] of Object.entries(REFUSALS)) {
    test(`a refusal: ${name}`, async () => {
      await using peer = await startPeerServer(options);
      const expected = await byNodeHttp(peer.port, PUSH);
      expect(expected).toMatch(/^HTTP\/1\.1 [45]/);
      const pushes = pushesOf(peer);
      expect(await exchange(peer.port, [PUSH])).toBe(expected);
      expect(pushesOf(peer)).toEqual(pushes);
    });
  }
});

describe("a flood", () => {
  /** Counts turns of the event loop until it is disposed of. */
  class TurnCounter implements Disposable {
    turns = 0;
    #handle = setImmediate(() => this.#count());

    #count(): void {
      this.turns += 1;
      this.#handle = setImmediate(() => this.#count());
    }

    [Symbol.dispose](): void {
      clearImmediate(this.#handle);
    }
  }

  test("is taken in slices: the event loop has a turn after 16 pushes, whichever connections they come over", async () => {
    using counter = new TurnCounter();
    const atTurns: number[] = [];
    const sink = {
      pushUpdate: () => (atTurns.push(counter.turns), "applied" as const),
      pushDelete: () => "applied" as const,
    };
    await using peer = await startPeerServer({ sink });
    const answers = await Promise.all([
      ...Array.from({ length: 40 }, () => exchange(peer.port, [PUSH])),
      exchange(peer.port, [PUSH.repeat(200)]),
    ]);
    expect(answers.join("").match(/HTTP\/1\.1 204 /g)).toHaveLength(240);
    const perTurn = Map.groupBy(atTurns, (at) => at);
    // A slice when the bytes come, and one of those that wait.
    expect(Math.max(...[...perTurn.values()].map(({ length }) => length))).toBeLessThanOrEqual(32);
  });

  test("who waits for a turn is served in the order of arrival, and though its client has left", async () => {
    const flood = new Socket();
    flood.on("error", () => {});
    let updates = 0;
    let deletions = 0;
    const sink = {
      pushUpdate() {
        updates += 1;
        flood.resetAndDestroy();
        return "applied" as const;
      },
      pushDelete() {
        deletions += 1;
        return "applied" as const;
      },
    };
    await using peer = await startPeerServer({ sink });
    flood.connect({ port: peer.port, host: "127.0.0.1" });
    // Few enough to be read in one piece.
    flood.write(PUSH.repeat(60));
    expect(await exchange(peer.port, [pushBytes(DEAD)])).toMatch(/^HTTP\/1\.1 204 /);
    expect(deletions).toBe(1);
    await eventually(() => updates === 60);
  });

  test("a client that does not take its replies is not read from for long, and gets all of them later", async () => {
    await using peer = await startPeerServer();
    const socket = connect({ port: peer.port, host: "127.0.0.1" });
    socket.pause();
    // 22 MB of replies: more than the system's buffers take.
    const many = 80_000;
    const block = Buffer.from(pushBytes("{").repeat(500));
    let sent = 0;
    const pump = (): void => {
      while (sent < many) {
        sent += 500;
        if (!socket.write(block)) return;
      }
    };
    socket.on("drain", pump);
    pump();
    // The replies fill both sides' buffers, and then the pushes do.
    let taken = -1;
    let stillTurns = 0;
    while (stillTurns < 200) {
      stillTurns = peer.results.length === taken ? stillTurns + 1 : 0;
      taken = peer.results.length;
      await turn();
    }
    expect(peer.results.length).toBeLessThan(many);
    let text = "";
    let replies = 0;
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
      const parts = text.split("payload\n");
      replies += parts.length - 1;
      text = parts.at(-1) ?? "";
    });
    socket.resume();
    await eventually(() => replies === many);
    expect(peer.results).toHaveLength(many);
    socket.destroy();
  });
});

describe("deadlines", () => {
  test("a head that comes byte by byte has its time from the first byte on, however often a byte comes", async () => {
    await using peer = await startPeerServer({ requestTimeoutMs: 300 });
    const socket = connect({ port: peer.port, host: "127.0.0.1", noDelay: true });
    let answer = "";
    socket.on("data", (chunk: Buffer) => (answer += chunk.toString("latin1")));
    socket.on("error", () => {});
    let at = 0;
    const timer = setInterval(() => socket.write(PUSH[at++ % 24] ?? ""), 20);
    socket.write(PUSH.slice(0, 25));
    await eventually(() => answer !== "" || socket.destroyed);
    clearInterval(timer);
    expect(answer).toMatch(/^HTTP\/1\.1 4(08|00) /);
    expect(peer.results).toEqual([]);
  });

  test("close ends a connection that waits for its next push at once", async () => {
    const peer = await startPeerServer();
    const socket = connect({ port: peer.port, host: "127.0.0.1" });
    socket.on("error", () => {});
    socket.write(PUSH);
    await new Promise((resolve) => socket.once("data", resolve));
    await peer.server.close();
    await eventually(() => socket.destroyed);
  });
});
