import type { Config } from "../config/schema.ts";
import type { Metrics } from "../metrics/registry.ts";
import type { WakeApi } from "../wake/waker.ts";
import { type Provider, providerOf, realNamespace, tableNamespace } from "../routes/provider.ts";
import type { Observation } from "../routes/observation.ts";
import type { RouteTable } from "../routes/table.ts";
import type { Clock } from "../system/clock.ts";
import type { Log, LogFields } from "../system/log.ts";
import type { ApiCredentials } from "../watch/api-credentials.ts";
import type { Informer, InformerStatus } from "../watch/informer.ts";
import type { ObservationSink } from "../watch/observation-sink.ts";
import { crdName } from "../watch/watched-resource.ts";
import { providersOf, type WatchedProvider } from "./providers.ts";

/** What watching needs beside the configuration. */
export interface WatchingOptions {
  readonly config: Config;
  readonly credentials: ApiCredentials;
  readonly table: RouteTable;
  readonly sink: ObservationSink;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: Log;
}

/** Informers of all CRDs that are served, as one. */
export interface Watching extends Pick<Informer, "start" | "stop"> {
  /** Resolves when the table has synced: each CRD was listed or is not installed. Rejects when stopped before. */
  waitForSync(): Promise<void>;
  /** Of all; scopes are named as the table names them. */
  status(): InformerStatus;
  /** Reads the objects that peers push of; absent when they are not watched. */
  readonly reader: Informer["reader"] | undefined;
  /** Wakes the object that the table knows by this namespace and name. */
  readonly waker: WakeApi;
  /** Which CRDs the API server does not serve, in words; `undefined` when it serves all. */
  missing(): string | undefined;
}

/**
 * Makes one informer for each CRD that the configuration names, all with its namespaces and its selector. Each writes to scopes of
 * its own, so that what happens to one changes nothing of the others.
 */
export async function createWatching(options: WatchingOptions): Promise<Watching> {
  const { config, credentials, table, sink, metrics, clock, log } = options;
  // Imported late: undici costs 30 MB, which a router that is only pushed to, or a worker, need not have.
  const { createInformerOf } = await import("../watch/informer.ts");
  const providers = providersOf(config);
  const sync = Promise.withResolvers<void>();
  sync.promise.catch(() => {});
  const checkSync = (): void => {
    if (table.synced) sync.resolve();
  };
  const watched = providers.map(({ provider, resource }) => ({
    provider,
    resource,
    informer: createInformerOf({
      credentials,
      resource,
      namespaces: config.namespace,
      selector: config.selector || undefined,
      sink: sinkOf(provider, sink, checkSync),
      observer: metrics.watch,
      log: providers.length > 1 ? logWith(log, { crd: crdName(resource) }) : log,
      clock,
      settings: config.watch,
    }),
  }));
  const first = watched.find(({ provider }) => provider === "");

  return {
    start() {
      for (const { informer } of watched) {
        informer.start();
        informer.waitForSync().then(checkSync, sync.reject);
      }
    },
    waitForSync: () => sync.promise,
    async stop() {
      await Promise.all(watched.map(({ informer }) => informer.stop()));
    },
    status() {
      const statuses = watched.map(({ provider, informer }) => ({ provider, ...informer.status() }));
      return {
        server: statuses[0]?.server ?? "",
        synced: statuses.every(({ synced }) => synced),
        scopes: statuses.flatMap(({ provider, scopes }) =>
          scopes.map((status) => ({ ...status, scope: tableNamespace(provider, status.scope) })),
        ),
      };
    },
    reader: first?.informer.reader,
    waker: {
      async wake(namespace, name, uid) {
        const of = watched.find(({ provider }) => provider === providerOf(namespace));
        if (of === undefined) return { kind: "not_allowed" };
        return of.informer.waker.wake(realNamespace(namespace), name, uid);
      },
    },
    missing: () => missingOf(watched, table),
  };
}

function missingOf(watched: readonly WatchedProvider[], table: RouteTable): string | undefined {
  const missing = new Set(table.stats().scopes.flatMap(({ name, missing }) => (missing ? [name] : [])));
  const names = watched
    .filter(({ provider }) => [...missing].some((scope) => providerOf(scope) === provider))
    .map(({ resource }) => `${crdName(resource)} ${resource.version}`);
  return names.length === 0 ? undefined : `the API server does not serve ${names.join(", ")}`;
}

/** `sink`, for an informer of a provider's objects. `missing` is called after the sink knows that a scope is missing. */
function sinkOf(provider: Provider, sink: ObservationSink, missing: () => void): ObservationSink {
  const inTable = (scope: string): string => tableNamespace(provider, scope);
  const known = (observation: Observation): Observation => {
    if (provider === "") return observation;
    // The route's namespace is the table's already: one string less for each object.
    return { ...observation, namespace: observation.route?.namespace ?? inTable(observation.namespace) };
  };
  const allKnown = (observations: readonly Observation[]): readonly Observation[] =>
    provider === "" ? observations : observations.map(known);
  return {
    relist: (scope, version, observations) => sink.relist(inTable(scope), version, allKnown(observations)),
    startOver: (scope, version, observations) =>
      sink.startOver(inTable(scope), version, allKnown(observations)),
    observe: (scope, observation) => sink.observe(inTable(scope), known(observation)),
    remove: (scope, namespace, name, uid, version) =>
      sink.remove(inTable(scope), inTable(namespace), name, uid, version),
    bookmark: (scope, version) => sink.bookmark(inTable(scope), version),
    setLive: (scope, live) => sink.setLive(inTable(scope), live),
    setMissing(scope) {
      sink.setMissing?.(inTable(scope));
      missing();
    },
  };
}

/** `log`, with `fields` on each of its lines. */
function logWith(log: Log, common: LogFields): Log {
  return {
    debug: (message, fields) => log.debug(message, { ...common, ...fields }),
    info: (message, fields) => log.info(message, { ...common, ...fields }),
    warn: (message, fields) => log.warn(message, { ...common, ...fields }),
    error: (message, fields) => log.error(message, { ...common, ...fields }),
  };
}
