import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ALERTS } from "../../scripts/observability/alerts.ts";
import { DASHBOARDS } from "../../scripts/observability/generate.ts";
import { paceOf } from "../../scripts/observability/pace.ts";
import { withoutSeen } from "../../scripts/observability/promql.ts";
import { recordingRules } from "../../scripts/observability/recording-rules.ts";
import { hostMetricsText } from "../../src/metrics/node-metrics.ts";
import { eventually } from "../support/eventually.ts";
import { type DemoProcess, startDemoProcess } from "./support/demo-process.ts";
import { freePort } from "./support/free-port.ts";
import { filledIn, NO_PROMETHEUS, type Prometheus, startPrometheus } from "./support/prometheus.ts";

// Issue: "every expression of every panel and rule is evaluated and returns data or is listed with the reason why not".

const root = resolve(import.meta.dirname, "../..");
const rulesFile = join(root, "deploy/prometheus/lychgate.rules.yaml");
const rulesTestFile = join(root, "deploy/prometheus/lychgate.rules.test.yaml");

/** Expressions that have no data in a router that is well, and why. */
const NO_DATA: ReadonlyMap<string, string> = new Map([
  [
    `absent(lychgate_build_info)`,
    "there is a router: `absent` has a value only when there is none (its promtool case shows that it fires)",
  ],
  [
    `sum by (namespace, instance) (rate(lychgate_requests_total{reason="overloaded"}[5m]))`,
    "series of a reason come with its first request, and no pool is starved here (the drill starves one)",
  ],
  [
    `sum by (worker) (rate(lychgate_worker_lags_total{namespace=~"$namespace",instance=~"$instance"}[$__rate_interval]))`,
    "series of a worker come when it first falls a second behind, and none does",
  ],
]);

const title = NO_PROMETHEUS ? `Prometheus (skipped: ${NO_PROMETHEUS})` : "Prometheus";

describe.skipIf(NO_PROMETHEUS)(title, () => {
  let demo: DemoProcess;
  let prometheus: Prometheus;
  let hostText: string;
  const stops: (() => Promise<unknown> | void)[] = [];

  beforeAll(async () => {
    const ports = [await freePort(), await freePort(), await freePort()] as const;
    const snapshots = mkdtempSync(join(tmpdir(), "lychgate-snapshots-"));
    stops.push(() => rmSync(snapshots, { recursive: true, force: true }));
    demo = await startDemoProcess({ host: "127.0.0.1", ports }, [
      "--workers",
      "2",
      "--sandboxes",
      "40",
      "--churn-per-minute",
      "600",
      "--seed",
      "7",
      "--snapshot-path",
      join(snapshots, "routes.snapshot"),
      "--snapshot-interval-ms",
      "1000",
      // For the panels of TLS.
      "--tls",
      "--tls-port",
      String(await freePort()),
    ]);
    stops.push(() => demo.stop());
    const node = await serveHostMetrics();
    hostText = await node.text();
    stops.push(node.stop);
    prometheus = await startPrometheus(
      { lychgate: demo.admin, node: node.address },
      readFileSync(rulesFile, "utf8"),
    );
    stops.push(() => prometheus.stop());
    const traffic = sendTraffic(demo);
    stops.push(traffic.stop);
    // Rates need two scrapes; push-to-apply and the rest need churn.
    await eventually(async () => traffic.answered() > 200 && (await scrapes(prometheus)) > 20, {
      timeoutMs: 60_000,
    });
  }, 120_000);
  afterAll(async () => {
    for (const stop of stops.reverse()) await stop();
  });

  it("scrapes the router and takes all of its text", async () => {
    for (const { metric, value } of await prometheus.query("up"))
      expect([metric["job"], value[1]]).toEqual([metric["job"], "1"]);
  });

  for (const { uid, rows } of DASHBOARDS) {
    it(`every query of every panel of ${uid} returns data`, async () => {
      const empty: string[] = [];
      for (const panel of rows.flatMap(({ panels }) => panels)) {
        for (const { expr } of panel.queries) {
          // Words that did not occur in the time shown are left out: all of them, where nothing happens.
          await prometheus.query(filledIn(expr));
          const found = await prometheus.query(filledIn(withoutSeen(expr)));
          const expected = !NO_DATA.has(expr);
          if (found.length > 0 !== expected) empty.push(`${panel.title}: ${expr}`);
        }
      }
      expect(empty).toEqual([]);
    });
  }

  it("the choices at the top of the dashboards have values", async () => {
    for (const { uid } of DASHBOARDS) {
      const { templating } = JSON.parse(readFileSync(join(root, `dashboards/${uid}.json`), "utf8")) as {
        templating: { list: readonly { type: string; query: string }[] };
      };
      for (const { type, query } of templating.list.filter(({ type }) => type === "query")) {
        const [, selector = "", label = ""] = /^label_values\((.+), (\w+)\)$/.exec(query) ?? [];
        const values = await prometheus.api(`label/${label}/values`, { "match[]": filledIn(selector) });
        expect((values as string[]).length, `${uid} ${type} ${query}`).toBeGreaterThan(0);
      }
    }
  });

  it("every recording rule records, and every condition of every alert has a value", async () => {
    const empty: string[] = [];
    for (const { record, expr } of recordingRules(paceOf(1))) {
      if ((await prometheus.query(expr)).length === 0) empty.push(record);
      if ((await prometheus.query(record)).length === 0) empty.push(`recorded ${record}`);
    }
    for (const { name, conditions } of ALERTS) {
      for (const { value } of conditions) {
        const found = await prometheus.query(value);
        if (found.length > 0 === NO_DATA.has(value)) empty.push(`${name}: ${value}`);
      }
    }
    expect(empty).toEqual([]);
  });

  it("evaluates every rule without a fault, and none fires while all is well", async () => {
    const { groups } = (await prometheus.api("rules")) as {
      groups: readonly {
        rules: readonly { name: string; health: string; lastError?: string; state?: string }[];
      }[];
    };
    const rules = groups.flatMap(({ rules }) => rules);
    expect(rules.length).toBe(ALERTS.length + recordingRules(paceOf(1)).length);
    expect(rules.filter(({ health }) => health !== "ok")).toEqual([]);
    // Some may be pending: addresses change hands, and a busy machine makes event loops late.
    expect(rules.filter(({ state }) => state === "firing").map(({ name }) => name)).toEqual([]);
  });

  it("promtool finds no fault in the metrics' format and names", async () => {
    const text = await (await fetch(`http://${demo.admin}/metrics`)).text();
    for (const input of [text, hostText]) {
      const checked = spawnSync("promtool", ["check", "metrics"], { input, encoding: "utf8" });
      expect([checked.status, checked.stdout + checked.stderr]).toEqual([0, ""]);
    }
  });

  it("promtool finds no fault in the rules, and each alert fires and stays quiet as its cases say", () => {
    for (const args of [
      ["check", "rules", rulesFile],
      ["check", "config", join(root, "deploy/prometheus/prometheus.yaml")],
      ["test", "rules", rulesTestFile],
    ]) {
      const { status, stdout, stderr } = spawnSync("promtool", args, { encoding: "utf8" });
      expect(status, stdout + stderr).toBe(0);
    }
  });
});

async function scrapes(prometheus: Prometheus): Promise<number> {
  const [sample] = await prometheus.query("count_over_time(lychgate_ready[5m])");
  return Number(sample?.value[1] ?? 0);
}

/** What the node's tools show when all is well: their own metrics, with values of a node. */
async function serveHostMetrics() {
  const { metrics, text, contentType } = hostMetricsText();
  metrics.overlap.checked({ verdictCounts: { ok: 3 }, strict: true, atMs: Date.now() });
  metrics.staticRoutes.counted({ present: 2 });
  metrics.anycast.addresses({ announced: 2 });
  metrics.anycast.backends({ eligible: 3 });
  metrics.anycast.birdConfigured("ok");
  const timer = setInterval(() => {
    metrics.anycast.reconciled(true, 12);
    metrics.anycast.withdrawn(30);
  }, 500);
  const server = createServer((_, response) => {
    void text().then((body) => response.setHeader("content-type", contentType).end(body));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    text,
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: () => {
      clearInterval(timer);
      server.closeAllConnections();
      server.close();
    },
  };
}

/** A few requests at a time: most to a sandbox that lives, some to none, and one now and then that is malformed. */
function sendTraffic({ traffic }: DemoProcess) {
  let answered = 0;
  const stopping = new AbortController();
  const [host, port] = traffic.split(":");
  const ask = (id: string) =>
    new Promise<void>((resolve) => {
      const sent = request(
        { host, port, method: "POST", path: "/echo", headers: { host: `3000-${id}.example.com` } },
        (response) => {
          answered++;
          response.resume();
          response.on("close", resolve);
        },
      );
      sent.on("error", () => resolve());
      sent.end("a body");
    });
  const client = async (): Promise<void> => {
    for (let turn = 0; !stopping.signal.aborted; turn++) {
      // One in fifty is a 5xx of the router: below what an alert asks for.
      await ask(turn % 50 === 7 ? "nobody" : "hello");
      if (turn % 25 === 9) await ask("not a name");
      await sleep(20);
    }
  };
  const clients = [client(), client()];
  return {
    answered: () => answered,
    stop: async () => {
      stopping.abort();
      await Promise.all(clients);
    },
  };
}
