import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { describe, expect, it } from "vitest";
import { createAdminServer } from "../../src/admin/admin-server.ts";
import type { ExplainInput, Explanation, Overview, RoutesPage } from "../../src/admin/api-types.ts";
import { CONNECTIONS } from "../support/defaults.ts";
import { eventually } from "../support/eventually.ts";
import { listedTable, observed, startAdminServer, tableSource, TOKEN } from "./admin-fixture.ts";

const emptySource = () => tableSource(listedTable(1, []));

async function getJson<T>(url: string, status = 200): Promise<T> {
  const response = await fetch(url);
  const text = await response.text();
  expect(response.status, text).toBe(status);
  expect(response.headers.get("content-type")).toBe("application/json; charset=utf-8");
  return JSON.parse(text) as T;
}

describe("GET /metrics", () => {
  it("is the source's text with the media type of the text format", async () => {
    await using admin = await startAdminServer(emptySource());
    const response = await fetch(`${admin.url}/metrics`);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(await response.text()).toBe("lychgate_ready 1\n");
  });
});

describe("GET /api/overview", () => {
  it("tells version, readiness and counts", async () => {
    const table = listedTable(9, [observed("one", 2), observed("two", 3, { state: "paused" })]);
    await using admin = await startAdminServer(tableSource(table));
    const overview = await getJson<Overview>(`${admin.url}/api/overview`);
    expect(overview).toMatchObject({
      version: "1.2.3",
      synced: true,
      watermarks: { "": "9" },
      counts: { routes: 2, servable: 1, states: { running: 1, paused: 1, dead: 0, other: 0 } },
    });
  });
});

describe("GET /api/routes", () => {
  it("shows each route with its facts and why it is not served", async () => {
    const table = listedTable(9, [
      observed("one", 2),
      observed("two", 3, { state: "paused" }),
      observed("twin-a", 4, { id: "twin" }),
      observed("twin-b", 5, { id: "twin" }),
      observed("late", 6, { ip: "" }),
    ]);
    table.pushDelete({ namespace: "ns", name: "one", resourceVersion: "12" }, 0);
    table.pushDelete({ namespace: "ns", name: "unknown", resourceVersion: "11" }, 0);
    await using admin = await startAdminServer(tableSource(table));
    const page = await getJson<RoutesPage>(`${admin.url}/api/routes`);
    expect(page.next).toBeUndefined();
    expect(page.routes.map(({ name, servable }) => [name, servable])).toEqual([
      ["late", false],
      ["one", false],
      ["twin-a", false],
      ["twin-b", false],
      ["two", false],
      ["unknown", false],
    ]);
    for (const { why, name } of page.routes) expect(why, name).toBeTruthy();
    expect(page.routes[1]).toMatchObject({
      namespace: "ns",
      state: "dead",
      resourceVersion: "12",
      facts: [
        { kind: "confirmed", resourceVersion: "2", state: "running" },
        { kind: "tombstone", resourceVersion: "12", state: "dead" },
      ],
    });
    expect(page.counts).toMatchObject({ tombstones: 2, hints: 0, idConflicts: 1 });
  });

  it("names the incarnation of a route that is served", async () => {
    await using admin = await startAdminServer(tableSource(listedTable(9, [observed("one", 2)])));
    const { routes } = await getJson<RoutesPage>(`${admin.url}/api/routes`);
    expect(routes).toEqual([
      {
        namespace: "ns",
        name: "one",
        id: "ns--one",
        uid: "uid-one",
        owner: "someone",
        ip: "10.0.0.2",
        state: "running",
        incarnation: expect.any(Number) as number,
        servable: true,
        resourceVersion: "2",
        facts: [{ kind: "confirmed", resourceVersion: "2", state: "running" }],
      },
    ]);
  });

  it("pages through a large table in order, each route once", async () => {
    const names = Array.from({ length: 2_345 }, (_, i) => `sandbox-${(i * 7_919) % 2_345}`);
    const table = listedTable(
      9_999,
      names.map((name, i) => observed(name, i + 2, { ip: `10.1.${i >> 8}.${i & 255}` })),
    );
    await using admin = await startAdminServer(tableSource(table));
    const seen: string[] = [];
    const sizes: number[] = [];
    for (let after = ""; ;) {
      const query = after === "" ? "" : `?after=${encodeURIComponent(after)}`;
      const page = await getJson<RoutesPage>(`${admin.url}/api/routes${query}`);
      seen.push(...page.routes.map(({ name }) => name));
      sizes.push(page.routes.length);
      if (page.next === undefined) break;
      after = page.next;
    }
    expect(sizes).toEqual([1_000, 1_000, 345]);
    expect(seen).toEqual([...names].sort((a, b) => (a < b ? -1 : 1)));
  });

  it("finds the same pages when they are much smaller than the table", async () => {
    // In an order that has little to do with that of the keys.
    const names = Array.from({ length: 2_000 }, (_, i) => `sandbox-${((i * 7_919) % 2_003).toString(36)}`);
    const table = listedTable(
      9_999,
      names.map((name, i) => observed(name, i + 2, { ip: `10.1.${i >> 8}.${i & 255}` })),
    );
    await using admin = await startAdminServer(tableSource(table));
    const seen: string[] = [];
    for (let query: string | undefined = "?limit=90"; query !== undefined;) {
      const page: RoutesPage = await getJson<RoutesPage>(`${admin.url}/api/routes${query}`);
      seen.push(...page.routes.map(({ name }) => name));
      query = page.next && `?limit=90&after=${encodeURIComponent(page.next)}`;
    }
    expect(seen).toEqual([...names].sort((a, b) => (a < b ? -1 : 1)));
  });

  it("ends a page that the limit fits exactly without a next", async () => {
    const table = listedTable(9, [observed("one", 2), observed("two", 3)]);
    await using admin = await startAdminServer(tableSource(table));
    const first = await getJson<RoutesPage>(`${admin.url}/api/routes?limit=1`);
    expect([first.routes.length, first.next]).toEqual([1, "ns/one"]);
    const exact = await getJson<RoutesPage>(`${admin.url}/api/routes?limit=2`);
    expect([exact.routes.length, exact.next]).toEqual([2, undefined]);
    const beyond = await getJson<RoutesPage>(`${admin.url}/api/routes?after=zz`);
    expect(beyond.routes).toEqual([]);
  });
});

describe("GET /api/explain", () => {
  it("asks the source with host, path and headers as given, and blanks what may be secret in its answer", async () => {
    const asked: ExplainInput[] = [];
    const table = listedTable(9, [observed("one", 2)]);
    await using admin = await startAdminServer(tableSource(table, asked));
    const query = new URLSearchParams({ host: "3000-ns--one.example.com", path: `/a?t=${TOKEN}` });
    query.append("header", `x-access-token: ${TOKEN}`);
    query.append("header", "e2b-sandbox-id:ns--one");
    const response = await fetch(`${admin.url}/api/explain?${query.toString()}`);
    const text = await response.text();
    expect(asked).toEqual([
      {
        host: "3000-ns--one.example.com",
        path: `/a?t=${TOKEN}`,
        headers: [
          ["x-access-token", TOKEN],
          ["e2b-sandbox-id", "ns--one"],
        ],
      },
    ]);
    expect(text).not.toContain(TOKEN);
    expect(JSON.parse(text)).toMatchObject({
      input: {
        host: "3000-ns--one.example.com",
        path: "/a?…",
        headers: [
          ["x-access-token", "…"],
          ["e2b-sandbox-id", "…"],
        ],
      },
      verdict: { reason: "ok" },
      route: { name: "one", servable: true },
    } satisfies Partial<Record<keyof Explanation, unknown>>);
  });

  it("takes / for the path when none is given", async () => {
    const asked: ExplainInput[] = [];
    await using admin = await startAdminServer(tableSource(listedTable(1, []), asked));
    await getJson(`${admin.url}/api/explain?host=x`);
    expect(asked).toEqual([{ host: "x", path: "/", headers: [] }]);
  });
});

describe("no token is shown", () => {
  it("on any page, for routes that the informer or a peer told", async () => {
    const table = listedTable(9, [observed("one", 2), observed("dup", 3, { id: "ns--one" })]);
    const { resourceVersion: _, ...hint } = observed("pushed", 20).route!;
    table.pushUpdate({ ...hint, resourceVersion: "20" }, 0);
    table.pushUpdate({ ...hint, name: "one", uid: "uid-one", resourceVersion: "21" }, 0);
    await using admin = await startAdminServer(tableSource(table));
    const pages = [
      "/",
      "/healthz",
      "/metrics",
      "/api/overview",
      "/api/routes",
      "/api/routes?limit=1",
      "/api/routes?limit=x",
      `/api/routes?${TOKEN}=1`,
      `/api/explain?host=${encodeURIComponent("3000-ns--one.example.com")}`,
      `/api/explain?host=x&header=${encodeURIComponent(`${TOKEN} no colon`)}`,
      `/${TOKEN}`,
    ];
    for (const page of pages) {
      const response = await fetch(admin.url + page);
      expect(JSON.stringify([...response.headers]) + (await response.text()), page).not.toContain("sekrit");
    }
    const { routes } = await getJson<RoutesPage>(`${admin.url}/api/routes`);
    expect(routes.map(({ name }) => name)).toEqual(["dup", "one", "pushed"]);
  });
});

describe("what can't be answered", () => {
  it.each([
    ["/api/routes?limit=0", "limit must be a whole number from 1 to 2000"],
    ["/api/routes?limit=2001", "limit must be a whole number from 1 to 2000"],
    ["/api/routes?limit=1e3", "limit must be a whole number from 1 to 2000"],
    ["/api/routes?limit=-1", "limit must be a whole number from 1 to 2000"],
    ["/api/routes?limit=", "limit must be a whole number from 1 to 2000"],
    ["/api/routes?limit=1&limit=2", "limit is given more than once"],
    ["/api/routes?offset=3", "unknown parameter: there are limit, after"],
    ["/api/explain", "host is missing: give the Host of the request, as in ?host=3000-id.example.com"],
    ["/api/explain?host=a&host=b", "host is given more than once"],
    ["/api/explain?host=a&path=x", "path must begin with /"],
    ["/api/explain?host=a&header=nocolon", "header must be written as name:value"],
    ["/api/explain?host=a&header=b%20c:d", "header must be written as name:value"],
    [`/api/explain?host=a${"&header=a:b".repeat(51)}`, "header is given more than 50 times"],
  ])("%s → 400", async (path, message) => {
    await using admin = await startAdminServer(emptySource());
    expect(await getJson(admin.url + path, 400)).toEqual({ code: "bad_request", message });
  });

  it("a page that is not there → 404", async () => {
    await using admin = await startAdminServer(emptySource());
    expect(await getJson(`${admin.url}/api/route`, 404)).toMatchObject({ code: "not_found" });
  });

  it.each(["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])("%s → 405", async (method) => {
    await using admin = await startAdminServer(emptySource());
    for (const path of ["/metrics", "/api/routes", "/"]) {
      const response = await fetch(admin.url + path, { method });
      expect(response.status).toBe(405);
      expect(response.headers.get("allow")).toBe("GET, HEAD");
      expect(await response.json()).toMatchObject({ code: "method_not_allowed" });
    }
  });

  it("a source that fails → 500, and the log has the reason", async () => {
    const logged: unknown[] = [];
    const log = {
      debug() {},
      info() {},
      warn() {},
      error: (_: string, fields?: unknown) => void logged.push(fields),
    };
    const broken = new Error("broken inside");
    const source = {
      ...emptySource(),
      metrics: () => Promise.reject(broken),
      routes: () => {
        throw broken;
      },
    };
    await using admin = await startAdminServer(source, { log });
    const message = "internal error: the log says more";
    expect(await getJson(`${admin.url}/metrics`, 500)).toEqual({ code: "internal", message });
    expect(await getJson(`${admin.url}/api/routes`, 500)).toEqual({ code: "internal", message });
    expect(logged).toEqual([{ error: broken }, { error: broken }]);
    expect((await fetch(`${admin.url}/healthz`)).status).toBe(200);
  });
});

describe("every answer", () => {
  it.each(["/", "/metrics", "/healthz", "/api/overview", "/nothing"])(
    "of HEAD %s has the headers of GET and no body",
    async (path) => {
      await using admin = await startAdminServer(emptySource());
      const got = await fetch(admin.url + path);
      const body = await got.text();
      const head = await fetch(admin.url + path, { method: "HEAD" });
      expect(await head.text()).toBe("");
      expect(head.status).toBe(got.status);
      expect(head.headers.get("content-length")).toBe(String(Buffer.byteLength(body)));
      expect(head.headers.get("content-type")).toBe(got.headers.get("content-type"));
      expect(got.headers.get("cache-control")).toBe("no-store");
      expect(got.headers.get("x-content-type-options")).toBe("nosniff");
    },
  );

  it("of / is a list of what there is, and the status page for those who ask for HTML", async () => {
    await using admin = await startAdminServer(emptySource(), { version: "1.2.3<b>" });
    const text = await (await fetch(`${admin.url}/`)).text();
    expect(text).toContain("lychgate 1.2.3<b>\n");
    const paths = [...text.matchAll(/^(\/\S*)/gm)].map(([, path]) => path ?? "");
    expect(paths).toContain("/metrics");
    for (const path of paths) {
      const response = await fetch(admin.url + path);
      expect(response.status, path).toBe(200);
      await response.body?.cancel();
    }
    const page = await fetch(`${admin.url}/`, { headers: { accept: "text/html,*/*" } });
    expect(page.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(page.headers.get("content-security-policy")).toContain("default-src 'none'; script-src 'self'");
    expect(await page.text()).toContain("<title>Lychgate</title>");
  });
});

describe("life cycle", () => {
  it("says which address it could not have, and why", async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const { port } = taken.address() as AddressInfo;
    const server = createAdminServer({
      ...CONNECTIONS.admin,
      source: emptySource(),
      version: "1",
      host: "127.0.0.1",
      port,
    });
    const failure = await server.listen().catch((error: unknown) => error as Error);
    expect(failure).toMatchObject({ cause: { code: "EADDRINUSE" } });
    expect((failure as Error).message).toContain(`127.0.0.1:${port}`);
    taken.close();
  });

  it("close ends connections that were kept", async () => {
    const admin = await startAdminServer(emptySource());
    const kept = connect(admin.port, "127.0.0.1");
    kept.on("error", () => {});
    kept.write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    await new Promise((resolve) => kept.once("data", resolve));
    await admin.server.close();
    await eventually(() => kept.destroyed);
  });
});
