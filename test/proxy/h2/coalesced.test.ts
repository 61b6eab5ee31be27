import { connect } from "node:http2";
import type { ClientHttp2Session } from "node:http2";
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { execFile, execFileSync } from "node:child_process";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";

import { eventually } from "../../support/eventually.ts";
import { Router } from "../support/router.ts";

const SANDBOXES = 200;
const ROUNDS = 30;

/** Pods on addresses of their own, each of which answers who lives there now. */
class Tenants {
  readonly #servers: Server[] = [];
  readonly #tenant: string[] = [];
  port = 0;

  static async open(count: number): Promise<Tenants> {
    const tenants = new Tenants();
    for (let i = 0; i < count; i++) {
      const server = createServer((request, response) => {
        request.resume();
        response.setHeader("x-tenant", tenants.#tenant[i] ?? "nobody");
        response.end(tenants.#tenant[i]);
      });
      await new Promise<void>((resolve) => server.listen(tenants.port, ip(i), resolve));
      tenants.port ||= (server.address() as AddressInfo).port;
      tenants.#servers.push(server);
    }
    return tenants;
  }

  move(i: number, name: string): void {
    this.#tenant[i] = name;
  }

  async close(): Promise<void> {
    for (const server of this.#servers) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }
}

function ip(i: number): string {
  return `127.7.${1 + Math.floor(i / 200)}.${1 + (i % 200)}`;
}

test("one connection carries requests to 200 sandboxes whose addresses change hands: none reaches another's pod", async () => {
  const router = await Router.start();
  const tenants = await Tenants.open(SANDBOXES);
  const session: ClientHttp2Session = connect(`http://127.0.0.1:${router.port}`);
  session.on("error", () => {});
  onTestFinished(async () => {
    session.destroy();
    await router.close();
    await tenants.close();
  });
  const addressOf = Array.from({ length: SANDBOXES }, (_, i) => i);
  for (const [box, at] of addressOf.entries()) {
    tenants.move(at, `box${box}`);
    router.routes.run(`box${box}`, ip(at));
  }
  let right = 0;
  const wrong: string[] = [];
  const ask = (box: number) =>
    new Promise<void>((resolve) => {
      const stream = session.request({ ":path": "/", ":authority": `${tenants.port}-box${box}.example.com` });
      stream.on("response", (headers) => {
        if (headers["x-lychgate-reason"] !== undefined) return;
        if (headers["x-tenant"] === `box${box}`) right += 1;
        else wrong.push(`box${box} → ${String(headers["x-tenant"])}`);
      });
      stream.on("error", () => {}).on("close", resolve);
      stream.resume();
    });
  for (let round = 0; round < ROUNDS; round++) {
    // Requests are under way while two sandboxes die and come back, each at the other's address.
    const asked = Array.from({ length: 60 }, (_, i) => ask((round * 37 + i * 7) % SANDBOXES));
    await new Promise((resolve) => setImmediate(resolve));
    const a = (round * 37) % SANDBOXES;
    const b = (round * 37 + 7) % SANDBOXES;
    router.routes.end(`box${a}`, "dead", router.upstreams);
    router.routes.end(`box${b}`, "dead", router.upstreams);
    const [atA = 0, atB = 0] = [addressOf[a], addressOf[b]];
    addressOf[a] = atB;
    addressOf[b] = atA;
    tenants.move(atB, `box${a}`);
    tenants.move(atA, `box${b}`);
    router.routes.run(`box${a}`, ip(atB));
    router.routes.run(`box${b}`, ip(atA));
    asked.push(ask(a), ask(b));
    await Promise.all(asked);
  }
  expect(wrong).toEqual([]);
  expect(right).toBeGreaterThan(ROUNDS * 40);
  expect(session.destroyed).toBe(false);
  await eventually(() => router.records.length === router.started);
  expect(router.errors).toEqual([]);
});

function curlSpeaksHttp2(): boolean {
  try {
    return execFileSync("curl", ["--version"], { encoding: "utf8" }).includes("nghttp2");
  } catch {
    return false;
  }
}

test.skipIf(!curlSpeaksHttp2())(
  "curl, by prior knowledge: GET, HEAD, an upload, an answer of ours",
  async () => {
    const router = await Router.start();
    const pod = createServer((request, response) => {
      let length = 0;
      request.on("data", (bytes: Buffer) => (length += bytes.length));
      request.on("end", () => response.end(`${request.method} ${length}`));
    });
    await new Promise<void>((resolve) => pod.listen(0, "127.0.0.1", resolve));
    onTestFinished(async () => {
      await router.close();
      pod.closeAllConnections();
      pod.close();
    });
    router.routes.run("box");
    const host = `${(pod.address() as AddressInfo).port}-box.example.com`;
    const curl = async (...args: string[]): Promise<string> => {
      const url = `http://127.0.0.1:${router.port}/`;
      const common = ["-sS", "--http2-prior-knowledge", "-w", "\n%{http_version} %{http_code}"];
      return (await promisify(execFile)("curl", [...common, ...args, url], { encoding: "utf8" })).stdout;
    };
    expect(await curl("-H", `Host: ${host}`)).toBe("GET 0\n2 200");
    expect(await curl("-I", "-H", `Host: ${host}`)).toMatch(/\n2 200$/);
    expect(await curl("-H", `Host: ${host}`, "-d", "x".repeat(100_000))).toBe("POST 100000\n2 200");
    expect(await curl("-H", `Host: ${host}`, "-H", "Content-Length:", "-T", "package.json")).toMatch(
      /^PUT \d+\n2 200$/,
    );
    expect(await curl("-H", "Host: 80-nobody.example.com")).toBe("sandbox not found: nobody\n2 502");
  },
);
