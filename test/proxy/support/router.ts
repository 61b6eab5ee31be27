import { systemClock } from "../../../src/system/clock.ts";
import type { Clock } from "../../../src/system/clock.ts";
import type { Log } from "../../../src/system/log.ts";
import type { RequestRecord } from "../../../src/proxy/record/request-record.ts";
import { HeldRequests } from "../../../src/proxy/limits/held-requests.ts";
import { WakingRequests } from "../../../src/proxy/limits/waking-requests.ts";
import type { WakingLimits } from "../../../src/proxy/limits/waking-requests.ts";
import type { ObjectKey } from "../../../src/routes/route.ts";
import { createProxyServer } from "../../../src/proxy/server.ts";
import type { ProxyServer, ProxyServerOptions } from "../../../src/proxy/server-options.ts";
import type { UpstreamObserver } from "../../../src/proxy/upstream/upstream-observer.ts";
import { type Upstreams } from "../../../src/proxy/upstream/upstreams.ts";
import type { UpstreamOptions } from "../../../src/proxy/upstream/upstreams.ts";
import { eventually } from "../../support/eventually.ts";
import { FakeRoutes } from "./fake-routes.ts";
import { LANE, SHARED_READ_BUFFER } from "./lane.ts";
import { RawPeer } from "./raw-peer.ts";
import { newAccess } from "../../support/new-access.ts";
import { DEFAULTS, newTargetParser, newUpstreams } from "../../support/defaults.ts";

/** Counts what the observer is told. */
export class UpstreamCounts implements UpstreamObserver {
  connects = 0;
  failures: string[] = [];
  reuses = 0;
  closes = 0;
  resets: string[] = [];
  retries = 0;
  wedges = 0;
  connected(): void {
    this.connects += 1;
  }
  connectFailed(code: string): void {
    this.failures.push(code);
  }
  reused(): void {
    this.reuses += 1;
  }
  closed(): void {
    this.closes += 1;
  }
  reset(reason: string): void {
    this.resets.push(reason);
  }
  retried(): void {
    this.retries += 1;
  }
  wedged(): void {
    this.wedges += 1;
  }
}

/**
 * The times that Lychgate waits by default for what others must do, such as 10 s for a head: where a test is not about one of
 * them, a busy machine must not run into it.
 */
const PATIENT_MS = 600_000;

export interface RouterOptions {
  readonly upstream?: Partial<UpstreamOptions>;
  readonly server?: Partial<ProxyServerOptions>;
  readonly clock?: Clock;
  /** For how long requests of a sandbox in doubt are held, and how many. Default 60 s, 1,000. */
  readonly settleMs?: number;
  readonly maxHeld?: number;
  /** Sandboxes are woken for requests. Absent: they are not. */
  readonly waking?: Partial<WakingLimits>;
}

/** A router on a free port of 127.0.0.1, with its observers laid open. */
export class Router {
  readonly routes = new FakeRoutes();
  readonly counts = new UpstreamCounts();
  readonly records: RequestRecord[] = [];
  readonly errors: unknown[] = [];
  started = 0;
  readonly upstreams: Upstreams;
  readonly held: HeldRequests;
  /** How requests that were held went on. */
  readonly released: string[] = [];
  readonly waking: WakingRequests | undefined;
  /** Whom the router wanted to have woken, and how requests that waited went on. */
  readonly wakes: { readonly key: ObjectKey; readonly uid: string }[] = [];
  readonly wakeReleases: string[] = [];
  readonly server: ProxyServer;
  port = 0;

  constructor(options: RouterOptions) {
    const clock = options.clock ?? systemClock;
    this.upstreams = newUpstreams({
      observer: this.counts,
      clock,
      connectTimeoutMs: PATIENT_MS,
      waitTimeoutMs: PATIENT_MS,
      ...options.upstream,
    });
    const log: Log = {
      debug() {},
      info() {},
      warn() {},
      error: (message, fields) => this.errors.push({ message, ...fields }),
    };
    const { settleMs = 60_000, maxHeld = 1_000 } = options;
    this.held = new HeldRequests(
      { routes: this.routes, clock, settleMs, maxHeld },
      { released: (how) => this.released.push(how) },
    );
    this.waking =
      options.waking &&
      new WakingRequests({
        maxHeld: 1_000,
        maxHeldPerSandbox: 1_000,
        maxHeldPerAddress: 0,
        pageAfterMs: 0,
        timeoutMs: PATIENT_MS,
        ...options.waking,
        wakes: { wake: (key, uid) => this.wakes.push({ key, uid }) },
        clock,
        observer: { released: (how) => this.wakeReleases.push(how) },
      });
    this.server = createProxyServer({
      waking: this.waking,
      listen: { host: "127.0.0.1", port: 0 },
      routes: this.routes,
      parseTarget: newTargetParser({}),
      access: newAccess({ accessToken: true, forwardAccessToken: true }),
      fastLane: LANE === "fast",
      upstreams: this.upstreams,
      held: this.held,
      clock,
      ...DEFAULTS.client,
      http2: DEFAULTS.http2,
      sharedReadBuffer: SHARED_READ_BUFFER,
      firstByteTimeoutMs: DEFAULTS.upstream.firstByteTimeoutMs,
      idleTimeoutMs: DEFAULTS.upstream.idleTimeoutMs,
      log,
      headerTimeoutMs: PATIENT_MS,
      keepAliveTimeoutMs: PATIENT_MS,
      handshakeTimeoutMs: PATIENT_MS,
      wedgeTimeoutMs: PATIENT_MS,
      observer: {
        requestStarted: () => {
          this.started += 1;
        },
        requestEnded: (record) => this.records.push(record),
      },
      ...options.server,
    });
  }

  static async start(options: RouterOptions = {}): Promise<Router> {
    const router = new Router(options);
    router.port = (await router.server.listen()).port;
    return router;
  }

  client(allowHalfOpen = false): Promise<RawPeer> {
    return RawPeer.connect(this.port, allowHalfOpen);
  }

  /** The record with this number, from 0, once it is told. */
  async record(number: number): Promise<RequestRecord> {
    return eventually(() => this.records[number] ?? false, { everyMs: 2 }) as Promise<RequestRecord>;
  }

  async close(): Promise<void> {
    await this.server.close();
    this.upstreams.close();
  }
}
