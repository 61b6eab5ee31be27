import type { AddressInfo } from "node:net";
import type { Clock, Milliseconds } from "../system/clock.ts";
import type { Config } from "../config/schema.ts";
import type { Log } from "../system/log.ts";
import type { Metrics } from "../metrics/registry.ts";
import type { RequestObserver } from "../proxy/record/request-record.ts";
import { fittingConnections } from "./open-files.ts";
import type { RouterAccess } from "./router-access.ts";
import { HeldRequests } from "../proxy/limits/held-requests.ts";
import { WakingRequests } from "../proxy/limits/waking-requests.ts";
import type { Wakes } from "../proxy/limits/waking-requests.ts";
import { openTelemetry } from "../proxy/record/opentelemetry.ts";
import type { ReplyPage } from "../proxy/reply/reply-page.ts";
import { createProxyServer } from "../proxy/server.ts";
import type { ProxyListen } from "../proxy/server-options.ts";
import { createTargetParser, type TargetParser } from "../proxy/target/target.ts";
import type { TlsMaterial } from "../proxy/tls/tls-acceptor.ts";
import { Upstreams } from "../proxy/upstream/upstreams.ts";
import type { Incarnation, IncarnationListener, RouteLookup } from "../routes/lookup.ts";
import type { ObjectKey } from "../routes/route.ts";
import { VERSION } from "../system/version.ts";

/** Where traffic is accepted. */
export interface TrafficAddresses {
  readonly plain: AddressInfo;
  /** Absent without a TLS listener. */
  readonly tls: AddressInfo | undefined;
}

/** The half of a router that clients talk to: this process, or several. */
export interface Traffic {
  /** Begins to accept; rejects when it can't. */
  listen(): Promise<TrafficAddresses>;
  /** Accepts no more; resolves when all is done and gone, or cut after `timeoutMs`. May be called before `listen`. */
  drain(timeoutMs: Milliseconds): Promise<void>;
  /** Ends everything at once; resolves when it is gone. */
  close(): Promise<void>;
  /** Takes the live keys of `config` (`client.max…`, `upstream.max…`; workers take their logs' as well). */
  apply(config: Config): void;
  /** A sandbox that requests wait for was not woken; see `WakingRequests`. */
  wakeFailed(key: ObjectKey, uid: string, failure: "failed" | "unavailable"): void;
  /** Uses other certificates and keys for handshakes from now on. */
  applyTls(material: TlsMaterial): void;
  /** Connections to a pod now, in words; absent where other processes have them. */
  describeConnectionsTo?(incarnation: Incarnation): string;
}

/** What serves routes: a table, or a mirror of one. */
export interface Routes extends RouteLookup {
  addListener(listener: IncarnationListener): () => void;
}

/** What traffic in one process is made of. */
export interface TrafficOptions {
  readonly config: Config;
  readonly listen: ProxyListen;
  /** Where TLS is spoken, and with what. Absent: nowhere. */
  readonly tls: { readonly listen: ProxyListen; readonly material: TlsMaterial } | undefined;
  readonly routes: Routes;
  readonly parseTarget: TargetParser;
  /** Who may pass. */
  readonly access: Pick<RouterAccess, "gate" | "clients">;
  /** See {@link ProxyServerOptions.viaPseudonym}. */
  readonly viaPseudonym: string;
  /** See `TraceSurroundings.replyPage`. */
  readonly replyPage: ReplyPage | undefined;
  /** Who wakes sandboxes for requests; absent: nobody. */
  readonly wakes: Wakes | undefined;
  readonly metrics: Metrics;
  /** Gets every request when it is over. */
  readonly accessLog: RequestObserver | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/** Serves traffic in this process. Its upstreams listen to the routes before anybody who adds a listener later. */
export function createTraffic(options: TrafficOptions): Traffic {
  const {
    config,
    listen,
    tls,
    routes,
    parseTarget,
    access,
    viaPseudonym,
    replyPage,
    wakes,
    metrics,
    accessLog,
    clock,
    log,
  } = options;
  const { firstByteTimeoutMs, idleTimeoutMs, ...connections } = config.upstream;
  const upstreams = new Upstreams({ ...connections, observer: metrics.upstream, clock });
  routes.addListener(upstreams);
  const { settleMs, maxHeldRequests: maxHeld } = config.peers;
  const held = new HeldRequests({ routes, clock, settleMs, maxHeld }, metrics.held);
  routes.addListener(held);
  const waking = wakes && new WakingRequests({ ...config.wake, wakes, clock, observer: metrics.wake });
  if (waking) routes.addListener(waking);
  let maxConnections = fittingConnections(config.client.maxConnections);
  const tracing = openTelemetry(VERSION);
  if (tracing) log.info("an OpenTelemetry SDK is loaded: each request makes spans");
  let requestsInFlight = 0;
  const proxy = createProxyServer({
    listen,
    tls: tls && { ...config.tls, ...tls },
    redirect: config.tls.redirect ? { port: config.tls.redirectPort } : undefined,
    routes,
    parseTarget,
    viaPseudonym,
    replyPage,
    access: access.gate,
    clients: access.clients,
    maskHost: config.target.maskHost || undefined,
    upstreams,
    held,
    waking,
    firstByteTimeoutMs,
    idleTimeoutMs,
    ...config.client,
    http2: config.http2,
    maxConnections,
    tracing,
    clock,
    log,
    observer: {
      requestStarted: () => void requestsInFlight++,
      requestEnded(record) {
        requestsInFlight--;
        metrics.requestFinished(record);
        accessLog?.(record);
      },
      handshakeEnded: (result) => metrics.tls.handshakeEnded(result),
      connectionDropped: (limit) => metrics.clientConnectionRefused(limit),
    },
  });
  metrics.readFrom({
    requestsInFlight: () => requestsInFlight,
    upgradesOpen: () => proxy.connections.tunnels,
    clientConnectionsOpen: () => proxy.connections.open,
    clientConnectionsLimit: () => maxConnections,
    requestsHeld: () => held.size,
    wakeRequestsHeld: () => waking?.size ?? 0,
    upstreamPools: () => upstreams.size,
    upstreamWaiting: () => upstreams.stats.waiting,
  });
  return {
    async listen() {
      return { plain: await proxy.listen(), tls: proxy.tlsAddress };
    },
    async drain(timeoutMs) {
      const { open, tunnels } = proxy.connections;
      log.info("draining: accepting no more", { connections: open, tunnels, timeoutMs });
      await proxy.drain(timeoutMs);
      upstreams.close();
    },
    async close() {
      await proxy.close();
      upstreams.close();
    },
    apply({ client, upstream }) {
      maxConnections = fittingConnections(client.maxConnections);
      proxy.setConnectionLimits({
        maxConnections,
        maxConnectionsPerAddress: client.maxConnectionsPerAddress,
      });
      const { maxConnectionsPerSandbox, maxTunnelsPerSandbox, maxWaitingPerSandbox, waitTimeoutMs } =
        upstream;
      upstreams.setLimits({
        maxConnectionsPerSandbox,
        maxTunnelsPerSandbox,
        maxWaitingPerSandbox,
        waitTimeoutMs,
      });
    },
    wakeFailed: (key, uid, failure) => waking?.wakeFailed(key, uid, failure),
    applyTls: (material) => proxy.setTlsMaterial(material),
    describeConnectionsTo(incarnation) {
      const { open, idle, waiting } = upstreams.statsOf(incarnation) ?? { open: 0, idle: 0, waiting: 0 };
      return `${open - idle} in use of at most ${upstreams.settings.maxConnectionsPerSandbox}, ${idle} idle, ${waiting} requests wait`;
    },
  };
}

/** How requests name sandboxes, as the configuration has it. */
export function targetParserOf({ target }: Config): TargetParser {
  return createTargetParser(target);
}
