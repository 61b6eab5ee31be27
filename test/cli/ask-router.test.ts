import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import type { Explanation, RouteView, RoutesPage } from "../../src/admin/api-types.ts";
// @ts-expect-error the page's scripts have no types
import { requestOf as requestOfPage } from "../../src/admin/page/pasted.js";
import { requestOf } from "../../src/cli/pasted-request.ts";
import type { ResourceVersion } from "../../src/routes/resource-version.ts";
import { runInProcess, runLychgate } from "./run-lychgate.ts";

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/** A server that stands for a router's port; returns its base URL and the targets that it was asked for. */
async function router(handle: (request: IncomingMessage, response: ServerResponse) => void, onPort = 0) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? "");
    handle(request, response);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(onPort, "127.0.0.1", resolve);
  });
  closers.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => {
      server.close(resolve);
    });
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, port, asked };
}

const json = (response: ServerResponse, value: unknown, status = 200) =>
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));

const route: RouteView = {
  namespace: "default",
  name: "mybox",
  id: "default--mybox",
  uid: "u-1",
  owner: "",
  ip: "10.0.0.7",
  state: "running",
  incarnation: 3,
  servable: true,
  resourceVersion: "42",
  facts: [{ kind: "confirmed", resourceVersion: "42" as ResourceVersion, state: "running" }],
};

const counts = {
  routes: 2,
  servable: 1,
  hints: 1,
  tombstones: 0,
  idConflicts: 0,
  ipConflicts: 0,
  states: { running: 1, paused: 1 },
};

describe("explain", () => {
  const explanation: Explanation = {
    input: { host: "3000-default--mybox.example.com", path: "/", headers: [] },
    steps: [
      { step: "target", result: "sandbox default--mybox, port 3000, from the Host" },
      { step: "lookup", result: "default/mybox" },
    ],
    verdict: { reason: "ok", status: 0, message: "forwarded to 10.0.0.7:3000/" },
    route,
  };

  test("shows steps, verdict and route as text", async () => {
    const admin = await router((_, response) => json(response, explanation));
    const { code, stdout, stderr } = await runLychgate([
      "explain",
      "3000-default--mybox.example.com",
      "--admin",
      admin.url,
    ]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(admin.asked).toEqual(["/api/explain?host=3000-default--mybox.example.com"]);
    expect(stdout).toBe(
      [
        "target     sandbox default--mybox, port 3000, from the Host",
        "lookup     default/mybox",
        "reply      the pod's: forwarded to 10.0.0.7:3000/",
        "route      default/mybox, id default--mybox, running, incarnation 3",
        "pod        10.0.0.7",
        "confirmed  running at version 42",
        "",
      ].join("\n"),
    );
  });

  test("a refusal shows the reply, and why the route is not served", async () => {
    const message = "healthy sandbox not found: default--mybox";
    const refused: Explanation = {
      ...explanation,
      verdict: { reason: "sandbox_paused", status: 502, message },
      route: { ...route, state: "paused", servable: false, why: "its state is paused" },
    };
    const admin = await router((_, response) => json(response, refused));
    const { code, stdout } = await runInProcess(["explain", "x", "--admin", admin.url]);
    expect(code).toBe(0);
    expect(stdout).toContain(`reply      502 (sandbox_paused): ${message}\n`);
    expect(stdout).toContain("why not    its state is paused\n");
  });

  test("sends path and headers, and prints JSON on request", async () => {
    const admin = await router((_, response) => json(response, explanation));
    const { stdout } = await runLychgate([
      "explain",
      "x",
      "--path",
      "/kruise/a/80?b",
      "--header",
      "e2b-sandbox-id:a",
      "--header=x-b: c&d",
      "--json",
      "--admin",
      `${admin.url}/`,
    ]);
    const query = new URL(admin.asked[0] ?? "", admin.url).searchParams;
    expect([...query]).toEqual([
      ["host", "x"],
      ["path", "/kruise/a/80?b"],
      ["header", "e2b-sandbox-id:a"],
      ["header", "x-b: c&d"],
    ]);
    expect(JSON.parse(stdout)).toEqual(explanation);
  });

  test.each([
    ["https://3000-mybox.example.com/a/b?c=d#e", "3000-mybox.example.com", "/a/b?c=d"],
    ["HTTP://user:p%40ss@3000-mybox.example.com:8080/", "3000-mybox.example.com:8080", "/"],
    ["wss://3000-mybox.example.com?token=x", "3000-mybox.example.com", "/?token=x"],
    ["3000-mybox.example.com/a", "3000-mybox.example.com", "/a"],
    ["3000-mybox.example.com?next=/b", "3000-mybox.example.com", "/?next=/b"],
    ["3000-mybox.example.com", "3000-mybox.example.com", "/"],
    ["http://[fd00::1]:7788/kruise/mybox/3000/x", "[fd00::1]:7788", "/kruise/mybox/3000/x"],
    ["/kruise/mybox/3000/x?y=user@z", "localhost", "/kruise/mybox/3000/x?y=user@z"],
  ])("takes %s, as the status page does", async (pasted, host, path) => {
    expect(requestOf(pasted)).toEqual({ host, path });
    expect(requestOfPage(pasted)).toEqual({ host, path });
    const admin = await router((_, response) => json(response, explanation));
    const { code } = await runInProcess(["explain", pasted, "--admin", admin.url]);
    expect(code).toBe(0);
    const query = new URL(admin.asked[0] ?? "", admin.url).searchParams;
    expect([query.get("host"), query.get("path") ?? "/"]).toEqual([host, path]);
  });

  test("--path wins over the path of a URL", async () => {
    const admin = await router((_, response) => json(response, explanation));
    await runInProcess(["explain", "http://x.y/a", "--path", "/b", "--admin", admin.url]);
    expect(new URL(admin.asked[0] ?? "", admin.url).searchParams.get("path")).toBe("/b");
  });

  test("finds the router by the configuration", async () => {
    const admin = await router((_, response) => json(response, explanation));
    const { code } = await runInProcess(["explain", "x"], { LYCHGATE_ADMIN_LISTEN: `:${admin.port}` });
    expect(code).toBe(0);
    expect(admin.asked).toHaveLength(1);
  });

  test("a name from a peer can't write to the terminal's controls", async () => {
    const evil = { ...explanation, steps: [{ step: "target", result: "a\u001B[2Jb\nverdict ok\u202E" }] };
    const admin = await router((_, response) => json(response, evil));
    const { stdout } = await runInProcess(["explain", "x", "--admin", admin.url]);
    expect(stdout).toContain("target     a\\u{1b}[2Jb\\u{a}verdict ok\\u{202e}\n");
  });

  test("a header's value stands in no message", async () => {
    const admin = await router((_, response) =>
      json(response, { message: "header must be name:value" }, 400),
    );
    const argv = ["explain", "x", "--header", "x-access-token:sekrit", "--admin", admin.url];
    const refused = await runInProcess(argv);
    await closers.pop()?.();
    const unheard = await runInProcess(argv);
    expect(refused.stderr).toBe(
      `lychgate explain: asking ${admin.url}/api/explain: header must be name:value\n`,
    );
    expect(unheard.stderr).toContain("connection refused");
    expect(unheard.stderr).not.toContain("sekrit");
  });

  test("the router's own fault message, exit 1", async () => {
    const admin = await router((_, response) =>
      json(response, { code: "bad_request", message: "host is missing" }, 400),
    );
    const { code, stdout, stderr } = await runInProcess(["explain", "", "--admin", admin.url]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/^lychgate explain: asking http:\S+: host is missing\n$/);
  });
});

const page = (routes: readonly RouteView[], next?: string): RoutesPage => ({
  synced: true,
  watermarks: { "": "99" },
  counts,
  routes,
  ...(next !== undefined && { next }),
});

describe("routes", () => {
  const paused: RouteView = {
    ...route,
    name: "other",
    id: "short",
    state: "paused",
    ip: "",
    servable: false,
    why: "paused",
  };
  const { incarnation: _, ...withoutIncarnation } = paused;
  const paged = (request: IncomingMessage, response: ServerResponse) =>
    json(
      response,
      request.url?.includes("after=") ? page([withoutIncarnation]) : page([route], "default/mybox"),
    );

  test("prints every page as one table, the summary beside it", async () => {
    const admin = await router(paged);
    const { code, stdout, stderr } = await runLychgate(["routes", "--admin", admin.url]);
    expect(code).toBe(0);
    expect(admin.asked).toEqual(["/api/routes?limit=1000", "/api/routes?limit=1000&after=default%2Fmybox"]);
    expect(stdout).toBe(
      [
        "NAMESPACE   NAME    ID               STATE     POD IP     INCARNATION   VERSION   NOT SERVED",
        "default     mybox   default--mybox   running   10.0.0.7   3             42        -",
        "default     other   short            paused    -          -             42        paused",
        "",
      ].join("\n"),
    );
    expect(stderr).toBe("2 routes, 1 served; 1 hints; 0 tombstones; synced; all namespaces at 99\n");
  });

  test("--json prints one page's form with all routes", async () => {
    const admin = await router(paged);
    const { stdout, stderr } = await runLychgate(["routes", "--json", "--admin", admin.url]);
    expect(stderr).toBe("");
    expect(JSON.parse(stdout)).toEqual(page([route, withoutIncarnation]));
  });

  test("--limit lists no more, asks for no more, and says so", async () => {
    const admin = await router(paged);
    const { code, stdout, stderr } = await runInProcess(["routes", "--limit", "1", "--admin", admin.url]);
    expect(code).toBe(0);
    expect(admin.asked).toEqual(["/api/routes?limit=1"]);
    expect(stdout).toContain("mybox");
    expect(stdout).not.toContain("other");
    expect(stderr).toContain("the first 1 are listed; 2 routes, 1 served");
  });

  /** Seven hundred routes match; it takes two windows. */
  const manyFound = (request: IncomingMessage, response: ServerResponse) => {
    const query = new URL(request.url ?? "", "http://x").searchParams;
    const offset = Number(query.get("offset"));
    const size = Math.max(0, Math.min(Number(query.get("limit")), 700 - offset));
    const routes = Array.from({ length: size }, (_, i) => ({ ...route, name: `box-${offset + i}` }));
    json(response, { total: 700, offset, ageMs: 0, routes });
  };

  test("--search, --state and --served ask the router, window by window", async () => {
    const admin = await router(manyFound);
    const filter = ["--search", "box&x", "--state", "running", "--served", "true"];
    const { code, stdout, stderr } = await runInProcess(["routes", ...filter, "--admin", admin.url]);
    expect(code).toBe(0);
    expect(admin.asked).toEqual([
      "/api/search?text=box%26x&state=running&served=true&offset=0&limit=500",
      "/api/search?text=box%26x&state=running&served=true&offset=500&limit=500",
    ]);
    expect(stdout.trimEnd().split("\n")).toHaveLength(701);
    expect(stderr).toBe("700 routes match\n");
  });

  test("a search with --limit and --json", async () => {
    const admin = await router(manyFound);
    const { stdout } = await runInProcess(
      "routes --state running --limit 3 --json --admin".split(" ").concat(admin.url),
    );
    expect(admin.asked).toEqual(["/api/search?state=running&offset=0&limit=3"]);
    const said = JSON.parse(stdout) as { total: number; routes: RouteView[] };
    expect([said.total, said.routes.map(({ name }) => name)]).toEqual([700, ["box-0", "box-1", "box-2"]]);
  });

  test.each([
    [["--limit", "0"], '--limit must be a whole number from 1 on; it is "0"'],
    [["--limit", "many"], '--limit must be a whole number from 1 on; it is "many"'],
    [["--served", "yes"], '--served must be true or false; it is "yes"'],
  ])("%s is a usage fault", async (flags, message) => {
    const admin = await router(paged);
    const { code, stderr } = await runInProcess(["routes", ...flags, "--admin", admin.url]);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
    expect(admin.asked).toEqual([]);
  });

  test("nobody there, or somebody else: exit 1 and why", async () => {
    const closed = await router(() => {});
    await closers.pop()?.();
    const nobody = await runInProcess(["routes", "--admin", closed.url]);
    expect({ code: nobody.code, stderr: nobody.stderr }).toEqual({
      code: 1,
      stderr: `lychgate routes: asking ${closed.url}/api/routes: connection refused: is the router running there?\n`,
    });
    const other = await router((_, response) => response.end("<html>"));
    const stranger = await runInProcess(["routes", "--admin", other.url]);
    expect(stranger.code).toBe(1);
    expect(stranger.stderr).toContain("the answer (status 200) is not JSON: is it the admin port?");
  });
});

describe("health", () => {
  test("ready: exit 0 and one line", async () => {
    const peer = await router((request, response) =>
      response.writeHead(request.url === "/readyz" ? 200 : 404).end("ok\n"),
    );
    const { code, stdout, stderr } = await runLychgate(["health"], {
      LYCHGATE_PEER_LISTEN: `0.0.0.0:${peer.port}`,
    });
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: `ready: ${peer.url}/readyz\n`, stderr: "" });
  });

  test("at a port that fetch would refuse", async () => {
    const ready = (_: IncomingMessage, response: ServerResponse) => response.end("ok\n");
    // Whichever of them is free.
    const peer = await Promise.any([10_080, 6566, 6697, 5061, 4190].map((port) => router(ready, port)));
    const { code, stdout, stderr } = await runInProcess(["health", "--url", peer.url]);
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: `ready: ${peer.url}/readyz\n`, stderr: "" });
  });

  test("not ready: exit 1 and the router's word", async () => {
    const peer = await router((_, response) => response.writeHead(503).end("not ready: draining\n"));
    const { code, stdout, stderr } = await runInProcess(["health", "--url", peer.url]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toBe(`not ready: ${peer.url}/readyz answered 503: not ready: draining\n`);
  });

  test("ready with a remark: exit 0, and the remark", async () => {
    const peer = await router((_, response) => response.end("ok, but stale: the API server is away\n"));
    const { code, stdout } = await runInProcess(["health", "--url", peer.url]);
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: `ready: ${peer.url}/readyz, but stale: the API server is away\n`,
    });
  });

  test("--json: each check, and the same exit codes", async () => {
    const lines =
      "[+]synced ok\n[+]watch ok: stale: long ago\n[-]draining failed: the router is shutting down\ngateway is not ready\n";
    const peer = await router((_, response) => response.writeHead(503).end(lines));
    const { code, stdout, stderr } = await runInProcess(["health", "--json", "--url", peer.url]);
    expect({ code, stderr }).toEqual({ code: 1, stderr: "" });
    expect(peer.asked).toEqual(["/readyz?verbose"]);
    expect(JSON.parse(stdout)).toEqual({
      ready: false,
      url: `${peer.url}/readyz`,
      status: 503,
      checks: [
        { name: "synced", ok: true, why: "" },
        { name: "watch", ok: true, why: "stale: long ago" },
        { name: "draining", ok: false, why: "the router is shutting down" },
      ],
    });
  });

  test("silent: exit 1 within its time", async () => {
    const peer = await router(() => {});
    const { code, stderr } = await runInProcess(["health", "--url", peer.url]);
    expect(code).toBe(1);
    expect(stderr).toContain("no answer within 2000 ms");
  });
});
