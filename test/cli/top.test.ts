import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import type { Status } from "../../src/admin/status-types.ts";
import { screenOf } from "../../src/cli/top-screen.ts";
import { listedTable, observed, plainStatus } from "../admin/admin-fixture.ts";
import { runInProcess } from "./run-lychgate.ts";

const ESC = "\u001B";

const busy: Status = {
  ...plainStatus(listedTable(9, [observed("one", 2), observed("two", 3, { state: "paused" })])),
  atMs: 100_000,
  health: {
    level: "degraded",
    headline: "Ready, but 1 routing ID is claimed by several living sandboxes",
    findings: [{ level: "degraded", text: `1 routing ID ${ESC}[2J`, advice: "look" }],
    checks: [],
  },
  watch: {
    server: "http://api",
    scopes: [
      {
        scope: "team-a",
        state: "waiting",
        synced: true,
        live: false,
        connected: false,
        watermark: "1234567890",
        lastHeardAtMs: 40_000,
        relists: 1,
        restarts: 2,
        fault: `connection refused ${"x".repeat(200)}`,
      },
    ],
  },
  peers: Array.from({ length: 7 }, (_, peer) => ({
    address: `10.0.0.${peer}`,
    pushes: 123_456,
    applied: 1,
    ignored: 2,
    invalid: 3,
    stopped: 4,
    contradicted: peer,
    refuted: 0,
    refused: 0,
    lastPushAtMs: 99_000,
  })),
  workers: {
    wanted: 2,
    ready: 1,
    processes: [
      { name: "primary", cpu: 0.5, memoryBytes: 2 ** 27 },
      { name: "worker 0", cpu: undefined, memoryBytes: undefined, lagMs: 1_500 },
    ],
  },
  traffic: {
    ...plainStatus(listedTable(1, [])).traffic,
    points: [1, 5, 9].map((answered, index) => {
      return {
        atMs: index,
        answered,
        refused: 0,
        failed: 0,
        informer: 1,
        peer: 0,
        clock: 0,
        ignored: 0,
        inFlight: 1,
      };
    }),
    reasons: [{ name: "a_reason_with_a_very_long_name", total: 123_456_789, perSecond: 12_345.6 }],
  },
};

describe("a picture", () => {
  test.each([60, 79, 80, 100, 200])("fits %i columns, and holds no escape that anybody sent", (columns) => {
    const lines = screenOf(busy, { columns, color: false });
    for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(columns);
    const text = lines.join("\n");
    expect(text).not.toContain(ESC);
    expect(text).toContain("▲ Ready, but 1 routing ID");
    expect(text).toContain("team-a: waiting at 1234567890, heard");
    expect(text).toContain("1 served of 2: running 1, paused 1");
    expect(text).toContain("worker 0   CPU -, memory -, 1.5 s behind");
    expect(text).toContain("and 3 peers more");
    expect(text).toContain("▁▅█");
  });

  test("in color has the same words, and no more lines than there is room for", () => {
    const plain = screenOf(busy, { columns: 80, color: false });
    const colored = screenOf(busy, { columns: 80, color: true });
    // oxlint-disable-next-line no-control-regex -- escape sequences are what is looked for
    expect(colored.map((line) => line.replaceAll(/\u001B\[\d+m/g, ""))).toEqual(plain);
    expect(colored.join("")).toContain(ESC);
    expect(screenOf(busy, { columns: 80, color: false, rows: 5 })).toEqual(plain.slice(0, 5));
  });
});

describe("lychgate top", () => {
  const closers: (() => void)[] = [];
  afterEach(() => {
    for (const close of closers.splice(0)) close();
  });

  async function admin(answer: unknown, status = 200) {
    const asked: { url: string | undefined; authorization: string | undefined }[] = [];
    const server = createServer(({ url, headers: { authorization } }, response) => {
      asked.push({ url, authorization });
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(answer));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    closers.push(() => server.close());
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
  }

  test("asks once where there is no terminal", async () => {
    const { url, asked } = await admin(busy);
    const { code, stdout, stderr } = await runInProcess(["top", "--admin", url]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toBe(`${screenOf(busy, { columns: 80, color: false }).join("\n")}\n`);
    expect(asked).toEqual([{ url: "/api/status", authorization: undefined }]);
  });

  test("--json prints what the router said; the token goes with the question and into no message", async () => {
    const { url, asked } = await admin(busy);
    const environment = { LYCHGATE_ADMIN_TOKEN: "sekrit-5f2a9c01" };
    const { code, stdout } = await runInProcess(["top", "--json", "--admin", url], environment);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual(JSON.parse(JSON.stringify(busy)));
    expect(asked).toEqual([{ url: "/api/status", authorization: "Bearer sekrit-5f2a9c01" }]);
    const refusing = await admin({ code: "unauthorized", message: "give the token" }, 401);
    const refused = await runInProcess(["top", "--admin", refusing.url], environment);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toBe(`lychgate top: asking ${refusing.url}/api/status: give the token\n`);
  });

  test("says what is wrong with its line, or that no router is there", async () => {
    const slow = await runInProcess(["top", "--interval-ms", "1"]);
    expect(slow.code).toBe(2);
    expect(slow.stderr).toContain('--interval-ms must be an integer from 200 to 3600000; it is "1"');
    const none = await runInProcess(["top", "--admin", "http://127.0.0.1:1"]);
    expect(none.code).toBe(1);
    expect(none.stderr).toContain("connection refused: is the router running there?");
    const file = await runInProcess([
      "top",
      "--admin",
      "http://127.0.0.1:1",
      "--admin-token-file",
      "/nothing",
    ]);
    expect(file.code).toBe(1);
    expect(file.stderr).toContain("admin.tokenFile can't be read");
  });
});
