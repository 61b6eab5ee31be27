import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, get, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { ConfigView, Explanation } from "../../src/admin/api-types.ts";
import type { Status } from "../../src/admin/status-types.ts";
import { eventually } from "../support/eventually.ts";
import { childrenOf } from "../workers/support/processes.ts";
import { metricOf, type RouterProcess, startRouterProcess } from "../support/router-process.ts";

// SIGHUP to a real `lychgate serve`: what changes at once, what does not, and that nothing ends it.

const TIMEOUT = { timeout: 180_000 };
const PATIENCE = { timeoutMs: 30_000, everyMs: 20 };

let folder: string;
let router: RouterProcess | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lychgate-reload-"));
});
afterEach(async () => {
  router?.kill("SIGKILL");
  await router?.exited;
  router = undefined;
  rmSync(folder, { recursive: true, force: true });
});

/** Writes the configuration file; `drain.delayMs` is 0 unless the lines say otherwise. */
function configure(...lines: string[]): string {
  const path = join(folder, "lychgate.yaml");
  writeFileSync(path, `${["source: none", ...lines].join("\n")}\n`);
  return path;
}

async function start(lines: readonly string[], ...flags: string[]): Promise<RouterProcess> {
  router = await startRouterProcess([
    "--routes-pod-cidrs",
    "127.0.0.0/8",
    "--config",
    configure(...lines),
    ...flags,
  ]);
  return router;
}

interface Line {
  readonly level: string;
  readonly msg: string;
  readonly changed?: readonly string[];
  readonly needRestart?: readonly string[];
  readonly faults?: readonly string[];
}

function linesOf({ stderr }: RouterProcess): Line[] {
  return stderr.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as Line);
}

/** Sends SIGHUP and waits for the line that says what came of it. */
async function hangUp(of: RouterProcess): Promise<Line> {
  const isOutcome = ({ msg }: Line) => /^(reloaded the configuration|the reload failed)/.test(msg);
  const before = linesOf(of).filter(isOutcome).length;
  of.kill("SIGHUP");
  return eventually(() => {
    const line = linesOf(of).filter(isOutcome)[before];
    if (!line) throw new Error(of.stderr.join("\n"));
    return line;
  }, PATIENCE);
}

/** GET of the admin port, with the Host that a browser would send. */
function ask(
  { admin }: RouterProcess,
  path: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<{ readonly status: number; readonly body: string }> {
  return new Promise((resolve, reject) => {
    get(`http://${admin}${path}`, { headers, agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
    }).on("error", reject);
  });
}

async function askJson<T>(of: RouterProcess, path: string): Promise<T> {
  return JSON.parse((await ask(of, path)).body) as T;
}

/** Makes the sandbox `box` known, with its pod at `ip`. */
async function pushBox({ peers }: RouterProcess, ip: string): Promise<void> {
  const route = { id: "box", namespace: "ns", name: "box", uid: "u", owner: "", ip };
  const body = JSON.stringify({ ...route, state: "running", resourceVersion: "1" });
  expect((await fetch(`http://${peers}/refresh`, { method: "POST", body })).status).toBe(204);
}

test("the logs: level of the one, form of the other", TIMEOUT, async () => {
  const serving = await start(["logLevel: info", "accessLog: off"]);
  await fetch(`http://${serving.traffic}/unseen`);
  configure("logLevel: info", "accessLog: json");
  expect(await hangUp(serving)).toMatchObject({ level: "info", changed: ["accessLog"] });
  await fetch(`http://${serving.traffic}/as-json`);
  await eventually(() => serving.stdout.some((line) => line.includes("/as-json")), PATIENCE);
  configure("logLevel: info", "accessLog: text");
  await hangUp(serving);
  await fetch(`http://${serving.traffic}/as-text`);
  await eventually(
    () => serving.stdout.some((line) => line.includes("/as-text") && !line.startsWith("{")),
    PATIENCE,
  );
  expect(serving.stdout.join("\n")).not.toContain("/unseen");
  expect(serving.stdout.filter((line) => line.includes("/as-json"))).toHaveLength(1);

  // What says "reloaded" is itself below the level now; that nothing has changed since is only seen once it is back.
  configure("logLevel: error", "accessLog: text");
  serving.kill("SIGHUP");
  await eventually(async () => {
    const { settings } = await askJson<ConfigView>(serving, "/api/config");
    return settings.find(({ key }) => key === "logLevel")?.value === '"error"';
  }, PATIENCE);
  const before = serving.stderr.length;
  configure("nonsense: 1");
  expect(await hangUp(serving)).toMatchObject({ level: "error" });
  expect(serving.stderr.slice(before).join("\n")).not.toContain("reloading");
});

test("the limits of clients and of sandboxes", TIMEOUT, async () => {
  const pod: Server = createServer((_, response) => void setTimeout(() => response.end("ok"), 5));
  await new Promise<void>((resolve) => {
    pod.listen(0, "0.0.0.0", resolve);
  });
  try {
    const port = (pod.address() as AddressInfo).port;
    const serving = await start(["accessLog: off"]);
    await pushBox(serving, "127.0.23.1");
    const limitOf = async (): Promise<string | undefined> => {
      const { steps } = await askJson<Explanation>(serving, `/api/explain?host=${port}-box.example.com`);
      return steps.find(({ step }) => step === "to the pod")?.result;
    };
    expect(await limitOf()).toContain("of at most 256");

    // A client that is there already stays, whatever the new limit is.
    const early = connect(Number(serving.traffic.split(":")[1]), "127.0.0.1");
    await new Promise((resolve) => early.once("connect", resolve));
    configure(
      "accessLog: off",
      "client: { maxConnections: 100, maxConnectionsPerAddress: 1 }",
      "upstream: { maxConnectionsPerSandbox: 7, maxWaitingPerSandbox: 3, maxTunnelsPerSandbox: 2, waitTimeoutMs: 9 }",
    );
    expect((await hangUp(serving)).changed).toEqual([
      "upstream.maxConnectionsPerSandbox",
      "upstream.maxTunnelsPerSandbox",
      "upstream.maxWaitingPerSandbox",
      "upstream.waitTimeoutMs",
      "client.maxConnections",
      "client.maxConnectionsPerAddress",
    ]);
    expect(await limitOf()).toContain("of at most 7");
    await eventually(async () => {
      const { body } = await ask(serving, "/metrics");
      return metricOf(body, "lychgate_client_connections_limit") === 100;
    }, PATIENCE);
    const refused = await fetch(`http://${serving.traffic}/`);
    expect([refused.status, refused.headers.get("x-lychgate-reason")]).toEqual([503, "overloaded"]);
    const answer = new Promise<string>((resolve) => early.once("data", (data) => resolve(data.toString())));
    early.write(`GET / HTTP/1.1\r\nHost: ${port}-box.example.com\r\n\r\n`);
    expect(await answer).toMatch(/^HTTP\/1\.1 200 /);
    early.destroy();

    configure("accessLog: off");
    await hangUp(serving);
    expect((await fetch(`http://${serving.traffic}/`)).status).toBe(404);
  } finally {
    pod.closeAllConnections();
    pod.close();
  }
});

test("a request that waits goes on when there may be more connections", TIMEOUT, async () => {
  const waiting: (() => void)[] = [];
  const pod: Server = createServer((_, response) => void waiting.push(() => response.end("ok")));
  await new Promise<void>((resolve) => {
    pod.listen(0, "0.0.0.0", resolve);
  });
  try {
    const port = (pod.address() as AddressInfo).port;
    const serving = await start([
      "accessLog: off",
      "upstream: { maxConnectionsPerSandbox: 1, clientSharePercent: 100, waitTimeoutMs: 600000 }",
    ]);
    await pushBox(serving, "127.0.23.2");
    const send = () =>
      new Promise<number>((resolve, reject) => {
        const headers = { host: `${port}-box.example.com` };
        get(`http://${serving.traffic}/`, { headers, agent: false }, (response) => {
          response.resume().once("end", () => resolve(response.statusCode ?? 0));
        }).on("error", reject);
      });
    const answers = [send(), send()];
    await eventually(async () => {
      const { steps } = await askJson<Explanation>(serving, `/api/explain?host=${port}-box.example.com`);
      return steps.some(({ result }) => result.includes("1 requests wait"));
    }, PATIENCE);
    await eventually(() => waiting.length === 1, PATIENCE);
    configure(
      "accessLog: off",
      "upstream: { maxConnectionsPerSandbox: 2, clientSharePercent: 100, waitTimeoutMs: 600000 }",
    );
    await hangUp(serving);
    await eventually(() => waiting.length === 2, PATIENCE);
    for (const answer of waiting) answer();
    expect(await Promise.all(answers)).toEqual([200, 200]);
  } finally {
    pod.closeAllConnections();
    pod.close();
  }
});

test(
  "the admin port: its token, also when only the file has another one, its names, and the history",
  TIMEOUT,
  async () => {
    const tokenFile = join(folder, "token");
    writeFileSync(tokenFile, "the-first-token\n");
    const serving = await start([`admin: { tokenFile: ${tokenFile} }`]);
    const withToken = async (token: string): Promise<number> =>
      (await ask(serving, "/api/overview", { authorization: `Bearer ${token}` })).status;
    expect([await withToken("the-first-token"), await withToken("the-second-token")]).toEqual([200, 401]);
    const stream = await fetch(`http://${serving.admin}/api/live`, {
      headers: { authorization: "Bearer the-first-token" },
    });

    writeFileSync(tokenFile, "the-second-token\n");
    expect(await hangUp(serving)).toMatchObject({ level: "info", changed: [] });
    expect([await withToken("the-first-token"), await withToken("the-second-token")]).toEqual([401, 200]);
    // Who looked with the old token sees no more.
    await stream.text();

    // A file without a token: the old one is asked for on.
    writeFileSync(tokenFile, "short\n");
    const failed = await hangUp(serving);
    expect(failed).toMatchObject({ level: "error", faults: [expect.stringContaining("admin.tokenFile")] });
    expect(JSON.stringify(failed)).not.toContain("short");
    expect(await withToken("the-second-token")).toBe(200);

    configure("admin: { hosts: [status.example], historyFacts: 7, historyFactsPerRoute: 3 }");
    expect((await hangUp(serving)).changed).toEqual([
      "admin.tokenFile",
      "admin.hosts",
      "admin.historyFacts",
      "admin.historyFactsPerRoute",
    ]);
    const { status } = await ask(serving, "/api/overview", { host: "status.example" });
    expect(status).toBe(200);
    expect((await ask(serving, "/api/overview", { host: "other.example" })).status).toBe(403);
    expect((await askJson<Status>(serving, "/api/status")).history).toMatchObject({
      maxFacts: 7,
      maxFactsPerRoute: 3,
    });
    configure('admin: { token: "the-third-token" }');
    await hangUp(serving);
    expect([await withToken("the-third-token"), await withToken("x")]).toEqual([200, 401]);
    expect(serving.stderr.join("\n")).not.toMatch(/the-\w+-token/);
  },
);

test(
  "a fault: everything stays, the log names file and line, and the metric counts it",
  TIMEOUT,
  async () => {
    const serving = await start(["logLevel: info", "client: { maxConnections: 50 }"]);
    const path = configure("logLevel: loud", "client: { maxConnections: 60, maxConections: 1 }");
    const line = await hangUp(serving);
    expect(line).toMatchObject({
      level: "error",
      msg: "the reload failed: the configuration stays as it was",
    });
    expect(line.faults).toEqual([
      expect.stringMatching(/lychgate\.yaml:\d+:\d+: .*maxConections.*did you mean/),
      expect.stringMatching(/lychgate\.yaml:2:\d+: logLevel must/),
    ]);
    rmSync(path);
    expect((await hangUp(serving)).faults).toEqual([expect.stringMatching(/can't be read: ENOENT/)]);
    const metrics = async (): Promise<number[]> => {
      const { body } = await ask(serving, "/metrics");
      return [
        metricOf(body, "lychgate_config_reloads_total", 'result="success"'),
        metricOf(body, "lychgate_config_reloads_total", 'result="failure"'),
        metricOf(body, "lychgate_config_last_reload_successful"),
        metricOf(body, "lychgate_client_connections_limit"),
      ];
    };
    await eventually(async () => expect(await metrics()).toEqual([0, 2, 0, 50]), PATIENCE);
    configure("client: { maxConnections: 70 }");
    const beforeS = Date.now() / 1_000;
    await hangUp(serving);
    await eventually(async () => expect(await metrics()).toEqual([1, 2, 1, 70]), PATIENCE);
    const { body } = await ask(serving, "/metrics");
    const readAtS = metricOf(body, "lychgate_config_last_reload_success_timestamp_seconds");
    expect(readAtS).toBeGreaterThan(beforeS - 1);
    expect(readAtS).toBeLessThan(Date.now() / 1_000 + 1);
  },
);

test("a worker that is replaced after a reload has what the reload brought", TIMEOUT, async () => {
  const serving = await start(["workers: 2", "client: { maxConnections: 40 }"]);
  const pids = (): number[] => childrenOf(serving.process.pid ?? 0);
  const limit = async (): Promise<number> =>
    metricOf((await ask(serving, "/metrics")).body, "lychgate_client_connections_limit");
  await eventually(async () => expect(await limit()).toBe(80), PATIENCE);
  configure("workers: 2", "client: { maxConnections: 50 }");
  await hangUp(serving);
  const [first = 0] = pids();
  process.kill(first, "SIGKILL");
  await eventually(async () => {
    expect(pids()).toHaveLength(2);
    expect(pids()).not.toContain(first);
    expect(await limit()).toBe(100);
  }, PATIENCE);
});

test("keys that need a restart are named, and keep their values", TIMEOUT, async () => {
  const serving = await start(["accessLog: off"]);
  configure("accessLog: off", "workers: 4", "target: { strict: true }", "drain: { delayMs: 1 }");
  expect(await hangUp(serving)).toMatchObject({ changed: ["drain.delayMs"] });
  await eventually(
    () =>
      expect(linesOf(serving).find(({ needRestart }) => needRestart)).toMatchObject({
        level: "warn",
        needRestart: ["workers", "target.strict"],
      }),
    PATIENCE,
  );
  const { settings } = await askJson<ConfigView>(serving, "/api/config");
  const shown = Object.fromEntries(settings.map(({ key, value }) => [key, value]));
  expect(shown).toMatchObject({ workers: "1", "target.strict": "false", "drain.delayMs": "1" });
});

test("flags win over the file after a reload, too", TIMEOUT, async () => {
  const serving = await start(["logLevel: info"], "--log-level", "debug");
  configure("logLevel: error");
  expect(await hangUp(serving)).toMatchObject({ level: "info", changed: [] });
});

test("the drain takes the times that a reload brought", TIMEOUT, async () => {
  const serving = await start(["drain: { delayMs: 600000, timeoutMs: 600000 }"]);
  const client = connect(Number(serving.traffic.split(":")[1]), "127.0.0.1").on("error", () => {});
  await new Promise((resolve) => client.once("connect", resolve));
  // Half a request, which a drain would wait for.
  client.write("POST / HTTP/1.1\r\nHost: 3000-x.example.com\r\nContent-Length: 5\r\n");
  configure("drain: { delayMs: 0, timeoutMs: 0 }");
  await hangUp(serving);
  serving.kill("SIGTERM");
  expect(await serving.exited, serving.stderr.join("\n")).toBe(0);
  client.destroy();
});

// Workers need Linux, and /proc says who they are.
test.runIf(process.platform === "linux")(
  "workers take the limits and the logs too, those that come later as well, and a SIGHUP ends none",
  TIMEOUT,
  async () => {
    const serving = await start(["accessLog: off", "workers: 2", "client: { maxConnections: 50 }"]);
    const limit = async (): Promise<number> =>
      metricOf((await ask(serving, "/metrics")).body, "lychgate_client_connections_limit");
    await eventually(async () => expect(await limit()).toBe(100), PATIENCE);
    configure("accessLog: json", "workers: 2", "client: { maxConnections: 30 }");
    await hangUp(serving);
    await eventually(async () => expect(await limit()).toBe(60), PATIENCE);
    await fetch(`http://${serving.traffic}/seen-by-a-worker`);
    await eventually(() => serving.stdout.some((line) => line.includes("/seen-by-a-worker")), PATIENCE);

    // As a terminal does that is closed: to each process of the group.
    const { processes } = (await askJson<Status>(serving, "/api/status")).workers;
    expect(processes.map(({ name }) => name)).toContain("worker 0");
    const workers = workerPids(serving);
    expect(workers).toHaveLength(2);
    for (const pid of workers) process.kill(pid, "SIGHUP");
    await hangUp(serving);
    expect((await fetch(`http://${serving.traffic}/`)).status).toBe(404);
    expect(serving.stderr.join("\n")).not.toContain("a worker ended");

    process.kill(workers[0] ?? 0, "SIGKILL");
    await eventually(() => serving.stderr.some((line) => line.includes("a worker listens again")), PATIENCE);
    await eventually(async () => expect(await limit()).toBe(60), PATIENCE);
  },
);

/** Its children, which are its workers. */
function workerPids({ process: { pid } }: RouterProcess): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text.split(" ").filter(Boolean).map(Number);
}

test(
  "a limit of connections for which there are too few files is a warning after a reload, too",
  TIMEOUT,
  async () => {
    router = await startRouterProcess(["--config", configure("client: { maxConnections: 50 }")], {
      openFiles: 1024,
    });
    configure("client: { maxConnections: 30000 }");
    await hangUp(router);
    const lines = linesOf(router).filter(({ msg }) => msg.includes("ulimit -n"));
    expect(lines).toMatchObject([{ level: "warn", msg: expect.stringContaining("in place of 30000") }]);
  },
);

test("a SIGHUP that comes before the router can reload is kept until it can", TIMEOUT, async () => {
  const module = new URL("../../src/system/process-signals.ts", import.meta.url).href;
  const script = `
    const { catchHangUps } = await import(${JSON.stringify(module)});
    const hangUps = catchHangUps();
    const heard = new Promise((resolve) => process.once("SIGHUP", resolve));
    process.kill(process.pid, "SIGHUP");
    const alive = setInterval(() => {}, 1000);
    await heard;
    let reloads = 0;
    hangUps.listen(() => reloads++);
    console.log(reloads);
    clearInterval(alive);
    process.exit(0);
  `;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const [code, signal] = await once(child, "close");
  expect({ code, signal, said }).toEqual({ code: 0, signal: null, said: "1\n" });
});
