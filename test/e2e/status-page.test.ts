import { readFileSync } from "node:fs";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type DevCluster, startDevCluster } from "../../lab/devcluster/cluster.ts";
import { startTestRouter, type TestRouter } from "../router/support.ts";
import { CHROMIUM, openBrowser } from "../support/browser.ts";
import { eventually } from "../support/eventually.ts";

// The status page in a real browser, before a cluster that lives: every view is clicked through, by mouse and by keyboard.

const PAGE_CHECKS = readFileSync(new URL("../support/page-checks.js", import.meta.url), "utf8").replaceAll(
  /^export /gm,
  "",
);
const focusedLabel = "document.activeElement.getAttribute('aria-label') ?? ''";

/** What JavaScript makes of a value that is not there; no page should say it. */
const SLIPS = /\b(undefined|null|NaN|\[object)/;

/** The page asks for the rows again every five seconds; until then one may have left the state that was asked for. */
const PATIENCE = { timeoutMs: 30_000 };

const WHY = CHROMIUM === undefined ? " (skipped: there is no Chromium; apt-get install chromium)" : "";

describe.skipIf(CHROMIUM === undefined)(`the status page${WHY}`, () => {
  let cluster: DevCluster;
  let router: TestRouter;
  let browser: Browser;
  let page: Page;
  const complaints: string[] = [];

  beforeAll(async () => {
    cluster = await startDevCluster({
      seed: 11,
      pods: { firstIp: "127.0.98.1", ipCount: 30, ports: [3000] },
      pools: [{ namespace: "team-a", name: "code", size: 3 }],
      churn: {
        actionsPerSecond: 4,
        targetClaimed: 8,
        spare: ({ metadata }) => metadata.labels?.["agents.kruise.io/sandbox-id"] === "hello",
      },
    });
    router = await startTestRouter(
      { admin: { hosts: ["status.example"] } },
      { apiServer: new URL(cluster.apiUrl) },
    );
    cluster.pusher.setPeers([router.peersUrl]);
    await router.router.synced();
    await cluster.claim({ id: "hello", owner: "ada" });
    await eventually(async () => (await router.ask("hello")).status === 200);
    browser = await openBrowser();
    page = await newPage();
    await page.goto(router.adminUrl);
  });

  afterAll(async () => {
    await browser?.close();
    await router?.router.stop();
    await cluster?.stop();
  });

  async function newPage(options: Parameters<Browser["newPage"]>[0] = {}): Promise<Page> {
    const opened = await browser.newPage(options);
    // Also what the page's policy has stopped is told on the console.
    opened.on("console", (message) => void (message.type() === "error" && complaints.push(message.text())));
    opened.on("pageerror", (error) => void complaints.push(String(error)));
    return opened;
  }

  const view = (name: string) => page.getByRole("navigation").getByRole("link", { name }).click();

  test("says that all is well, and counts requests as they come", async () => {
    await page.getByRole("heading", { level: 1, name: "Ready: all is well" }).waitFor();
    await page.getByText("live", { exact: true }).waitFor();
    for (let sent = 0; sent < 30; sent++) await router.ask("hello");
    await router.ask("nobody");
    const reasons = page.getByRole("table", { name: "Answers by reason" });
    await reasons.getByRole("rowheader", { name: "ok" }).waitFor();
    await reasons.getByRole("rowheader", { name: "sandbox_not_found" }).waitFor();
    const picture = page.getByRole("img", { name: /^Requests over the last five minutes/ });
    await eventually(async () =>
      /answered by pods \d/.test((await picture.getAttribute("aria-label")) ?? ""),
    );
    await eventually(
      async () => ((await picture.locator("path").first().getAttribute("d")) ?? "").length > 10,
    );
    const states = page.getByRole("table", { name: "Routes by state" });
    await states.getByRole("rowheader", { name: "running" }).waitFor();
    await page
      .getByRole("table", { name: "What the table was told" })
      .getByText("informer applied")
      .waitFor();
    // The pointer over a chart tells another moment.
    await picture.hover({ position: { x: 300, y: 50 } });
  });

  test("finds a route, and tells its whole history while it grows", async () => {
    await view("Routes");
    await eventually(async () => expect(await page.title()).toBe("Routes · Lychgate"));
    const table = page.getByRole("table", { name: "Routes" });
    await page.getByLabel("Search").fill("hello");
    await page.getByText("1 route matches", { exact: true }).waitFor();
    const row = table.getByRole("row").nth(1);
    // The count may stand there a moment before the rows do.
    await eventually(async () => expect(await row.innerText()).toContain("running"));
    await row.getByRole("button", { name: /^History of team-a\// }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("yes, as incarnation").waitFor();
    const history = dialog.getByRole("table", { name: "History, oldest first" });
    await history.getByRole("row").nth(2).waitFor();
    expect(await history.innerText()).toMatch(/informer[\s\S]*was added or changed[\s\S]*kept/);

    // A late push is refused, and stands there with who sent it.
    const name = (await dialog.getByRole("heading", { level: 2 }).innerText()).split("/")[1] ?? "";
    const status = await router.push({
      namespace: "team-a",
      name,
      id: "hello",
      uid: "u-old",
      ip: "127.0.98.9",
      state: "running",
      resourceVersion: "3",
    });
    expect(status).toBe(204);
    await history.getByText("refused: the informer has passed that version").first().waitFor();
    expect(await history.innerText()).toContain("127.0.0.1");
    expect(page.url()).toContain(`#/route/team-a/${name}`);
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "hidden" });
    expect(await page.evaluate<string>(focusedLabel)).toBe(`History of team-a/${name}`);

    // The link that it had opens it anew.
    const linked = await newPage();
    await linked.goto(`${router.adminUrl}/#/route/team-a/${name}`);
    await linked.getByRole("dialog").getByText("yes, as incarnation").waitFor();
    await linked.close();
  });

  test("filters by state and by whether requests are served", async () => {
    await page.getByLabel("Search").fill("");
    await page.getByLabel("State", { exact: true }).selectOption("available");
    const rows = page.getByRole("table", { name: "Routes" }).getByRole("row");
    await eventually(async () => {
      const texts = (await rows.allInnerTexts()).slice(1);
      return texts.length > 0 && texts.every((text) => text.includes("available"));
    }, PATIENCE);
    await page.getByLabel("State", { exact: true }).selectOption("");
    await page.getByLabel("Requests", { exact: true }).selectOption("served");
    await eventually(async () => {
      const texts = (await rows.allInnerTexts()).slice(1);
      return texts.length > 0 && texts.every((text) => text.includes("yes, incarnation"));
    }, PATIENCE);
    await page.getByLabel("Requests", { exact: true }).selectOption("all");
  });

  test.each([
    ["https://3000-hello.example.com/a/b?token=x#y", "The pod would answer"],
    ["3000-hello.example.com", "The pod would answer"],
    ["http://user:pass@3000-nobody.example.com:8080/", "The router would answer 502 (sandbox_not_found)"],
    ["/kruise/hello/99999/x", "The router would answer 400 (bad_target)"],
    ["ws://3000-hello.example.com?a", "The pod would answer"],
  ])("explains %s: %s", async (pasted, verdict) => {
    await view("Explain");
    await page
      .getByLabel("URL or Host of the request")
      .fill(pasted.startsWith("/") ? `any.example${pasted}` : pasted);
    await page.getByRole("button", { name: "Explain" }).click();
    const answer = page.getByRole("region", { name: "Explanation" });
    await answer.getByText(verdict).waitFor();
    expect(await answer.getByRole("listitem").count()).toBeGreaterThan(1);
    const told = await answer.innerText();
    expect(told).not.toContain("token=x");
    expect(told).not.toMatch(SLIPS);
  });

  test("explains the dead: what had the ID, and its history", async () => {
    const gone = await cluster.claim({ id: "gone", owner: "ada" });
    await eventually(async () => (await router.ask("gone")).status === 200);
    await cluster.remove("team-a", gone.metadata.name);
    await eventually(async () => (await router.ask("gone")).status === 502);
    await view("Explain");
    await page.getByLabel("URL or Host of the request").fill("3000-gone.example.com");
    await page.getByRole("button", { name: "Explain" }).click();
    const answer = page.getByRole("region", { name: "Explanation" });
    await answer
      .getByText(new RegExp(`^team-a/${gone.metadata.name} .*deleted.* told by .* \\d+ s ago$`))
      .waitFor();
    expect(await answer.innerText()).not.toMatch(SLIPS);
    await answer.getByRole("button", { name: "Its history" }).click();
    await page.getByRole("dialog").getByRole("row").nth(2).waitFor();
    await page.getByRole("button", { name: "Close" }).click();
  });

  test("explains by a header, shows no value of it, and says what is wrong with a question", async () => {
    await view("Explain");
    await page.getByText("Headers of the request").click();
    await page.getByLabel("One on each line").fill("e2b-sandbox-id: hello\ne2b-sandbox-port: 3000");
    await page.getByLabel("URL or Host of the request").fill("any.example");
    await page.keyboard.press("Enter");
    const answer = page.getByRole("region", { name: "Explanation" });
    await answer.getByText("from the header").waitFor();
    await answer.getByRole("button", { name: "Its history" }).click();
    await page.getByRole("dialog").getByText("yes, as incarnation").waitFor();
    await page.getByRole("button", { name: "Close" }).click();
    await page.getByLabel("One on each line").fill("no colon");
    await page.getByRole("button", { name: "Explain" }).click();
    await page.getByRole("alert").getByText("header must be written as name:value").waitFor();
    // That is a refusal as it should be, which the browser tells on its console.
    await eventually(() => complaints.some((text) => text.includes("400")));
    complaints.length = 0;
  });

  test("shows the watch, the peers and the processes", async () => {
    await view("Sources");
    const watch = page.getByRole("table", { name: "Watch of the API server" });
    await watch.getByRole("cell", { name: "watching" }).waitFor();
    await page.getByRole("table", { name: "Peers" }).getByRole("rowheader", { name: "127.0.0.1" }).waitFor();
    const processes = page.getByRole("table", { name: "Processes" });
    await processes.getByRole("rowheader", { name: "router" }).waitFor();
    expect(await processes.innerText()).toMatch(/MiB/);
    await page.getByText(/facts about \d+ routes; at most 100 of each/).waitFor();
  });

  test("shows the configuration with origins, and filters it", async () => {
    await view("Configuration");
    const table = page.getByRole("table", { name: "Configuration" });
    await table.getByRole("rowheader", { name: "listen", exact: true }).waitFor();
    const all = await table.getByRole("row").count();
    await page.getByLabel("Filter").fill("drain.");
    await eventually(async () => (await table.getByRole("row").count()) < all);
    await page.getByLabel("Filter").fill("");
    await page.getByLabel("only what is not the default").check();
    await eventually(async () => (await table.getByRole("rowheader", { name: "admin.hosts" }).count()) === 1);
    expect(await table.getByRole("rowheader", { name: "watch.pageSize" }).count()).toBe(0);
    await page.getByLabel("only what is not the default").uncheck();
  });

  test("says why when the API is away, and that it is back", async () => {
    await view("Overview");
    await cluster.api.setOutage("refuse");
    const heading = page.getByRole("heading", { level: 1 });
    await heading
      .getByText(/Ready, but the API server was last heard \d+ s ago/)
      .waitFor({ timeout: 60_000 });
    await page.getByText("Known routes are served on").waitFor();
    await view("Sources");
    await page
      .getByRole("table", { name: "Watch of the API server" })
      .getByRole("cell", { name: "no", exact: true })
      .waitFor();
    await cluster.api.setOutage("none");
    await heading.getByText("Ready: all is well").waitFor({ timeout: 60_000 });
  });

  test("can be gone through with the keyboard alone", async () => {
    const opened = await newPage();
    await opened.goto(`${router.adminUrl}/#/routes`);
    await opened.getByText("live", { exact: true }).waitFor();
    await opened
      .getByRole("button", { name: /^History of/ })
      .first()
      .waitFor();
    const order: string[] = [];
    for (let press = 0; press < 13; press++) {
      await opened.keyboard.press("Tab");
      order.push(await opened.evaluate<string>(`${PAGE_CHECKS}; focused()`));
    }
    expect(order.slice(0, 11)).toEqual([
      "Skip to the content",
      "Overview",
      "Routes",
      "Explain",
      "Sources",
      "Configuration",
      "Color scheme: auto, as the system has it",
      "Search",
      "State",
      "Requests",
      "Routes",
    ]);
    expect(order[11]).toMatch(/^History of /);
    // Arrows go from row to row, and Enter opens.
    await opened.keyboard.press("ArrowUp");
    await opened.keyboard.press("ArrowDown");
    await opened.keyboard.press("ArrowDown");
    const label = await opened.evaluate<string>(focusedLabel);
    expect(label).toMatch(/^History of /);
    await opened.keyboard.press("Enter");
    await opened
      .getByRole("dialog")
      .getByRole("heading", { name: label.replace("History of ", "") })
      .waitFor();
    // What is behind the dialog can't be reached meanwhile.
    for (let press = 0; press < 4; press++) {
      await opened.keyboard.press("Tab");
      expect(
        await opened.evaluate<boolean>("document.activeElement.closest('main, header.top') === null"),
      ).toBe(true);
    }
    await opened.keyboard.press("Escape");
    await opened.close();
  });

  test.each(["light", "dark"] as const)(
    "%s: every control and picture has a name, and every text stands out",
    async (colorScheme) => {
      const opened = await newPage({ colorScheme });
      await opened.goto(router.adminUrl);
      await opened.getByText("live", { exact: true }).waitFor();
      for (const name of ["Overview", "Routes", "Explain", "Sources", "Configuration"]) {
        await opened.getByRole("navigation").getByRole("link", { name }).click();
        await opened.waitForTimeout(400);
        expect(await opened.locator("body").innerText(), name).not.toMatch(SLIPS);
        expect(await opened.evaluate<string[]>(`${PAGE_CHECKS}; unnamed()`), name).toEqual([]);
        expect(await opened.evaluate<string[]>(`${PAGE_CHECKS}; misnamed()`), name).toEqual([]);
        expect(await opened.evaluate<string[]>(`${PAGE_CHECKS}; faint()`), name).toEqual([]);
        expect(await opened.getByRole("heading", { level: 1 }).count()).toBe(1);
      }
      await opened.close();
    },
  );

  test("on a phone nothing moves sideways, and all of each row and of the navigation is seen", async () => {
    for (const width of [360, 390, 600]) {
      const opened = await newPage({ viewport: { width, height: 844 } });
      for (const name of ["overview", "routes", "explain", "sources", "configuration"]) {
        await opened.goto(`${router.adminUrl}/#/${name}`);
        await opened.getByText("live", { exact: true }).waitFor();
        if (name === "routes")
          await opened
            .getByRole("button", { name: /^History of/ })
            .first()
            .waitFor();
        if (name === "configuration")
          await opened.getByRole("rowheader", { name: "drain.delayMs" }).waitFor();
        const scrolled = await opened.evaluate<number>("document.documentElement.scrollWidth");
        expect(scrolled, `${name} at ${width}`).toBeLessThanOrEqual(width);
        expect(await opened.evaluate<string[]>(`${PAGE_CHECKS}; sideways()`), `${name} at ${width}`).toEqual(
          [],
        );
      }
      // The last of the views is there whole, or a fade says that there is more.
      const isHinted = await opened.evaluate<boolean>(
        "(({ scrollWidth, clientWidth, classList }) => scrollWidth <= clientWidth + 1 || /more-/.test(classList.value))(document.querySelector('nav'))",
      );
      expect(isHinted, `${width}`).toBe(true);
      // A row of the routes holds all that it holds on a wide screen.
      await opened.goto(`${router.adminUrl}/#/routes`);
      await opened.getByLabel("Search").fill("hello");
      await opened.getByText("1 route matches", { exact: true }).waitFor();
      const row = opened.getByRole("table", { name: "Routes" }).getByRole("row").nth(1);
      for (const cell of await row.getByRole("cell").all()) {
        const box = await cell.boundingBox();
        expect(box?.width ?? 0).toBeGreaterThan(20);
        expect((box?.x ?? 0) + (box?.width ?? 0)).toBeLessThanOrEqual(width);
      }
      await row.getByRole("button", { name: /^History of/ }).click();
      const history = opened.getByRole("dialog").getByRole("table", { name: "History, oldest first" });
      await history.getByRole("row").nth(1).waitFor();
      expect(await opened.evaluate<string[]>(`${PAGE_CHECKS}; sideways()`), `${width}`).toEqual([]);
      await opened.close();
    }
  });

  test("routes keep their place and their rows when a screen is turned", async () => {
    const opened = await newPage({ viewport: { width: 390, height: 844 } });
    await opened.goto(`${router.adminUrl}/#/routes`);
    const rows = opened.getByRole("table", { name: "Routes" }).getByRole("row");
    const heightOf = async (): Promise<number> => Math.round((await rows.nth(1).boundingBox())?.height ?? 0);
    await rows.nth(3).waitFor();
    expect(await heightOf()).toBe(88);
    await opened.setViewportSize({ width: 844, height: 390 });
    await eventually(async () => expect(await heightOf()).toBe(38));
    const [first, second] = [await rows.nth(1).boundingBox(), await rows.nth(2).boundingBox()];
    expect((second?.y ?? 0) - (first?.y ?? 0)).toBe(38);
    await opened.close();
  });

  test("keeps the chosen color scheme", async () => {
    const opened = await newPage({ colorScheme: "light" });
    await opened.goto(router.adminUrl);
    const background = () => opened.evaluate<string>("getComputedStyle(document.body).backgroundColor");
    const light = await background();
    await opened.getByRole("button", { name: /^Color scheme/ }).click();
    expect(await background()).toBe(light);
    await opened.getByRole("button", { name: "Color scheme: light" }).click();
    expect(await background()).not.toBe(light);
    await opened.reload();
    await opened.getByRole("button", { name: "Color scheme: dark" }).waitFor();
    expect(await background()).not.toBe(light);
    await opened.close();
  });

  test("under a strange name it shows nothing", async () => {
    const { port } = new URL(router.adminUrl);
    const strange = await openBrowser(["--host-resolver-rules=MAP * 127.0.0.1"]);
    const opened = await strange.newPage();
    const evil = await opened.goto(`http://evil.example:${port}/`);
    expect(evil?.status()).toBe(403);
    expect((await opened.goto(`http://status.example:${port}/`))?.status()).toBe(200);
    await opened.getByText("live", { exact: true }).waitFor();
    await strange.close();
  });

  test("nothing was said on any console, and no policy was broken", () => {
    expect(complaints).toEqual([]);
  });
});
