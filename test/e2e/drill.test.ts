import { execFile, spawn, spawnSync } from "node:child_process";
import { promisify } from "node:util";
import { resolve } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import {
  DRILL,
  DRILL_DEMO,
  DRILL_NAME,
  DRILL_TRAFFIC,
  drillPanel,
  type DrillStep,
} from "../../scripts/observability/drill.ts";
import { rulesYaml } from "../../scripts/observability/rules-files.ts";
import { makeNamespace, NO_NAMESPACES } from "../node/support/namespaces.ts";
import { eventually } from "../support/eventually.ts";
import { startDemoProcess } from "./support/demo-process.ts";
import { filledIn, NO_PROMETHEUS, type Sample, startPrometheus } from "./support/prometheus.ts";

// docs/drill.md, word for word: in a network namespace of its own, so that the demo has its ports and the hijacked route
// harms nobody.

/** How much faster than an operator's rules those of the drill are. */
const PACE = 20;
const HOST = "10.213.77.1";
const INSIDE = "10.213.77.2";
const bin = resolve(import.meta.dirname, "../../bin/lychgate.mjs");

const missing = [
  NO_PROMETHEUS,
  NO_NAMESPACES,
  ...["kubectl", "curl", "ip"]
    .filter((program) => spawnSync("sh", ["-c", `command -v ${program}`]).status !== 0)
    .map((program) => `${program} is not installed`),
].filter((why) => why !== undefined);
const title = "each thing that is broken fires its alert, shows in its panel, and is said by explain";

test.skipIf(missing.length > 0)(
  missing.length > 0 ? `${title} (skipped: ${missing.join("; ")})` : title,
  { timeout: 170_000 },
  async () => {
    const namespace = makeNamespace("drill");
    const outside = `lydrill${process.pid % 100_000}`;
    namespace.sh(`link add eth0 type veth peer name ${outside} netns 1`);
    spawnSync("ip", ["addr", "add", `${HOST}/30`, "dev", outside]);
    spawnSync("ip", ["link", "set", outside, "up"]);
    namespace.sh(`addr add ${INSIDE}/30 dev eth0`);
    namespace.sh("link set eth0 up");
    namespace.sh(`route add default via ${HOST}`);
    const wrapper = ["ip", "netns", "exec", namespace.name];

    const demo = await startDemoProcess(
      { host: "127.0.0.1", ports: [7788, 7789, 9902] },
      [...DRILL_DEMO.flatMap((flag) => flag.split(" ")), "--seed", "7"],
      wrapper,
    );
    onTestFinished(() => demo.stop());
    const prometheus = await startPrometheus({ lychgate: "127.0.0.1:9902" }, rulesYaml(PACE), {
      wrapper,
      host: INSIDE,
    });
    onTestFinished(() => prometheus.stop());
    const traffic = spawn("ip", [...wrapper.slice(1), "sh", "-c", DRILL_TRAFFIC], { detached: true });
    onTestFinished(() => {
      if (traffic.pid !== undefined) process.kill(-traffic.pid, "SIGKILL");
    });

    let sandbox = "";
    const shell = async (text: string): Promise<string> => {
      const script = text
        .replaceAll("npx lychgate", `${process.execPath} ${bin}`)
        .replaceAll(".lychgate/kubeconfig", demo.kubeconfig);
      const { stdout } = await promisify(execFile)("ip", [...wrapper.slice(1), "bash", "-c", script], {
        env: { ...process.env, DEMO: String(demo.pid), NAME: sandbox, HOME: resolve(demo.kubeconfig, "..") },
      });
      return stdout;
    };
    sandbox = await shell(DRILL_NAME);
    expect(demo.lines.join("\n")).toContain(`patch sandbox ${sandbox} `);
    const has =
      (wanted: Readonly<Record<string, string>> = {}) =>
      (sample: Sample) =>
        Object.entries(wanted).every(([name, word]) => sample.metric[name] === word);
    const firing = async ({ alert, alertLabels }: DrillStep) => {
      const alerts = await prometheus.query(`ALERTS{alertname="${alert}",alertstate="firing"}`);
      return alerts.some(has(alertLabels));
    };
    const scraped = async () =>
      (await prometheus.query("count_over_time(lychgate_ready[1m]) > 5")).length > 0;
    await eventually(scraped, { timeoutMs: 30_000, everyMs: 200 });

    for (const step of DRILL) {
      expect(await firing(step), `${step.title}: ${step.alert} fires before`).toBe(false);
      const began = performance.now();
      // What goes on in the background must not hold the shell.
      await shell(`{ ${step.break.replace(/&$/, "& true")}\n} > /dev/null 2>&1`);
      const { panel } = drillPanel(step);
      const shown = `(${filledIn(panel.queries[step.query]!.expr, "30s")}) > ${step.above}`;
      const waiting = { timeoutMs: 45_000, everyMs: 200 };
      const [said] = await Promise.all([
        eventually(async () => {
          const out = await shell(step.ask);
          if (!step.line.test(out)) throw new Error(`${step.title}: ${step.ask} says\n${out}`);
          return out;
        }, waiting),
        eventually(async () => {
          if (!(await firing(step))) throw new Error(`${step.title}: ${step.alert} does not fire`);
        }, waiting),
        eventually(async () => {
          if (!(await prometheus.query(shown)).some(has(step.panelLabels)))
            throw new Error(`${step.title}: ${panel.title} does not show it: ${shown}`);
        }, waiting),
      ]);
      const line = said.split("\n").find((each) => step.line.test(each)) ?? "";
      console.log(`${step.title}: ${((performance.now() - began) / 1_000).toFixed(1)} s; ${line.trim()}`);
      await shell(`{ ${step.mend}\n} > /dev/null 2>&1`);
    }
    // All is mended: the router serves as before.
    await eventually(
      async () => {
        expect(await shell("curl -s http://127.0.0.1:7789/readyz")).toContain("ok");
        const status =
          "curl -s -o /dev/null -w '%{http_code}' -H 'Host: 3000-hello.example.com' http://127.0.0.1:7788/";
        expect(await shell(status)).toBe("200");
      },
      { timeoutMs: 15_000, everyMs: 200 },
    );
  },
);
