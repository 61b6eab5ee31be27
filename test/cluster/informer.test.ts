import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Agent, request } from "undici";
import { systemClock } from "../../src/system/clock.ts";
import { createInformer, type Informer } from "../../src/watch/informer.ts";
import { LIST_WAYS, type ListWay } from "../../src/watch/list-way.ts";
import type { ReflectorSettings } from "../../src/watch/reflector-settings.ts";
import { eventually } from "../support/eventually.ts";
import { RecordingSink } from "../watch/support/recording-sink.ts";
import { RecordingLog, RecordingObserver } from "../watch/support/watching.ts";
import { CLUSTERS, WITHOUT_WATCH_LIST } from "./support/clusters.ts";
import type { TestCluster } from "./support/test-cluster.ts";
import { DEFAULTS } from "../support/defaults.ts";

// The informer beside Kubernetes' API servers and beside the dev cluster. What differs is a fault of the dev cluster.

const CASES = CLUSTERS.flatMap((cluster) => LIST_WAYS.map((list) => ({ ...cluster, list })));

describe.each(CASES)("the informer of $name, lists: $list", ({ isMissing, start, list }) => {
  let cluster: TestCluster;
  const running: { informer: Informer; sink: RecordingSink; observer: RecordingObserver }[] = [];

  beforeAll(async () => {
    if (!isMissing) cluster = await start();
  });
  afterAll(async () => {
    await cluster?.stop();
  });
  afterEach(async () => {
    for (const { informer, sink, observer } of running.splice(0)) {
      await informer.stop();
      sink.closed = true;
      expect(sink.violations).toEqual([]);
      // All API servers here stream lists; a fall back to pages would pass unseen.
      expect(wayOf(observer)).toEqual([list]);
    }
  });

  function watching(
    options: {
      readonly namespaces?: readonly string[];
      readonly selector?: string;
      readonly settings?: Partial<ReflectorSettings>;
    } = {},
  ) {
    const { namespaces = [], selector, settings = {} } = options;
    const sink = new RecordingSink(namespaces[0] ?? "");
    const observer = new RecordingObserver();
    const log = new RecordingLog();
    const informer = createInformer({
      credentials: cluster.credentials,
      namespaces,
      selector,
      sink,
      observer,
      log,
      clock: systemClock,
      settings: { ...DEFAULTS.watch, list },
      tuning: settings,
    });
    informer.start();
    running.push({ informer, sink, observer });
    return { sink, observer, log, informer };
  }

  /** Ways in which lists were read. */
  const wayOf = ({ notes }: RecordingObserver): ListWay[] =>
    LIST_WAYS.filter((way) => notes.includes(`way ${way}`));

  /** Both ask again and again: a watch may be some milliseconds late. */
  const sameAsCluster = (sink: RecordingSink) =>
    eventually(async () => expect(sink.contents).toEqual(await cluster.client.contents()));

  test.skipIf(isMissing)("the first list is the cluster's, and the watch goes on from it", async () => {
    const { client } = cluster;
    await Promise.all(Array.from({ length: 23 }, (_, i) => client.create("team-a", `listed-${i}`)));
    const { sink, informer, observer } = watching({ settings: { pageSize: 5 } });
    await informer.waitForSync();
    expect(sink.contents).toEqual(await client.contents());
    expect(sink.observations.get("team-a/listed-7")?.route?.ip).toBe("10.0.0.1");

    await eventually(() => observer.count("connected true") === 1);
    await client.create("team-b", "added", { ip: "10.0.0.2" });
    await client.setStatus("team-a", "listed-7", { phase: "Paused" });
    await client.delete("team-a", "listed-8");
    await eventually(() => sink.count("remove") === 1);
    expect(sink.contents).toEqual(await client.contents());
    expect(sink.observations.get("team-b/added")?.route?.ip).toBe("10.0.0.2");
    if (list === "paged") expect(observer.count("checked passed")).toBe(0);
    else await eventually(() => observer.count("checked passed") === 1);
  });

  test.skipIf(isMissing)("a deletion that a finalizer holds up is an end, then a deletion", async () => {
    const { client } = cluster;
    const { sink, informer } = watching();
    await informer.waitForSync();
    await client.create("team-a", "held", { finalizers: ["test.lychgate/hold"] });
    await client.delete("team-a", "held");
    await eventually(() => {
      const held = sink.observations.get("team-a/held");
      return held !== undefined && held.route === undefined;
    });
    await client.setMetadata("team-a", "held", { finalizers: null });
    await eventually(() => !sink.contents.has("team-a/held"));
  });

  test.skipIf(isMissing)("what leaves the selector is gone, and what comes to match is there", async () => {
    const { client } = cluster;
    await client.create("team-a", "moves", { labels: { tier: "gold" } });
    const { sink, informer } = watching({ selector: "tier=gold" });
    await informer.waitForSync();
    expect([...sink.contents.keys()]).toEqual(["team-a/moves"]);
    await client.setMetadata("team-a", "moves", { labels: { tier: "tin" } });
    await eventually(() => sink.contents.size === 0);
    await client.setMetadata("team-a", "moves", { labels: { tier: "gold" } });
    await eventually(() => sink.contents.size === 1);
  });

  test.skipIf(isMissing)("of one namespace nothing but its own is told", async () => {
    const { client } = cluster;
    const { sink, informer } = watching({ namespaces: ["team-b"] });
    await informer.waitForSync();
    await client.create("team-a", "elsewhere");
    await client.create("team-b", "here");
    await eventually(() => sink.contents.has("team-b/here"));
    expect([...sink.contents.keys()].filter((key) => !key.startsWith("team-b/"))).toEqual([]);
  });

  test.skipIf(isMissing)("a watch from the server's future is answered with 200 and silence", async () => {
    const { client } = cluster;
    const now = await client.version();
    const open = async (version: string) => {
      const { tls, server } = cluster.credentials;
      const { ca, cert, key } = tls;
      const dispatcher = new Agent({
        connect: { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) },
      });
      const path = `/apis/agents.kruise.io/v1alpha1/sandboxes?watch=true&allowWatchBookmarks=true&resourceVersion=${version}`;
      const { statusCode, body } = await request(new URL(path, server), { dispatcher });
      let text = "";
      body.on("data", (chunk) => (text += String(chunk))).on("error", () => {});
      return { statusCode, text: () => text, close: () => dispatcher.destroy() };
    };
    const future = await open(String(BigInt(now) + 1_000_000n));
    const present = await open(now);
    try {
      expect([future.statusCode, present.statusCode]).toEqual([200, 200]);
      await client.create("team-a", "unheard");
      await eventually(() => present.text().includes('"unheard"'));
      expect(future.text()).toBe("");
    } finally {
      await future.close();
      await present.close();
    }
  });

  test.skipIf(isMissing)(
    "an API server that is killed and started is heard again, without a gap",
    async () => {
      const { client } = cluster;
      await client.create("team-a", "before");
      const { sink, informer, observer } = watching();
      await informer.waitForSync();
      await eventually(() => observer.count("connected true") === 1);
      await cluster.killApi();
      await eventually(() => observer.notes.includes("restarted unreachable"));
      await cluster.startApi();
      const startedMs = performance.now();
      await client.create("team-a", "after");
      await client.delete("team-a", "before");
      await sameAsCluster(sink);
      console.log(`heard again ${Math.round(performance.now() - startedMs)} ms after a healthy API server`);
      expect(sink.count("startOver")).toBe(0);
      expect(observer.count("checked behind")).toBe(0);
    },
  );

  test.skipIf(isMissing)("a restore from a backup is noticed, and the list is believed", async () => {
    const { client } = cluster;
    await client.create("team-a", "victim", { ip: "10.0.1.1" });
    const { sink, informer, observer } = watching();
    await informer.waitForSync();
    await eventually(() => observer.count("connected true") === 1);
    const backup = await cluster.backup();
    for (let i = 0; i < 20; i++) await client.create("team-a", `lost-${i}`);
    await client.delete("team-a", "victim");
    await client.create("team-a", "taker", { ip: "10.0.1.1" });
    await sameAsCluster(sink);
    const height = sink.watermark;

    await cluster.killApi();
    await cluster.killStore();
    await cluster.restore(backup);
    await cluster.startStore();
    await cluster.startApi();
    const startedMs = performance.now();
    await sameAsCluster(sink);
    console.log(`right ${Math.round(performance.now() - startedMs)} ms after a healthy API server`);
    expect(sink.contents.has("team-a/victim")).toBe(true);
    expect(sink.contents.has("team-a/taker")).toBe(false);
    expect(BigInt(sink.watermark)).toBeLessThan(BigInt(height));
    expect([sink.count("startOver"), observer.count("relisted behind")]).toEqual([1, 1]);
    await client.create("team-a", "next");
    await sameAsCluster(sink);
  });

  test.skipIf(isMissing)("a restore that bumps the revision ends every older watch with 410", async () => {
    const { client } = cluster;
    await client.create("team-a", "kept");
    const { sink, informer, observer } = watching();
    await informer.waitForSync();
    await eventually(() => observer.count("connected true") === 1);
    const backup = await cluster.backup();
    await client.create("team-a", "forgotten");
    await sameAsCluster(sink);

    await cluster.killApi();
    await cluster.killStore();
    await cluster.restore(backup, { bumpRevision: 1_000_000_000 });
    await cluster.startStore();
    await cluster.startApi();
    const startedMs = performance.now();
    await sameAsCluster(sink);
    console.log(`right ${Math.round(performance.now() - startedMs)} ms after a healthy API server`);
    expect(sink.contents.has("team-a/forgotten")).toBe(false);
    expect(sink.count("startOver")).toBe(0);
    expect(observer.count("relisted expired")).toBe(1);
    expect(BigInt(sink.watermark)).toBeGreaterThan(1_000_000_000n);
  });
});

describe.each(WITHOUT_WATCH_LIST)("the informer of $name without WatchList", ({ isMissing, start }) => {
  test.skipIf(isMissing)("reads pages at once, says so once, and follows the cluster", async () => {
    const cluster = await start();
    const sink = new RecordingSink("");
    const observer = new RecordingObserver();
    const log = new RecordingLog();
    const informer = createInformer({
      credentials: cluster.credentials,
      namespaces: [],
      sink,
      observer,
      log,
      clock: systemClock,
      settings: { ...DEFAULTS.watch, list: "stream" },
    });
    try {
      await cluster.client.create("team-a", "before");
      informer.start();
      await informer.waitForSync();
      expect(sink.contents).toEqual(await cluster.client.contents());
      expect(observer.notes).toContain("way paged");
      await eventually(() => observer.count("connected true") === 1);
      await cluster.client.create("team-a", "after");
      await eventually(() => sink.contents.has("team-a/after"));
      const said = log.lines.filter(({ level }) => level !== "debug");
      expect(said.map(({ level, text }) => `${level}: ${text}`)).toEqual([
        "info: the API server streams no lists: they are read in pages",
        "info: listed",
      ]);
    } finally {
      await informer.stop();
      sink.closed = true;
      await cluster.stop();
    }
    expect(sink.violations).toEqual([]);
  });
});
