import type { PeerView } from "../../src/admin/api-types.ts";
import { expect, onTestFailed, onTestFinished, test } from "vitest";
import { seededRandom } from "../../lab/devcluster/random.ts";
import { buildPeer, NO_GO } from "../e2e/support/memberlist-peer.ts";
import { eventually } from "../support/eventually.ts";
import { Box, churn } from "./support/churn.ts";
import { kubeApiserver } from "./support/clusters.ts";
import { Liar } from "./support/liar.ts";
import { type Replica, Replicas, type Running } from "./support/replicas.ts";

// Everything at once, on real binaries: kube-apiserver and etcd, two routers, a manager in hashicorp/memberlist that pushes to them
// (some pushes late, twice and out of order), sandboxes that come and go on addresses that are used again, requests through both
// routers, and a liar at their peer ports. In the middle the API server is away, and etcd is restored from a backup. The oracle is the
// pod, whose UID says which life of which sandbox it is.

const BOXES = 8;
const seconds = (sinceMs: number): number => Math.round((performance.now() - sinceMs) / 100) / 10;

test.skipIf(kubeApiserver.isMissing || NO_GO !== undefined)(
  "two replicas misroute nothing and count every lie, over churn, an API outage and an etcd restore",
  { timeout: 600_000 },
  async () => {
    buildPeer();
    const scene = await Replicas.start(kubeApiserver, 48);
    onTestFinished(() => scene.stop());
    const { cluster, requests } = scene;
    onTestFailed(() => console.log("misrouted:", requests.misrouted.slice(0, 10)));
    const random = seededRandom(11);
    const phases: Record<string, number> = {};
    let startedMs = performance.now();
    const phaseOver = (name: string): void => {
      phases[name] = seconds(startedMs);
      startedMs = performance.now();
    };
    const createAll = async (...names: readonly string[]): Promise<Running[]> => {
      const all: Running[] = [];
      for (const name of names) all.push(await scene.create(name));
      for (const running of all) await scene.served(running);
      return all;
    };

    const steady = await createAll("steady-0", "steady-1", "steady-2", "steady-3");
    const victims = await createAll("victim-0", "victim-1", "victim-2");
    const [thief, ghost] = await createAll("thief", "ghost");
    if (!thief || !ghost) throw new Error("not made");
    // Its pod lives on to the end, so a route that came back would answer.
    await scene.delete(ghost);
    await scene.refused("ghost", "sandbox_not_found");

    const boxes = Array.from({ length: BOXES }, (_, i) => new Box(`box-${i}`, scene, random));
    const namesOf = (all: readonly { readonly name: string }[]): string[] => all.map(({ name }) => name);
    /** What a lie takes off the air while the API server can't refute it. */
    const lied = [...namesOf(victims), "thief"];
    let mustAnswer = [...namesOf(steady), ...lied];
    let others = ["ghost", ...namesOf(boxes)];
    const { end } = scene.load(
      () => mustAnswer,
      () => others,
    );

    const liars: Liar[] = [];
    /** One to whom the replicas listen yet. */
    const newLiar = (): Liar => {
      const liar = new Liar(scene, liars.length + 1);
      liars.push(liar);
      return liar;
    };
    /** It lies of one victim after the other. Without a `version` the API server is there to refute each volley. */
    const lie = async (volleys: number, version?: string): Promise<Liar> => {
      const liar = newLiar();
      for (let i = 0; i < volleys; i++) {
        const victim = victims[i % victims.length];
        if (!victim) continue;
        await liar.volley(
          victim,
          thief,
          i === 0 ? ghost : undefined,
          version ?? (await cluster.client.version()),
        );
        if (version === undefined) await liar.counted();
      }
      return liar;
    };
    phaseOver("start");

    // ---- nothing is wrong but the liars
    const churnWhileLying = async (leastSteps: number, liarsInTurn: number): Promise<number> => {
      let isLying = true;
      const lying = async (): Promise<void> => {
        for (let i = 0; i < liarsInTurn; i++) await lie(6);
        isLying = false;
      };
      const [made] = await Promise.all([churn(boxes, (count) => count >= leastSteps && !isLying), lying()]);
      return made;
    };
    const steps = await churnWhileLying(150, 4);
    phaseOver("churn");

    // ---- the API server is away
    const version = await cluster.client.version();
    await cluster.killApi();
    mustAnswer = namesOf(steady);
    others = [...others, ...lied];
    const beforeOutage = requests.count;
    const meanwhile = await lie(victims.length, version);
    for (const route of scene.pushed.slice(-40)) await scene.pushAgain(route);
    await eventually(() => requests.count - beforeOutage > 2_000);
    const inOutage = requests.count - beforeOutage;
    for (const { address } of scene.replicas)
      expect((await fetch(`http://${address}:7789/readyz`)).status).toBe(200);
    await cluster.startApi();
    let healthyMs = performance.now();
    await createAll("fresh");
    const freshAfter = seconds(healthyMs);
    for (const victim of [...victims, thief]) await scene.served(victim);
    const rightAfterOutage = seconds(healthyMs);
    await meanwhile.counted();
    mustAnswer = [...namesOf(steady), ...lied];
    phaseOver("outage");

    // ---- etcd is restored from a backup: what was made after it has never been, what was deleted after it is back
    const returning = await createAll("returning-0", "returning-1", "returning-2");
    const backup = await cluster.backup();
    const pushedBefore = scene.pushed.length;
    for (const running of returning) {
      await scene.killPod(running.ip);
      await scene.delete(running);
      await scene.refused(running.name, "sandbox_not_found");
      scene.freeIp(running.ip);
    }
    // On the addresses of the three.
    const takers = await createAll("taker-0", "taker-1", "taker-2");
    const managerOf = async (replica: Replica): Promise<PeerView | undefined> =>
      (await scene.peersOf(replica)).pushers.find(({ address }) => address === scene.manager.options.addr);
    for (const replica of scene.replicas) {
      const clean = { refuted: 0, contradicted: 0, invalid: 0, refused: 0 };
      expect(await managerOf(replica)).toMatchObject(clean);
    }
    const lostFuture = scene.pushed.slice(pushedBefore);
    mustAnswer = namesOf(steady);
    others = [...others, ...namesOf(returning), ...namesOf(takers)];
    const lastVersion = await cluster.client.version();
    await cluster.killApi();
    await cluster.killStore();
    const forgotten = await lie(victims.length, lastVersion);
    await cluster.restore(backup);
    await cluster.startStore();
    // No router can know that a pod lives which the cluster's word does not know: such pods are gone when the API server is back.
    for (const { podUid, ip } of takers) {
      await scene.killPod(ip);
      scene.oracle.ends(podUid, performance.now());
    }
    await cluster.startApi();
    healthyMs = performance.now();
    // Before the routers have found out.
    for (const route of lostFuture) await scene.pushAgain(route);
    // An address changes hands when its owner's end is known, as ever.
    for (const { name } of takers) await scene.refused(name, "sandbox_not_found");
    for (const { name, uid, ip } of returning) {
      await scene.served({ name, podUid: await scene.startPod(name, uid, ip) });
    }
    for (const victim of [...victims, thief]) await scene.served(victim);
    const rightAfterRestore = seconds(healthyMs);
    for (const route of lostFuture) await scene.pushAgain(route);
    mustAnswer = [...namesOf(steady), ...lied, ...namesOf(returning)];
    phaseOver("restore");

    // ---- and it goes on
    const more = await churnWhileLying(60, 1);
    // The versions have passed those of the lost future.
    for (const route of lostFuture) await scene.pushAgain(route);
    for (const { name } of takers) await scene.refused(name, "sandbox_not_found");
    await end();
    phaseOver("after");

    const lies = liars.reduce((sum, { sent }) => sum + sent, 0);
    const verdicts = await Promise.all(
      liars.flatMap((liar) => scene.replicas.map((replica) => liar.verdicts(replica))),
    );
    const sum = (of: keyof (typeof verdicts)[number]): number =>
      verdicts.reduce((all, verdict) => all + verdict[of], 0);
    const { pushes } = scene;
    console.log(
      [
        `${requests.count} requests (${inOutage} in the outage), ${requests.misrouted.length} misrouted, ${requests.failed.length} failed; ` +
          `the last answer of an ended pod was asked for ${Math.round(scene.oracle.latestMs)} ms after its end`,
        `${steps + more} steps of sandboxes; ${pushes.made} pushes to two replicas, ${pushes.undelivered} undelivered`,
        `${lies} lies: ${sum("refuted")} refuted, ${sum("contradicted")} contradicted, ${sum("ignored")} ignored, ${sum("invalid")} invalid`,
        `after the outage fresh in ${freshAfter} s and right in ${rightAfterOutage} s; after the restore right in ${rightAfterRestore} s`,
        `phases in s: ${JSON.stringify(phases)}`,
      ].join("\n"),
    );
    expect(requests.misrouted).toEqual([]);
    expect(requests.failed).toEqual([]);
    for (const liar of liars.filter((each) => each !== forgotten)) await liar.counted();
    // What nobody had refuted when the cluster was restored is given up without blame, and counted by itself.
    for (const replica of scene.replicas) {
      const given = (kind: string): Promise<number> =>
        scene.metric(replica, "lychgate_table_facts_dropped_total", `kind="${kind}",reason="restored"`);
      expect(await forgotten.uncounted(replica)).toBe((await given("hint")) + (await given("tombstone")));
    }
    expect(sum("pushes")).toBe(lies);
    expect(sum("refuted")).toBeGreaterThan(0);
    for (const replica of scene.replicas) {
      expect(await scene.metric(replica, "lychgate_cluster_restores_total")).toBe(1);
      // At most the three deletions of the lost future, which it pushed three times: those sandboxes live. A busy machine answers late, and
      // a manager that has no answer after 100 ms pushes again, ten times at most.
      expect((await managerOf(replica))?.refuted).toBeLessThanOrEqual(90);
      // A busy machine makes a member suspect for a moment.
      await eventually(async () => {
        const { memberlist } = await scene.peersOf(replica);
        expect(memberlist?.members.map(({ status }) => status)).toEqual(["alive", "alive"]);
      });
    }
  },
);
