import { describe, expect, it } from "vitest";
import { capturedHeads, requestHead } from "../../../lab/bench/heads/heads.ts";

const PROGRAMS =
  `e2b-js e2b-python curl httpx aiohttp undici axios go chrome-page chrome-fetch firefox-page grpc-web mcp-js
  openai-python behind-nginx behind-alb`.split(/\s+/);

describe("the corpus of heads", () => {
  const heads = capturedHeads();

  it("has those of at least fifteen programs, with what trips a router up: tokens, cookies, other proxies' fields", () => {
    expect(heads.length).toBeGreaterThanOrEqual(15);
    const names = new Set(
      heads.flatMap(({ fields }) => fields.map((field) => field.split(":")[0]?.toLowerCase())),
    );
    for (const program of PROGRAMS) expect(heads.map(({ name }) => name)).toContain(program);
    for (const name of [
      "x-access-token",
      "authorization",
      "cookie",
      "connection",
      "x-forwarded-for",
      "x-request-id",
      "via",
      "traceparent",
      "e2b-sandbox-id",
      "x-grpc-web",
    ])
      expect(names).toContain(name);
    expect(Math.max(...heads.map(({ fields }) => fields.join("\r\n").length))).toBeGreaterThan(1_500);
  });

  it.each(heads.map((head) => [head.name, head] as const))(
    "%s is sent as it was captured, but for Host and body",
    (_, head) => {
      const text = requestHead(head, "/r/10", "a.test", 5);
      const [line, ...fields] = text.trimEnd().split("\r\n");
      expect(line).toBe("POST /r/10 HTTP/1.1");
      expect(fields.filter((field) => /^host:/i.test(field))).toEqual(["Host: a.test"]);
      expect(fields.indexOf("Host: a.test")).toBe(head.hostAt);
      expect(fields.filter((field) => field !== "Host: a.test")).toEqual([
        ...head.fields,
        "Content-Length: 5",
      ]);
      for (const field of fields) expect(field).toMatch(/^[\w-]+: \S/);
      expect(requestHead(head, "/", "a.test", 0)).not.toContain("Content-Length");
    },
  );
});
