import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { createAccessLog } from "../../src/proxy/record/access-log.ts";
import { recordHost, recordPath } from "../../src/proxy/record/request-record.ts";
import type { RequestRecord } from "../../src/proxy/record/request-record.ts";

const plain: RequestRecord = {
  startedAtMs: Date.UTC(2026, 10, 21, 12, 34, 56, 789),
  durationMs: 12.34567,
  requestId: "request-1",
  client: "192.0.2.7",
  method: "GET",
  host: "3000-abc.example.com",
  path: "/a/b?…",
  protocol: "HTTP/1.1",
  status: 200,
  reason: "ok",
  bytesIn: 0,
  bytesOut: 1234,
};
const full: RequestRecord = {
  ...plain,
  sandbox: "abc",
  incarnation: 7,
  upstream: "[2001:db8::1]:3000",
  connectMs: 0.5,
  firstByteMs: 9.999,
  reusedConnection: false,
  retried: true,
  upgraded: true,
  userAgent: 'curl/8 "x"',
};

function write(format: "json" | "text", record: RequestRecord): string {
  const lines: string[] = [];
  createAccessLog({ format, write: (line) => lines.push(line) })(record);
  expect(lines).toHaveLength(1);
  return lines[0] ?? "";
}

describe("the JSON access log", () => {
  it("writes one object per line, keys in a fixed order", () => {
    expect(write("json", full)).toBe(
      '{"time":"2026-11-21T12:34:56.789Z","request_id":"request-1","client":"192.0.2.7","method":"GET",' +
        '"host":"3000-abc.example.com","path":"/a/b?…","protocol":"HTTP/1.1","status":200,"reason":"ok",' +
        '"sandbox":"abc","incarnation":7,"upstream":"[2001:db8::1]:3000","duration_ms":12.35,"connect_ms":0.5,' +
        '"first_byte_ms":10,"bytes_in":0,"bytes_out":1234,"reused":false,"retried":true,"upgraded":true,' +
        '"user_agent":"curl/8 \\"x\\""}\n',
    );
  });

  it("leaves out what is not known", () => {
    expect(Object.keys(JSON.parse(write("json", plain)) as object)).toEqual([
      "time",
      "request_id",
      "client",
      "method",
      "host",
      "path",
      "protocol",
      "status",
      "reason",
      "duration_ms",
      "bytes_in",
      "bytes_out",
    ]);
  });
});

describe("the text access log", () => {
  it("is short", () => {
    expect(write("text", full)).toBe(
      "12:34:56.789 200 GET 3000-abc.example.com/a/b?… → abc#7 [2001:db8::1]:3000 12.35ms ok retried upgraded\n",
    );
    const refused: RequestRecord = {
      ...plain,
      host: "",
      status: 502,
      reason: "sandbox_not_found",
      sandbox: "abc",
    };
    expect(write("text", refused)).toBe("12:34:56.789 502 GET /a/b?… → abc 12.35ms sandbox_not_found\n");
  });
});

describe("what is recorded of a request-target", () => {
  it.each([
    ["/a/b", "/a/b"],
    ["/a?token=secret", "/a?…"],
    ["/a?", "/a?…"],
    ["/a#secret", "/a?…"],
    ["/?a?b", "/?…"],
    ["http://user:secret@host/a?secret", "/a?…"],
    ["HTTP://user:secret@host?secret", "/?…"],
    ["http://host", "/"],
    ["*", "*"],
    ["user:secret@host:443", "(invalid)"],
    ["", "(invalid)"],
    ["?secret", "(invalid)"],
    ["//host/a", "//host/a"],
  ])("%s is %s", (target, path) => {
    expect(recordPath(target)).toBe(path);
    expect(recordPath(path)).toBe(path);
  });

  it.each([
    [undefined, ""],
    ["", ""],
    ["3000-abc.example.com:80", "3000-abc.example.com:80"],
    ["[::1]:80", "[::1]:80"],
    ["user:secret@host", "(invalid)"],
    ["host/?secret", "(invalid)"],
    ["(invalid)", "(invalid)"],
  ])("Host %s is %s", (host, recorded) => {
    expect(recordHost(host)).toBe(recorded);
  });
});

describe("whatever a client sends", () => {
  const latin1 = fc.string({
    unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
    maxLength: 40,
  });
  const anything = fc.oneof(
    latin1,
    fc.string({ unit: "binary" }),
    fc.string({ unit: "binary", minLength: 900, maxLength: 1_000 }),
  );
  const record = fc.record({ method: anything, host: anything, path: anything, userAgent: anything });

  it("a line stays one line, bounded, without controls, and JSON can be read back", () => {
    for (const format of ["json", "text"] as const) {
      fc.assert(
        fc.property(record, (sent) => {
          const line = write(format, { ...full, ...sent });
          expect(line.endsWith("\n")).toBe(true);
          expect(line.slice(0, -1)).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}]/u);
          expect(line.length).toBeLessThan(6_000);
          if (format !== "json") return;
          const read = JSON.parse(line) as { method: string; user_agent: string };
          expect(read.method.length).toBeLessThanOrEqual(32);
          expect(read.user_agent.length).toBeLessThanOrEqual(256);
          if (sent.userAgent.length <= 256) expect(read.user_agent).toBe(sent.userAgent.toWellFormed());
        }),
      );
    }
  });

  it("Unicode's line ends are escaped too", () => {
    const line = write("text", { ...full, method: "A\u2028B\u2029C" });
    expect(line).toContain("A\\u2028B\\u2029C");
  });

  it("no query value and no user information is ever written, with or without recordPath before", () => {
    const secret = "s3cr3t-t0ken";
    const before = fc.oneof(fc.webPath(), fc.constantFrom("", "/", "http://h/x", "http://h", "x"));
    const shapes = fc.oneof(
      fc.tuple(before, latin1).map(([path, noise]) => `${path}?${noise}${secret}`),
      before.map((path) => `${path}?a=1&token=${secret}#${secret}`),
      before.map((path) => `http://user:${secret}@host${path}`),
      fc.constant(`user:${secret}@host:443`),
    );
    for (const format of ["json", "text"] as const) {
      fc.assert(
        fc.property(shapes, (target) => {
          for (const path of [target, recordPath(target)]) {
            expect(write(format, { ...full, path, host: target })).not.toContain(secret);
          }
        }),
      );
    }
  });
});
