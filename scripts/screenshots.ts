/**
 * Takes the pictures of docs/images: `node scripts/screenshots.ts`. Starts a cluster with churn and a router of its own, sends
 * requests, and looks at the status page and at the report of a short `lychgate load` with the machine's Chromium
 * (Debian: apt-get install chromium). Takes about two minutes. `--all DIR` writes every view, light and dark, in three widths.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";
import type { Browser, Page } from "playwright-core";
import { startRouter } from "../src/router/app.ts";
import { configFrom } from "../src/config/load.ts";
import { startDevCluster } from "../lab/devcluster/cluster.ts";
import { silentLog } from "../src/system/log.ts";
import { openBrowser } from "../test/support/browser.ts";

const ROOT = resolve(import.meta.dirname, "..");
const IMAGES = join(ROOT, "docs/images");
const WIDE = { width: 1280, height: 900 };
const ALL_SIZES = {
  wide: { width: 1440, height: 900 },
  medium: { width: 900, height: 900 },
  narrow: { width: 390, height: 844 },
};

const allInto = process.argv[2] === "--all" ? process.argv[3] : undefined;
const trafficMs = allInto === undefined ? 75_000 : 20_000;

await mkdir(allInto ?? IMAGES, { recursive: true });
const cluster = await startDevCluster({
  seed: 7,
  pods: { firstIp: "127.0.96.1", ipCount: 90, ports: [3000] },
  pools: [{ namespace: "team-a", name: "code", size: 12 }],
  churn: { actionsPerSecond: 6, targetClaimed: 48 },
  push: { faults: { late: 0.1, twice: 0.1, reordered: 0.1, stale: 0.1 } },
});
const router = await startRouter(
  configFrom({
    listen: "127.0.0.1:0",
    peerListen: "127.0.0.1:0",
    adminListen: "127.0.0.1:0",
    // The pods of this cluster.
    routes: { podCidrs: ["127.0.96.0/24"] },
    drain: { delayMs: 0, timeoutMs: 0 },
  }),
  { log: silentLog, apiServer: new URL(cluster.apiUrl) },
);
cluster.pusher.setPeers([`http://127.0.0.1:${router.addresses.peers.port}`]);
await router.synced();
const url = `http://127.0.0.1:${router.addresses.admin.port}`;
const browser = await openBrowser();
try {
  const stop = sendRequests();
  say(`traffic for ${trafficMs / 1_000} s …`);
  await sleep(trafficMs);
  if (allInto === undefined) {
    for (const scheme of ["light", "dark"] as const) {
      const page = await open(browser, scheme, WIDE);
      await page.screenshot({ path: join(IMAGES, `status-page${scheme === "dark" ? "-dark" : ""}.png`) });
      await page.close();
    }
  } else {
    for (const scheme of ["light", "dark"] as const) {
      for (const [name, size] of Object.entries(ALL_SIZES)) {
        const page = await open(browser, scheme, size);
        await everyView(page, join(allInto, `${scheme}-${name}`));
        await page.close();
      }
    }
  }
  stop();
} finally {
  await router.stop();
  await cluster.stop();
}
if (allInto === undefined) await report(browser);
await browser.close();

async function open(chromium: Browser, colorScheme: "light" | "dark", viewport: typeof WIDE): Promise<Page> {
  const page = await chromium.newPage({
    colorScheme,
    viewport,
    deviceScaleFactor: allInto === undefined ? 1.5 : 1,
  });
  await page.goto(url);
  await page.getByText("live", { exact: true }).waitFor();
  await sleep(1_500);
  return page;
}

async function everyView(page: Page, prefix: string): Promise<void> {
  const shoot = async (name: string, fullPage = true): Promise<void> => {
    await sleep(400);
    await page.screenshot({ path: `${prefix}-${name}.png`, fullPage });
  };
  await shoot("overview");
  await page.getByRole("link", { name: "Routes" }).click();
  await shoot("routes");
  await page
    .getByRole("button", { name: /^History of/ })
    .nth(3)
    .click();
  await shoot("history", false);
  await page.keyboard.press("Escape");
  await page.getByRole("link", { name: "Explain" }).click();
  const [known] = [...router.table.keys()];
  await page
    .getByLabel("URL or Host")
    .fill(`https://3000-${String(known).replace("/", "--")}.example.com/a?b`);
  await page.keyboard.press("Enter");
  await shoot("explain");
  await page.getByRole("link", { name: "Sources" }).click();
  await shoot("sources");
  await page.getByRole("link", { name: "Configuration" }).click();
  await shoot("configuration", false);
}

/** Asks for sandboxes that live, and now and then for one that does not. Returns what ends it. */
function sendRequests(): () => void {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  const { port } = router.addresses.traffic;
  let beat = 0;
  const timer = setInterval(() => {
    beat++;
    const ids = [...router.table.keys()].flatMap((key) => {
      const inEffect = router.table.inspect(key)?.inEffect;
      return inEffect?.state === "running" ? [inEffect.route.id] : [];
    });
    const wave = 6 + Math.round(4 * Math.sin(beat / 160));
    for (let sent = 0; sent < wave; sent++) {
      const id = sent === 0 && beat % 3 === 0 ? "nobody" : ids[(beat * 7 + sent) % Math.max(1, ids.length)];
      const path = sent % 7 === 0 ? `/slow?ms=${30 + ((beat * 13) % 60)}` : "/";
      const asked = request({
        host: "127.0.0.1",
        port,
        agent,
        path,
        headers: { host: `3000-${id}.example.com` },
      });
      asked.on("response", (response) => response.resume());
      asked.on("error", () => {});
      asked.end();
    }
  }, 50);
  return () => {
    clearInterval(timer);
    agent.destroy();
  };
}

async function report(chromium: Browser): Promise<void> {
  say("lychgate load, 20 s …");
  const folder = await mkdtemp(join(tmpdir(), "lychgate-"));
  const file = join(folder, "report.html");
  const load = spawn(
    process.execPath,
    [join(ROOT, "bin/lychgate.mjs"), "load", "--duration-s", "20", "--report", file],
    {
      stdio: ["ignore", "ignore", "inherit"],
    },
  );
  const [code] = (await once(load, "exit")) as [number | null];
  if (code !== 0) throw new Error(`lychgate load ended with ${code}`);
  const page = await chromium.newPage({ viewport: { width: 1080, height: 1180 }, deviceScaleFactor: 1.5 });
  await page.goto(pathToFileURL(file).href);
  await page.screenshot({ path: join(IMAGES, "load-report.png") });
  await rm(folder, { recursive: true });
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
