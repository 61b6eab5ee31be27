import fc from "fast-check";
import { expect, test } from "vitest";

import { Deadlines } from "../../src/proxy/limits/deadlines.ts";
import { forwardRequestHead } from "../../src/proxy/forwarding/forwarding.ts";
import { RESPONSE_FIELDS } from "../../src/proxy/forwarding/field-rules.ts";
import { requestFields } from "../../src/proxy/forwarding/request-fields.ts";
import { FieldIndex } from "../../src/proxy/http1/field-index.ts";
import { HeadScan } from "../../src/proxy/http1/head-scan.ts";
import { scanRequestHead, scanResponseHead } from "../../src/proxy/http1/head-scanner.ts";
import { requestIdOf } from "../../src/proxy/record/request-id.ts";
import {
  addedFields,
  orderedRequestHead,
  plainRequestHead,
} from "../../src/proxy/forwarding/request-text.ts";
import { orderedResponseHead, plainResponse } from "../../src/proxy/forwarding/response-head.ts";
import { ScannedHead } from "../../src/proxy/http1/scanned-head.ts";
import { latin1, plainRequestHeads, responseHeads } from "./corpus/arbitraries.ts";
import { ManualClock } from "./support/manual-clock.ts";
import { readHead } from "./support/reference-http.ts";
import type { Field } from "./support/reference-http.ts";

const responseFields = new FieldIndex(RESPONSE_FIELDS);

/** Fields but for where those stand that the ordered way writes at the end. */
function decoded(
  text: string,
  kind: "request" | "response",
): { first: string; fields: Field[]; coding: Field[] } {
  const read = readHead(text, 0, kind);
  if (read.kind !== "ok") throw new Error(`${kind} ${read.kind}: ${JSON.stringify(text)}`);
  expect(read.value.end).toBe(text.length);
  const isCoding = ([name]: Field) => name.toLowerCase() === "transfer-encoding";
  return {
    first: text.slice(0, text.indexOf("\r\n")),
    fields: read.value.fields.filter((field) => !isCoding(field)),
    coding: read.value.fields
      .filter(isCoding)
      .map(([name, value]) => [name.toLowerCase(), value.toLowerCase()]),
  };
}

test.each([false, true])(
  "a plain request's head is what the forwarding rules make of its fields (trustForwarded: %s)",
  (trustForwarded) => {
    const viaPseudonym = "lychgate-0123";
    const routing = new Set(["host", "e2b-sandbox-id"]);
    const { index } = requestFields({ routing, trustForwarded, viaPseudonym });
    let plain = 0;
    fc.assert(
      fc.property(plainRequestHeads, fc.constantFrom("http", "https"), (text, scheme) => {
        const bytes = latin1(`xyz${text}`);
        const scan = new HeadScan();
        const end = scanRequestHead(bytes, 3, bytes.length, index, scan);
        // Others go the ordered way.
        fc.pre(end > 0 && scan.traits === 0 && scan.hostStart >= 0);
        const head = new ScannedHead(text, 3, scan);
        const host = text.slice(scan.hostStart - 3, scan.hostEnd - 3);
        const requestId = requestIdOf(head.rawHeaders);
        const common = { clientAddress: "10.1.2.3", via: `1.1 ${viaPseudonym}` };
        const forwarded = forwardRequestHead(head, head.target, {
          ...common,
          scheme,
          requestId,
          trustForwarded,
        });
        if (forwarded.kind !== "forward") throw new Error(forwarded.message);
        const ordered = decoded(orderedRequestHead(forwarded, "10.0.0.1:80"), "request");
        const added = addedFields(common.clientAddress, scheme, host, common.via);
        expect(decoded(plainRequestHead(text, 3, scan, added, requestId), "request")).toEqual(ordered);
        plain += 1;
      }),
      { numRuns: 600 },
    );
    expect(plain).toBeGreaterThan(300);
  },
);

test("a plain response's head is what the forwarding rules make of its fields", () => {
  fc.assert(
    fc.property(responseHeads, fc.boolean(), (text, mustClose) => {
      const bytes = latin1(`xyz${text}`);
      const scan = new HeadScan();
      const end = scanResponseHead(bytes, 3, bytes.length, responseFields, scan);
      fc.pre(end > 0 && scan.traits === 0 && scan.status >= 200 && scan.status !== 204);
      const date = scan.hasDate ? "" : "Date: today\r\n";
      const ordered = orderedResponseHead(text, scan.status, mustClose, date, scan.chunked);
      if (ordered.kind !== "head") throw new Error(ordered.message);
      const plain = decoded(plainResponse(bytes, 3, end, end, scan, mustClose, date), "response");
      const expected = decoded(ordered.text, "response");
      expect({ ...plain, first: plain.first.trimEnd() }).toEqual({
        ...expected,
        first: expected.first.trimEnd(),
      });
    }),
    { numRuns: 400 },
  );
});

test("deadlines are never early, and late by two ticks at most", () => {
  const step = fc.record({
    passMs: fc.integer({ min: 1, max: 9 }),
    limitMs: fc.constantFrom(0, 200, 400, 1000),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const clock = new ManualClock();
      const deadlines = new Deadlines(clock, 200);
      const tickMs = 50;
      const pending = new Map<number, { fromMs: number; limitMs: number }>();
      const add = (id: number, limitMs: number) => {
        const item = {
          deadlineMs: Infinity,
          onDeadline() {
            const { fromMs, limitMs } = pending.get(id) ?? { fromMs: Infinity, limitMs: 0 };
            expect(clock.monotonicMs() - fromMs).toBeGreaterThanOrEqual(limitMs);
            // The timers of this test are themselves late by a step.
            expect(clock.monotonicMs() - fromMs).toBeLessThanOrEqual(limitMs + 2 * tickMs + 3 * 9);
            pending.delete(id);
            deadlines.delete(item);
          },
        };
        deadlines.add(item);
        item.deadlineMs = deadlines.in(limitMs);
        if (limitMs > 0) pending.set(id, { fromMs: clock.monotonicMs(), limitMs });
        else deadlines.delete(item);
      };
      for (const [id, { passMs, limitMs }] of steps.entries()) {
        clock.stall(passMs);
        clock.fireDue();
        add(id, limitMs);
      }
      for (let i = 0; i < 400; i++) {
        clock.stall(5);
        clock.fireDue();
      }
      expect(pending.size).toBe(0);
      deadlines.stop();
    }),
    { numRuns: 200 },
  );
});

test("a limit that begins when the process was held up for long is not over at once", () => {
  const clock = new ManualClock();
  const deadlines = new Deadlines(clock, 1000);
  let firedAtMs = 0;
  const item = {
    deadlineMs: Infinity,
    onDeadline: () => {
      firedAtMs ||= clock.monotonicMs();
    },
  };
  deadlines.add(item);
  clock.stall(5000);
  // What waited in the sockets is handled before the timer that is late.
  const fromMs = clock.monotonicMs();
  item.deadlineMs = deadlines.in(1000);
  for (let i = 0; i < 400; i++) {
    clock.fireDue();
    clock.stall(10);
  }
  // A tick is 250 ms here.
  expect(firedAtMs - fromMs).toBeGreaterThanOrEqual(1000 - 250);
  deadlines.stop();
});

test("a limit that begins after a time without any is not over early", () => {
  const clock = new ManualClock();
  const deadlines = new Deadlines(clock, 1000);
  clock.stall(5000);
  let firedAtMs = 0;
  const item = {
    deadlineMs: Infinity,
    onDeadline: () => {
      firedAtMs ||= clock.monotonicMs();
    },
  };
  deadlines.add(item);
  // Just before the first tick.
  clock.stall(240);
  const fromMs = clock.monotonicMs();
  item.deadlineMs = deadlines.in(1000);
  for (let i = 0; i < 400; i++) {
    clock.fireDue();
    clock.stall(10);
  }
  expect(firedAtMs - fromMs).toBeGreaterThanOrEqual(1000);
  deadlines.stop();
});
