import { expect, test } from "vitest";
import { systemClock } from "../../src/system/clock.ts";
import type { ApiCredentials } from "../../src/watch/api-credentials.ts";
import { loadCredentials } from "../../src/watch/credentials.ts";
import { createInformer } from "../../src/watch/informer.ts";
import { eventually } from "../support/eventually.ts";
import { hasOpenssl, TestCa } from "./support/certificates.ts";
import { FaultyApiServer } from "./support/faulty-api-server.ts";
import { kubeconfig, Scratch } from "./support/kubeconfig.ts";
import { RecordingSink } from "./support/recording-sink.ts";
import { SandboxStore } from "./support/sandbox-store.ts";
import { FAST, RecordingLog, watching } from "./support/watching.ts";
import { DEFAULTS } from "../support/defaults.ts";

/** Credentials whose token is as good as their last forced reload made it. */
function rotating(server: URL, tokens: string[]): ApiCredentials & { readonly reloads: () => number } {
  let token = tokens.shift() ?? "";
  let reloads = 0;
  return {
    server,
    tls: { insecureSkipVerify: false },
    defaultNamespace: undefined,
    reloads: () => reloads,
    async authHeaders(forceReload) {
      if (forceReload) {
        reloads += 1;
        token = tokens.shift() ?? token;
      }
      return { authorization: `Bearer ${token}` };
    },
  };
}

function asksFor(server: FaultyApiServer, token: () => string): void {
  server.chooseFault = ({ headers }) =>
    headers.get("authorization") === `Bearer ${token()}`
      ? undefined
      : { kind: "status", code: 401, message: "Unauthorized" };
}

test("after a 401 the credentials are read again and the request is repeated at once, without a gap", async () => {
  let good = "first";
  let reloads = (): number => 0;
  await using w = await watching({
    settings: {
      retry: {
        backoff: { baseMs: 60_000, maxMs: 60_000 },
        steadyMs: 60_000,
        shortWatchMs: 0,
        healthyAfterMs: 1,
        watchFaultsBeforeRelist: 5,
        behindRetries: 3,
      },
    },
    credentials: (server) => {
      const credentials = rotating(server, ["outdated", "first", "second"]);
      ({ reloads } = credentials);
      return credentials;
    },
    before: (store, server) => {
      for (let i = 0; i < 7; i++) store.put("ns", `s${i}`);
      asksFor(server, () => good);
    },
  });
  await w.informer.waitForSync();
  expect(reloads()).toBe(1);
  good = "second";
  w.store.put("ns", "b");
  await eventually(() => w.sink.contents.has("ns/b"));
  w.server.endWatches();
  w.store.put("ns", "c");
  await eventually(() => w.sink.contents.has("ns/c"));
  expect(reloads()).toBe(2);
  // The refused page, and three good ones.
  expect(w.server.count("list")).toBe(4);
  expect(w.sink.violations).toEqual([]);
  // No outage: nothing failed, and only the watch that the server ended began again.
  expect(w.log.lines.filter(({ level }) => level === "warn" || level === "error")).toEqual([]);
  expect(w.observer.notes.filter((note) => note.startsWith("restarted"))).toEqual(["restarted closed"]);
  expect(w.log.text).not.toMatch(/outdated|second/);
});

test("credentials that stay wrong are read again with every delayed try, said clearly, and never shown", async () => {
  await using w = await watching({
    credentials: (server) => rotating(server, ["s3cr3t"]),
    before: (_, server) => asksFor(server, () => "other"),
  });
  await eventually(() => w.server.count("list") >= 4);
  expect(w.log.lines.find((line) => line.level === "error")).toMatchObject({
    reason: "unauthorized",
    message: "the API server answered 401: Unauthorized",
    advice: expect.stringContaining("check the token"),
  });
  expect(w.log.text).not.toContain("s3cr3t");
  expect(JSON.stringify(w.informer.status())).not.toContain("s3cr3t");
  w.server.chooseFault = () => undefined;
  await w.informer.waitForSync();
});

test.each<readonly [string, () => Promise<Record<string, string>>, string]>([
  ["cannot be read", () => Promise.reject(new Error("the token is gone")), "the token is gone"],
  [
    "hold a line break",
    async () => ({ authorization: "Bearer s3cr3t\r\nx: y" }),
    "authorization header holds a character",
  ],
])("credentials that %s are tried again until they can be used", async (_, broken, message) => {
  let fixed = false;
  await using w = await watching({
    credentials: (server) => ({
      server,
      tls: { insecureSkipVerify: false },
      defaultNamespace: undefined,
      authHeaders: () => (fixed ? Promise.resolve({}) : broken()),
    }),
  });
  await eventually(() => w.log.lines.some((line) => line["reason"] === "credentials"));
  expect(w.server.requests).toEqual([]);
  expect(w.log.lines[0]).toMatchObject({ message: expect.stringContaining(message) });
  expect(w.log.text).not.toContain("s3cr3t");
  fixed = true;
  await w.informer.waitForSync();
});

test("a credential plugin that hangs holds up neither the loop nor stop", async () => {
  let asked = 0;
  await using w = await watching({
    settings: { firstByteTimeoutMs: 30 },
    credentials: (server) => ({
      server,
      tls: { insecureSkipVerify: false },
      defaultNamespace: undefined,
      authHeaders: () => (++asked < 3 ? new Promise(() => {}) : Promise.resolve({})),
    }),
  });
  await w.informer.waitForSync();
  expect(asked).toBeGreaterThanOrEqual(3);
});

// Needs the openssl command to make a CA.
test.skipIf(!hasOpenssl())(
  "a private CA, a server name and a client certificate from a kubeconfig",
  async () => {
    using scratch = new Scratch();
    const ca = new TestCa(scratch.path);
    ca.issue("server", { extension: "subjectAltName=DNS:kube.test" });
    ca.issue("client");
    const store = new SandboxStore();
    store.put("ns", "a");
    const server = await FaultyApiServer.start(store, {
      tls: {
        cert: ca.read("server.crt"),
        key: ca.read("server.key"),
        ca: ca.read("ca.crt"),
        requestCert: true,
        rejectUnauthorized: true,
      },
    });
    const cluster = { "certificate-authority": "ca.crt", "tls-server-name": "kube.test" };
    const user = { "client-certificate": "client.crt", "client-key": "client.key" };
    let opened = 0;
    const open = async (parts: Parameters<typeof kubeconfig>[0]) => {
      const path = scratch.write(`config-${++opened}`, kubeconfig({ server: server.url.href, ...parts }));
      const sink = new RecordingSink();
      const log = new RecordingLog();
      const informer = createInformer({
        credentials: await loadCredentials({ kubeconfig: path }),
        namespaces: [],
        sink,
        log,
        clock: systemClock,
        settings: DEFAULTS.watch,
        tuning: FAST,
      });
      informer.start();
      return { informer, sink, log };
    };

    const good = await open({ cluster, user });
    const distrusting = await open({ cluster: { "tls-server-name": "kube.test" }, user });
    const misnamed = await open({ cluster: { "certificate-authority": "ca.crt" }, user });
    const careless = await open({ cluster: { "insecure-skip-tls-verify": true }, user });
    try {
      await good.informer.waitForSync();
      await careless.informer.waitForSync();
      store.put("ns", "b");
      await eventually(() => good.sink.contents.has("ns/b"));
      for (const { log } of [distrusting, misnamed]) {
        await eventually(() => log.lines.some((line) => line["reason"] === "unreachable"));
      }
      expect(distrusting.log.text).toMatch(/certificate/);
      expect(misnamed.log.text).toMatch(/altnames|127\.0\.0\.1/);
      expect(misnamed.informer.synced).toBe(false);
    } finally {
      await Promise.all([good, distrusting, misnamed, careless].map(({ informer }) => informer.stop()));
      await server.stop();
    }
  },
);
