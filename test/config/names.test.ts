import { describe, expect, test } from "vitest";
import { SECTION_TITLES } from "../../src/config/schema.ts";
import { SETTINGS, flagOf, variableOf } from "../../src/config/settings.ts";
import { nearest } from "../../src/config/suggest.ts";
import { faults, load } from "./support.ts";

describe("names follow from the key by rule", () => {
  test.each([
    ["listen", "--listen", "LYCHGATE_LISTEN"],
    ["upstream.connectTimeoutMs", "--upstream-connect-timeout-ms", "LYCHGATE_UPSTREAM_CONNECT_TIMEOUT_MS"],
    ["routes.onePodPerIp", "--routes-one-pod-per-ip", "LYCHGATE_ROUTES_ONE_POD_PER_IP"],
  ])("%s", (key, flag, variable) => {
    expect(flagOf(key)).toBe(flag);
    expect(variableOf(key)).toBe(variable);
  });

  test("no two settings share a flag or a variable", () => {
    expect(new Set(SETTINGS.map(({ flag }) => flag)).size).toBe(SETTINGS.length);
    expect(new Set(SETTINGS.map(({ variable }) => variable)).size).toBe(SETTINGS.length);
    expect(SETTINGS.map(({ variable }) => variable)).not.toContain("LYCHGATE_CONFIG");
  });
});

describe("a name that a setting had before works for one version, with a warning that names the new one", () => {
  test.each([
    [{ argv: ["--peers-claim-ttl-ms", "2000"] }, "--peers-claim-ttl-ms", "--peers-hint-ttl-ms"],
    [
      { environment: { LYCHGATE_PEERS_CLAIM_TTL_MS: "2000" } },
      "LYCHGATE_PEERS_CLAIM_TTL_MS",
      "LYCHGATE_PEERS_HINT_TTL_MS",
    ],
    [{ file: "peers:\n  claimTtlMs: 2000\n" }, "peers.claimTtlMs", "peers.hintTtlMs"],
  ])("%j", (given, former, name) => {
    const { config, origins, warnings } = load(given);
    expect(config.peers.hintTtlMs).toBe(2000);
    expect(origins.get("peers.hintTtlMs")?.kind).not.toBe("default");
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(`${former} is called ${name} now; the old name ends with the next version`);
  });

  test("the section of the node's routes too, and its faults name the setting of today", () => {
    const { config, warnings } = load({ file: "host:\n  overlapMode: warn\n  overlapIntervalMs: 5000\n" });
    expect(config.node).toMatchObject({ overlapMode: "warn", overlapIntervalMs: 5000 });
    expect(warnings).toEqual([
      "lychgate.yaml:2:16: host.overlapMode is called node.overlapMode now; the old name ends with the next version",
      "lychgate.yaml:3:22: host.overlapIntervalMs is called node.overlapIntervalMs now; the old name ends with the next version",
    ]);
    expect(faults({ file: "host:\n  overlapMode: no\n" })[0]).toContain(
      "node.overlapMode must be off, warn or strict",
    );
  });

  test("not beside its new name on one command line", () => {
    expect(faults({ argv: ["--peers-max-claims", "5", "--peers-max-hints", "6"] })).toEqual([
      "--peers-max-hints: is given twice",
    ]);
  });
});

describe("a value that a setting had before works for one version, with a warning that says how it is written", () => {
  test.each([
    [{ argv: ["--client-shared-read-buffer=true"] }, "--client-shared-read-buffer true", "on"],
    [
      { environment: { LYCHGATE_CLIENT_SHARED_READ_BUFFER: "false" } },
      "LYCHGATE_CLIENT_SHARED_READ_BUFFER false",
      "off",
    ],
    [{ file: "client:\n  sharedReadBuffer: true\n" }, "client.sharedReadBuffer true", "on"],
  ])("%j", (given, former, value) => {
    const { config, warnings } = load(given);
    expect(config.client.sharedReadBuffer).toBe(value);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(
      `${former} is written ${value} now; the old value ends with the next version`,
    );
  });

  test("what it never was is a fault", () => {
    expect(faults({ file: "client:\n  sharedReadBuffer: 1\n" })[0]).toContain(
      "client.sharedReadBuffer must be auto, on or off; it is 1",
    );
    expect(load({ file: "client:\n  sharedReadBuffer: on\n" })).toMatchObject({
      config: { client: { sharedReadBuffer: "on" } },
      warnings: [],
    });
  });
});

test("a CRD that is not known is named, with those that are", () => {
  expect(faults({ argv: ["--resources", "agents.kruise.io,nonsense"] })).toEqual([
    '--resources: resources must be among agents.kruise.io, agents.x-k8s.io, agents.x-k8s.io/v1alpha1; it is "nonsense"',
  ]);
});

describe("every setting is documented", () => {
  test.each(SETTINGS.map((setting) => [setting.key, setting] as const))(
    "%s",
    (_, { description, section, kind, type }) => {
      expect(description).toMatch(/^[A-Z].{20,}\.$/);
      expect(SECTION_TITLES[section]).toBeTruthy();
      // Nothing is unbounded.
      if (kind === "integer") expect(type).toMatch(/^(integer|milliseconds|bytes), \d+ to \d+$/);
    },
  );
});

describe("the nearest name", () => {
  const names = ["listen", "peerListen", "watch.pageSize", "watch.backoffMinMs", "watch.backoffMaxMs"];
  test.each([
    ["lisetn", "listen"],
    ["peer-listen", "peerListen"],
    ["pageSize", "watch.pageSize"],
    ["watch.backofMaxMs", "watch.backoffMaxMs"],
    ["volume", undefined],
    ["", undefined],
  ])("%s → %s", (name, near) => {
    expect(nearest(name, names)).toBe(near);
  });
});
