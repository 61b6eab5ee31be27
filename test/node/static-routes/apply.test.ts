import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { type Clock, systemClock } from "../../../src/system/clock.ts";
import { applyRoutes, planNow } from "../../../src/node/static-routes/apply.ts";
import { parseSpec, wantedRoutes } from "../../../src/node/static-routes/spec.ts";
import { runInProcess } from "../../cli/run-lychgate.ts";
import { NO_NAMESPACES } from "../support/namespaces.ts";
import { makeNode } from "../support/node.ts";

const skipped = NO_NAMESPACES ? ` (${NO_NAMESPACES})` : "";
const now = { waitMs: 0, clock: systemClock };

const wanted = (...routes: object[]) =>
  wantedRoutes(parseSpec(JSON.stringify({ enabled: true, routes }), "spec"));

/** A clock whose time passes by itself, at once, and runs `onTimer` each time somebody waits. */
function fastClock(onTimer: (nowMs: number) => void): Clock {
  let nowMs = 0;
  return {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    setTimeout(callback, delayMs) {
      nowMs += delayMs;
      onTimer(nowMs);
      setImmediate(callback);
      return { clear() {} };
    },
  };
}

describe.skipIf(NO_NAMESPACES)(`static routes in the kernel${skipped}`, () => {
  test("are made once, follow the specification, and leave others' routes alone", async () => {
    const { ip, sh } = await makeNode("apply", [
      "addr add 172.16.0.9/16 dev ib0",
      "route add 10.99.0.0/16 dev ib1",
    ]);
    const before = sh("route show");
    const kinds = async (...routes: object[]) =>
      (await applyRoutes(ip, wanted(...routes), now)).map(({ kind }) => kind);

    expect(await kinds({ destination: "172.16.5.0/24" }, { destination: "10.7.0.0/16", metric: 7 })).toEqual([
      "add",
      "add",
    ]);
    expect(sh("route get 172.16.5.1")).toContain("via 192.168.0.1 dev eth0");
    expect(sh("route show proto 76").trim().split("\n")).toHaveLength(2);
    const applied = sh("route show");
    expect(await kinds({ destination: "172.16.5.0/24" }, { destination: "10.7.0.0/16", metric: 7 })).toEqual([
      "keep",
      "keep",
    ]);
    expect(sh("route show")).toBe(applied);

    expect(await kinds({ destination: "172.16.5.0/24", gateway: "192.168.0.77" })).toEqual([
      "replace",
      "remove",
    ]);
    expect(sh("route show 172.16.5.0/24")).toContain("via 192.168.0.77");
    expect(await kinds()).toEqual(["remove"]);
    expect(sh("route show")).toBe(before);
  });

  test("another's route of the same destination and metric is never replaced: it is named, and the rest is made", async () => {
    const { ip, sh } = await makeNode("conflict", ["addr add 172.16.0.9/16 dev ib0"]);
    const applying = applyRoutes(
      ip,
      wanted({ destination: "172.16.0.0/16" }, { destination: "10.7.0.0/16" }),
      now,
    );
    await expect(applying).rejects.toThrow(
      /172\.16\.0\.0\/16 dev ib0 proto kernel is another's; write the destination as its two halves/,
    );
    expect(sh("route show 172.16.0.0/16")).toContain("dev ib0 proto kernel");
    expect(sh("route show proto 76")).toContain("10.7.0.0/16");
    await applyRoutes(ip, wanted({ destination: "172.16.0.0/17" }, { destination: "172.16.128.0/17" }), now);
    expect(sh("route get 172.16.200.1")).toContain("dev eth0");
  });

  test("the kernel's refusal names the route and what to change", async () => {
    const { ip } = await makeNode("refused");
    const applying = applyRoutes(
      ip,
      wanted(
        { destination: "10.7.0.0/16", gateway: "10.99.0.1" },
        { destination: "10.8.0.0/16", gateway: "192.168.0.1", dev: "nope" },
      ),
      now,
    );
    await expect(applying).rejects.toThrow(
      /10\.7\.0\.0\/16 via 10\.99\.0\.1 dev eth0: .*invalid gateway.*give the entry another dev or gateway\n.*10\.8\.0\.0\/16.*Cannot find device "nope"/,
    );
  });

  test("waits for a default route that comes late, asks only when an entry needs one, and gives up loudly after 30 s", async () => {
    const { ip, sh } = await makeNode("late", ["route del default"]);
    await applyRoutes(ip, wanted({ destination: "10.6.0.0/16", gateway: "192.168.0.1", dev: "eth0" }), now);
    const never = fastClock(() => {});
    await expect(
      applyRoutes(ip, wanted({ destination: "10.7.0.0/16" }), { waitMs: 30_000, clock: never }),
    ).rejects.toMatchObject({
      code: "timeout",
      message: "no IPv4 default route came up within 30 s",
      fix: expect.stringContaining("gateway and dev"),
    });
    expect(never.monotonicMs()).toBe(30_000);
    const late = fastClock((nowMs) => {
      if (nowMs === 2_000) sh("route add default via 192.168.0.1 dev eth0");
    });
    await applyRoutes(ip, wanted({ destination: "10.7.0.0/16" }), { waitMs: 30_000, clock: late });
    expect(late.monotonicMs()).toBe(2_000);
    expect(sh("route show 10.7.0.0/16")).toContain("via 192.168.0.1 dev eth0 proto 76");
  });

  test("another's route that does the same is left as it is, and is no failure: moving here from a script", async () => {
    const { ip, sh } = await makeNode("same", ["route add 10.52.0.0/16 via 192.168.0.1"]);
    const before = sh("route show");
    expect(await applyRoutes(ip, wanted({ destination: "10.52.0.0/16" }), now)).toMatchObject([
      { kind: "keep", others: { protocol: 3 } },
    ]);
    expect(sh("route show")).toBe(before);
    await applyRoutes(ip, [], now);
    expect(sh("route show")).toBe(before);
  });

  test("without a gateway, that of the default route by the entry's device is taken, though another's wins", async () => {
    const { ip, sh } = await makeNode("nics", [
      "route replace default via 192.168.0.1 dev eth0 metric 5",
      "route del default metric 0",
      "addr add 172.16.0.9/16 dev ib0",
      "route add default via 172.16.0.1 dev ib0 metric 500",
    ]);
    await applyRoutes(ip, wanted({ destination: "10.60.0.0/16", dev: "ib0" }), now);
    expect(sh("route show 10.60.0.0/16")).toContain("via 172.16.0.1 dev ib0");
  });

  test("a default route of the entry's device that comes later than another's is waited for", async () => {
    const { ip, sh } = await makeNode("nics2", ["addr add 172.16.0.9/16 dev ib0"]);
    const late = fastClock((nowMs) => {
      if (nowMs === 2_000) sh("route add default via 172.16.0.1 dev ib0 metric 500");
    });
    const entry = { destination: "10.60.0.0/16", dev: "ib0" };
    await applyRoutes(ip, wanted(entry), { waitMs: 30_000, clock: late });
    expect(sh("route show 10.60.0.0/16")).toContain("via 172.16.0.1 dev ib0");
    const never = fastClock(() => {});
    await expect(
      applyRoutes(ip, wanted({ ...entry, dev: "ib1" }), { waitMs: 3000, clock: never }),
    ).rejects.toThrow("10.60.0.0/16: the default route leaves by eth0, ib0, not by ib1");
  });

  test("an entry on the link itself has no gateway", async () => {
    const { ip, sh } = await makeNode("onlink");
    const route = { destination: "10.61.0.0/16", gateway: "none", dev: "ib0" };
    await applyRoutes(ip, wanted(route), now);
    expect(sh("route show 10.61.0.0/16")).toMatch(/^10\.61\.0\.0\/16 dev ib0 proto 76 scope link/);
    expect(await applyRoutes(ip, wanted(route), now)).toMatchObject([{ kind: "keep" }]);
  });

  test("a failure says what was changed all the same", async () => {
    const { ip } = await makeNode("partly");
    await applyRoutes(ip, wanted({ destination: "10.9.0.0/16" }), now);
    const applying = applyRoutes(
      ip,
      wanted(
        { destination: "10.7.0.0/16" },
        { destination: "10.8.0.0/16", gateway: "10.99.0.1", dev: "eth0" },
      ),
      now,
    );
    await expect(applying).rejects.toThrow(
      /invalid gateway.*\nchanged all the same:\n\+ 10\.7\.0\.0\/16 via 192\.168\.0\.1 dev eth0\n- 10\.9\.0\.0\/16/s,
    );
  });

  test.each<[string, string[], object[]]>([
    ["a gateway on no link", [], [{ gateway: "9.9.9.9" }]],
    [
      "a gateway on another link",
      ["addr add 172.16.0.9/16 dev ib0"],
      [{ gateway: "172.16.0.1", dev: "eth0" }],
    ],
    [
      "a gateway that a route without link scope covers",
      ["route add 9.9.9.0/24 dev eth0 scope global"],
      [{ gateway: "9.9.9.9", dev: "eth0" }],
    ],
    [
      "a gateway that a gateway covers",
      ["route add 9.9.9.0/24 via 192.168.0.1"],
      [{ gateway: "9.9.9.9", dev: "eth0" }],
    ],
    [
      "a gateway that a table covers which nothing leads to",
      ["route add 9.9.9.9 dev eth0 table 100"],
      [{ gateway: "9.9.9.9", dev: "eth0" }],
    ],
    ["a broadcast address", [], [{ gateway: "192.168.0.255", dev: "eth0" }]],
    ["a device that is down", ["link set ib0 down"], [{ gateway: "none", dev: "ib0" }]],
    ["a device that is not there", [], [{ gateway: "none", dev: "ib9" }]],
  ])("what the kernel refuses, plan does not promise: %s", async (_, commands, routes) => {
    const { ip } = await makeNode("foresee", commands);
    const all = routes.map((route) => ({ destination: "10.7.0.0/16", ...route }));
    expect(await planNow(ip, wanted(...all), now)).toMatchObject([{ kind: "refused" }]);
    await expect(applyRoutes(ip, wanted(...all), now)).rejects.toThrow(/10\.7\.0\.0\/16/);
  });

  test.each<[string, string[], object[]]>([
    [
      "a gateway on its link, without a device",
      ["addr add 172.16.0.9/16 dev ib0"],
      [{ gateway: "172.16.0.1" }],
    ],
    [
      "a gateway that the same specification puts on a link",
      [],
      [
        { gateway: "9.9.9.9", dev: "ib0" },
        { destination: "9.9.9.0/24", gateway: "none", dev: "ib0" },
      ],
    ],
    [
      "a gateway that a table for packets by the device covers",
      ["rule add oif eth0 lookup 100", "route add 9.9.9.9 dev eth0 table 100"],
      [{ gateway: "9.9.9.9", dev: "eth0" }],
    ],
    [
      "a gateway that a rule's table covers",
      ["rule add lookup 100", "route add 9.9.9.9 dev eth0 table 100"],
      [{ gateway: "9.9.9.9", dev: "eth0" }],
    ],
    ["an address of this node's own", [], [{ gateway: "192.168.0.5", dev: "eth0" }]],
    [
      "a gateway that unreachable stands before",
      ["route add unreachable 192.168.0.0/28"],
      [{ gateway: "192.168.0.1", dev: "eth0" }],
    ],
  ])("what it takes, plan promises: %s", async (_, commands, routes) => {
    const { ip } = await makeNode("foresee", commands);
    const all = wanted(...routes.map((route) => ({ destination: "10.7.0.0/16", ...route })));
    expect(new Set((await planNow(ip, all, now)).map(({ kind }) => kind))).toEqual(new Set(["add"]));
    await applyRoutes(ip, all, now);
  });

  test("plan changes nothing", async () => {
    const { ip, sh } = await makeNode("plan");
    const before = sh("route show");
    expect(await planNow(ip, wanted({ destination: "10.7.0.0/16" }), now)).toMatchObject([{ kind: "add" }]);
    expect(sh("route show")).toBe(before);
  });

  test("the commands plan, apply and remove, with exit codes and metrics", async () => {
    const node = await makeNode("cli");
    const folder = mkdtempSync(join(tmpdir(), "lychgate-routes-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const [file, prom] = [join(folder, "routes.yaml"), join(folder, "routes.prom")];
    const run = (action: string, ...args: string[]) =>
      runInProcess(["node", "static-routes", action, "--netns", node.name, ...args]);
    writeFileSync(file, "enabled: true\nroutes: [{destination: 10.7.0.0/16}]\n");
    expect(await run("plan", "--file", file)).toMatchObject({
      code: 0,
      stdout: "+ 10.7.0.0/16 via 192.168.0.1 dev eth0\n1 to change\n",
    });
    expect(await run("apply", "--file", file, "--metrics-file", prom)).toMatchObject({ code: 0, stderr: "" });
    expect(readFileSync(prom, "utf8")).toContain('lychgate_node_static_routes{state="present"} 1\n');
    const again = await run("apply", "--file", file, "--json");
    expect(JSON.parse(again.stdout)).toEqual({
      action: "apply",
      steps: [{ kind: "keep", text: "= 10.7.0.0/16 via 192.168.0.1 dev eth0" }],
    });
    writeFileSync(file, "enabled: false\nroutes: [{destination: 10.7.0.0/16}]\n");
    expect((await run("plan", "--file", file)).stdout).toContain("- 10.7.0.0/16");
    expect((await run("remove")).stdout).toContain("1 changed");
    expect(node.sh("route show proto 76")).toBe("");

    writeFileSync(
      file,
      "enabled: true\nroutes: [{destination: 10.7.0.0/16}, {destination: 10.8.0.0/16, gateway: 9.9.9.9}]\n",
    );
    expect(await run("plan", "--file", file)).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(
        /! 10\.8\.0\.0\/16 .*the kernel would refuse it.*\n1 to change, 1 can't be made\n/s,
      ),
    });

    writeFileSync(file, "enabled: true\nroutes: [{destination: 10/8}]\n");
    expect(await run("apply", "--file", file)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("routes[0].destination"),
    });
    expect(await run("plan", "--file", join(folder, "none"))).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("name it with --file"),
    });
    expect(await run("apply", "--file", file, "--wait-s", "x")).toMatchObject({ code: 2 });
  });
});
