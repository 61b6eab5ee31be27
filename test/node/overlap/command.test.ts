import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { startTestRouter } from "../../router/support.ts";
import { runInProcess } from "../../cli/run-lychgate.ts";
import { NO_NAMESPACES } from "../support/namespaces.ts";
import { makeNode } from "../support/node.ts";

const skipped = NO_NAMESPACES ? ` (${NO_NAMESPACES})` : "";
const overlap = (...args: string[]) => runInProcess(["node", "overlap", ...args]);

describe("the command line", () => {
  test.each([
    [["--mode", "loud"], 2, '--mode must be warn or strict; it is "loud"'],
    [["--every-s", "0"], 2, '--every-s must be an integer from 1 to 86400; it is "0"'],
    [["--wait-s", "x"], 2, '--wait-s must be an integer from 0 to 300; it is "x"'],
    [["--cidr", "10.0.0.1/8"], 2, "write 10.0.0.0/8"],
    [["--cidr", "10/8"], 2, "no address or CIDR"],
    [["--cidr", "10.0.0.0/8", "--netns", "nowhere-at-all"], 1, "nowhere-at-all"],
    [["--admin", "http://127.0.0.1:1"], 1, "or say which CIDRs to check with --cidr"],
  ])("%j exits %d: %s", async (args, code, words) => {
    const { stderr, ...end } = await overlap(...args);
    expect(stderr).toContain(words);
    expect(end.code).toBe(code);
  });
});

describe.skipIf(NO_NAMESPACES)(`what there is to do is always said${skipped}`, () => {
  test("without a default route", async () => {
    const node = await makeNode("nodef", ["route del default"]);
    const { code, stdout } = await overlap("--netns", node.name, "--cidr", "10.0.0.0/8", "--mode", "strict");
    expect(code).toBe(1);
    expect(stdout).toContain("\nthe CIDR is not ok\nfix: add a default route, or name the interfaces");
  });

  test("of eight routes that share the packets two are shown, and how many there are more", async () => {
    const node = await makeNode("ecmp", [
      "-6 route add default via fe80::1 dev eth0",
      ...Array.from(
        { length: 8 },
        (_, index) => `-6 route append 2001:db8:1::/48 via fe80::1${index} dev ib1`,
      ),
    ]);
    const { stdout } = await overlap("--netns", node.name, "--cidr", "2001:db8:1::/48");
    expect(stdout).toContain("nexthop via fe80::11 dev ib1 (and 6 more) proto boot");
  });
});

describe.skipIf(NO_NAMESPACES)(`a node with an overlap${skipped}`, () => {
  test("warn says so and exits 0, strict exits 1; marker and metrics come and the marker goes", async () => {
    const node = await makeNode("cli", ["addr add 172.16.0.9/16 dev ib0"]);
    const folder = mkdtempSync(join(tmpdir(), "lychgate-overlap-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const [marker, prom] = [join(folder, "run", "overlap.json"), join(folder, "overlap.prom")];
    const common = ["--netns", node.name, "--cidr", "172.16.5.0/24,10.0.0.0/8"];

    const warned = await overlap(...common);
    expect(warned.code).toBe(0);
    expect(warned.stdout).toContain(
      "172.16.5.0/24   overlap   172.16.5.0/24   172.16.0.0/16 dev ib0 proto kernel",
    );
    expect(warned.stdout).toContain("1 of 2 CIDRs are not ok");
    expect(warned.stdout).toContain(
      "fix: static-routes {destination: 172.16.5.0/24, gateway: 192.168.0.1, dev: eth0}",
    );

    const files = ["--marker-file", marker, "--metrics-file", prom];
    const strict = await overlap(...common, "--mode", "strict", "--json", ...files);
    expect(strict.code).toBe(1);
    const report: unknown = JSON.parse(strict.stdout);
    expect(report).toMatchObject({
      ok: false,
      mode: "strict",
      cidrs: [{ verdict: "overlap" }, { verdict: "ok" }],
    });
    expect(JSON.parse(readFileSync(marker, "utf8"))).toEqual(report);
    expect(readFileSync(prom, "utf8")).toContain('lychgate_node_overlap_cidrs{verdict="overlap"} 1\n');
    expect(readFileSync(prom, "utf8")).toContain("lychgate_node_overlap_strict 1\n");

    node.sh("route add 172.16.5.0/24 via 192.168.0.1");
    const cured = await overlap(...common, "--mode", "strict", ...files);
    expect(cured).toMatchObject({ code: 0, stderr: "" });
    expect(existsSync(marker)).toBe(false);
    expect(readFileSync(prom, "utf8")).toContain('lychgate_node_overlap_cidrs{verdict="ok"} 2\n');
  });

  test("without --cidr it checks the pods that a running router knows", async () => {
    const router = await startTestRouter({ source: "none" });
    onTestFinished(() => router.router.stop());
    const push = { id: "box", namespace: "default", name: "box", uid: "u", owner: "", state: "running" };
    expect(await router.push({ ...push, ip: "172.16.5.7", resourceVersion: "5" })).toBe(204);
    const node = await makeNode("derived", ["addr add 172.16.0.9/16 dev ib0"]);
    const { stdout, code } = await overlap(
      "--netns",
      node.name,
      "--admin",
      router.adminUrl,
      "--mode",
      "strict",
    );
    expect(stdout).toContain("172.16.5.0/24   overlap");
    expect(code).toBe(1);
  });
});
