import { connectToProxy } from "../load-connection.ts";
import { PushConnection } from "../push-load.ts";
import { bodyOf, podAddress } from "../sandboxes.ts";

/** Where the lives of sandboxes happen. */
export interface LivesPlan {
  /** Of the proxy, on 127.0.0.1. */
  readonly port: number;
  readonly peerPort: number;
  readonly podPort: number;
  readonly livesPerSecond: number;
}

/** What became of them. */
export interface Lives {
  /** Lives that ended, each with all its answers right. */
  readonly ended: number;
  stop(): void;
}

/** Workers, each with one life at a time. */
const TOGETHER = 8;
/** The pods' addresses are used again after so many lives, as in a cluster. They begin beyond those of all routes. */
const ADDRESSES = 1000;
const FIRST_ADDRESS = 20_000;
const RESPONSE_BYTES = 512;
const ANSWER_TIMEOUT_MS = 30_000;

/**
 * Creates sandboxes, moves every other one to another pod, and ends them, by pushes, each with an ID that was never used
 * before. After each push that was answered, a request on a new connection must get the answer that this push
 * asks for: the bytes of the pod, of the other pod, and after the end an error. Each wrong answer goes to `failed`.
 */
export function startLives(plan: LivesPlan, failed: (message: string) => void): Lives {
  const startedMs = performance.now();
  let begun = 0;
  let stopped = false;
  const lives = {
    ended: 0,
    stop() {
      stopped = true;
      for (const each of connections) each.close();
    },
  };
  const connections = Array.from({ length: TOGETHER }, () => new PushConnection(plan.peerPort));
  const work = async (connection: PushConnection): Promise<void> => {
    for (;;) {
      const number = begun;
      begun += 1;
      const waitMs = startedMs + (number / plan.livesPerSecond) * 1000 - performance.now();
      if (waitMs > 0) await new Promise((done) => setTimeout(done, waitMs));
      if (stopped) return;
      const wrong = await live(plan, connection, number);
      if (stopped) return;
      if (wrong === undefined) lives.ended += 1;
      else failed(wrong);
    }
  };
  if (plan.livesPerSecond > 0) {
    for (const each of connections) {
      work(each).catch((error: unknown) => {
        if (!stopped) failed(`a sandbox's life: ${String(error)}`);
      });
    }
  }
  return lives;
}

/** One life. Returns what was wrong. */
async function live(
  plan: LivesPlan,
  connection: PushConnection,
  number: number,
): Promise<string | undefined> {
  const id = `life-${number}`;
  const host = `${plan.podPort}-${id}.bench.test`;
  const home = FIRST_ADDRESS + (number % ADDRESSES);
  const push = (state: string, address: number, version: number): Promise<void> =>
    connection.push(refreshRequest(id, number, state, podAddress(address), version));

  await push("running", home, 1);
  const first = await wrongAnswer(plan.port, host, home);
  if (first !== undefined) return `${id}, created: ${first}`;
  if (number % 2 === 0) {
    const other = home + ADDRESSES;
    await push("running", other, 2);
    const moved = await wrongAnswer(plan.port, host, other);
    if (moved !== undefined) return `${id}, moved: ${moved}`;
  }
  await push("dead", home, 3);
  const { status } = await ask(plan.port, host);
  return status >= 400 ? undefined : `${id}, ended: it still answers ${status}`;
}

function refreshRequest(id: string, number: number, state: string, ip: string, version: number): string {
  const hex = number.toString(16).padStart(12, "0");
  const body = JSON.stringify({
    ip,
    id,
    namespace: "soak",
    name: id,
    uid: `00000000-0000-4000-8000-${hex}`,
    owner: "soak",
    state,
    resourceVersion: String(version),
  });
  return `POST /refresh HTTP/1.1\r\nHost: peers\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

/** Asks for `host`; says what differs from the answer of the pod at `address`. */
async function wrongAnswer(port: number, host: string, address: number): Promise<string | undefined> {
  const { status, body } = await ask(port, host);
  if (status !== 200) return `the answer was ${status}: ${body.slice(0, 200)}`;
  const expected = bodyOf(address, RESPONSE_BYTES).toString("latin1");
  return body === expected ? undefined : `the body begins with ${body.slice(0, 24)}`;
}

/** One GET on a connection of its own. Rejects without a whole answer. */
function ask(port: number, host: string): Promise<Answer> {
  return new Promise((done, fail) => {
    let text = "";
    const socket = connectToProxy(port, {
      read: (buffer, length) => {
        text += buffer.toString("latin1", 0, length);
        const answer = answerIn(text);
        if (answer === undefined) return;
        done(answer);
        socket.destroy();
      },
      closed: (error) => {
        clearTimeout(timer);
        // After a whole answer it has no effect.
        fail(error ?? new Error(`the connection ended after ${JSON.stringify(text.slice(0, 200))}`));
      },
    });
    const timer = setTimeout(
      () => socket.destroy(new Error(`no whole answer within ${ANSWER_TIMEOUT_MS} ms`)),
      ANSWER_TIMEOUT_MS,
    );
    socket.write(`GET /r/${RESPONSE_BYTES} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`, "latin1");
  });
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** The answer that `text` holds, by its Content-Length; undefined while it is not whole. */
function answerIn(text: string): Answer | undefined {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1]);
  const length = Number(/\r\ncontent-length: *(\d+)/i.exec(text.slice(0, end))?.[1]);
  const body = text.slice(end + 4);
  return body.length >= length ? { status, body } : undefined;
}
