import { describe, expect, test } from "vitest";
import { ClientLimits } from "../../src/access/client-limits.ts";
import { Previews } from "../../src/access/previews.ts";
import { TrafficTokens } from "../../src/access/traffic-tokens.ts";
import { systemClock } from "../../src/system/clock.ts";
import { newAccess } from "../support/new-access.ts";
import { LANE } from "./support/lane.ts";
import { OK } from "./support/raw-peer.ts";
import { Scene } from "./support/scene.ts";

// docs/access.md on the wire: what a client without the right token gets, and what a pod gets of tokens.

const previews = new Previews({ current: ["k".repeat(32)] }, systemClock);
const access = newAccess({
  previews,
  byDefault: "private",
  trafficTokens: new TrafficTokens(
    { keys: undefined, keyMissed() {} },
    { issuer: "https://issuer.example.com", skewMs: 0 },
    systemClock,
  ),
});

function tokenFor(scene: Scene): string {
  const expiresAtS = Math.floor(Date.now() / 1000) + 3600;
  return previews.sign({ uid: scene.incarnation.uid, port: scene.pod.port, expiresAtS }, "");
}

const UPGRADE = [
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
];

describe.each([
  { lane: LANE, lines: [] as string[] },
  { lane: "full", lines: ["Expect: 100-continue"] },
])("$lane lane", ({ lines }) => {
  const method = lines.length > 0 ? "POST" : "GET";
  const fields = lines.length > 0 ? [...lines, "Content-Length: 0"] : [];

  test("a private port gives 401 and the pod sees nothing", async () => {
    const scene = await Scene.open({ server: { access } });
    const client = await scene.send(scene.head(`${method} /a`, ...fields));
    const reply = await client.until(`private: needs a token for port ${scene.pod.port}`);
    expect(reply).toMatch(/^HTTP\/1\.1 401 Unauthorized\r\n.*x-lychgate-reason: sandbox_private\r\n/s);
    expect(scene.pod.connections).toHaveLength(0);
  });

  test("tokens of the router never reach the pod; all else does, byte for byte", async () => {
    const scene = await Scene.open({ server: { access } });
    const token = tokenFor(scene);
    const { head, inside, client } = await scene.begin(`${method} /a?b=c`, [
      ...fields,
      `X-Lychgate-Token: ${token}`,
      `E2B-Traffic-Access-Token: jwt.jwt.jwt`,
      `Cookie: a=b; __Host-lychgate-preview=${token}; c="d e"`,
      "X-Access-Token: for-the-app",
      "Accept-Language: de",
    ]);
    expect(head).toContain(`${method} /a?b=c HTTP/1.1\r\n`);
    expect(head).toContain('\r\nCookie: a=b; c="d e"\r\n');
    expect(head).toContain("\r\nX-Access-Token: for-the-app\r\n");
    expect(head).toContain("\r\nAccept-Language: de\r\n");
    expect(head.toLowerCase()).not.toMatch(/x-lychgate-token|e2b-traffic|jwt\.|__host/);
    expect(head).not.toContain(token);
    inside.write(OK);
    await client.until("ok");
    const record = await scene.router.record(0);
    expect(JSON.stringify({ ...record, host: record.host, path: record.path })).not.toContain(token);
  });

  test("a token in a header alone is left out too", async () => {
    const scene = await Scene.open({ server: { access } });
    const token = `X-LYCHGATE-token: ${tokenFor(scene)}`;
    const { head } = await scene.begin(`${method} /`, [
      ...fields,
      "Cookie: a=b",
      token,
      "E2B-Traffic-Access-Token: j",
    ]);
    expect(head).toContain("\r\nCookie: a=b\r\n");
    expect(head.toLowerCase()).not.toMatch(/x-lychgate-token|e2b-traffic/);
  });

  test("two tokens are as good as none", async () => {
    const scene = await Scene.open({ server: { access } });
    const token = `X-Lychgate-Token: ${tokenFor(scene)}`;
    const client = await scene.send(scene.head(`${method} /`, ...fields, token, token));
    expect(await client.until("\r\n\r\n")).toContain("x-lychgate-reason: preview_token_invalid");
    expect(scene.pod.connections).toHaveLength(0);
  });

  test("a cookie that is nothing but the router's is left out whole", async () => {
    const scene = await Scene.open({ server: { access } });
    const cookie = `Cookie: __Host-lychgate-preview=${tokenFor(scene)}`;
    const origin = `Origin: https://${scene.host}`;
    const { head } = await scene.begin(`${method} /`, [...fields, cookie, origin]);
    expect(head.toLowerCase()).not.toContain("cookie");
  });

  test("a sandbox that asks for a JWT waits for the issuer's keys, and no other does", async () => {
    const scene = await Scene.open({ server: { access } });
    const found = scene.router.routes.lookup("box");
    if (found.kind === "found") Object.assign(found.route, { requireTrafficAuth: true });
    const client = await scene.send(scene.head(`${method} /`, ...fields, "E2B-Traffic-Access-Token: a.b.c"));
    expect(await client.until("verifier is not ready")).toContain("503 Service Unavailable");
    const other = await scene.send(
      scene.head(`${method} /`, ...fields, `X-Lychgate-Token: ${tokenFor(scene)}`),
    );
    await scene.pod.connection(0);
    other.end();
  });

  test("clients of other networks are refused before anything is looked up, and those that ask too often too", async () => {
    const limited = (more: object) =>
      new ClientLimits({ allowFrom: [], perClient: 0, perSandbox: 0, clock: systemClock, ...more });
    const elsewhere = await Scene.open({ server: { clients: limited({ allowFrom: ["10.0.0.0/8"] }) } });
    const lost = await elsewhere.router.client();
    lost.write(
      `${method} / HTTP/1.1\r\nHost: 80-nobody.example.com\r\n${fields.map((line) => `${line}\r\n`).join("")}\r\n`,
    );
    expect(await lost.until("\r\n\r\n")).toMatch(/ 403 .*x-lychgate-reason: address_not_allowed/s);

    for (const rate of [{ perClient: 1 }, { perSandbox: 1 }]) {
      const scene = await Scene.open({ server: { clients: limited(rate) } });
      const { inside, client } = await scene.begin(`${method} /`, fields);
      inside.write(OK);
      await client.until("ok");
      const more = await Promise.all(
        Array.from({ length: 5 }, () => scene.send(scene.head(`${method} /`, ...fields))),
      );
      const refused = await Promise.all(
        more.map((each) => each.until(/HTTP|x-lychgate-reason/).catch(() => "")),
      );
      expect(refused.some((text) => / 429 .*retry-after: 1\r\n/s.test(text))).toBe(true);
    }
  });
});

test("a first visit gets a cookie and the URL without the token, in no cache and with no referrer", async () => {
  const scene = await Scene.open({ server: { access } });
  const token = tokenFor(scene);
  const client = await scene.send(scene.head(`GET //evil.example/?lychgate_token=${token}&x=1`));
  const reply = await client.until("go on to the page");
  expect(reply).toMatch(/^HTTP\/1\.1 302 Found\r\n/);
  expect(reply).toContain("\r\nlocation: /.//evil.example/?x=1\r\n");
  expect(reply).toMatch(
    /\r\nset-cookie: __Host-lychgate-preview=v1\.[^;]+; Path=\/; Max-Age=3\d{3}; Secure; HttpOnly; SameSite=None; Partitioned\r\n/,
  );
  expect(reply).toContain("\r\nreferrer-policy: no-referrer\r\n");
  expect(reply).toContain("\r\ncache-control: no-store\r\n");
  expect(reply.split("\r\n\r\n")[1]).not.toContain(token);
  const record = await scene.router.record(0);
  expect([record.reason, record.path]).toEqual(["preview_entered", "//evil.example/?…"]);
});

describe("a WebSocket with a preview's cookie", () => {
  test.each<[string, (host: string) => string, string]>([
    ["opens from the sandbox's own page", (host) => `https://${host}`, "101"],
    ["does not open from another site's page", () => "https://evil.example", "403"],
    [
      "does not open from another sandbox's page",
      (host) => `https://${host.replace("-box", "-evil")}`,
      "403",
    ],
  ])("%s", async (_case, originOf, status) => {
    const scene = await Scene.open({ server: { access } });
    const client = await scene.send(
      scene.head(
        "GET /ws",
        ...UPGRADE,
        `Origin: ${originOf(scene.host)}`,
        `Cookie: __Host-lychgate-preview=${tokenFor(scene)}`,
      ),
    );
    if (status === "101") {
      const inside = await scene.pod.connection(0);
      expect(await inside.until("\r\n\r\n")).not.toContain("__Host");
      inside.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    }
    expect(await client.until("\r\n\r\n")).toContain(`HTTP/1.1 ${status} `);
    if (status === "403") expect(scene.pod.connections).toHaveLength(0);
    client.reset();
  });
});

test("the access token that opens a private port does not reach it, and a field of the app's own does", async () => {
  const scene = await Scene.open({ server: { access } });
  const found = scene.router.routes.lookup("box");
  if (found.kind === "found") Object.assign(found.route, { accessToken: "s3cret" });
  const { head } = await scene.begin("GET /", ["X-Access-Token: s3cret", "Accept: */*"]);
  expect(head.toLowerCase()).not.toContain("x-access-token");
  expect(head).toContain("\r\nAccept: */*\r\n");
});

test("while it is asked for, the access token reaches the runtime's port alone", async () => {
  const guarded = newAccess({ accessToken: true });
  const scene = await Scene.open({ server: { access: guarded } });
  const found = scene.router.routes.lookup("box");
  if (found.kind === "found") Object.assign(found.route, { accessToken: "s3cret" });
  const { head } = await scene.begin("GET /", ["X-Access-Token: s3cret", "X-Other: s"]);
  expect(head.toLowerCase()).not.toContain("x-access-token");
  expect(head).toContain("\r\nX-Other: s\r\n");
  if (found.kind !== "found") throw new Error("unreachable");
  expect(guarded.withheldFrom(found, 49_983)).toBeUndefined();
  expect(
    newAccess({ accessToken: true, forwardAccessToken: true }).withheldFrom(found, 3000),
  ).toBeUndefined();
  expect(newAccess().withheldFrom(found, 3000)).toBeUndefined();
});
