import { describe, expect, test } from "vitest";
import { formatOrigin } from "../../src/config/origins.ts";
import { configFrom, loadConfig } from "../../src/config/load.ts";
import { ConfigError } from "../../src/config/config-error.ts";
import { parseFlags } from "../../src/config/flags.ts";
import { load } from "./support.ts";

const originOf = (loaded: ReturnType<typeof load>, key: string) =>
  formatOrigin(loaded.origins.get(key) ?? { kind: "default" });

const readFile = (path: string) => `kubeconfig: ${path}\n`;

describe("precedence", () => {
  const file = "listen: :1\npeerListen: :2\nwatch:\n  pageSize: 3\n";
  const environment = { LYCHGATE_LISTEN: ":4", LYCHGATE_PEER_LISTEN: ":5" };

  test("flags win over environment, environment over file, file over default", () => {
    const loaded = load({ file, environment, argv: ["--listen", ":6"] });
    expect(loaded.config.listen).toBe(":6");
    expect(loaded.config.peerListen).toBe(":5");
    expect(loaded.config.watch.pageSize).toBe(3);
    expect(loaded.config.watch.stallTimeoutMs).toBe(90_000);
  });

  test("every value knows its origin", () => {
    const loaded = load({ file, environment, argv: ["--listen", ":6"] });
    expect(originOf(loaded, "listen")).toBe("--listen");
    expect(originOf(loaded, "peerListen")).toBe("LYCHGATE_PEER_LISTEN");
    expect(originOf(loaded, "watch.pageSize")).toBe("lychgate.yaml:4:13");
    expect(originOf(loaded, "drain.delayMs")).toBe("default");
  });

  test("a list is replaced as a whole; an empty one empties it", () => {
    const list = "namespace: [a, b]\n";
    expect(load({ file: list, environment: { LYCHGATE_NAMESPACE: "c, d" } }).config.namespace).toEqual([
      "c",
      "d",
    ]);
    expect(load({ file: list, argv: ["--namespace", "e", "--namespace=f,g"] }).config.namespace).toEqual([
      "e",
      "f",
      "g",
    ]);
    expect(load({ file: list, argv: ["--namespace="] }).config.namespace).toEqual([]);
  });

  test("a boolean flag stands alone or has its value behind =", () => {
    expect(load({ argv: ["--target-strict"] }).config.target.strict).toBe(true);
    expect(load({ argv: ["--routes-one-pod-per-ip=false"] }).config.routes.onePodPerIp).toBe(false);
  });

  test("the file is named by --config before LYCHGATE_CONFIG", () => {
    const environment = { LYCHGATE_CONFIG: "env.yaml" };
    expect(
      loadConfig({ flags: parseFlags(["--config", "flag.yaml"]), environment, readFile }).config.kubeconfig,
    ).toBe("flag.yaml");
    expect(loadConfig({ flags: parseFlags([]), environment, readFile }).config.kubeconfig).toBe("env.yaml");
    const none = loadConfig({ flags: parseFlags([]), environment: { LYCHGATE_CONFIG: "" }, readFile });
    expect(none.file).toBeUndefined();
  });

  test("only LYCHGATE_ variables are looked at", () => {
    const environment = Object.defineProperties(
      { LYCHGATE_LOG_LEVEL: "debug" },
      {
        SECRET: {
          enumerable: true,
          get: () => expect.unreachable("a foreign variable was read"),
        },
      },
    );
    expect(load({ environment }).config.logLevel).toBe("debug");
  });
});

describe("a loaded configuration", () => {
  test("is frozen to its leaves", () => {
    const { config } = load({ file: "namespace: [a]" });
    expect(Object.isFrozen(config)).toBe(true);
    expect(Object.isFrozen(config.watch)).toBe(true);
    expect(Object.isFrozen(config.namespace)).toBe(true);
  });

  test("header names are folded to lower case", () => {
    expect(load({ file: "auth: { accessTokenHeader: X-Token }" }).config.auth.accessTokenHeader).toBe(
      "x-token",
    );
  });

  test("configFrom completes an object", () => {
    const config = configFrom({ listen: "127.0.0.1:0", watch: { pageSize: 2 } });
    expect(config.listen).toBe("127.0.0.1:0");
    expect(config.watch).toEqual({
      list: "stream",
      pageSize: 2,
      stallTimeoutMs: 90_000,
      checkIntervalMs: 60_000,
      staleAfterMs: 180_000,
      readyWhenStale: true,
      backoffMinMs: 800,
      backoffMaxMs: 30_000,
    });
  });

  test("configFrom refuses what a file would be refused for", () => {
    const input = { watch: { pagesize: 2 } } as unknown as Parameters<typeof configFrom>[0];
    expect(() => configFrom(input)).toThrow(ConfigError);
    expect(() => configFrom(input)).toThrow('unknown key "watch.pagesize"; did you mean "watch.pageSize"?');
  });
});
