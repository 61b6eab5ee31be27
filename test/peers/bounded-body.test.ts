import { ByteBudget } from "../../src/system/byte-budget.ts";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";

import { expect, onTestFinished, test } from "vitest";

import { readBoundedBody } from "../../src/peers/bounded-body.ts";
import type { BoundedBody } from "../../src/peers/bounded-body.ts";

const BUDGET_BYTES = 100_000;

/** A server that reads bodies against one budget, and what became of them. */
async function reader(): Promise<{ budget: ByteBudget; port: number; results: BoundedBody[] }> {
  const budget = new ByteBudget(BUDGET_BYTES);
  const results: BoundedBody[] = [];
  const server = createServer((incoming, response) => {
    void readBoundedBody(incoming, { maxBytes: 50_000, drainBytes: 100_000, budget }).then((result) => {
      results.push(result);
      response.end();
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  onTestFinished(() => void server.close());
  return { budget, port: (server.address() as AddressInfo).port, results };
}

/** Sends a chunked body, each piece when the one before is with the kernel; resolves when it is answered. */
async function post(port: number, pieces: readonly string[]): Promise<void> {
  const outgoing = request({ port, host: "127.0.0.1", method: "POST", agent: false });
  const answered = new Promise<void>((resolve, reject) => {
    outgoing.on("response", (response) => response.resume().on("end", resolve)).on("error", reject);
  });
  for (const piece of pieces) {
    await new Promise((resolve) => {
      outgoing.write(piece, resolve);
    });
    await new Promise((resolve) => setImmediate(resolve));
  }
  outgoing.end();
  await answered;
}

test.each([
  { name: "fits its first buffer", bytes: 100, kind: "complete" },
  { name: "grew several times", bytes: 45_000, kind: "complete" },
  { name: "grew, and then was too long", bytes: 60_000, kind: "too_large" },
])("the memory of a body that $name is given back", async ({ bytes, kind }) => {
  const { budget, port, results } = await reader();
  for (let i = 0; i < 3; i++) await post(port, Array(10).fill("x".repeat(bytes / 10)));
  expect(results.map((result) => result.kind)).toEqual(Array(3).fill(kind));
  expect(budget.free).toBe(BUDGET_BYTES);
});
