import { systemClock } from "../system/clock.ts";
import type { Log, LogFields } from "../system/log.ts";
import { createMetrics } from "../metrics/registry.ts";
import { createRouterAccess } from "./router-access.ts";
import { AccessLog, operationalLog } from "./router-logs.ts";
import { errorPageOf } from "./error-page-file.ts";
import { createTraffic, targetParserOf } from "./traffic.ts";
import { VERSION } from "../system/version.ts";
import type { WorkerSettings } from "./worker-traffic.ts";
import type { ToWorker } from "../workers/messages.ts";
import { type PrimaryChannel, runWorkerSide } from "../workers/worker-side.ts";

// The program of one worker process (`workers: N`): it is started by worker-traffic.ts and told everything through its
// channel. Imports no more than traffic needs, since each worker pays for it.

/** When a worker drains or reloads: the primary decides. A terminal and systemd send their signals to all processes at once. */
const PRIMARYS_SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

const channel: PrimaryChannel = {
  send(message) {
    if (process.connected) process.send?.(message, undefined, undefined, () => {});
  },
  onMessage: (listener) => void process.on("message", (message) => listener(message as ToWorker)),
  onDisconnect: (listener) => void process.once("disconnect", listener),
};

if (!process.connected) {
  process.stderr.write("lychgate: this is the program of a worker; serve --workers starts it\n");
  process.exit(2);
}
process.title = `lychgate worker ${process.argv[2] ?? ""}`;
for (const signal of PRIMARYS_SIGNALS) process.on(signal, () => {});

let closeLogs = async (): Promise<void> => {};
await runWorkerSide(channel, ({ worker, settings, listen, listenTls }, mirror) => {
  const { config, viaPseudonym, tls } = settings as WorkerSettings;
  const operational = operationalLog(config);
  const accessLog = new AccessLog(config, true);
  let orphanTimeoutMs = config.drain.timeoutMs;
  const metrics = createMetrics({ version: VERSION, clock: systemClock });
  const log = withFields(operational, { worker });
  channel.onDisconnect(() => log.warn("the primary is gone: serving nothing new, and draining"));
  const traffic = createTraffic({
    config,
    listen: { ...listen, reusePort: true },
    tls: listenTls && tls && { listen: { ...listenTls, reusePort: true }, material: tls },
    routes: mirror,
    parseTarget: targetParserOf(config),
    access: createRouterAccess({ config, clock: systemClock, log }),
    viaPseudonym,
    replyPage: errorPageOf(config),
    wakes: config.wake.enabled ? { wake: (key, uid) => channel.send({ kind: "wake", key, uid }) } : undefined,
    metrics,
    accessLog: accessLog.record,
    clock: systemClock,
    log,
  });
  closeLogs = async () => {
    await accessLog.close();
    operational.flush();
  };
  return {
    listen: () => traffic.listen(),
    metrics: (names) => (names ? metrics.read(names) : metrics.snapshot()),
    wakeFailed: (key, uid, failure) => traffic.wakeFailed(key, uid, failure),
    drain: (timeoutMs) => traffic.drain(timeoutMs),
    get orphanTimeoutMs() {
      return orphanTimeoutMs;
    },
    apply(changed) {
      const { config: next, tls: material } = changed as WorkerSettings;
      operational.setLevel(next.logLevel);
      accessLog.change(next);
      traffic.apply(next);
      if (material) traffic.applyTls(material);
      orphanTimeoutMs = next.drain.timeoutMs;
    },
  };
});
await closeLogs();
process.exit(0);

/** A log whose lines all carry `fields`. */
function withFields(log: Log, fields: LogFields): Log {
  return {
    debug: (message, more) => log.debug(message, { ...fields, ...more }),
    info: (message, more) => log.info(message, { ...fields, ...more }),
    warn: (message, more) => log.warn(message, { ...fields, ...more }),
    error: (message, more) => log.error(message, { ...fields, ...more }),
  };
}
