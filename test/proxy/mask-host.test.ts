import { describe, expect, test } from "vitest";

import { LANE } from "./support/lane.ts";
import { OK } from "./support/raw-peer.ts";
import { Scene } from "./support/scene.ts";

// target.maskHost: development servers refuse a Host that they do not know.

const open = () => Scene.open({ server: { maskHost: "localhost:{port}" } });

describe.each([
  { lane: LANE, lines: [] as string[] },
  { lane: "the ordered path", lines: ["X-Odd: 1", "Connection: X-Odd"] },
  { lane: "full", lines: ["Connection: Upgrade", "Upgrade: websocket"] },
])("$lane", ({ lines }) => {
  test("the pod gets the masked Host, and the client's as X-Forwarded-Host", async () => {
    const scene = await open();
    const { inside, head } = await scene.begin("GET /", lines);
    expect(head.match(/^host: .*$/gim)).toEqual([
      expect.stringMatching(new RegExp(`^host: localhost:${scene.pod.port}$`, "i")),
    ]);
    expect(head.match(/^x-forwarded-host: .*$/gim)).toEqual([`X-Forwarded-Host: ${scene.host}`]);
    expect(head).toContain("X-Forwarded-Port: 80\r\n");
    inside.reset();
  });
});

test("a second request of the connection gets it too", async () => {
  const scene = await open();
  const { client, inside } = await scene.begin("GET /1");
  inside.take();
  inside.write(OK);
  await client.until("ok");
  client.write(scene.head("GET /2"));
  expect(await inside.until("\r\n\r\n")).toMatch(
    new RegExp(`\r\nhost: localhost:${scene.pod.port}\r\n`, "i"),
  );
});

test("without it the pod gets the client's Host", async () => {
  const scene = await Scene.open();
  const { head } = await scene.begin("GET /");
  expect(head).toMatch(new RegExp(`\r\nhost: ${scene.host}\r\n`, "i"));
});
