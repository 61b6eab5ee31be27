import type { Registry } from "prom-client";
import type { EndReason } from "../routes/lookup.ts";
import type { Milliseconds } from "../system/clock.ts";
import { addCounter, addGauge, addHistogram } from "./add-to-registry.ts";
import type { Cell } from "./counter-cells.ts";
import { statusLabel } from "./label-values.ts";
import type { MetricSources } from "./metric-sources.ts";
import { METRICS } from "./names.ts";

/** A request that is over. */
export interface CountedRequest {
  readonly method: string;
  /** What the client got; 499 when it left first. */
  readonly status: number;
  /** A word of `x-lychgate-reason`, `ok` when the pod answered. */
  readonly reason: string;
  readonly durationMs: Milliseconds;
  /** Until the pod's first byte; absent when none came. */
  readonly firstByteMs?: Milliseconds | undefined;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly upgraded?: boolean | undefined;
}

/** What the way of a request counts. */
export type TrafficMetrics = ReturnType<typeof addTrafficMetrics>;

/** Adds what is counted of requests and connections. `sources` is asked when the registry is read. */
export function addTrafficMetrics(registry: Registry, sources: () => MetricSources) {
  // Ten methods by seventy codes by thirty reasons: these series come when they are first needed.
  const requests = addCounter(registry, METRICS.requests, false);
  const requestDuration = addHistogram(registry, METRICS.requestDuration);
  const timeToFirstByte = addHistogram(registry, METRICS.timeToFirstByte);
  addGauge(registry, METRICS.requestsInFlight, (set) => set(sources().requestsInFlight?.() ?? 0));
  addGauge(registry, METRICS.upgradesOpen, (set) => set(sources().upgradesOpen?.() ?? 0));
  const requestBytes = addCounter(registry, METRICS.requestBytes);
  const responseBytes = addCounter(registry, METRICS.responseBytes);
  addGauge(registry, METRICS.clientConnectionsOpen, (set) => set(sources().clientConnectionsOpen?.() ?? 0));
  addGauge(registry, METRICS.clientConnectionsLimit, (set) => set(sources().clientConnectionsLimit?.() ?? 0));
  const clientConnectionsRefused = addCounter(registry, METRICS.clientConnectionsRefused);
  const tlsHandshakes = addCounter(registry, METRICS.tlsHandshakes);
  addGauge(registry, METRICS.tlsCertificateExpiry, (set) => {
    for (const { file, validToMs } of sources().tlsCertificates?.() ?? []) set(validToMs / 1_000, { file });
  });
  const tlsReloads = addCounter(registry, METRICS.tlsReloads);
  let lastTlsReloadSucceeded = true;
  addGauge(registry, METRICS.tlsLastReloadSuccessful, (set) => set(lastTlsReloadSucceeded ? 1 : 0));
  const listenerEvictions = addCounter(registry, METRICS.listenerEvictions);

  const upstreamConnects = addCounter(registry, METRICS.upstreamConnects);
  const upstreamConnectDuration = addHistogram(registry, METRICS.upstreamConnectDuration);
  const upstreamReuse = addCounter(registry, METRICS.upstreamReuse);
  let upstreamConnectionsOpen = 0;
  addGauge(registry, METRICS.upstreamConnectionsOpen, (set) => set(upstreamConnectionsOpen));
  const upstreamResets = addCounter(registry, METRICS.upstreamResets);
  const upstreamRetries = addCounter(registry, METRICS.upstreamRetries);
  const upstreamWedges = addCounter(registry, METRICS.upstreamWedges);
  addGauge(registry, METRICS.upstreamPools, (set) => set(sources().upstreamPools?.() ?? 0));

  addGauge(registry, METRICS.upstreamWaiting, (set) => set(sources().upstreamWaiting?.() ?? 0));

  let last = { method: "", status: 0, reason: "", cell: { labels: {}, count: 0 } as Cell };
  const requestBytesCell = requestBytes.cell();
  const responseBytesCell = responseBytes.cell();
  const upstreamReuseCell = upstreamReuse.cell();
  return {
    /** Called with each request once it is over. */
    requestFinished(request: CountedRequest): void {
      const { method, status, reason, durationMs, firstByteMs, bytesIn, bytesOut, upgraded } = request;
      // Most requests are like the one before: looking the series up costs more than all else here.
      if (method !== last.method || status !== last.status || reason !== last.reason) {
        last = { method, status, reason, cell: requests.cell(method, statusLabel(status), reason) };
      }
      last.cell.count += 1;
      if (upgraded !== true) requestDuration.observeMs(durationMs, reason === "ok" ? "pod" : "router");
      if (firstByteMs !== undefined) timeToFirstByte.observeMs(firstByteMs);
      if (bytesIn > 0 && bytesIn < Infinity) requestBytesCell.count += bytesIn;
      if (bytesOut > 0 && bytesOut < Infinity) responseBytesCell.count += bytesOut;
    },
    /** Called for each refused connection from a client. `reason` is a word of `client_connections_refused_total{reason}`. */
    clientConnectionRefused: (reason: string) => clientConnectionsRefused.add(1, reason),
    /** TLS of clients. */
    tls: {
      /** `result` is a word of `tls_handshakes_total{result}`. */
      handshakeEnded: (result: string) => tlsHandshakes.add(1, result),
      /** `result` is a word of `tls_reloads_total{result}`. */
      reloaded(result: "success" | "failure") {
        tlsReloads.add(1, result);
        lastTlsReloadSucceeded = result === "success";
      },
    },
    /** Called for each connection that was closed for a newer one. `listener` is a word of `listener_evictions_total{listener}`. */
    connectionEvicted: (listener: string) => listenerEvictions.add(1, listener),
    /** Connections to pods. */
    upstream: {
      connected(tookMs: Milliseconds) {
        upstreamConnectionsOpen += 1;
        upstreamConnects.add(1, "connected");
        upstreamConnectDuration.observeMs(tookMs);
      },
      /** `code` is a word of `upstream_connects_total{result}`. */
      connectFailed: (code: string) => upstreamConnects.add(1, code),
      reused: () => void (upstreamReuseCell.count += 1),
      closed: () => void (upstreamConnectionsOpen -= 1),
      reset: (reason: EndReason) => upstreamResets.add(1, reason),
      retried: () => upstreamRetries.add(1),
      wedged: () => upstreamWedges.add(1),
    },
  };
}
