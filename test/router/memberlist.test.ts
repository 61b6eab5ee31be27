import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import type { PeersView } from "../../src/admin/api-types.ts";
import { systemClock } from "../../src/system/clock.ts";
import { configFrom } from "../../src/config/load.ts";
import { advertiseHostOf, keysOf, startMembership } from "../../src/router/membership.ts";
import { createMetrics } from "../../src/metrics/registry.ts";
import { startMemberlist, type StartOptions } from "../../src/peers/memberlist/start.ts";
import { anonymousCredentials } from "../../src/watch/api-credentials.ts";
import { eventually } from "../support/eventually.ts";
import { RecordingLog } from "../watch/support/watching.ts";
import { startTestRouter } from "./support.ts";

/** A member as a manager would be, which joins nobody by itself. */
async function startManager(options: Partial<StartOptions> = {}) {
  const manager = await startMemberlist({
    name: "sm-0",
    bindHost: "127.0.0.1",
    bindPort: 0,
    find: () => Promise.resolve([]),
    ...options,
  });
  onTestFinished(() => manager.stop(0));
  const statusOf = (name: string) => manager.list.members().find((member) => member.name === name)?.status;
  return { manager, statusOf };
}

test("a router finds a manager, is seen by it, shows it, and says farewell when it drains", async () => {
  const folder = mkdtempSync(join(tmpdir(), "lychgate-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const key = randomBytes(32);
  const keyFile = join(folder, "keys");
  writeFileSync(
    keyFile,
    `# the new one first\n${key.toString("base64")}\n${randomBytes(16).toString("base64")}\n`,
  );
  const { manager, statusOf } = await startManager({ keys: [key] });
  const router = await startTestRouter({
    source: "none",
    memberlist: {
      enabled: true,
      listen: "127.0.0.1:0",
      name: "sg-test",
      join: [`127.0.0.1:${manager.port}`],
      keyFile,
    },
  });
  const peers = async () => (await (await fetch(`${router.adminUrl}/api/peers`)).json()) as PeersView;
  await eventually(async () => (await peers()).memberlist?.members.length === 1);
  expect(await peers()).toMatchObject({
    pushers: [],
    memberlist: {
      healthScore: 0,
      members: [{ name: "sm-0", address: `127.0.0.1:${manager.port}`, status: "alive" }],
    },
  });
  expect(statusOf("sg-test")).toBe("alive");
  const metrics = await router.metrics();
  expect(metrics).toContain('lychgate_members{status="alive"} 1\n');
  expect(metrics).toContain('lychgate_members{status="dead"} 0\n');
  expect(metrics).toContain('lychgate_member_refusals_total{reason="malformed"} 0\n');
  await router.router.drain();
  expect(statusOf("sg-test")).toBe("left");
});

test("peers.allowFrom holds for members too", async () => {
  const { manager, statusOf } = await startManager();
  const router = await startTestRouter({
    source: "none",
    peers: { allowFrom: ["10.0.0.0/8"] },
    memberlist: {
      enabled: true,
      listen: "127.0.0.1:0",
      name: "sg-test",
      join: [`127.0.0.1:${manager.port}`],
    },
  });
  await eventually(() => statusOf("sg-test") === "alive");
  await eventually(async () =>
    expect(await router.metrics()).toMatch(/lychgate_member_refusals_total\{reason="forbidden"\} [1-9]/),
  );
  expect(await router.metrics()).toContain('lychgate_members{status="alive"} 0\n');
  await router.router.stop();
});

test("without it there are no members, and nobody listens", async () => {
  const router = await startTestRouter({ source: "none" });
  const peers = await (await fetch(`${router.adminUrl}/api/peers`)).json();
  expect(peers).toEqual({ pushers: [] });
  expect(await router.metrics()).toContain('lychgate_members{status="alive"} 0\n');
  await router.router.stop();
});

test("managers are found by their pods, again and again, while the API server answers", async () => {
  const { manager, statusOf } = await startManager();
  const asked: string[] = [];
  let answer: { status: number; items: object[] } = { status: 403, items: [] };
  const server = createServer((request, response) => {
    asked.push(request.url ?? "");
    const list = {
      kind: "PodList",
      apiVersion: "v1",
      metadata: { resourceVersion: "7" },
      items: answer.items,
    };
    response.writeHead(answer.status, { "content-type": "application/json" }).end(JSON.stringify(list));
  });
  await new Promise<void>((resolve) => void server.listen({ host: "127.0.0.1", port: 0 }, resolve));
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const log = new RecordingLog();
  const membership = await startMembership({
    config: configFrom({
      memberlist: { enabled: true, listen: "127.0.0.1:0", name: "sg-test", podNamespace: "sandbox-system" },
    }).memberlist,
    credentials: () => Promise.resolve(anonymousCredentials(new URL(`http://127.0.0.1:${port}`))),
    allows: undefined,
    readFile: () => "",
    metrics: createMetrics({ version: "1", processMetrics: false }),
    clock: systemClock,
    log,
  });
  onTestFinished(() => membership?.stop(true));
  await eventually(() => asked.length > 0);
  expect(asked[0]).toMatch(
    /^\/api\/v1\/namespaces\/sandbox-system\/pods\?labelSelector=component%3Dsandbox-manager&limit=/,
  );
  await eventually(() =>
    expect(log.lines.map(({ error }) => (error instanceof Error ? error.message : ""))).toContainEqual(
      expect.stringMatching(/; grant list on pods in namespace sandbox-system \(a Role\)$/),
    ),
  );
  let changes = 0;
  membership?.peers.onChange(() => (changes += 1));
  const annotations = { "agents.kruise.io/memberlist-url": `127.0.0.1:${manager.port}` };
  const metadata = { namespace: "sandbox-system", name: "m-0", uid: "u", resourceVersion: "5", annotations };
  answer = { status: 200, items: [{ metadata, status: { podIP: "10.0.0.9" } }] };
  await eventually(() => statusOf("sg-test") === "alive", { timeoutMs: 15_000 });
  await eventually(() => membership?.peers.peers().length === 1);
  expect(membership?.peers.peers()).toEqual([{ name: "sm-0", host: "127.0.0.1" }]);
  expect(changes).toBe(1);
  await manager.stop(2_000);
  await eventually(() => membership?.peers.peers().length === 0);
});

describe("a fault names its setting, and the router does not start", () => {
  const folder = mkdtempSync(join(tmpdir(), "lychgate-"));
  test.each<[string, object, string]>([
    ["a port that is taken", {}, "memberlist.listen: listening for members on 127.0.0.1:"],
    ["an address that is none", { join: ["10.0.0.300"] }, 'memberlist.join: holds "10.0.0.300"'],
    ["a host name to listen on", { listen: "localhost:0" }, "memberlist.listen: must have an IP address"],
    ["a key file that is missing", { keyFile: join(folder, "none") }, "memberlist.keyFile: can't be read"],
  ])("%s", async (_, memberlist, message) => {
    const { manager } = await startManager();
    const listen = `127.0.0.1:${manager.port}`;
    const starting = startTestRouter({
      source: "none",
      memberlist: { enabled: true, listen, ...memberlist },
    });
    await expect(starting).rejects.toThrow(message);
  });

  test.each([
    ["nothing", "\n# only a comment\n", "holds no key"],
    [
      "a key of another length",
      `${randomBytes(32).toString("base64")}\nAAAA\n`,
      "key 2 must be 16, 24 or 32 bytes",
    ],
    ["no base64", "this is a password, not a key!!\n", "key 1 must be"],
  ])("a key file that holds %s", (_, text, message) => {
    const read = () => keysOf({ keyFile: "/keys" }, () => text);
    expect(read).toThrow(message);
    expect(read).not.toThrow(/password|AAAA/);
  });
});

test("the address that others are told: as configured, as bound, or the machine's first", () => {
  const address = (address: string, family: "IPv4" | "IPv6", internal = false) =>
    ({
      address,
      family,
      internal,
      netmask: "",
      mac: "",
      cidr: null,
      ...(family === "IPv6" && { scopeid: 0 }),
    }) as never;
  const machine = [
    [address("127.0.0.1", "IPv4", true)],
    [address("fe80::1", "IPv6"), address("fd00::1", "IPv6"), address("10.0.0.5", "IPv4")],
  ];
  const of = (advertiseAddress: string, bound?: string, interfaces: never[][] = machine) =>
    advertiseHostOf({ advertiseAddress }, bound, interfaces);
  expect(of("10.9.9.9", "127.0.0.1")).toBe("10.9.9.9");
  expect(of("", "127.0.0.1")).toBe("127.0.0.1");
  expect(of("", "0.0.0.0")).toBe("10.0.0.5");
  expect(of("")).toBe("10.0.0.5");
  expect(of("", "::", [[address("fe80::1", "IPv6"), address("fd00::1", "IPv6")]])).toBe("fd00::1");
  expect(() => of("", undefined, [[address("127.0.0.1", "IPv4", true)]])).toThrow(
    "memberlist.advertiseAddress",
  );
});
