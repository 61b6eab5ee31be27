import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { setImmediate as turn } from "node:timers/promises";
import type { Clock, Milliseconds } from "../system/clock.ts";
import { remoteAddressOf } from "../system/ip-address.ts";
import { PushBudget, type PushRates } from "./push-budget.ts";

/** Answers other replicas: `path` and `query` of a GET. Must not throw. */
export type AnswerReplica = (
  path: string,
  query: string,
) => { readonly status: number; readonly body: string };

/** Answers replicas. */
export interface ReplicaAnswers {
  readonly answer: AnswerReplica;
  /**
   * Writes a snapshot of the whole table, in slices; `write` resolves when more may come and rejects when who asked has left.
   * Undefined while there is none to give.
   */
  readonly snapshot: () => ((write: (lines: string) => Promise<void>) => Promise<void>) | undefined;
}

/** Options of {@link replicaRequestListener}. */
export interface ReplicaRequestOptions {
  readonly answers: ReplicaAnswers;
  /** Whether an address may ask: who may push. */
  readonly mayAsk: (address: string) => boolean;
  readonly clock: Clock;
}

/** Of one replica, and of all: a whole comparison of 100,000 sandboxes takes about 400 requests and 50 MB. */
const RATES: PushRates = {
  pushesPerSender: 100,
  bytesPerSender: 16 * 1024 * 1024,
  pushesInAll: 400,
  bytesInAll: 32 * 1024 * 1024,
};
/** Answers that are not yet taken by who asked: each may have half a MiB. */
const MAX_UNSENT = 16;

/** Who asks must take the answer within this time. */
const TAKE_WITHIN_MS: Milliseconds = 10_000;
const TAKE_SNAPSHOT_WITHIN_MS: Milliseconds = 120_000;

const HEADERS = { "x-content-type-options": "nosniff", "cache-control": "no-store" } as const;

/**
 * Answers `GET /anti-entropy/…` of replicas (docs/peers.md#anti-entropy): 403 for who may not, 405 for other methods, 429 and
 * 503 above what one, or all, may ask for.
 */
export function replicaRequestListener({ answers, mayAsk, clock }: ReplicaRequestOptions) {
  const budget = new PushBudget(RATES, clock.monotonicMs());
  let unsent = 0;
  let isSendingSnapshot = false;

  /** One at a time. Cuts the connection when it can't be whole: who reads it sees that by its end. */
  async function sendSnapshot(
    response: ServerResponse,
    writeAll: (write: (lines: string) => Promise<void>) => Promise<void>,
  ): Promise<void> {
    isSendingSnapshot = true;
    const tooLate = clock.setTimeout(() => response.destroy(), TAKE_SNAPSHOT_WITHIN_MS);
    const left = new AbortController();
    response.once("close", () => left.abort());
    response.writeHead(200, { ...HEADERS, "content-type": "application/x-ndjson" });
    try {
      await writeAll(async (lines) => {
        const isTaken = response.write(lines);
        // The event loop has its turn in any case.
        await (isTaken ? turn() : once(response, "drain", { signal: left.signal }));
        if (response.destroyed) throw new Error("who asked has left");
      });
      response.end();
    } catch {
      response.destroy();
    } finally {
      tooLate.clear();
      isSendingSnapshot = false;
    }
  }

  return (request: IncomingMessage, response: ServerResponse, path: string, query: string): void => {
    const from = remoteAddressOf(request.socket) || "unknown";
    const refuse = (status: number, body: string, headers: Readonly<Record<string, string>> = {}): void => {
      response.writeHead(status, { ...HEADERS, "content-type": "text/plain; charset=utf-8", ...headers });
      response.end(body);
    };
    if (!mayAsk(from)) {
      refuse(403, "not allowed to compare routes\n", { connection: "close" });
      return;
    }
    if (request.method !== "GET") {
      refuse(405, "Method Not Allowed\n", { allow: "GET" });
      return;
    }
    const admission = budget.admitPush(from, clock.monotonicMs());
    if (admission !== "admitted" || unsent >= MAX_UNSENT) {
      const status = admission === "sender" ? 429 : 503;
      refuse(status, "too many comparisons at once\n", { "retry-after": "1" });
      return;
    }
    if (path === "/anti-entropy/snapshot") {
      const writeAll = isSendingSnapshot ? undefined : answers.snapshot();
      if (writeAll) void sendSnapshot(response, writeAll);
      else refuse(503, "there is no snapshot to give now\n", { "retry-after": "1" });
      return;
    }
    const { status, body } = answers.answer(path, query);
    const bytes = Buffer.from(body);
    budget.admitBody(from, bytes.length, clock.monotonicMs());
    unsent += 1;
    const tooLate = clock.setTimeout(() => response.destroy(), TAKE_WITHIN_MS);
    response.once("close", () => {
      unsent -= 1;
      tooLate.clear();
    });
    const type = status === 200 ? "application/json" : "text/plain; charset=utf-8";
    response.writeHead(status, { ...HEADERS, "content-type": type, "content-length": bytes.length });
    response.end(bytes);
  };
}
