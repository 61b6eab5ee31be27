import { STATUS_CODES } from "node:http";
import type { Clock, Milliseconds } from "../../system/clock.ts";

/** What a peer is answered. */
export interface PeerReply {
  readonly status: number;
  /** Text; of a 204 it is empty. */
  readonly body: string;
  /** Header fields beside those that each reply has. With `connection: close` the connection ends with it. */
  readonly fields: Readonly<Record<string, string>>;
}

/** What Go's http.Error adds to a text, and so each reply with a body has. */
export const TEXT_FIELDS = {
  "content-type": "text/plain; charset=utf-8",
  "x-content-type-options": "nosniff",
} as const;

/** Longer than the 90 seconds for which Go's HTTP client keeps an idle connection, so that it closes first. */
export const KEEP_ALIVE_TIMEOUT_MS: Milliseconds = 120_000;

/** Whether the connection ends with a reply. */
export function isLastReply({ fields }: PeerReply): boolean {
  return fields["connection"] === "close";
}

/** Writes replies byte for byte as node:http does, so that peers can't see which of the two answers. */
export class ReplyWriter {
  readonly #clock: Clock;
  #second = -1;
  #date = "";
  #noContent = "";

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** `isLast`: the connection ends with it, whatever the reply says. */
  textOf(reply: PeerReply, isLast: boolean): string {
    this.#lookAtClock();
    const { status, body, fields } = reply;
    if (status === 204 && !isLast) return this.#noContent;
    let text = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n`;
    if (status !== 204) {
      const all = { ...TEXT_FIELDS, ...fields, "content-length": Buffer.byteLength(body) };
      for (const [name, value] of Object.entries(all)) text += `${name}: ${value}\r\n`;
    }
    text += `Date: ${this.#date}\r\n`;
    if (fields["connection"] === undefined) text += isLast ? CLOSE : KEEP_ALIVE;
    return `${text}\r\n${body}`;
  }

  #lookAtClock(): void {
    const nowMs = this.#clock.nowMs();
    const second = Math.floor(nowMs / 1_000);
    if (second === this.#second) return;
    this.#second = second;
    this.#date = new Date(nowMs).toUTCString();
    this.#noContent = `HTTP/1.1 204 No Content\r\nDate: ${this.#date}\r\n${KEEP_ALIVE}\r\n`;
  }
}

const CLOSE = "Connection: close\r\n";
const KEEP_ALIVE = `Connection: keep-alive\r\nKeep-Alive: timeout=${KEEP_ALIVE_TIMEOUT_MS / 1_000}\r\n`;
