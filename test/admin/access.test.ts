import { request } from "node:http";
import { hostname } from "node:os";
import { describe, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import { listedTable, observed, plainStatus, startAdminServer, tableSource } from "./admin-fixture.ts";

const TOKEN = "sekrit-5f2a9c01";
const source = () => tableSource(listedTable(9, [observed("one", 2)]));
const DATA = [
  "/api/overview",
  "/api/status",
  "/api/live",
  "/api/routes",
  "/api/search",
  "/api/peers",
  "/api/config",
  "/api/x",
];

/** Not `fetch`: that sets Host and Sec-Fetch-* itself. Resolves to the status; the body is not waited for. */
function ask(port: number, path: string, headers: Record<string, string>): Promise<number> {
  return new Promise((resolve, reject) => {
    request({ host: "127.0.0.1", port, path, headers, agent: false }, (response) => {
      resolve(response.statusCode ?? 0);
      response.destroy();
    })
      .on("error", reject)
      .end();
  });
}

describe("with a token", () => {
  it("data and metrics need it, the page itself and the probe do not", async () => {
    await using admin = await startAdminServer(source(), { token: TOKEN });
    for (const path of [...DATA, "/metrics"]) {
      const refused = await fetch(admin.url + path);
      expect(refused.status, path).toBe(401);
      expect(refused.headers.get("www-authenticate")).toBe('Bearer realm="lychgate"');
      expect(await refused.json()).toMatchObject({ code: "unauthorized" });
      const status = await ask(admin.port, path, { authorization: `Bearer ${TOKEN}` });
      expect(status, path).toBe(path === "/api/x" ? 404 : 200);
    }
    for (const path of ["/", "/page/app.js", "/page/style.css", "/healthz"]) {
      expect((await fetch(admin.url + path)).status, path).toBe(200);
    }
  });

  it.each([
    "",
    "Bearer",
    "Bearer ",
    `Basic ${TOKEN}`,
    `Bearer ${TOKEN}x`,
    `Bearer ${TOKEN} x`,
    `Bearer ${TOKEN}, Bearer x`,
    `x Bearer ${TOKEN}`,
    `Bearer ${TOKEN.slice(0, -1)}`,
    TOKEN,
  ])("%j is not it", async (authorization) => {
    await using admin = await startAdminServer(source(), { token: TOKEN });
    expect(await ask(admin.port, "/api/overview", { authorization })).toBe(401);
  });

  it("the Host does not matter", async () => {
    await using admin = await startAdminServer(source(), { token: TOKEN });
    const headers = { host: "evil.example", authorization: `Bearer ${TOKEN}` };
    expect(await ask(admin.port, "/api/overview", headers)).toBe(200);
  });
});

describe("without a token", () => {
  it.each([
    "127.0.0.1",
    "127.0.0.1:9902",
    "[::1]:9902",
    "10.1.2.3",
    "localhost",
    "LOCALHOST.:1",
    "a.localhost",
    "lychgate.example.com:9902",
    hostname(),
  ])("is opened as %s", async (host) => {
    await using admin = await startAdminServer(source(), { hosts: ["lychgate.example.com"] });
    expect(await ask(admin.port, "/api/overview", { host })).toBe(200);
    expect(await ask(admin.port, "/", { host })).toBe(200);
  });

  it.each([
    "evil.example",
    "evil.example:9902",
    "127.0.0.1.evil.example",
    "sub.lychgate.example.com",
    "localhost.evil",
    "evillocalhost",
    "xlocalhost:9902",
  ])("is not opened as %s, but for scrapers and probes", async (host) => {
    await using admin = await startAdminServer(source(), { hosts: ["lychgate.example.com"] });
    for (const path of [...DATA, "/"]) expect(await ask(admin.port, path, { host }), path).toBe(403);
    for (const path of ["/metrics", "/healthz"])
      expect(await ask(admin.port, path, { host }), path).toBe(200);
  });

  it("another site's page can keep no stream open, but link here", async () => {
    await using admin = await startAdminServer(source());
    const from = (mode: string) => ({ "sec-fetch-site": "cross-site", "sec-fetch-mode": mode });
    expect(await ask(admin.port, "/api/live", from("no-cors"))).toBe(403);
    expect(await ask(admin.port, "/api/overview", from("navigate"))).toBe(200);
    expect(await ask(admin.port, "/", from("navigate"))).toBe(200);
  });
});

describe("GET /api/live", () => {
  it("sends a status at once and each second", async () => {
    const table = listedTable(9, []);
    await using admin = await startAdminServer({
      ...tableSource(table),
      status: () => Promise.resolve(plainStatus(table)),
    });
    const controller = new AbortController();
    const response = await fetch(`${admin.url}/api/live`, { signal: controller.signal });
    expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    let text = "";
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      if (text.split("\n\n").length > 2) break;
    }
    const events = text.split("\n\n").slice(0, 2);
    for (const event of events) {
      const [name, data = ""] = event.split("\n");
      expect(name).toBe("event: status");
      expect(JSON.parse(data.slice("data: ".length))).toMatchObject({ health: { level: "ok" } });
    }
    controller.abort();
  });

  it("is for so many readers and no more; others are told so", async () => {
    await using admin = await startAdminServer(source());
    const controllers = Array.from({ length: 16 }, () => new AbortController());
    for (const { signal } of controllers) {
      expect((await fetch(`${admin.url}/api/live`, { signal })).status).toBe(200);
    }
    const refused = await fetch(`${admin.url}/api/live`);
    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({ code: "too_many" });
    controllers[0]?.abort();
    await eventually(async () => {
      const controller = new AbortController();
      const { status } = await fetch(`${admin.url}/api/live`, { signal: controller.signal });
      controller.abort();
      return status === 200;
    });
    for (const controller of controllers) controller.abort();
  });

  it("ends when the server closes", async () => {
    const admin = await startAdminServer(source());
    const response = await fetch(`${admin.url}/api/live`);
    let isClosed = false;
    const closed = admin.server.close().then(() => (isClosed = true));
    // It ends as a body does, and is not cut.
    const text = await response.text();
    expect(text).toMatch(/^event: /m);
    await closed;
    expect(isClosed).toBe(true);
    await expect(fetch(`${admin.url}/healthz`)).rejects.toThrow();
  });
});

describe("the page's files", () => {
  it("hold no inline script or style, so that the policy can forbid both, and name nothing outside", async () => {
    await using admin = await startAdminServer(source());
    const html = await (await fetch(`${admin.url}/`, { headers: { accept: "text/html" } })).text();
    expect(html).not.toMatch(/<script(?![^>]*\ssrc=)|\sstyle=|\son[a-z]+=/i);
    const queue = [...html.matchAll(/(?:src|href)="(\/page\/[^"]+)"/g)].map(([, path]) => path ?? "");
    const seen = new Set<string>();
    for (const path of queue) {
      if (seen.has(path)) continue;
      seen.add(path);
      const response = await fetch(admin.url + path);
      expect(response.status, path).toBe(200);
      const text = await response.text();
      expect(response.headers.get("content-security-policy"), path).toContain(
        "require-trusted-types-for 'script'",
      );
      expect(text, path).not.toMatch(
        /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|https?:\/\/(?!www\.w3\.org|3000-)/,
      );
      for (const [, name] of text.matchAll(/from "\.\/([a-z]+\.js)"/g)) queue.push(`/page/${name}`);
    }
    expect(seen.size).toBeGreaterThan(10);
  });

  it.each([
    "/page/",
    "/page/../admin-server.ts",
    "/page/%2e%2e/health.ts",
    "/page/constructor",
    "/page/app.js.map",
  ])("%s is none of them", async (path) => {
    await using admin = await startAdminServer(source());
    expect(await ask(admin.port, path, {})).toBe(404);
  });
});
