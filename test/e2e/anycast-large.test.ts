import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { AnycastNode, type TestPod } from "../node/anycast/support/anycast-node.ts";
import { NO_BIRD, scratch } from "../node/anycast/support/bird.ts";
import { runDaemon } from "../node/anycast/support/daemon.ts";
import { eventually } from "../support/eventually.ts";

const title = `200 addresses behind 5 pods${NO_BIRD ? ` (${NO_BIRD})` : ""}`;
const ADDRESSES = Array.from({ length: 200 }, (_, index) => `192.0.2.${index + 1}`);
const DEADLINE = { timeoutMs: 60_000, everyMs: 20 };

describe.skipIf(NO_BIRD)(title, () => {
  test("are announced at the next router in one pass, withdrawn in one, and back in one", async () => {
    const node = new AnycastNode();
    const pods = Array.from({ length: 5 }, () => node.addPod());
    await node.start();
    const file = join(scratch("large"), "backends.yaml");
    const tell = (ready: boolean): void => {
      const entryOf = ({ name, v4 }: TestPod) => ({ name, addresses: ADDRESSES, nexthops: [v4], ready });
      writeFileSync(file, JSON.stringify({ backends: pods.map(entryOf) }));
    };
    tell(true);
    const atTor = (): number => node.tor.sh("-4 route show").match(/^192\.0\.2\.\d+ via/gm)?.length ?? 0;
    const took: Record<string, number> = {};
    const until = async (label: string, count: number): Promise<void> => {
      const startedMs = performance.now();
      await eventually(() => atTor() === count, DEADLINE);
      took[label] = Math.round(performance.now() - startedMs);
    };
    const daemon = await runDaemon(node, { addresses: ADDRESSES, pods: undefined, backendsFile: file });
    await until("announced", 200);
    tell(false);
    await until("withdrawn", 0);
    tell(true);
    await until("back", 200);
    console.log("200 addresses × 5 pods at the next router, ms:", took);
    await eventually(() => daemon.status().lastPass?.ok === true);
    expect(daemon.lines.filter(({ level }) => level === "error")).toEqual([]);
    // One kernel group for each address, all with five members.
    const groups = (await node.node.ip.json(["nexthop", "show"])).filter((entry) =>
      Array.isArray((entry as { group?: unknown }).group),
    );
    expect(groups).toHaveLength(200);
    expect(groups.every((entry) => (entry as { group: unknown[] }).group.length === 5)).toBe(true);
  });
});
