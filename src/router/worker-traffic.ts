import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Clock } from "../system/clock.ts";
import type { ListenAddress } from "../config/listen-address.ts";
import type { Config } from "../config/schema.ts";
import type { Log } from "../system/log.ts";
import type { MetricSnapshot } from "../metrics/metric-snapshot.ts";
import type { Metrics } from "../metrics/registry.ts";
import type { TlsMaterial } from "../proxy/tls/tls-acceptor.ts";
import { messageOf } from "../system/error-text.ts";
import type { RouteTable } from "../routes/table.ts";
import type { Traffic } from "./traffic.ts";
import type { Wakes } from "../proxy/limits/waking-requests.ts";
import { expectFreePort } from "../workers/free-port.ts";
import { RouteFeed } from "../workers/route-feed.ts";
import { Supervisor } from "../workers/supervisor.ts";

const WORKER = fileURLToPath(new URL("worker.ts", import.meta.url));

/** What traffic in several processes is made of. */
export interface WorkerTrafficOptions {
  readonly config: Config;
  readonly listen: ListenAddress;
  /** See `TrafficOptions`. */
  readonly tls: { readonly listen: ListenAddress; readonly material: TlsMaterial } | undefined;
  readonly table: RouteTable;
  /** See `TrafficOptions`: workers that pass requests to each other are a loop too. */
  readonly viaPseudonym: string;
  /** Who wakes sandboxes for requests; absent: nobody. */
  readonly wakes: Wakes | undefined;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: Log;
}

/** What a worker is told beside the routes. */
export interface WorkerSettings {
  readonly config: Config;
  readonly viaPseudonym: string;
  /** Certificates and keys: in this channel alone, which no other process reads. */
  readonly tls: TlsMaterial | undefined;
}

/** Traffic in worker processes. */
export interface WorkerTraffic extends Traffic {
  /** How many workers listen and know all routes. */
  readonly ready: number;
  /** To be called when the table's first list is in. */
  tableSynced(): void;
}

/**
 * Serves traffic in `config.workers` processes of their own, all on one port, each with a mirror of `table`
 * (docs/architecture.md#workers). This process then only keeps the table and watches over them.
 */
export function createWorkerTraffic(options: WorkerTrafficOptions): WorkerTraffic {
  const { config, listen, tls, table, viaPseudonym, wakes, metrics, clock, log } = options;
  let settings: WorkerSettings = { config, viaPseudonym, tls: tls?.material };
  const feed = new RouteFeed(table, clock);
  const supervisor = new Supervisor({
    workers: config.workers,
    spawn: spawnWorker,
    feed,
    settings,
    listen,
    wake: (key, uid) => wakes?.wake(key, uid),
    listenTls: tls?.listen,
    observer: metrics.workers,
    clock,
    log,
  });
  metrics.readFrom({
    workers: () => ({ wanted: config.workers, ready: supervisor.ready, lags: supervisor.lags }),
  });
  metrics.addWorkers(async (names) => {
    const told = await supervisor.metrics(names);
    return told.map(({ worker, id, metrics }) => {
      return { worker, id, metrics: metrics as readonly MetricSnapshot[] | undefined };
    });
  });
  // Whoever ends this process at once ends them too; killed itself, they notice that it is gone.
  const killAll = (): void => supervisor.kill();
  process.once("exit", killAll);
  const end = async (timeoutMs: number): Promise<void> => {
    await supervisor.drain(timeoutMs);
    process.off("exit", killAll);
    feed.close();
  };
  return {
    get ready() {
      return supervisor.ready;
    },
    tableSynced: () => feed.look(),
    async listen() {
      if (listen.port !== 0) await expectFreePort(listen);
      if (tls && tls.listen.port !== 0) await expectFreeTlsPort(tls.listen);
      return supervisor.start().catch((error: unknown) => {
        throw isUnsupported(error) ? new Error(NOT_HERE) : error;
      });
    },
    apply(next) {
      settings = { ...settings, config: next };
      supervisor.changeSettings(settings);
    },
    applyTls(material) {
      settings = { ...settings, tls: material };
      supervisor.changeSettings(settings);
    },
    wakeFailed: (key, uid, failure) => supervisor.wakeFailed(key, uid, failure),
    async drain(timeoutMs) {
      log.info("draining: workers accept no more", { workers: config.workers, timeoutMs });
      await end(timeoutMs);
    },
    close: () => end(0),
  };
}

async function expectFreeTlsPort(listen: ListenAddress): Promise<void> {
  try {
    await expectFreePort(listen);
  } catch (cause) {
    throw new Error(`listening for TLS on port ${listen.port} failed: ${messageOf(cause)}`, { cause });
  }
}

const NOT_HERE =
  "this system does not spread a port's connections over processes (SO_REUSEPORT, as Linux has it): set workers to 1";

function isUnsupported(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOTSUP";
}

function spawnWorker(worker: number): ChildProcess {
  // A debugger's port can't be shared.
  const options = process.execArgv.filter((option) => !option.startsWith("--inspect"));
  return spawn(process.execPath, [...options, WORKER, String(worker)], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    serialization: "advanced",
  });
}
