import type { Clock, Milliseconds, TimerHandle } from "../system/clock.ts";
import type { Config } from "../config/schema.ts";
import type { Log } from "../system/log.ts";
import type { Metrics } from "../metrics/registry.ts";
import type { ReplicaAddress } from "../peers/anti-entropy/anti-entropy.ts";
import type { ReadinessCheck } from "../peers/readiness.ts";
import type { TableSnapshot } from "../routes/object-facts.ts";
import type { RouteTable } from "../routes/table.ts";
import { SnapshotFault } from "../snapshot/snapshot-fault.ts";
import { type ReadSnapshot, readSnapshot } from "../snapshot/snapshot-file.ts";
import type { SnapshotSource } from "../snapshot/snapshot-format.ts";
import { isHeard } from "../snapshot/snapshot-writer.ts";
import { SnapshotKeeper } from "../snapshot/snapshot-keeper.ts";

/** Other routers that may give a snapshot. */
export interface SnapshotGivers {
  /** Which there are now; this router may be among them. */
  addresses(): readonly ReplicaAddress[];
  /** The snapshot of one. Rejects when it gives none, or none that is of use. */
  snapshotOf(address: ReplicaAddress): Promise<TableSnapshot>;
}

/** What a router's snapshots are made of. */
export interface SnapshotsOptions {
  readonly config: Config;
  readonly table: RouteTable;
  /** URL of the API server, without credentials. */
  readonly server: string;
  /** Who may give a snapshot; undefined when replicas are not compared. */
  readonly replicas: SnapshotGivers | undefined;
  /** The table has been loaded. */
  readonly loaded: () => void;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: Log;
}

/** What a router keeps on its disk for its next start. */
export interface Snapshots {
  /** Begins to save, and to wait for the first list: without it, the file is loaded. */
  start(): void;
  /** Saves once more, and stops. Never rejects. */
  finish(): Promise<void>;
  /** Stops at once. */
  stop(): void;
}

/** Of which cluster a router's snapshots are. */
export function snapshotSourceOf(config: Config, table: RouteTable, server: string): SnapshotSource {
  return { server, selector: config.selector, scopes: table.stats().scopes.map(({ name }) => name) };
}

/** Whether a router with this configuration may come to serve a snapshot. */
export function mayServeSnapshot({ source, snapshot, antiEntropy }: Config): boolean {
  if (source === "none") return false;
  return snapshot.path !== "" || (antiEntropy.enabled && antiEntropy.takeSnapshots);
}

/** Keeps snapshots of `table` in the file `snapshot.path`, and loads one at a start. Undefined when none is configured. */
export function createSnapshots(options: SnapshotsOptions): Snapshots | undefined {
  const { config, table, server, replicas, metrics, clock, log } = options;
  const { path, intervalMs, loadAfterMs } = config.snapshot;
  if (!mayServeSnapshot(config)) return undefined;
  const source = snapshotSourceOf(config, table, server);
  const keeper =
    path === ""
      ? undefined
      : new SnapshotKeeper({ path, intervalMs, source, table, observer: metrics.snapshots, clock, log });
  metrics.readFrom({ snapshotSavedAtMs: () => keeper?.savedAtMs });
  let timer: TimerHandle | undefined;
  let isStopped = false;
  /** Says whether the routes are known now. */
  const load = (snapshot: TableSnapshot, from: string): boolean => {
    if (isStopped) return true;
    const scopes = table.load(snapshot, clock.nowMs());
    metrics.snapshots.loaded(scopes.length > 0 ? "loaded" : "late");
    if (scopes.length === 0) return true;
    log.warn("the API server has not given its list: routes are those of the snapshot until it does", {
      from,
      ageSeconds: secondsSince(snapshot.takenAtMs, clock),
      scopes: scopes.map((scope) => scope || "all namespaces"),
      routes: table.stats().entries,
    });
    options.loaded();
    return true;
  };
  const loadFile = async (): Promise<boolean> => {
    const read = path === "" ? undefined : await readOrComplain(path, source, metrics, log);
    if (read?.isExposed === true) {
      log.warn(
        "the snapshot holds access tokens, and others than its owner may read it: set its mode to 0600",
        { path },
      );
    }
    return read !== undefined && load(read.snapshot, path);
  };
  const loadReplica = async (): Promise<boolean> => {
    for (const address of replicas?.addresses() ?? []) {
      if (isStopped || isHeard(table)) return true;
      const from = `${address.host} port ${address.port}`;
      try {
        const snapshot = await replicas?.snapshotOf(address);
        if (snapshot && load(snapshot, from)) return true;
      } catch (error) {
        // This router itself is among them, and others may have started just now too.
        log.debug("another router gave no snapshot", { from, error });
      }
    }
    return false;
  };
  const takesThem = config.antiEntropy.enabled && config.antiEntropy.takeSnapshots;
  const begin = async (isFirst: boolean): Promise<void> => {
    if (isStopped || isHeard(table)) return;
    if (isFirst && (await loadFile())) return;
    if (!takesThem || (await loadReplica())) return;
    if (!isStopped) timer = clock.setTimeout(() => void begin(false), ASK_AGAIN_MS);
  };
  return {
    start() {
      keeper?.start();
      timer = clock.setTimeout(() => void begin(true), loadAfterMs);
    },
    async finish() {
      isStopped = true;
      timer?.clear();
      await keeper?.finish();
    },
    stop() {
      isStopped = true;
      timer?.clear();
      keeper?.stop();
    },
  };
}

/** Wait before replicas are asked once more for a snapshot. */
const ASK_AGAIN_MS = 2_000;

async function readOrComplain(
  path: string,
  source: SnapshotSource,
  metrics: Metrics,
  log: Log,
): Promise<ReadSnapshot | undefined> {
  try {
    const read = await readSnapshot(path, source);
    if (read) return read;
    metrics.snapshots.loaded("none");
    log.info("there is no snapshot: the router waits for the API server's list", { path });
  } catch (error) {
    const code = error instanceof SnapshotFault ? error.code : "unreadable";
    metrics.snapshots.loaded(code);
    log.error("the snapshot is not used: the router waits for the API server's list", { path, code, error });
  }
  return undefined;
}

/** When the oldest snapshot was taken that routes are served from; undefined when the API server has given its lists. */
export function servedSnapshotAtMs(table: RouteTable): Milliseconds | undefined {
  const times = table.stats().scopes.flatMap(({ snapshotAtMs }) => snapshotAtMs ?? []);
  return times.length > 0 ? Math.min(...times) : undefined;
}

/** In words, how old the routes are that are served from a snapshot; undefined when none are. */
export function servedSnapshotNote(table: RouteTable, clock: Clock): string | undefined {
  const takenAtMs = servedSnapshotAtMs(table);
  if (takenAtMs === undefined) return undefined;
  return `routes are those of a snapshot, ${secondsSince(takenAtMs, clock)} s old: the API server has not given its list`;
}

/** Whether a router that serves a snapshot is ready; with its age in words. */
export function snapshotReadiness(table: RouteTable, isReady: boolean, clock: Clock): ReadinessCheck {
  return {
    name: "snapshot",
    ready() {
      const remark = servedSnapshotNote(table, clock);
      return remark === undefined || (isReady ? { remark } : remark);
    },
  };
}

function secondsSince(atMs: Milliseconds, clock: Clock): number {
  return Math.max(0, Math.round((clock.nowMs() - atMs) / 1_000));
}
