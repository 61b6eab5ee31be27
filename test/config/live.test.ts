import { expect, test } from "vitest";
import { LiveConfig } from "../../src/config/live.ts";
import { type LoadedConfig, loadConfig } from "../../src/config/load.ts";
import { SETTINGS } from "../../src/config/settings.ts";

/** A configuration from a file of these lines. */
function loaded(...lines: string[]): LoadedConfig {
  return loadConfig({
    flags: { values: [], problems: [], file: "lychgate.yaml" },
    environment: {},
    readFile: () => lines.join("\n"),
  });
}

test("live keys take what a reload brings, with its origin; the others keep what they had, and are named", () => {
  const live = new LiveConfig(loaded("logLevel: info", "workers: 2", "client:", "  maxConnections: 10"));
  const told: number[] = [];
  live.join((config) => () => void told.push(config.client.maxConnections));
  const next = loaded(
    "workers: 3",
    "logLevel: debug",
    "client:",
    "  trustForwarded: true",
    "  maxConnections: 20",
  );
  expect(live.reload(next)).toEqual({
    changed: ["logLevel", "client.maxConnections"],
    needRestart: ["workers", "client.trustForwarded"],
  });
  expect(live.config).toMatchObject({
    logLevel: "debug",
    workers: 2,
    client: { maxConnections: 20, trustForwarded: false },
  });
  expect(told).toEqual([20]);
  const { origins } = live.loaded;
  expect(origins.get("logLevel")).toMatchObject({ kind: "file", line: 2 });
  expect(origins.get("workers")).toMatchObject({ kind: "file", line: 2 });
  expect(origins.get("client.trustForwarded")).toEqual({ kind: "default" });
  // As long as no restart has come, each reload says so again; and a key that was taken back needs none.
  expect(live.reload(next)).toEqual({ changed: [], needRestart: ["workers", "client.trustForwarded"] });
  expect(live.reload(loaded("logLevel: debug", "workers: 2", "client:", "  maxConnections: 20"))).toEqual({
    changed: [],
    needRestart: [],
  });
});

test("when one participant refuses, none changes anything", () => {
  const before = loaded("logLevel: info");
  const live = new LiveConfig(before);
  const changes: string[] = [];
  live.join(() => () => void changes.push("first"));
  live.join(({ logLevel }) => {
    if (logLevel === "debug") throw new Error("the file is missing");
    return () => void changes.push("second");
  });
  expect(() => live.reload(loaded("logLevel: debug"))).toThrow("the file is missing");
  expect([live.loaded, changes]).toEqual([before, []]);
  live.reload(loaded("logLevel: error"));
  expect([live.config.logLevel, changes]).toEqual(["error", ["first", "second"]]);
});

test("which keys are live; test/cli/reload.test.ts shows the effect of each", () => {
  expect(SETTINGS.filter(({ live }) => live).map(({ key }) => key)).toEqual([
    "accessLog",
    "logLevel",
    "upstream.maxConnectionsPerSandbox",
    "upstream.maxTunnelsPerSandbox",
    "upstream.maxWaitingPerSandbox",
    "upstream.waitTimeoutMs",
    "client.maxConnections",
    "client.maxConnectionsPerAddress",
    "admin.token",
    "admin.tokenFile",
    "admin.hosts",
    "admin.historyFacts",
    "admin.historyFactsPerRoute",
    "drain.delayMs",
    "drain.timeoutMs",
  ]);
});
