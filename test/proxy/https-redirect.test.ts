import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { httpsLocation } from "../../src/proxy/passage/https-redirect.ts";
import { Scene } from "./support/scene.ts";

describe("the https URL of a request", () => {
  const of = (target: string, fields: string[], port = 443, trusts = false) =>
    httpsLocation({ method: "GET", target, rawHeaders: fields }, port, trusts);

  test.each([
    ["/a?b=c", "box.example.com", 443, "https://box.example.com/a?b=c"],
    ["/", "box.example.com:8080", 443, "https://box.example.com/"],
    ["/", "box.example.com", 7443, "https://box.example.com:7443/"],
    ["/", "[2001:db8::1]:80", 443, "https://[2001:db8::1]/"],
    ["http://other.test:81/x", "box.example.com", 443, "https://other.test/x"],
  ])("%s at %s, port %d", (target, host, port, location) => {
    expect(of(target, ["Host", host], port)).toBe(location);
  });

  test("there is none without a Host that can be read, and for *", () => {
    expect(of("/", [])).toBeUndefined();
    expect(of("/", ["Host", "a b"])).toBeUndefined();
    expect(of("/", ["Host", "user@box"])).toBeUndefined();
    expect(
      httpsLocation({ method: "OPTIONS", target: "*", rawHeaders: ["Host", "a"] }, 443, false),
    ).toBeUndefined();
  });

  test("a request that a trusted front took by https is not sent round again", () => {
    const fields = ["Host", "a", "X-Forwarded-Proto", "https"];
    expect(of("/", fields, 443, true)).toBeUndefined();
    expect(of("/", fields, 443, false)).toBe("https://a/");
    expect(of("/", ["Host", "a", "X-Forwarded-Proto", "http, https"], 443, true)).toBe("https://a/");
  });

  test("it holds no line end and no space, whatever was asked for", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string(), (target, host) => {
        expect(of(target, ["Host", host]) ?? "").not.toMatch(/[\s\0]/);
      }),
    );
  });
});

describe("tls.redirect", () => {
  test.each([
    ["plain", [] as string[]],
    ["with a cookie", ["Cookie: a=b"]],
    ["of the full lane", ["Expect: nothing"]],
    [
      "of a WebSocket",
      ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: a", "Sec-WebSocket-Version: 13"],
    ],
  ])("a request %s is answered with 308 and goes no further", async (_, fields) => {
    const scene = await Scene.open({ server: { redirect: { port: 443 } } });
    const client = await scene.send(scene.head("GET /path?q=1", ...fields));
    const text = (await client.until("\r\n\r\n")).toLowerCase();
    expect(text).toMatch(/^http\/1\.1 308 /);
    expect(text).toContain(`location: https://${scene.host}/path?q=1\r\n`);
    expect(text).toContain("x-lychgate-reason: https_redirect");
    expect(scene.pod.connections).toEqual([]);
  });
});
