import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";

import { systemClock } from "../../src/system/clock.ts";
import { eventually } from "../support/eventually.ts";
import { LANE } from "./support/lane.ts";
import { OK, RawPod } from "./support/raw-peer.ts";
import { Router } from "./support/router.ts";
import type { RouterOptions } from "./support/router.ts";

// upstream.refusedGraceMs: a program of a sandbox that has just begun to run may begin to listen in a moment.

/** A port on which nothing listens. */
async function closedPort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function open(
  ageS: number | undefined,
  options: RouterOptions = {},
): Promise<{ router: Router; port: number }> {
  const upstream = { refusedGraceMs: 600_000, youngMs: 600_000, ...options.upstream };
  const router = await Router.start({ ...options, upstream });
  onTestFinished(() => router.close());
  const readyAtS = ageS === undefined ? undefined : Math.floor(systemClock.nowMs() / 1_000) - ageS;
  router.routes.run("box", "127.0.0.1", "", readyAtS);
  return { router, port: await closedPort() };
}

const head = (port: number, ...lines: string[]) =>
  [`GET / HTTP/1.1`, `Host: ${port}-box.example.com`, ...lines, "", ""].join("\r\n");

describe.each([
  { lane: LANE, lines: [] as string[] },
  { lane: "full", lines: ["Expect: 100-continue"] },
  { lane: "upgrade", lines: ["Connection: Upgrade", "Upgrade: websocket"] },
])("$lane", ({ lines }) => {
  test("a request for a port of a young sandbox waits until something listens there", async () => {
    const { router, port } = await open(1);
    const client = await router.client();
    client.write(head(port, ...lines));
    await eventually(() => router.counts.failures.length >= 2);
    expect(client.received).toBe("");
    const pod = await RawPod.listen("127.0.0.1", port);
    onTestFinished(() => pod.close());
    pod.answerAll(OK);
    expect(await client.until("ok")).toContain("200 OK");
    client.reset();
  });

  test.each([
    ["an older one", 601],
    ["one of which nobody knows since when it runs", undefined],
  ])("for %s it is refused at once", async (_what, ageS) => {
    // Short, so that a grace that is given wrongly shows by more tries and not by a wait.
    const { router, port } = await open(ageS, { upstream: { refusedGraceMs: 300 } });
    const client = await router.client();
    client.write(head(port, ...lines));
    expect(await client.until("refused the connection")).toMatch(/^HTTP\/1\.1 502 /);
    expect(router.counts.failures).toEqual(["upstream_refused"]);
  });

  test("after refusedGraceMs it is refused", async () => {
    const { router, port } = await open(1, { upstream: { refusedGraceMs: 120 } });
    const client = await router.client();
    client.write(head(port, ...lines));
    expect(await client.until("refused the connection")).toMatch(/^HTTP\/1\.1 502 /);
    expect(router.counts.failures.length).toBeGreaterThan(1);
  });

  test("a client that leaves gives up its place", async () => {
    const { router, port } = await open(1, {
      upstream: { maxConnectionsPerSandbox: 1, clientSharePercent: 100 },
    });
    const first = await router.client();
    first.write(head(port, ...lines));
    await eventually(() => router.counts.failures.length >= 1);
    first.reset();
    await router.record(0);
    await eventually(() => router.upstreams.size === 0);
    const second = await router.client();
    second.write(head(port, ...lines));
    const before = router.counts.failures.length;
    await eventually(() => router.counts.failures.length > before);
    second.reset();
  });

  test("the end of its incarnation ends the wait", async () => {
    const { router, port } = await open(1);
    const client = await router.client();
    client.write(head(port, ...lines));
    await eventually(() => router.counts.failures.length >= 1);
    router.routes.end("box", "dead", router.upstreams);
    expect(await client.until("ended while")).toMatch(/^HTTP\/1\.1 502 /);
  });
});
