import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type DevCluster, startDevCluster } from "../../lab/devcluster/cluster.ts";
import { routeToPush } from "../../lab/devcluster/pushed-route.ts";
import type { StoredSandbox } from "../../lab/devcluster/sandbox.ts";
import type { Log } from "../../src/system/log.ts";
import { eventually } from "../support/eventually.ts";
import { startRouterProcess } from "../support/router-process.ts";
import { startTestRouter, type TestRouter } from "./support.ts";

// Rule 12 end to end: what one pod of the cluster can do with a POST to the peer port, and what comes of it.

let cluster: DevCluster;
let router: TestRouter;
let victim: StoredSandbox;
const warnings: [string, Readonly<Record<string, unknown>> | undefined][] = [];
const log: Log = {
  debug() {},
  info() {},
  warn: (message, fields) => void warnings.push([message, fields]),
  error() {},
};

beforeAll(async () => {
  cluster = await startDevCluster({
    pods: { firstIp: "127.0.74.1", ipCount: 8, ports: [3000] },
    pools: [{ namespace: "team-a", name: "code", size: 1 }],
    delays: { start: { minMs: 1, maxMs: 5 } },
  });
  router = await startTestRouter({ accessLog: "off" }, { apiServer: new URL(cluster.apiUrl), log });
  await router.router.synced();
  victim = await cluster.claim({ id: "victim", owner: "ada" });
  await eventually(async () => expect((await router.ask("victim")).status).toBe(200));
});

afterAll(async () => {
  await router.router.stop();
  await cluster.stop();
});

const route = () =>
  routeToPush(cluster.store.get("team-a", victim.metadata.name) as StoredSandbox, Date.now());
/** A version that nobody has seen yet, and that is believed to be possible. */
const ahead = () => String(Number(route().resourceVersion) + 1_000);

/** `POST /refresh` from an address of the sender's own; resolves to the status. */
function pushFrom(sender: string, body: object): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const options = { method: "POST", localAddress: sender, agent: false } as const;
    const push = request(`${router.peersUrl}/refresh`, options, (answer) => {
      answer.resume().on("end", () => resolve(answer.statusCode));
    });
    push.on("error", reject).end(JSON.stringify(body));
  });
}

const counted = async (series: string): Promise<number> => {
  const lines = (await router.metrics()).split("\n");
  return Number(lines.find((line) => line.startsWith(`${series} `))?.split(" ")[1]);
};

const forgeries: Record<string, () => object> = {
  "a hijack: the victim's route with the attacker's IP": () => ({
    ...route(),
    ip: "127.0.74.8",
    resourceVersion: ahead(),
  }),
  "a black hole: the victim is dead": () => ({ ...route(), state: "dead", resourceVersion: ahead() }),
  "a black hole at the very version that is known": () => ({ ...route(), state: "dead" }),
  "rule 10 as a weapon: a foreign object with the victim's IP": () => {
    return {
      ...route(),
      namespace: "evil",
      name: "thief",
      id: "evil--thief",
      uid: "u",
      resourceVersion: ahead(),
    };
  },
  "rule 9 as a weapon: a foreign object with the victim's ID": () => {
    return {
      ...route(),
      namespace: "evil",
      name: "twin",
      ip: "127.0.74.8",
      uid: "u",
      resourceVersion: ahead(),
    };
  },
};

describe("with peers.trust: verify a forged push costs its victim a moment of waiting", () => {
  for (const [index, [what, forge]] of Object.entries(forgeries).entries()) {
    test(what, async () => {
      const before = await router.ask("victim");
      const ended: string[] = [];
      const stop = router.router.table.addListener({
        incarnationEnded: ({ key }, reason) => void ended.push(`${key} ${reason}`),
      });
      const answers = [];
      for (let again = 0; again < 5; again++) {
        expect(await pushFrom(`127.0.75.${index + 1}`, forge())).toBe(204);
        answers.push(await router.ask("victim"));
      }
      stop();
      for (const answer of answers) expect(answer).toMatchObject({ status: 200, podUid: before.podUid });
      // Nor was a connection to the pod reset.
      expect(ended).toEqual([]);
      await eventually(() =>
        expect(router.router.table.stats()).toMatchObject({ hints: 0, tombstones: 0, doubtful: 0 }),
      );
    });
  }

  test("its sender is counted, and not listened to for a while", async () => {
    // What the metrics say is at most a second old.
    await eventually(async () => {
      const dropped = (kind: string) =>
        counted(`lychgate_table_facts_dropped_total{kind="${kind}",reason="refuted"}`);
      expect(await dropped("hint")).toBeGreaterThanOrEqual(9);
      expect(await dropped("tombstone")).toBeGreaterThanOrEqual(6);
      const ignored = 'lychgate_route_mutations_total{source="peer",outcome="ignored_distrusted"}';
      expect(await counted(ignored)).toBeGreaterThan(0);
    });
  });
});

test("a version far ahead of the cluster is refused, and its sender is told to the log", async () => {
  const version = "1000000000000000000";
  const forged = { ...route(), ip: "127.0.74.8", resourceVersion: version };
  for (let again = 0; again < 2; again++) expect(await pushFrom("127.0.75.9", forged)).toBe(204);
  expect(await router.ask("victim")).toMatchObject({ status: 200 });
  const sandbox = `team-a/${victim.metadata.name}`;
  expect(warnings.filter(([message]) => message.includes("far ahead"))).toEqual([
    [expect.any(String), { from: "127.0.75.9", sandbox, resourceVersion: version }],
  ]);
});

describe("serve --source none", () => {
  const flags = ["--source", "none", "--drain-delay-ms", "0", "--access-log", "off"];
  const warningsOf = async (more: readonly string[]) => {
    const started = await startRouterProcess([...flags, ...more]);
    started.kill("SIGTERM");
    await started.exited;
    return started.stderr.filter((line) => line.includes("peers.allowFrom"));
  };

  test("warns when anybody may push: nothing can be verified", async () => {
    expect((await warningsOf(["--peer-listen", ":0"])).length).toBe(1);
  });

  test("does not when only this machine can, or only those that are named", async () => {
    expect(await warningsOf(["--peer-listen", "127.0.0.1:0"])).toEqual([]);
    expect(await warningsOf(["--peer-listen", ":0", "--peers-allow-from", "10.0.0.0/8"])).toEqual([]);
  });
});
