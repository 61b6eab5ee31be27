import { setTimeout as sleep } from "node:timers/promises";

import { DEFAULTS } from "../../support/defaults.ts";
import { PATIENCE_MS } from "../../support/eventually.ts";
import type { Field, ReferenceMessage } from "./reference-http.ts";
import { readMessage, readMessages } from "./reference-http.ts";
import { RawPeer, RawPod } from "./raw-peer.ts";
import { Router } from "./router.ts";
import { strayWays } from "./transitions.ts";

/** A request as a pod understood it. */
export interface Seen {
  readonly line: string;
  readonly host: readonly string[];
  readonly fields: readonly Field[];
  readonly body: string;
  readonly trailers: readonly Field[];
}

/** A response as the client understood it. */
export interface Answer {
  readonly status: string;
  readonly fields: readonly Field[];
  readonly body: string;
  readonly trailers: readonly Field[];
}

/** What came of one connection. */
export interface Outcome {
  readonly seen: readonly Seen[];
  /** Bytes that reached a pod and were no complete request. */
  readonly partial: string;
  /** What a pod could not understand. */
  readonly podFaults: readonly string[];
  readonly answers: readonly Answer[];
  /** Bytes at the end that were no complete response: one that was cut. */
  readonly unanswered: string;
  /** `open`: a request that was sent afterwards was answered. `closed`: by a FIN. `reset`: by a RST. */
  readonly connection: "open" | "closed" | "reset" | "hangs";
  /**
   * Connections to the pod. One more than for the requests that are compared, when the pod's connection was not used again
   * for the one that was sent afterwards.
   */
  readonly connects: number;
  readonly reasons: readonly string[];
  readonly records: number;
  readonly started: number;
}

/** What happens on one client connection. */
export interface Script {
  /** With `HOST` and `PORT` where those of the pod stand. */
  readonly send: string;
  /** Where it is cut into pieces that are sent one after the other; offsets when the gaps are filled. */
  readonly cuts?: readonly number[];
  /** The client ends its side instead of asking for one thing more. */
  readonly cutShort?: boolean;
  /** How the pod answers the first request that it gets: with these bytes, and then so. Default: `200` and the target. */
  readonly reply?: {
    readonly send: string;
    readonly cuts?: readonly number[];
    readonly after: "keep" | "close" | "reset";
  };
}

const SENTINEL = "/sentinel";
/** Said of one connection, or of the way in which a message is framed. */
const HOP_FIELDS = new Set(["connection", "keep-alive", "content-length", "transfer-encoding", "date"]);

/** Lets everything happen that is about to. */
export async function turns(count = 3): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** Like `eventually`, without sleeping at first: thousands of these follow each other. False after `timeoutMs`. */
export async function turnsUntil(condition: () => boolean, timeoutMs = PATIENCE_MS): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  for (let turn = 0; !condition(); turn++) {
    if (performance.now() > deadline) return false;
    if (turn < 40) await turns(1);
    else await sleep(5);
  }
  return true;
}

function howEnded(client: RawPeer): "closed" | "reset" {
  return client.errorCode === "ECONNRESET" ? "reset" : "closed";
}

function piecesOf(text: string, cuts: readonly number[] = []): string[] {
  return [0, ...cuts].map((cut, i) => text.slice(cut, cuts[i]));
}

/** As long as all that stand in its place. */
const HOST_LIKE = "12345-box.example.com";

/** As long as the text is when its gaps are filled: ports of tests have five digits. */
export function filledLike(text: string): string {
  return text.replaceAll("HOST", HOST_LIKE).replaceAll("PORT", "12345");
}

/** A router of one lane with a pod of its own, which reads strictly. Used for one connection after the other. */
export class Station {
  readonly router: Router;
  readonly #pod: RawPod;
  #seen: ReferenceMessage[] = [];
  #partial = "";
  #faults: string[] = [];
  #reply: Script["reply"];

  private constructor(router: Router, pod: RawPod) {
    this.router = router;
    this.#pod = pod;
    router.routes.run("box");
    pod.onConnection = (peer) => this.#serve(peer);
  }

  static async open(lane: "fast" | "full"): Promise<Station> {
    const router = await Router.start({
      // What is compared is HTTP/1.1: the preface of HTTP/2 is one of the things that are refused.
      server: {
        fastLane: lane === "fast",
        viaPseudonym: "lychgate-station",
        http2: { ...DEFAULTS.http2, enabled: false },
      },
    });
    return new Station(router, await RawPod.listen());
  }

  async close(): Promise<void> {
    await this.router.close();
    await this.#pod.close();
    const stray = strayWays();
    if (stray.length > 0) throw new Error(`ways that no table has: ${stray.join(", ")}`);
  }

  async run(script: Script): Promise<Outcome> {
    const { router } = this;
    this.#seen = [];
    this.#partial = "";
    this.#faults = [];
    this.#reply = script.reply;
    this.#pod.connections.length = 0;
    router.records.length = 0;
    router.started = 0;

    const whole = this.#filled(script.send);
    const methods = readMessages(whole, "request").messages.map(({ method }) => method);
    const client = await router.client(true);
    for (const piece of piecesOf(whole, script.cuts)) {
      client.write(piece);
      await turns();
    }
    let connection: Outcome["connection"] = "closed";
    if (script.cutShort) {
      // All that was sent has been read when a later connection was served.
      await this.#barrier();
      client.end();
      await turnsUntil(() => client.closed || client.ended);
      connection = howEnded(client);
    } else {
      if (script.reply) {
        await turnsUntil(() => client.ended || client.closed || this.#answers(client, methods).length > 0);
        await turns();
      }
      client.write(this.#filled(`GET ${SENTINEL} HTTP/1.1\r\nHost: HOST\r\n\r\n`));
      const isOpen = () => this.#answers(client, methods).some(({ body }) => body === SENTINEL);
      const settled = await turnsUntil(() => client.ended || client.closed || isOpen());
      connection = isOpen() ? "open" : settled ? howEnded(client) : "hangs";
    }
    const connects = this.#pod.connections.length;
    await turns();
    client.socket.destroy();
    await turnsUntil(() => router.server.connections.open === 0);
    for (const { socket } of this.#pod.connections) socket.destroy();
    const isClean = await turnsUntil(
      () => router.upstreams.stats.open === 0 && router.records.length >= router.started,
    );
    if (!isClean) throw new Error("a connection to the pod, or a request, was left behind");
    if (router.errors.length > 0) throw new Error(JSON.stringify(router.errors));

    const answers = this.#answers(client, methods);
    const read = this.#readAnswers(client, methods);
    return {
      seen: this.#seen.filter(({ target }) => target !== SENTINEL).map((message) => this.#seenOf(message)),
      partial: this.#named(this.#partial),
      podFaults: this.#faults,
      answers: answers.filter(({ body }) => body !== SENTINEL).map((message) => this.#answerOf(message)),
      unanswered: read.rest,
      connection,
      connects,
      reasons: router.records.map(({ reason }) => reason),
      records: router.records.length,
      started: router.started,
    };
  }

  /** One request on a connection of its own. */
  async #barrier(): Promise<void> {
    for (let i = 0; i < 2; i++) {
      const other = await RawPeer.connect(this.router.port);
      other.write("GET / HTTP/1.1\r\nHost: nothing\r\nConnection: close\r\n\r\n");
      await turnsUntil(() => other.ended);
      other.socket.destroy();
    }
  }

  #serve(peer: RawPeer): void {
    let at = 0;
    peer.socket.on("close", () => {
      this.#partial += peer.received.slice(at);
    });
    peer.socket.on("end", () => peer.socket.end());
    peer.socket.on("data", () => {
      for (;;) {
        const read = readMessage(peer.received, at, "request");
        if (read.kind === "malformed") {
          this.#faults.push(read.why);
          peer.socket.destroy();
        }
        if (read.kind !== "ok") return;
        at = read.value.end;
        if (read.value.minor !== 1) this.#faults.push(`HTTP/1.${read.value.minor}`);
        this.#seen.push(read.value);
        this.#answer(peer, read.value);
      }
    });
  }

  #answer(peer: RawPeer, { method, target }: ReferenceMessage): void {
    const reply = this.#reply;
    this.#reply = undefined;
    if (reply) {
      void this.#recite(peer, reply);
      return;
    }
    const head = `HTTP/1.1 200 OK\r\nX-Pod: yes\r\nContent-Length: ${target.length}\r\n\r\n`;
    peer.write(method === "HEAD" ? head : head + target);
  }

  async #recite(peer: RawPeer, reply: NonNullable<Script["reply"]>): Promise<void> {
    for (const piece of piecesOf(reply.send, reply.cuts)) {
      peer.write(piece);
      await turns();
    }
    if (reply.after === "close") peer.end();
    else if (reply.after === "reset") peer.reset();
  }

  #readAnswers(client: RawPeer, methods: readonly string[]): { messages: ReferenceMessage[]; rest: string } {
    const messages: ReferenceMessage[] = [];
    let at = 0;
    let finals = 0;
    while (at < client.received.length) {
      const toHead = methods[finals] === "HEAD";
      const read = readMessage(client.received, at, "response", { toHead, ended: client.ended });
      if (read.kind === "malformed") throw new Error(`the client got ${read.why}`);
      if (read.kind === "incomplete") break;
      messages.push(read.value);
      at = read.value.end;
      if (read.value.status >= 200) finals += 1;
    }
    return { messages, rest: client.received.slice(at) };
  }

  #answers(client: RawPeer, methods: readonly string[]): ReferenceMessage[] {
    return this.#readAnswers(client, methods).messages.filter(({ status }) => status !== 100);
  }

  #seenOf({ method, target, fields, body, trailers }: ReferenceMessage): Seen {
    return {
      line: this.#named(`${method} ${target}`),
      host: fields.filter(([name]) => name.toLowerCase() === "host").map(([, value]) => this.#named(value)),
      fields: this.#fields(fields).filter(([name]) => name.toLowerCase() !== "host"),
      body,
      trailers,
    };
  }

  #answerOf({ status, phrase, fields, body, trailers }: ReferenceMessage): Answer {
    return { status: `${status} ${phrase}`, fields: this.#fields(fields), body: this.#named(body), trailers };
  }

  #fields(fields: readonly Field[]): Field[] {
    return fields
      .filter(([name]) => !HOP_FIELDS.has(name.toLowerCase()))
      .map(([name, value]) => [name, this.#named(value)]);
  }

  #filled(text: string): string {
    return text
      .replaceAll("HOST", `${this.#pod.port}-box.example.com`)
      .replaceAll("PORT", String(this.#pod.port));
  }

  /** Without what is different for each station and request. */
  #named(text: string): string {
    return (
      text
        // First: the digits of an ID may spell a port.
        .replace(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/, "UUID")
        .replaceAll(String(this.#pod.port), "POD-PORT")
        .replaceAll(String(this.router.port), "PORT")
    );
  }
}
