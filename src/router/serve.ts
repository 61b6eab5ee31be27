import { isIPv4 } from "node:net";
import { type Router, startRouter } from "./app.ts";
import { messageOf } from "../system/error-text.ts";
import { systemClock } from "../system/clock.ts";
import { parseListenAddress } from "../config/listen-address.ts";
import { LiveConfig } from "../config/live.ts";
import type { EffectiveConfig, LoadedConfig } from "../config/load.ts";
import type { OperationalLog } from "../system/operational-log.ts";
import { PodAddresses } from "./pod-addresses.ts";
import { handleSignals, type HangUps } from "../system/process-signals.ts";
import { openFilesWarning } from "./open-files.ts";
import { type AccessLog, accessLogOf, operationalLog } from "./router-logs.ts";
import { VERSION } from "../system/version.ts";

/**
 * Runs the router until SIGTERM or SIGINT and drains it then; a second signal ends the process at once. SIGHUP reloads the
 * configuration, by `load`; one that comes earlier does so once the router runs. Resolves to the exit code: 0 after a drain,
 * 1 when the router could not start.
 */
export async function runServe(
  loaded: EffectiveConfig,
  load: () => LoadedConfig,
  hangUps: HangUps,
): Promise<number> {
  const { config } = loaded;
  const live = new LiveConfig(loaded);
  const log = operationalLog(config);
  const accessLog = accessLogOf(config);
  tellOfOpenFiles(loaded, log);
  const { allowedSpecial } = new PodAddresses(config.routes.podCidrs, []);
  if (allowedSpecial.length > 0) {
    log.warn(
      "routes.podCidrs allows special addresses: whoever can write a route can reach this host or its network through the router",
      { allowed: allowedSpecial },
    );
  }
  const warning = openPushesWarning(config);
  if (warning !== undefined) log.warn(warning, { peerListen: config.peerListen });
  let router: Router;
  try {
    router = await startRouter(config, { log, accessLog: accessLog?.record, live });
  } catch (error) {
    log.error(`cannot start: ${messageOf(error)}`);
    log.flush();
    return 1;
  }
  let { maxConnections } = config.client;
  live.join((next) => () => {
    log.setLevel(next.logLevel);
    accessLog?.change(next);
    if (next.client.maxConnections !== maxConnections) tellOfOpenFiles(live.loaded, log);
    ({ maxConnections } = next.client);
  });
  const drained = drainOnSignal(router, log, accessLog);
  log.info(`lychgate ${VERSION} is listening`, addressesOf(router));
  hangUps.listen(() => {
    log.info("SIGHUP: reloading the configuration");
    router.reload(load);
  });
  await drained;
  hangUps.listen(() => {});
  await accessLog?.close();
  log.info("drained");
  log.flush();
  return 0;
}

/** What to say when whoever reaches the peer port may push, and others can reach it. */
export function openPushesWarning({
  source,
  peers,
  peerListen,
}: EffectiveConfig["config"]): string | undefined {
  const address = parseListenAddress(peerListen);
  const host = "fault" in address ? undefined : address.host;
  if (peers.require !== "none" || peers.allowFrom.length > 0 || isLoopback(host)) return undefined;
  // Without an informer no push can be verified: then who can push decides which pod answers.
  if (source === "none")
    return "with source none every push is believed, and whoever reaches peerListen can push: name the managers in peers.allowFrom, or set peers.require";
  return peers.trust === "serve"
    ? "with peers.trust serve every push is believed, and whoever reaches peerListen can push: name the managers in peers.allowFrom, or set peers.require"
    : "whoever reaches peerListen can push, and need not prove who it is (peers.require none): each push costs a read of the API server. Name the managers in peers.allowFrom, or set peers.require";
}

/** `undefined` listens on all addresses. */
function isLoopback(host: string | undefined): boolean {
  return (
    host === "localhost" || host === "::1" || (host !== undefined && isIPv4(host) && host.startsWith("127."))
  );
}

/** Says when fewer client connections fit than the limit names. Of a limit that nobody chose nobody need be warned. */
function tellOfOpenFiles({ config, origins }: EffectiveConfig, log: OperationalLog): void {
  const message = openFilesWarning(config.client.maxConnections);
  const isChosen = (origins.get("client.maxConnections")?.kind ?? "default") !== "default";
  if (message !== undefined) log[isChosen ? "warn" : "info"](message);
}

/** Waits for a signal and drains `router`; resolves when it is gone. A second signal exits. */
export async function drainOnSignal(
  router: Pick<Router, "drain">,
  log: Pick<OperationalLog, "info" | "warn" | "flush">,
  accessLog: Pick<AccessLog, "abandon"> | undefined,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    handleSignals(
      {
        onFirst(signal) {
          log.info(`${signal}: draining; a second signal ends at once`);
          router.drain().then(resolve, reject);
        },
        onSecond(signal) {
          log.warn(`${signal} again: ending at once`);
          log.flush();
          accessLog?.abandon();
          process.exit(1);
        },
      },
      () => systemClock.monotonicMs(),
    );
  });
}

function addressesOf({ addresses }: Router): Record<string, string> {
  return {
    traffic: hostAndPort(addresses.traffic),
    ...(addresses.tls && { tls: hostAndPort(addresses.tls) }),
    peers: hostAndPort(addresses.peers),
    admin: hostAndPort(addresses.admin),
  };
}

function hostAndPort({ address, port }: { readonly address: string; readonly port: number }): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
