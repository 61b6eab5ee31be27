import { expect, test } from "vitest";
import { startRouterProcess } from "../support/router-process.ts";

test("a router whose access log nobody reads any more still ends when it is told to", async () => {
  const args = [
    "--source",
    "none",
    "--access-log",
    "json",
    "--drain-delay-ms",
    "0",
    "--drain-timeout-ms",
    "500",
  ];
  const router = await startRouterProcess(args);
  try {
    router.process.stdout?.destroy();
    expect((await fetch(`http://${router.traffic}/`)).status).toBe(404);
    router.kill("SIGTERM");
    expect(await router.exited).toBe(0);
  } finally {
    router.kill("SIGKILL");
  }
});
