import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createHeadMemory, ResponseCheck } from "../../../lab/bench/response-check.ts";
import type { ResponseProgress } from "../../../lab/bench/response-check.ts";
import { bodyOf } from "../../../lab/bench/sandboxes.ts";

const body = bodyOf(3, 300);

function response(text: Partial<{ status: string; headers: string; body: Buffer }> = {}): Buffer {
  const { status = "200 OK", headers = `Content-Length: ${body.length}\r\n`, body: sent = body } = text;
  return Buffer.concat([Buffer.from(`HTTP/1.1 ${status}\r\n${headers}\r\n`, "latin1"), sent]);
}

/** Feeds `bytes` in pieces, each from the start of one buffer that is used again, as a socket would. */
function feed(check: ResponseCheck, bytes: Buffer, sizes: readonly number[] = []): ResponseProgress {
  const shared = Buffer.alloc(65_536);
  let at = 0;
  let progress: ResponseProgress = "more";
  for (const size of [...sizes, bytes.length]) {
    const end = Math.min(bytes.length, at + size);
    if (end === at) break;
    bytes.copy(shared, 0, at, end);
    progress = check.feed(shared, end - at);
    if (typeof progress === "object") return progress;
    at = end;
  }
  return progress;
}

function checkOf(expected: Buffer = body): ResponseCheck {
  const check = new ResponseCheck(createHeadMemory());
  check.expect(expected);
  return check;
}

describe("the benchmark's check of responses", () => {
  it("accepts the right response however it is cut, twice in a row, with the same head or another", () => {
    const cut = fc.array(fc.integer({ min: 1, max: 200 }), { maxLength: 8 });
    fc.assert(
      fc.property(cut, cut, fc.boolean(), (first, second, sameHead) => {
        const check = checkOf();
        expect(feed(check, response(), first)).toBe("done");
        check.expect(body);
        const headers = `${sameHead ? "" : "Date: now\r\n"}Content-Length: ${body.length}\r\n`;
        expect(feed(check, response({ headers }), second)).toBe("done");
      }),
    );
  });

  it("says when the proxy will close the connection, each time", () => {
    const check = checkOf();
    const closing = response({ headers: `Connection: close\r\nContent-Length: ${body.length}\r\n` });
    expect(feed(check, closing)).toBe("done-close");
    check.expect(body);
    expect(feed(check, closing)).toBe("done-close");
    check.expect(body);
    expect(feed(check, response())).toBe("done");
  });

  it("refuses another sandbox's body, also below a head that it knows", () => {
    const check = checkOf();
    expect(feed(check, response())).toBe("done");
    check.expect(body);
    expect(feed(check, response({ body: bodyOf(4, 300) }))).toMatchObject({
      wrong: expect.stringContaining("s00004"),
    });
  });

  it("refuses a body with one byte changed", () => {
    fc.assert(
      fc.property(fc.nat({ max: body.length - 1 }), (at) => {
        const damaged = Buffer.from(body);
        damaged[at]! ^= 1;
        expect(feed(checkOf(), response({ body: damaged }))).toHaveProperty("wrong");
      }),
    );
  });

  it("refuses bytes beyond the body", () => {
    const extra = Buffer.concat([body, Buffer.from("!")]);
    expect(feed(checkOf(), response({ body: extra }))).toHaveProperty("wrong", "1 bytes more than expected");
  });

  it.each([
    ["another status", { status: "502 Bad Gateway" }],
    ["a wrong length", { headers: "Content-Length: 299\r\n" }],
    ["no length", { headers: "" }],
    ["two lengths", { headers: "Content-Length: 300\r\nContent-Length: 300\r\n" }],
    [
      "a transfer coding beside the length",
      { headers: "Content-Length: 300\r\nTransfer-Encoding: chunked\r\n" },
    ],
  ])("refuses a head with %s", (_, text) => {
    expect(feed(checkOf(), response(text))).toHaveProperty("wrong");
  });

  it("gives up on a head without an end", () => {
    expect(feed(checkOf(), Buffer.alloc(9000, "x"))).toHaveProperty("wrong");
  });
});
