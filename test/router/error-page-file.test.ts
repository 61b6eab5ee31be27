import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";

import { configFrom } from "../../src/config/load.ts";
import { startRouter } from "../../src/router/app.ts";
import { silentLog } from "../../src/system/log.ts";
import { RawPeer } from "../proxy/support/raw-peer.ts";

const ANY = "127.0.0.1:0";

function written(text: string): string {
  const folder = mkdtempSync(join(tmpdir(), "lychgate-page-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "page.html");
  writeFileSync(path, text);
  return path;
}

const start = (errorPageFile: string, workers = 1) =>
  startRouter(
    configFrom({
      source: "none",
      listen: ANY,
      peerListen: ANY,
      adminListen: ANY,
      workers,
      client: { errorPageFile },
    }),
    { log: silentLog },
  );

describe("client.errorPageFile", () => {
  test.each([1, 2])("is what a browser sees, with %i process(es)", async (workers) => {
    const router = await start(written("<h1>Shop closed: {{reason}}</h1>"), workers);
    onTestFinished(() => router.stop());
    await router.synced();
    const { port } = router.addresses.traffic;
    const client = await RawPeer.connect(port);
    client.write(
      "GET /kruise/none/3000/ HTTP/1.1\r\nHost: a\r\nSec-Fetch-Mode: navigate\r\nConnection: close\r\n\r\n",
    );
    await client.untilClosed();
    expect(client.received).toMatch(/\r\n\r\n<h1>Shop closed: (sandbox_not_found|not_ready)<\/h1>$/);
  });

  test.each([
    ["that is not there", () => "/does/not/exist", /\(\/does\/not\/exist\) can't be used: ENOENT/],
    ["with a gap that no page has", () => written("{{nmae}}"), /can't be used: \{\{nmae\}\} is not one of/],
    ["that is too long", () => written("x".repeat(256 * 1024 + 1)), /at most 262144 are taken/],
  ])("a file %s ends the start, and says why", async (_what, path, message) => {
    await expect(start(path())).rejects.toMatchObject({
      code: "LYCHGATE_ERROR_PAGE",
      message: expect.stringMatching(message),
    });
  });
});
