import { describe, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { LANE } from "./support/lane.ts";
import { ManualClock } from "./support/manual-clock.ts";
import type { RawPeer } from "./support/raw-peer.ts";
import { OK } from "./support/raw-peer.ts";
import type { RouterOptions } from "./support/router.ts";
import { Scene } from "./support/scene.ts";

// docs/wake.md: a request for a sandbox that sleeps waits until it was woken.

const UPGRADE = ["Connection: Upgrade", "Upgrade: websocket"];
const KEY = "ns/box" as const;

class Sleep {
  readonly scene: Scene;
  constructor(scene: Scene) {
    this.scene = scene;
    scene.router.routes.sleep("box");
  }

  static async open(waking: RouterOptions["waking"] = {}, more: RouterOptions = {}): Promise<Sleep> {
    return new Sleep(await Scene.open({ waking, ...more }));
  }

  /** Waits until so many requests wait. */
  waiting(count: number): Promise<void> {
    return eventually(() => expect(this.scene.router.waking?.size).toBe(count), { everyMs: 2 });
  }

  wakesUp(): void {
    const { routes, waking } = this.scene.router;
    waking?.routeChanged(KEY, routes.resume("box"));
  }

  fails(failure: "failed" | "unavailable"): void {
    const { uid = "" } = this.scene.router.wakes.at(-1) ?? {};
    this.scene.router.waking?.wakeFailed(KEY, uid, failure);
  }

  async answered(client: RawPeer, number = 0): Promise<string> {
    const inside = await this.scene.pod.connection(number);
    const head = await inside.until("\r\n\r\n");
    inside.write(OK);
    await client.until("\r\n\r\nok");
    return head;
  }
}

describe.each([
  { lane: LANE, lines: [] as string[] },
  { lane: "full", lines: ["Accept-Encoding: gzip", "Expect: 100-continue"] },
])("$lane lane", ({ lines }) => {
  const method = lines.length > 0 ? "POST /a" : "GET /a";
  const body = lines.length > 0 ? "hello" : "";
  const fields = lines.length > 0 ? [...lines, "Content-Length: 5"] : lines;

  test("a request waits, reaches the pod when the sandbox runs, and its record counts the wait", async () => {
    const sleep = await Sleep.open();
    const { scene } = sleep;
    const client = await scene.send(scene.head(method, ...fields) + body);
    await sleep.waiting(1);
    const beforeMs = performance.now();
    await eventually(() => performance.now() - beforeMs > 20, { everyMs: 2 });
    expect([scene.pod.connections.length, client.received]).toEqual([0, ""]);
    sleep.wakesUp();
    expect(await sleep.answered(client)).toContain(`${method} HTTP/1.1\r\n`);
    const { status, durationMs } = await scene.router.record(0);
    expect([status, scene.router.started]).toEqual([200, 1]);
    expect(durationMs).toBeGreaterThan(20);
    expect(scene.router.wakeReleases).toEqual(["woken"]);
    expect(scene.router.wakes).toEqual([{ key: KEY, uid: scene.incarnation.uid }]);
  });

  test.each([
    ["failed", "wake_failed", "sandbox wake failed"],
    ["unavailable", "wake_unavailable", "sandbox wake failed: the API server does not answer"],
  ] as const)(
    "waking %s: 503 with its reason, and the connection can go on",
    async (failure, reason, words) => {
      const sleep = await Sleep.open();
      const { scene } = sleep;
      const client = await scene.send(scene.head("GET /", ...lines));
      await sleep.waiting(1);
      sleep.fails(failure);
      const answer = await client.until(words);
      expect(answer).toMatch(/^HTTP\/1\.1 503 /);
      expect(answer).toContain(`x-lychgate-reason: ${reason}\r\n`);
      expect(answer).toMatch(/\r\nretry-after: \d+\r\n/);
      expect((await scene.router.record(0)).reason).toBe(reason);
    },
  );

  test("what failed for another object of that name says nothing to it", async () => {
    const sleep = await Sleep.open();
    const { scene } = sleep;
    const client = await scene.send(scene.head("GET /", ...lines));
    await sleep.waiting(1);
    scene.router.waking?.wakeFailed(KEY, "another", "failed");
    expect(scene.router.waking?.size).toBe(1);
    client.reset();
    await sleep.waiting(0);
  });

  test("a client that leaves frees its place, and its record says so", async () => {
    const sleep = await Sleep.open();
    const client = await sleep.scene.send(sleep.scene.head(method, ...fields));
    await sleep.waiting(1);
    client.reset();
    await sleep.waiting(0);
    expect((await sleep.scene.router.record(0)).reason).toBe("client_closed");
    sleep.wakesUp();
    expect(sleep.scene.router.wakeReleases).toEqual(["left"]);
  });

  test("a sandbox that is deleted, or made again under its name, while it is woken gets what it is worth then", async () => {
    const sleep = await Sleep.open();
    const { scene } = sleep;
    const client = await scene.send(scene.head("GET /", ...lines));
    await sleep.waiting(1);
    scene.router.routes.remove("box");
    scene.router.waking?.routeChanged(KEY, undefined);
    expect(await client.until("sandbox not found")).toMatch(/^HTTP\/1\.1 502 /);
    expect(scene.router.wakeReleases).toEqual(["gone"]);
  });

  test("too many for one sandbox: 503, the others still wait", async () => {
    const sleep = await Sleep.open({ maxHeldPerSandbox: 2 });
    const { scene } = sleep;
    const first = await scene.send(scene.head("GET /1", ...lines));
    const second = await scene.send(scene.head("GET /2", ...lines));
    await sleep.waiting(2);
    const third = await scene.send(scene.head("GET /3", ...lines));
    expect(await third.until("overloaded")).toMatch(/^HTTP\/1\.1 503 /);
    expect([first.received, second.received]).toEqual(["", ""]);
    expect(scene.router.wakes).toHaveLength(1);
    first.reset();
    second.reset();
    await sleep.waiting(0);
  });
});

test("a WebSocket waits too, and is open as soon as the pod has agreed", async () => {
  const sleep = await Sleep.open();
  const { scene } = sleep;
  const client = await scene.send(scene.head("GET /ws", ...UPGRADE));
  await sleep.waiting(1);
  sleep.wakesUp();
  const inside = await scene.pod.connection(0);
  await inside.until("\r\n\r\n");
  inside.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello");
  expect(await client.until("hello")).toContain("101 Switching Protocols");
  client.reset();
  await eventually(() => inside.closed);
});

test("of a body no more is taken than 64 KiB while the sandbox sleeps, and it arrives whole", async () => {
  const sleep = await Sleep.open();
  const { scene } = sleep;
  const bytes = 4 * 1024 * 1024;
  const client = await scene.send(scene.head("PUT /big", `Content-Length: ${bytes}`));
  await sleep.waiting(1);
  client.write("x".repeat(bytes));
  // What the kernel has no room for stays with the client.
  await eventually(() => expect(client.socket.writableLength).toBeGreaterThan(0), { everyMs: 2 });
  sleep.wakesUp();
  const inside = await scene.pod.connection(0);
  await eventually(() => expect(inside.received.length).toBeGreaterThan(bytes), { everyMs: 5 });
  inside.write(OK);
  await client.until("ok");
  expect((await scene.router.record(0)).bytesIn).toBe(bytes);
});

test("what comes on the same connection behind it waits its turn", async () => {
  const sleep = await Sleep.open();
  const { scene } = sleep;
  const client = await scene.send(scene.head("GET /1") + scene.head("GET /2"));
  await sleep.waiting(1);
  sleep.wakesUp();
  const inside = await scene.pod.connection(0);
  await inside.until("GET /1 HTTP/1.1\r\n");
  inside.write(OK);
  await inside.until("GET /2 HTTP/1.1\r\n");
  inside.write(OK);
  await client.until(/ok.*ok$/s);
  expect(scene.router.records.map(({ status }) => status)).toEqual([200, 200]);
});

describe("a request does not wait", () => {
  test("without the sandbox's token: nobody wakes what he may not see", async () => {
    const scene = await Scene.open({ waking: {} });
    scene.router.routes.run("box", "127.0.0.1", "secret");
    const sleep = new Sleep(scene);
    const client = await scene.send(scene.head("GET /"));
    expect(await client.until("unauthorized")).toMatch(/^HTTP\/1\.1 401 /);
    expect(scene.router.wakes).toEqual([]);
    await scene.send(scene.head("GET /", "X-Access-Token: secret"));
    await sleep.waiting(1);
  });

  test("where its sandbox may not be woken, nor where nobody wakes", async () => {
    const scene = await Scene.open({ waking: {} });
    scene.end("paused");
    expect(await (await scene.send(scene.head("GET /"))).until("healthy sandbox not found")).toMatch(/ 502 /);
    const nobody = await Scene.open();
    nobody.router.routes.sleep("box");
    expect(await (await nobody.send(nobody.head("GET /"))).until("healthy sandbox not found")).toMatch(
      / 502 /,
    );
  });

  test("for a sandbox that is not ready, unless others wait for it while it is woken", async () => {
    const sleep = await Sleep.open();
    const { scene } = sleep;
    const { routes } = scene.router;
    routes.sleep("box", "dead");
    const dead = await scene.send(scene.head("GET /"));
    expect(await dead.until("healthy sandbox not found")).toContain("sandbox_dead");
    routes.sleep("box");
    const first = await scene.send(scene.head("GET /1"));
    await sleep.waiting(1);
    routes.sleep("box", "dead");
    const second = await scene.send(scene.head("GET /2"));
    await sleep.waiting(2);
    sleep.wakesUp();
    await sleep.answered(first, 0);
    await sleep.answered(second, 1);
  });

  test("from an address that has too many waiting", async () => {
    const sleep = await Sleep.open({ maxHeldPerAddress: 1 });
    const first = await sleep.scene.send(sleep.scene.head("GET /1"));
    await sleep.waiting(1);
    const second = await sleep.scene.send(sleep.scene.head("GET /2"));
    expect(await second.until("overloaded")).toMatch(/ 503 /);
    first.reset();
    await sleep.waiting(0);
    await sleep.scene.send(sleep.scene.head("GET /3"));
    await sleep.waiting(1);
  });
});

describe("by the clock", () => {
  test("no request waits for longer than wake.timeoutMs", async () => {
    const clock = new ManualClock();
    const sleep = await Sleep.open({ timeoutMs: 5_000 }, { clock });
    const client = await sleep.scene.send(sleep.scene.head("GET /"));
    await sleep.waiting(1);
    clock.stall(5_000);
    clock.fireDue();
    expect(await client.until("sandbox wake failed")).toMatch(/^HTTP\/1\.1 503 /);
    expect(sleep.scene.router.wakeReleases).toEqual(["timeout"]);
  });

  test("a browser that opens a page gets one that asks again, and wakes once", async () => {
    const clock = new ManualClock();
    const sleep = await Sleep.open({ timeoutMs: 60_000, pageAfterMs: 1_000 }, { clock });
    const { scene } = sleep;
    const page = await scene.send(scene.head("GET /", "Sec-Fetch-Mode: navigate"));
    const script = await scene.send(scene.head("GET /data", "Sec-Fetch-Mode: cors"));
    await sleep.waiting(2);
    clock.stall(1_000);
    clock.fireDue();
    const shown = await page.until("</html>");
    expect(shown).toContain("\r\nrefresh: 2\r\n");
    expect(shown).toContain("<h1>The sandbox is waking up</h1>");
    expect(script.received).toBe("");
    expect(scene.router.wakes).toHaveLength(1);
    sleep.wakesUp();
    await sleep.answered(script);
  });
});
