import { createServer, type AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { startRouterProcess } from "../support/router-process.ts";
import { runLychgate } from "./run-lychgate.ts";

const OTHERS = ["--source", "none", "--drain-delay-ms", "0", "--access-log", "off"];

test("serve serves until SIGTERM and exits 0", async () => {
  const router = await startRouterProcess(OTHERS);
  try {
    expect((await fetch(`http://${router.traffic}/`)).status).toBe(404);
    router.kill("SIGTERM");
    expect(await router.exited, router.stderr.join("\n")).toBe(0);
  } finally {
    router.kill("SIGKILL");
  }
});

test("serve exits 1 with the reason when its port is taken", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  try {
    const { port } = server.address() as AddressInfo;
    const addresses = ["--peer-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    const taken = await runLychgate(["serve", "--listen", `127.0.0.1:${port}`, ...addresses, ...OTHERS]);
    expect({ code: taken.code, stdout: taken.stdout }).toEqual({ code: 1, stdout: "" });
    expect(taken.stderr).toContain("EADDRINUSE");
  } finally {
    server.close();
  }
});

test("all taken ports are told at once, with flags to use in their place", async () => {
  const router = await startRouterProcess(OTHERS);
  try {
    const { traffic, peers, admin } = router;
    const second = await runLychgate(
      `serve --listen ${traffic} --peer-listen ${peers} --admin-listen ${admin}`.split(" ").concat(OTHERS),
    );
    expect(second.code).toBe(1);
    expect(second.stderr).toContain(
      "such as: --listen 127.0.0.1:0 --peer-listen 127.0.0.1:0 --admin-listen 127.0.0.1:0",
    );
    for (const address of [traffic, peers, admin]) expect(second.stderr).toContain(address);
    const third = await runLychgate(
      `serve --listen 127.0.0.1:0 --peer-listen ${peers} --admin-listen 127.0.0.1:0`
        .split(" ")
        .concat(OTHERS),
    );
    expect(third.stderr).toContain("such as: --peer-listen 127.0.0.1:0 (");
  } finally {
    router.kill("SIGKILL");
  }
});

test("a low limit of open files is a warning only to who has set client.maxConnections", async () => {
  const levelOf = async (...flags: string[]): Promise<unknown> => {
    const router = await startRouterProcess([...OTHERS, ...flags], { openFiles: 1024 });
    try {
      const line = router.stderr.find((said) => said.includes("ulimit -n")) ?? "{}";
      return (JSON.parse(line) as { level?: string }).level;
    } finally {
      router.kill("SIGKILL");
    }
  };
  expect(await levelOf()).toBe("info");
  expect(await levelOf("--client-max-connections", "20000")).toBe("warn");
  expect(await levelOf("--client-max-connections", "100")).toBeUndefined();
});
