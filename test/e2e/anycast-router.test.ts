import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { NO_BIRD, TestBird } from "../node/anycast/support/bird.ts";
import { makeNamespace } from "../node/support/namespaces.ts";
import { eventually } from "../support/eventually.ts";
import { startRouterProcess } from "../support/router-process.ts";
import { FaultyApiServer } from "../watch/support/faulty-api-server.ts";
import { kubeconfig } from "../watch/support/kubeconfig.ts";
import { SandboxStore } from "../watch/support/sandbox-store.ts";

// The router's own addresses: a real `lychgate serve` and a real BIRD, which announces them while the router is ready.

const title = `a router's own anycast addresses${NO_BIRD ? ` (${NO_BIRD})` : ""}`;

const ADDRESSES = ["192.0.2.20", "2001:db8::20"];

const CONFIG = (folder: string): string =>
  `router id 10.9.0.1;\nprotocol device {}\ninclude "${folder}/router*.conf";\n`;

describe.skipIf(NO_BIRD)(title, () => {
  test("announced when it is ready, withdrawn as the first step of its drain, before the delay that it waits for load balancers", async () => {
    const bird = new TestBird(CONFIG, makeNamespace("bird").name);
    // Left by a run that was killed: BIRD announces it from its start.
    const includeFile = join(bird.folder, "router.conf");
    writeFileSync(
      includeFile,
      "protocol static lychgate_router_192_0_2_20 {\n  ipv4;\n  route 192.0.2.20/32 blackhole;\n}\n",
    );
    await bird.start();
    expect(bird.routes()).toEqual(["192.0.2.20"]);

    const store = new SandboxStore();
    const api = await FaultyApiServer.start(store);
    onTestFinished(() => api.stop());
    let isSilent = true;
    api.chooseFault = () => (isSilent ? { kind: "status", code: 503 } : undefined);
    const file = join(bird.folder, "kubeconfig");
    writeFileSync(file, kubeconfig({ server: api.url.href }));
    const router = await startRouterProcess([
      "--kubeconfig",
      file,
      "--anycast-addresses",
      ADDRESSES.join(","),
      "--anycast-bird-socket",
      bird.socket,
      "--anycast-include-file",
      includeFile,
      "--drain-delay-ms",
      "1500",
      "--watch-backoff-max-ms",
      "800",
    ]);
    onTestFinished(() => void router.process.kill("SIGKILL"));
    // Not ready yet: what was left is withdrawn.
    await eventually(() => expect(bird.routes()).toEqual([]));
    isSilent = false;
    await eventually(() => expect(bird.routes()).toEqual(ADDRESSES));

    const metrics = await (await fetch(`http://${router.admin}/metrics`)).text();
    expect(metrics).toContain('lychgate_anycast_addresses{state="announced"} 2');

    // BIRD restarts, and someone disables an address: both are as they should be within seconds.
    await bird.stop();
    await bird.start();
    expect(bird.routes()).toEqual(ADDRESSES);
    bird.birdc("disable lychgate_router_192_0_2_20");
    await eventually(() => expect(bird.routes()).toEqual(ADDRESSES), { timeoutMs: 8000 });

    const startedMs = performance.now();
    router.kill("SIGTERM");
    await eventually(() => expect(bird.routes()).toEqual([]), { timeoutMs: 1000 });
    const tookMs = performance.now() - startedMs;
    console.log("SIGTERM to withdrawal at BIRD, ms:", Math.round(tookMs));
    // It still serves: who has not heard yet is not refused.
    expect((await fetch(`http://${router.traffic}/`)).status).toBe(404);
    expect(await router.exited).toBe(0);
    expect(performance.now() - startedMs).toBeGreaterThan(1500);
    expect(router.stderr.join("\n")).toContain("anycast addresses withdrawn");
  });

  test("without a BIRD it serves and ends all the same, and says what is missing", async () => {
    const router = await startRouterProcess([
      "--source",
      "none",
      "--anycast-addresses",
      ADDRESSES.join(","),
      "--anycast-bird-socket",
      "/nowhere/bird.ctl",
      "--anycast-include-file",
      "/proc/nowhere/router.conf",
      "--drain-delay-ms",
      "0",
    ]);
    onTestFinished(() => void router.process.kill("SIGKILL"));
    await eventually(() =>
      expect(router.stderr.join("\n")).toContain("anycast: BIRD did not take what it should announce"),
    );
    router.kill("SIGTERM");
    expect(await router.exited).toBe(0);
  });
});
