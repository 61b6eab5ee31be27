import { createServer, type Server } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type DevCluster, startDevCluster } from "../../lab/devcluster/cluster.ts";
import { startTestRouter, type TestRouter } from "../router/support.ts";
import { CHROMIUM, openBrowser } from "../support/browser.ts";
import { eventually } from "../support/eventually.ts";

// What a person sees, and a script of another origin, where the router answers by itself: in a real browser.

const WHY = CHROMIUM === undefined ? " (skipped: there is no Chromium; apt-get install chromium)" : "";

describe.skipIf(CHROMIUM === undefined)(`replies of the router's own, in a browser${WHY}`, () => {
  let cluster: DevCluster;
  let router: TestRouter;
  let browser: Browser;
  let page: Page;
  let ide: Server;
  let name: string;

  beforeAll(async () => {
    cluster = await startDevCluster({
      pods: { firstIp: "127.0.97.1", ipCount: 4, ports: [3000] },
      pools: [{ namespace: "team-a", name: "code", size: 1 }],
    });
    router = await startTestRouter(
      { wake: { enabled: true, pageAfterMs: 1, timeoutMs: 60_000 } },
      { apiServer: new URL(cluster.apiUrl), accessLog: () => {} },
    );
    await router.router.synced();
    name = (await cluster.claim({ id: "box", owner: "ada" })).metadata.name;
    await eventually(async () => expect((await router.ask("box")).status).toBe(200));
    ide = createServer((_request, response) => {
      response.setHeader("content-type", "text/html").end("<!doctype html><title>IDE</title>");
    }).listen(0, "127.0.0.1");
    await once(ide, "listening");
    browser = await openBrowser();
    page = await (await browser.newContext({ colorScheme: "dark" })).newPage();
  });

  afterAll(async () => {
    await browser?.close();
    ide?.close();
    await router?.router.stop();
    await cluster?.stop();
  });

  const at = (id: string) => `http://3000-${id}.localhost:${new URL(router.trafficUrl).port}/`;

  test("who opens a link to a sandbox that is not there reads what that means", async () => {
    const complaints: string[] = [];
    page.on("console", (message) => complaints.push(message.text()));
    const response = await page.goto(at("none"));
    expect(response?.status()).toBe(502);
    expect(await page.title()).toBe("No such sandbox");
    expect(await page.locator("h1").innerText()).toBe("No such sandbox");
    // The style is the page's own, and the policy lets it be.
    const color = "getComputedStyle(document.body).backgroundColor";
    expect(await page.evaluate(color)).toBe("rgb(20, 21, 19)");
    expect(complaints.filter((text) => !text.includes("502"))).toEqual([]);
    for (const width of [390, 900, 1440]) {
      await page.setViewportSize({ width, height: 700 });
      expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
    }
  });

  test("a script of another origin reads status and reason, after a preflight too", async () => {
    const { port } = ide.address() as AddressInfo;
    await page.goto(`http://127.0.0.1:${port}/`);
    const asked = await page.evaluate(`(async () => {
      const answer = async (init) => {
        const response = await fetch(${JSON.stringify(at("none"))}, init);
        return [response.status, response.headers.get("x-lychgate-reason"), await response.text()];
      };
      return [
        await answer({}),
        await answer({ method: "PUT", headers: { "x-access-token": "t", "content-type": "application/json" }, body: "{}" }),
      ];
    })()`);
    expect(asked).toEqual([
      [502, "sandbox_not_found", "sandbox not found: none"],
      [502, "sandbox_not_found", "sandbox not found: none"],
    ]);
  });

  test("a link to a sandbox that sleeps shows a page that asks again, until the sandbox is there", async () => {
    const path = `/apis/agents.kruise.io/v1alpha1/namespaces/team-a/sandboxes/${name}`;
    const patched = await fetch(new URL(path, cluster.apiUrl), {
      method: "PATCH",
      headers: { "content-type": "application/merge-patch+json" },
      body: JSON.stringify({ metadata: { annotations: { "agents.kruise.io/wake-on-traffic": "true" } } }),
    });
    expect(patched.status).toBe(200);
    await cluster.pause("team-a", name);
    await eventually(() => {
      expect(router.router.table.lookup("box")).toMatchObject({ state: "paused", route: { wake: "asleep" } });
    });
    await page.goto(at("box"));
    expect(await page.title()).toBe("The sandbox is waking up");
    await eventually(async () => expect(await page.content()).toContain('"sandboxId":"box"'), {
      timeoutMs: 60_000,
    });
  });
});
