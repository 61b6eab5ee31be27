import { type ChildProcess, spawn } from "node:child_process";
import { createServer, type AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { afterEach, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";

const LAUNCHER = fileURLToPath(new URL("../../bin/lychgate.mjs", import.meta.url));
const ANY_PORT = "127.0.0.1:0";

const started: ChildProcess[] = [];
afterEach(() => {
  for (const child of started.splice(0)) child.kill("SIGKILL");
});

function serve(listen: string) {
  const addresses = ["--listen", listen, "--peer-listen", ANY_PORT, "--admin-listen", ANY_PORT];
  const others = ["--source", "none", "--drain-delay-ms", "0", "--access-log", "off"];
  const child = spawn(process.execPath, [LAUNCHER, "serve", ...addresses, ...others], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  started.push(child);
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (log += text));
  const ended = new Promise<number | null>((resolve) => {
    child.on("close", resolve);
  });
  const trafficUrl = () =>
    eventually(
      () => {
        expect(child.exitCode, log).toBeNull();
        const address = /"traffic":"([^"]+)"/.exec(log)?.[1];
        expect(address).toBeDefined();
        return `http://${address}/`;
      },
      { timeoutMs: 15_000 },
    );
  return { child, ended, trafficUrl, log: () => log };
}

test("serve serves until SIGTERM and exits 0", async () => {
  const router = serve(ANY_PORT);
  expect((await fetch(await router.trafficUrl())).status).toBe(404);
  router.child.kill("SIGTERM");
  expect(await router.ended, router.log()).toBe(0);
});

test("serve exits 1 with the reason when its port is taken", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  try {
    const { port } = server.address() as AddressInfo;
    const { ended, log } = serve(`127.0.0.1:${port}`);
    expect(await ended, log()).toBe(1);
    expect(log()).toContain("EADDRINUSE");
  } finally {
    server.close();
  }
});
