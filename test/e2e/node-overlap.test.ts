import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { NO_NAMESPACES, type TestNamespace } from "../node/support/namespaces.ts";
import { makeNode } from "../node/support/node.ts";
import { eventually } from "../support/eventually.ts";

const LAUNCHER = resolve("bin/lychgate.mjs");

/** Asks a router in `node`: status and body. */
function get(node: TestNamespace, url: string): string {
  const script = `fetch(${JSON.stringify(url)}).then(async (r) => console.log(r.status, await r.text()), (e) => console.log(0, e.message))`;
  return node.exec(process.execPath, "-e", script);
}

/** Starts a router in `node` that checks 10.244.0.0/16 each second. */
function startRouter(node: TestNamespace, mode: "warn" | "strict"): void {
  const flags = ["--source", "none", "--drain-delay-ms", "0", "--node-overlap-interval-ms", "1000"];
  const overlap = ["--node-overlap-mode", mode, "--node-overlap-cidrs", "10.244.0.0/16"];
  const child = spawn(
    "ip",
    ["netns", "exec", node.name, process.execPath, LAUNCHER, "serve", ...flags, ...overlap],
    { stdio: "ignore" },
  );
  onTestFinished(async () => {
    const ended = new Promise((done) => child.once("close", done));
    child.kill();
    await ended;
  });
}

const readyz = "http://127.0.0.1:7789/readyz?verbose";
const metrics = "http://127.0.0.1:9902/metrics";

test.skipIf(NO_NAMESPACES)(
  `strict: a CIDR that is hijacked takes the router's readiness, by name, until it is given back${NO_NAMESPACES ? ` (${NO_NAMESPACES})` : ""}`,
  async () => {
    const node = await makeNode("strict");
    startRouter(node, "strict");
    await eventually(() => expect(get(node, readyz)).toMatch(/^200 [^]*\[\+\]overlap ok/), {
      timeoutMs: 20_000,
    });

    node.sh("route add 10.244.3.0/24 dev ib0");
    await eventually(
      () => {
        const said = get(node, readyz);
        expect(said).toMatch(/^503 /);
        expect(said).toContain(
          "[-]overlap failed: 10.244.0.0/16 (10.244.3.0/24) leaves by ib0 (10.244.3.0/24 dev ib0 proto boot), not by eth0",
        );
      },
      { timeoutMs: 20_000 },
    );
    expect(get(node, metrics)).toContain('lychgate_node_overlap_cidrs{verdict="overlap"} 1');

    node.sh("route del 10.244.3.0/24");
    await eventually(() => expect(get(node, readyz)).toMatch(/^200 /), { timeoutMs: 20_000 });
    await eventually(() =>
      expect(get(node, metrics)).toContain('lychgate_node_overlap_cidrs{verdict="ok"} 1'),
    );
  },
);

test.skipIf(NO_NAMESPACES)(
  `warn: it is counted, and the router stays ready${NO_NAMESPACES ? ` (${NO_NAMESPACES})` : ""}`,
  async () => {
    const node = await makeNode("warn", ["route add 10.244.3.0/24 dev ib0"]);
    startRouter(node, "warn");
    await eventually(
      () => expect(get(node, metrics)).toContain('lychgate_node_overlap_cidrs{verdict="overlap"} 1'),
      { timeoutMs: 20_000 },
    );
    expect(get(node, readyz)).toMatch(/^200 /);
  },
);

test.skipIf(NO_NAMESPACES)(
  `--every-s tells what changes, keeps the marker and the metrics, and ends with 0${NO_NAMESPACES ? ` (${NO_NAMESPACES})` : ""}`,
  async () => {
    const node = await makeNode("every");
    const folder = mkdtempSync(join(tmpdir(), "lychgate-every-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const [marker, prom] = [join(folder, "overlap.json"), join(folder, "overlap.prom")];
    const files = ["--marker-file", marker, "--metrics-file", prom];
    const line = ["node", "overlap", "--cidr", "10.244.0.0/16", "--every-s", "1", "--json", ...files];
    const child = spawn("ip", ["netns", "exec", node.name, process.execPath, LAUNCHER, ...line]);
    const ended = new Promise((done) => child.once("close", done));
    onTestFinished(() => void child.kill("SIGKILL"));
    let told = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (told += text));

    await eventually(() => expect(told).toContain('"ok":true'), { timeoutMs: 20_000 });
    expect(existsSync(marker)).toBe(false);
    node.sh("route add 10.244.3.0/24 dev ib0");
    await eventually(() => expect(told).toContain('"ok":false'), { timeoutMs: 20_000 });
    await eventually(() => expect(existsSync(marker)).toBe(true));
    node.sh("route del 10.244.3.0/24");
    await eventually(() => expect(existsSync(marker)).toBe(false), { timeoutMs: 20_000 });
    const checks = /lychgate_node_overlap_checks_total\{result="ok"\} (\d+)/.exec(readFileSync(prom, "utf8"));
    expect(Number(checks?.[1])).toBeGreaterThanOrEqual(3);
    child.kill("SIGTERM");
    expect(await ended).toBe(0);
  },
);
