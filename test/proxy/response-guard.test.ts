import fc from "fast-check";
import { expect, test } from "vitest";

import { ResponseGuard } from "../../src/proxy/full/response-guard.ts";
import { UpstreamError } from "../../src/proxy/upstream/upstream-error.ts";
import { chunkedBodies, latin1, mutated, responseHeads } from "./corpus/arbitraries.ts";
import { readMessage } from "./support/reference-http.ts";

interface Heard {
  /** What is read on, when nothing was wrong. */
  readonly text: string;
  readonly told: readonly string[];
  readonly fault: string | undefined;
  readonly isSpoilt: boolean;
}

function hear(text: string, cuts: readonly number[] = [], method = "GET", protocols?: string): Heard {
  const told: string[] = [];
  const guard = new ResponseGuard(65_536);
  const informational = (head: string) => void told.push(head);
  guard.begin({ method, informational, ...(protocols === undefined ? {} : { protocols }) });
  let out = "";
  const places = [0, ...cuts.map((cut) => cut % (text.length + 1)).sort((a, b) => a - b), text.length];
  for (const [i, from] of places.slice(0, -1).entries()) {
    const piece = latin1(text.slice(from, places[i + 1]));
    if (piece.length === 0) continue;
    const read = guard.feed(piece);
    // What was fed may be overwritten.
    piece.fill(0);
    if (read instanceof UpstreamError) return { text: "", told, fault: read.message, isSpoilt: true };
    out += read.toString("latin1");
  }
  return { text: out, told, fault: undefined, isSpoilt: guard.isSpoilt };
}

const HEAD = "HTTP/1.1 200 OK\r\n";

test("how an answer is cut changes nothing of what is read on", () => {
  const answers = fc.oneof(
    responseHeads,
    chunkedBodies.map(({ text }) => `${HEAD}Transfer-Encoding: chunked\r\n\r\n${text}`),
    fc.constant(`HTTP/1.1 103 E\r\nA: 1\r\n\r\n${HEAD}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc`),
  );
  fc.assert(
    fc.property(fc.oneof(answers, mutated(answers)), fc.array(fc.nat(500)), (text, cuts) => {
      const whole = hear(text);
      const pieces = hear(text, cuts);
      expect(pieces.told).toEqual(whole.told);
      if (whole.fault !== undefined) {
        // A head that can't be whole yet is not looked at for each piece: nothing of it was read on.
        if (pieces.fault === undefined) expect(pieces.text).toBe("");
        else expect(pieces.fault).toBe(whole.fault);
        return;
      }
      expect(pieces.fault).toBeUndefined();
      expect(pieces.text).toBe(whole.text);
      // Known at once, or when it comes by itself: then as a fault.
      expect(pieces.isSpoilt).toBe(whole.isSpoilt);
    }),
    { numRuns: 2_000 },
  );
});

test("what is read on is one message to who reads strictly, whatever was sent", () => {
  let whole = 0;
  const answers = chunkedBodies.map(
    ({ text }) => `${HEAD}Content-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n${text}`,
  );
  fc.assert(
    fc.property(fc.oneof(answers, mutated(answers)), (text) => {
      const { text: read, fault, isSpoilt } = hear(text);
      if (fault !== undefined || read === "") return;
      // HTTP/1.0 knows no chunks: they are read as in HTTP/1.1, and nothing behind them is believed (RFC 9112 6.1).
      const isOld = read.startsWith("HTTP/1.0 ");
      const message = readMessage(isOld ? read.replace("1.0", "1.1") : read, 0, "response", { ended: true });
      if (isOld && message.kind === "ok" && readMessage(read, 0, "response", { ended: true }).kind !== "ok")
        expect(isSpoilt).toBe(true);
      expect(message.kind).not.toBe("malformed");
      if (message.kind !== "ok") return;
      expect(message.value.end).toBe(read.length);
      whole += 1;
    }),
    { numRuns: 1_000 },
  );
  expect(whole).toBeGreaterThan(100);
});

test("trailers that frame are gone, those that may pass are not", () => {
  const head = `${HEAD}Transfer-Encoding: chunked\r\n\r\n`;
  expect(hear(`${head}2\r\nhi\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n`).text).toBe(
    `${head}2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n`,
  );
});

test("what comes behind an answer is not read on, and the connection is worth nothing", () => {
  const answer = `${HEAD}Content-Length: 2\r\n\r\nok`;
  expect(hear(answer)).toEqual({ text: answer, told: [], fault: undefined, isSpoilt: false });
  expect(hear(`${answer}${answer}`)).toEqual({ text: answer, told: [], fault: undefined, isSpoilt: true });
  expect(hear(`${HEAD}Content-Length: 2\r\n\r\n`, [], "HEAD").isSpoilt).toBe(false);
  expect(hear(answer, [], "HEAD").isSpoilt).toBe(true);
});

test("chunks in an answer of HTTP/1.0 are read, and the connection is worth nothing (RFC 9112 6.1)", () => {
  const answer = (version: string) =>
    `HTTP/${version} 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n`;
  expect(hear(answer("1.0"))).toEqual({
    text: answer("1.0"),
    told: [],
    fault: undefined,
    isSpoilt: true,
  });
  expect(hear(answer("1.1")).isSpoilt).toBe(false);
});

test("101 is a fault but to what was asked for (RFC 9110 7.8)", () => {
  const to = (upgrade: string) =>
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${upgrade}\r\n\r\nbytes`;
  expect(hear(to("websocket")).fault).toContain("unasked");
  expect(hear(to("websocket"), [], "GET", "websocket").text).toBe(to("websocket"));
  expect(hear(to("WebSocket"), [], "GET", "websocket").fault).toBeUndefined();
  expect(hear(to("spdy/3.1"), [], "GET", "websocket, SPDY/3.1").fault).toBeUndefined();
  expect(hear(to("other"), [], "GET", "websocket").fault).toContain("not asked for");
  expect(hear(to("websocket, other"), [], "GET", "websocket").fault).toContain("not asked for");
});
