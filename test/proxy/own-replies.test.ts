import { describe, expect, test } from "vitest";

import { templatePage } from "../../src/proxy/reply/reply-page.ts";
import { Scene } from "./support/scene.ts";

const PAUSED = "Host: 3000-asleep.example.com";

async function ask(scene: Scene, requestLine: string, ...lines: string[]): Promise<string> {
  const client = await scene.router.client();
  client.write([`${requestLine} HTTP/1.1`, PAUSED, ...lines, "Connection: close", "", ""].join("\r\n"));
  await client.untilClosed();
  return client.received;
}

describe("a reply of our own on the wire", () => {
  test("is a page for a browser that opens one, and the built-in words for all others", async () => {
    const scene = await Scene.open();
    const page = await ask(scene, "GET /", "Accept: text/html", "Sec-Fetch-Mode: navigate");
    expect(page).toContain("\r\ncontent-type: text/html; charset=utf-8\r\n");
    expect(page).toContain("<h1>No such sandbox</h1>");
    expect(await ask(scene, "GET /", "Accept: text/html", "Sec-Fetch-Mode: cors")).toMatch(
      /\r\n\r\nsandbox not found: asleep$/,
    );
  });

  test("is the operator's page where there is one", async () => {
    const scene = await Scene.open({ server: { replyPage: templatePage("<b>{{reason}}</b>") } });
    expect(await ask(scene, "GET /", "Sec-Fetch-Mode: navigate")).toMatch(
      /\r\n\r\n<b>sandbox_not_found<\/b>$/,
    );
  });

  test("answers a preflight for a sandbox that can't, and leaves those of one that can to it", async () => {
    const scene = await Scene.open();
    const preflight = ["Origin: https://ide.example", "Access-Control-Request-Method: PUT"];
    const answer = await ask(scene, "OPTIONS /", ...preflight);
    expect(answer).toMatch(/^HTTP\/1\.1 204 No Content\r\n/);
    expect(answer).toContain("\r\naccess-control-allow-origin: *\r\n");
    expect(answer).toContain("\r\naccess-control-allow-methods: PUT\r\n");
    expect(answer).toMatch(/\r\n\r\n$/);
    expect(scene.router.records.map(({ status, reason }) => ({ status, reason }))).toEqual([
      { status: 204, reason: "sandbox_not_found" },
    ]);
    const { client, inside, head } = await scene.begin("OPTIONS /", preflight);
    expect(head).toContain("Access-Control-Request-Method: PUT");
    inside.write("HTTP/1.1 204 No Content\r\nAccess-Control-Allow-Origin: https://ide.example\r\n\r\n");
    const own = await client.until("\r\n\r\n");
    expect(own).toContain("Access-Control-Allow-Origin: https://ide.example");
    expect(own).not.toContain("allow-origin: *");
  });

  test("goes on with the next request of the connection after a preflight", async () => {
    const scene = await Scene.open();
    scene.pod.answerAll("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext");
    const client = await scene.router.client();
    client.write(
      `OPTIONS / HTTP/1.1\r\n${PAUSED}\r\nOrigin: null\r\nAccess-Control-Request-Method: PUT\r\n\r\n${scene.head("GET /")}`,
    );
    expect(await client.until("next")).toMatch(/^HTTP\/1\.1 204 .*HTTP\/1\.1 200 OK/s);
  });
});
