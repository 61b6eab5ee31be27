import { setImmediate as turn } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import { readHead, readMessage, valuesOf } from "../proxy/support/reference-http.ts";
import type { ReferenceHead, ReferenceMessage } from "../proxy/support/reference-http.ts";
import { RawPeer, RawPod } from "../proxy/support/raw-peer.ts";
import { Router } from "../proxy/support/router.ts";
import { eventually } from "../support/eventually.ts";
import { mutate, requestTo, responseTo } from "./grammar.ts";
import type { PlannedRequest } from "./grammar.ts";
import { Random } from "./random.ts";

export interface FuzzOptions {
  readonly seed: number;
  readonly lane: "fast" | "full";
  /** How much is done: for so many seconds, or the same work on every machine: so many client connections. */
  readonly amount: { readonly seconds: number } | { readonly talks: number };
  /** Client connections at a time. */
  readonly connections?: number;
}

export interface FuzzReport {
  readonly connections: number;
  readonly requests: number;
  readonly answered: number;
  readonly hurt: number;
  /** What must never happen, each with the bytes that led to it. */
  readonly violations: readonly string[];
  readonly heapGrowthBytes: number;
}

/** Sandboxes whose pods answer well. One more does not. */
const GOOD_PODS = 3;
const MAX_VIOLATIONS = 5;

/**
 * Drives a router with clients and pods whose messages come from a grammar, some of them hurt, in pieces, many connections
 * at a time. Everything that pods understand must be something that one client's bytes, read plainly, say; every response
 * must be for who gets it; legal requests to pods in order must be answered; nothing may be left behind.
 */
export async function fuzz(options: FuzzOptions): Promise<FuzzReport> {
  const run = new FuzzRun(options);
  await run.open();
  try {
    return await run.drive();
  } finally {
    await run.close();
  }
}

/** One client connection. */
interface Talk {
  readonly id: number;
  readonly plan: readonly PlannedRequest[];
  /** Every one is legal, and meant for a pod in order. */
  readonly isLegal: boolean;
  readonly wire: string;
  sent: string;
  /** What pods have seen of it. */
  readonly seen: Map<string, number>;
}

class FuzzRun {
  readonly #options: FuzzOptions;
  readonly #random: Random;
  readonly #talks = new Map<number, Talk>();
  readonly #violations: string[] = [];
  /** What pods said last, by what they said it to. */
  readonly #said = new Map<string, string>();
  #router!: Router;
  #pods: RawPod[] = [];
  #started = 0;
  #ended = 0;
  #connections = 0;
  #requests = 0;
  #answered = 0;
  #hurt = 0;

  constructor(options: FuzzOptions) {
    this.#options = options;
    this.#random = new Random(options.seed);
  }

  async open(): Promise<void> {
    this.#router = await Router.start({
      server: {
        fastLane: this.#options.lane === "fast",
        observer: {
          requestStarted: () => {
            this.#started += 1;
          },
          requestEnded: () => {
            this.#ended += 1;
          },
        },
      },
    });
    for (let i = 0; i <= GOOD_PODS; i++) {
      const pod = await RawPod.listen();
      this.#router.routes.run(`b${i}`);
      const random = this.#random.fork();
      pod.onConnection = (peer) => this.#serve(pod, peer, i === GOOD_PODS, random.fork());
      this.#pods.push(pod);
    }
  }

  async close(): Promise<void> {
    await this.#router.close();
    for (const pod of this.#pods) await pod.close();
  }

  async drive(): Promise<FuzzReport> {
    const { amount, connections = 48 } = this.#options;
    const startedMs = performance.now();
    const done = () =>
      "talks" in amount
        ? this.#connections / amount.talks
        : (performance.now() - startedMs) / (amount.seconds * 1000);
    let heapEarly = 0;
    const client = async () => {
      while (done() < 1 && this.#violations.length < MAX_VIOLATIONS) {
        await this.#talk(this.#random.fork());
        if (heapEarly === 0 && done() > 0.3) heapEarly = heapBytes();
      }
    };
    await Promise.all(Array.from({ length: connections }, client));
    await this.#settle();
    return {
      connections: this.#connections,
      requests: this.#requests,
      answered: this.#answered,
      hurt: this.#hurt,
      violations: this.#violations,
      heapGrowthBytes: heapBytes() - heapEarly,
    };
  }

  /** Nothing is left behind. */
  async #settle(): Promise<void> {
    const { server, upstreams, errors } = this.#router;
    await eventually(() => server.connections.open === 0).catch(() =>
      this.#violate(`${server.connections.open} client connections are left`),
    );
    for (const { connections } of this.#pods) for (const { socket } of connections) socket.destroy();
    await eventually(() => upstreams.stats.open === 0).catch(() =>
      this.#violate(`${upstreams.stats.open} pod connections are left`),
    );
    if (this.#started !== this.#ended)
      this.#violate(`${this.#started} requests started, ${this.#ended} records`);
    for (const error of errors) this.#violate(`logged: ${JSON.stringify(error)}`);
  }

  #violate(what: string, talk?: Talk): void {
    if (this.#violations.length >= MAX_VIOLATIONS) return;
    const said = [...this.#said].filter(([target]) => target.startsWith(`/${talk?.id}/`));
    const sent =
      talk === undefined
        ? ""
        : `\n  sent: ${JSON.stringify(brief(talk.sent))}\n  said: ${JSON.stringify(said).slice(0, 4000)}`;
    this.#violations.push(`${what}${sent}`);
  }

  #plan(random: Random): Talk {
    const id = ++this.#connections;
    const isRogue = random.percent(15);
    const count = 1 + random.below(6);
    const plan: PlannedRequest[] = [];
    for (let number = 1; number <= count; number++) {
      const pod = isRogue ? GOOD_PODS : random.below(GOOD_PODS);
      const host = `${this.#pods[pod]?.port}-b${pod}.example.com`;
      plan.push(requestTo(host, `${id}/${number}`, number === count, random));
    }
    let wire = plan.map(({ text }) => text).join("");
    const isHurt = random.percent(40);
    if (isHurt) wire = mutate(wire, random);
    const isCut = random.percent(5);
    if (isCut) wire = wire.slice(0, random.below(wire.length));
    this.#requests += count;
    if (isHurt) this.#hurt += 1;
    return { id, plan, isLegal: !isRogue && !isHurt && !isCut, wire, sent: "", seen: new Map() };
  }

  async #talk(random: Random): Promise<void> {
    const talk = this.#plan(random);
    let client: RawPeer;
    try {
      client = await RawPeer.connect(this.#router.port, true);
    } catch {
      // No port is free for the moment.
      await turn();
      return;
    }
    this.#talks.set(talk.id, talk);
    try {
      await this.#send(talk, client, random);
      if (talk.isLegal) await this.#awaitAll(talk, client);
      else await this.#awaitQuiet(client, random);
      this.#checkAnswers(talk, client);
    } finally {
      client.socket.resetAndDestroy();
      this.#talks.delete(talk.id);
    }
  }

  async #send(talk: Talk, client: RawPeer, random: Random): Promise<void> {
    const pieceBytes = random.pick([1, 20, 100, 2000, 100_000]);
    // Byte by byte only for what is short.
    const least = Math.ceil(talk.wire.length / 100);
    while (talk.sent.length < talk.wire.length && !client.closed && !client.ended) {
      const size = Math.max(least, 1 + random.below(pieceBytes));
      const piece = talk.wire.slice(talk.sent.length, talk.sent.length + size);
      talk.sent += piece;
      client.write(piece);
      for (let i = random.below(3); i > 0; i--) await turn();
      // A client that waits for the 100 or the response.
      if (random.percent(1)) for (let i = 0; i < 10; i++) await turn();
      if (!talk.isLegal && random.percent(1) && random.percent(20)) client.reset();
    }
  }

  async #awaitAll(talk: Talk, client: RawPeer): Promise<void> {
    await eventually(
      () => client.ended || client.closed || this.#finals(talk, client).length >= talk.plan.length,
      {
        everyMs: 1,
      },
    ).catch(() => this.#violate("a legal request was not answered", talk));
    const answered = this.#finals(talk, client).length;
    if (answered !== talk.plan.length && this.#violations.length === 0) {
      this.#violate(
        `${answered} of ${talk.plan.length} legal requests were answered: ${client.received.slice(-500)}`,
        talk,
      );
    }
  }

  /** Until it is closed, or long silent. */
  async #awaitQuiet(client: RawPeer, random: Random): Promise<void> {
    let silent = 0;
    let heard = client.received.length;
    const patience = 20 + random.below(40);
    while (!client.closed && !client.ended && silent < patience) {
      await turn();
      silent = client.received.length === heard ? silent + 1 : 0;
      heard = client.received.length;
    }
    if (random.percent(30)) client.end();
    if (random.percent(30)) for (let i = 0; i < 20; i++) await turn();
  }

  /** What the client got, read plainly. */
  #messages(talk: Talk, client: RawPeer): { messages: ReferenceMessage[]; fault: string | undefined } {
    const methods = talk.isLegal
      ? talk.plan.map(({ method }) => method)
      : requestsOf(talk.sent).map(({ method }) => method);
    const messages: ReferenceMessage[] = [];
    let at = 0;
    let finals = 0;
    while (at < client.received.length) {
      const toHead = methods[finals] === "HEAD";
      const read = readMessage(client.received, at, "response", { toHead, ended: client.ended });
      if (read.kind === "malformed") return { messages, fault: read.why };
      if (read.kind === "incomplete") break;
      messages.push(read.value);
      at = read.value.end;
      if (read.value.status >= 200) finals += 1;
    }
    return { messages, fault: undefined };
  }

  #finals(talk: Talk, client: RawPeer): ReferenceMessage[] {
    return this.#messages(talk, client).messages.filter(({ status }) => status >= 200);
  }

  #checkAnswers(talk: Talk, client: RawPeer): void {
    const { messages, fault } = this.#messages(talk, client);
    const isRogue = talk.plan.some(({ text }) => text.includes(`-b${GOOD_PODS}.`));
    if (fault !== undefined && !isRogue)
      this.#violate(
        `the client got a malformed response (${fault}): ${client.received.slice(0, 2000)}`,
        talk,
      );
    const finals = messages.filter(({ status }) => status >= 200);
    // One more for what can't be read.
    const most = requestsOf(talk.sent).length + 1;
    if (finals.length > most && !isRogue)
      this.#violate(`${finals.length} responses to ${most} requests`, talk);
    let last = 0;
    for (const { fields, body, framing } of finals) {
      const [tag] = valuesOf(fields, "x-for");
      // A hurt target may name nobody.
      if (tag === undefined || !/^[0-9]+\/[0-9]+$/.test(tag)) continue;
      this.#answered += 1;
      if (isRogue) continue;
      const [connection, number] = tag.split("/").map(Number);
      // A hurt target may bear another's number.
      if (connection !== talk.id && !talk.sent.includes(`/${tag}/?`))
        this.#violate(`the client got the response of ${tag}`, talk);
      if (number === undefined || (number <= last && talk.isLegal))
        this.#violate(`${tag} out of order`, talk);
      last = number ?? last;
      if (framing !== "none" && body.replaceAll(`<${tag}>`, "") !== "")
        this.#violate(`the body of ${tag} is another's`, talk);
      if (valuesOf(fields, "x-secret").length > 0) this.#violate("a nominated field was passed on", talk);
    }
    if (talk.isLegal && this.#violations.length === 0) {
      for (const [i, { status, fields }] of finals.entries()) {
        const [tag] = valuesOf(fields, "x-for");
        if (tag !== talk.plan[i]?.tag) this.#violate(`request ${i + 1} got ${status} for ${tag}`, talk);
      }
    }
  }

  #serve(pod: RawPod, peer: RawPeer, isRogue: boolean, random: Random): void {
    let at = 0;
    let answeredEarly = false;
    let queue: Promise<void> = Promise.resolve();
    const say = ({ method, target }: ReferenceHead) => {
      const { text, closes } = responseTo(method, target, random);
      this.#said.set(target, text);
      const [oldest] = this.#said.keys();
      if (this.#said.size > 500 && oldest !== undefined) this.#said.delete(oldest);
      const hurt = isRogue && random.percent(60) ? mutate(text, random) : text;
      queue = queue.then(() => recite(peer, hurt, closes || isRogue, random));
    };
    peer.socket.on("close", () => {
      const index = pod.connections.indexOf(peer);
      if (index !== -1) pod.connections.splice(index, 1);
    });
    peer.socket.on("end", () => peer.socket.end());
    peer.socket.on("data", () => {
      for (;;) {
        const head = readHead(peer.received, at, "request");
        if (head.kind === "ok" && head.value.target.includes("?early&") && !answeredEarly) {
          answeredEarly = true;
          say(head.value);
        }
        const read = readMessage(peer.received, at, "request");
        if (read.kind === "malformed") {
          this.#violate(`a pod got what is malformed (${read.why}): ${peer.received.slice(at, at + 2000)}`);
          peer.socket.destroy();
        }
        if (read.kind !== "ok") return;
        peer.received = peer.received.slice(read.value.end);
        at = 0;
        this.#attribute(read.value);
        if (!answeredEarly) say(read.value);
        answeredEarly = false;
      }
    });
  }

  /** Finds whose request this is: some client must have sent it, and not have been heard with it before. */
  #attribute(message: ReferenceMessage): void {
    const key = keyOf(message);
    for (const talk of this.#talks.values()) {
      const count = requestsOf(talk.sent).filter((each) => keyOf(each) === key).length;
      const before = talk.seen.get(key) ?? 0;
      if (count > before) {
        talk.seen.set(key, before + 1);
        return;
      }
    }
    const [, id] = /^\/([0-9]+)\//.exec(message.target) ?? [];
    const talk = this.#talks.get(Number(id));
    // One that has left meanwhile can't be asked.
    if (talk === undefined && Number(id) <= this.#connections && id !== undefined) return;
    const meant = talk && requestsOf(talk.wire).find(({ target }) => target === message.target);
    const at =
      meant === undefined ? 0 : message.body.split("").findIndex((char, i) => char !== meant.body[i]);
    this.#violate(
      `a pod got what no client sent: ${JSON.stringify(key.slice(0, 100))}, ${message.body.length} bytes, from ${at} on wrong: ${JSON.stringify(message.body.slice(at, at + 200))}`,
      talk,
    );
  }
}

/** Says it in pieces. */
async function recite(peer: RawPeer, text: string, closes: boolean, random: Random): Promise<void> {
  const pieceBytes = Math.max(random.pick([1, 20, 1000, 100_000]), Math.ceil(text.length / 60));
  for (let at = 0; at < text.length && !peer.closed;) {
    const size = 1 + random.below(pieceBytes);
    peer.write(text.slice(at, at + size));
    at += size;
    for (let i = random.below(3); i > 0; i--) await turn();
  }
  if (closes) peer.end();
}

/**
 * What a client's bytes say, read plainly but for what llhttp, which has the word in the full lane, is lenient about:
 * several spaces in a request line, and any CR and LF before it.
 */
function requestsOf(sent: string): ReferenceMessage[] {
  const messages: ReferenceMessage[] = [];
  let text = sent;
  for (;;) {
    text = text.replace(/^[\r\n]+/, "").replace(/^([^\s]+) +([^\s]+) +(HTTP\/1\.[01]\r\n)/, "$1 $2 $3");
    const read = readMessage(text, 0, "request");
    if (read.kind !== "ok") return messages;
    messages.push(read.value);
    text = text.slice(read.value.end);
  }
}

function keyOf({ method, target, body }: ReferenceMessage): string {
  const path = target.replace(/^https?:\/\/[^/?]*/i, "");
  return `${method} ${path.startsWith("/") ? path : `/${path}`}\n${body}`;
}

/** Long ones without their middle. */
function brief(text: string): string {
  return text.length > 6000 ? `${text.slice(0, 4000)}<<< ${text.length} >>>${text.slice(-2000)}` : text;
}

/** After the garbage is gone. */
function heapBytes(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  return process.memoryUsage().heapUsed;
}
