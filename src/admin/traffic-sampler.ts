import type { Clock, Milliseconds, TimerHandle } from "../system/clock.ts";
import type { ProcessView, RateOf, TrafficPoint, TrafficView } from "./status-types.ts";

/** What has been counted since the start, all processes together, and what is open now. */
export interface TrafficReading {
  /** Requests by reason; `ok` when the pod answered. */
  readonly requests: ReadonlyMap<string, number>;
  /** Answers by pods: upper bounds in seconds, ascending, the last infinite, and how many took at most so long. */
  readonly durations: readonly { readonly boundSeconds: number; readonly count: number }[];
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly inFlight: number;
  readonly upgrades: number;
  readonly clientConnections: number;
  readonly podConnections: number;
  /** By `writer outcome`. */
  readonly mutations: ReadonlyMap<string, number>;
  /** By `writer guard`. */
  readonly resurrections: ReadonlyMap<string, number>;
  /** By result. */
  readonly pushes: ReadonlyMap<string, number>;
  /** Pushed facts given up, by `kind reason`. */
  readonly dropped: ReadonlyMap<string, number>;
  /** Of what must never happen. */
  readonly bugs: number;
  readonly processes: readonly {
    readonly name: string;
    readonly memoryBytes?: number | undefined;
    readonly cpuSeconds?: number | undefined;
    readonly lagMs?: number | undefined;
  }[];
}

/** Options of {@link TrafficSampler}. */
export interface TrafficSamplerOptions {
  readonly read: () => Promise<TrafficReading>;
  readonly clock: Clock;
}

interface Sample {
  readonly atMs: Milliseconds;
  readonly monotonicMs: Milliseconds;
  readonly reading: TrafficReading;
}

/**
 * The same whether somebody looks or not: of points further apart a chart would show lower peaks, and an incident would
 * seem to begin when the page was opened.
 */
const EVERY_MS: Milliseconds = 1_000;
/** What is shown, and kept. */
const KEPT_MS: Milliseconds = 5 * 60_000;
const MAX_SAMPLES = 400;
const RATE_OVER_MS: Milliseconds = 5_000;
const MINUTE_MS: Milliseconds = 60_000;

/** Reasons that mean trouble with a pod or with the router; the others but `ok` are refusals as they should be. */
const FAILURES: ReadonlySet<string> = new Set([
  "not_ready",
  "upstream_refused",
  "upstream_unreachable",
  "upstream_reset",
  "upstream_protocol",
  "incarnation_ended",
  "connect_timeout",
  "first_byte_timeout",
  "upstream_idle_timeout",
  "overloaded",
  "internal_error",
]);

/** Reads the counters each second, and makes rates and latencies of them. */
export class TrafficSampler {
  readonly #options: TrafficSamplerOptions;
  readonly #samples: Sample[] = [];
  #timer: TimerHandle | undefined;
  #stopped = false;
  #sampling: Promise<void> | undefined;

  constructor(options: TrafficSamplerOptions) {
    this.#options = options;
  }

  /** Begins. */
  start(): void {
    void this.#tick().catch(() => {});
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.clear();
  }

  /** A sample that is at most a second old is there when it resolves. */
  async fresh(): Promise<void> {
    const lastMs = this.#samples.at(-1)?.monotonicMs ?? Number.NEGATIVE_INFINITY;
    if (this.#options.clock.monotonicMs() - lastMs >= EVERY_MS) await this.#tick();
  }

  /** The last reading, if there was one. */
  get reading(): TrafficReading | undefined {
    return this.#samples.at(-1)?.reading;
  }

  /** By how much a count of the readings grew within the last minute. */
  inLastMinute(count: (reading: TrafficReading) => number): number {
    const [then, now] = this.#span(MINUTE_MS);
    return then && now ? Math.max(0, count(now.reading) - count(then.reading)) : 0;
  }

  /** Requests of the last minute that failed on the way to a pod. */
  failuresInLastMinute(): number {
    return this.inLastMinute(({ requests }) => sumOf(requests, (reason) => FAILURES.has(reason)));
  }

  /** What is to be shown, with the points that end after `sinceMs` (since the epoch). */
  view(sinceMs: Milliseconds = 0): TrafficView {
    const [fiveSecondsAgo, now] = this.#span(RATE_OVER_MS);
    const [minuteAgo] = this.#span(MINUTE_MS);
    const points: TrafficPoint[] = [];
    this.#samples.forEach((sample, index) => {
      const before = this.#samples[index - 1];
      if (before && sample.atMs > sinceMs) points.push(pointOf(before, sample));
    });
    const seconds = secondsBetween(fiveSecondsAgo, now);
    const rate = (count: (reading: TrafficReading) => number): number =>
      now && fiveSecondsAgo ? perSecond(count(fiveSecondsAgo.reading), count(now.reading), seconds) : 0;
    const minute = secondsBetween(minuteAgo, now);
    const rates = (counts: (reading: TrafficReading) => ReadonlyMap<string, number>): RateOf[] =>
      now ? ratesOf(counts(now.reading), minuteAgo && counts(minuteAgo.reading), minute) : [];
    const reading = now?.reading;
    return {
      now: {
        inFlight: reading?.inFlight ?? 0,
        upgrades: reading?.upgrades ?? 0,
        clientConnections: reading?.clientConnections ?? 0,
        podConnections: reading?.podConnections ?? 0,
        requestsPerSecond: rate(({ requests }) => sumOf(requests)),
        failuresPerSecond: rate(({ requests }) => sumOf(requests, (reason) => FAILURES.has(reason))),
        bytesInPerSecond: rate(({ bytesIn }) => bytesIn),
        bytesOutPerSecond: rate(({ bytesOut }) => bytesOut),
        ...(minuteAgo && now && quantilesOf(minuteAgo.reading, now.reading)),
        requests: reading ? sumOf(reading.requests) : 0,
        stopped: reading ? sumOf(reading.resurrections) : 0,
      },
      points,
      reasons: rates(({ requests }) => requests),
      churn: rates(({ mutations }) => mutations),
      stopped: rates(({ resurrections }) => resurrections),
    };
  }

  /** The processes, with the CPU of the last seconds. */
  processes(): ProcessView[] {
    const [then, now] = this.#span(RATE_OVER_MS);
    const seconds = secondsBetween(then, now);
    return (now?.reading.processes ?? []).map(({ name, memoryBytes, cpuSeconds, lagMs }) => {
      const before = then?.reading.processes.find((other) => other.name === name)?.cpuSeconds;
      const cpu =
        before !== undefined && cpuSeconds !== undefined && seconds > 0
          ? perSecond(before, cpuSeconds, seconds)
          : undefined;
      return { name, memoryBytes, cpu, lagMs };
    });
  }

  /** The sample of so long ago, or the oldest, and the last one. */
  #span(lengthMs: Milliseconds): [Sample | undefined, Sample | undefined] {
    const last = this.#samples.at(-1);
    if (!last) return [undefined, undefined];
    const then = this.#samples.findLast(({ monotonicMs }) => last.monotonicMs - monotonicMs >= lengthMs);
    return [then ?? this.#samples[0], last];
  }

  #tick(): Promise<void> {
    this.#sampling ??= this.#sample().finally(() => (this.#sampling = undefined));
    return this.#sampling;
  }

  async #sample(): Promise<void> {
    const { read, clock } = this.#options;
    this.#timer?.clear();
    try {
      const reading = await read();
      const monotonicMs = clock.monotonicMs();
      this.#samples.push({ atMs: clock.nowMs(), monotonicMs, reading });
      const keptAfterMs = monotonicMs - KEPT_MS - EVERY_MS;
      const fresh = this.#samples.findIndex((sample) => sample.monotonicMs >= keptAfterMs);
      this.#samples.splice(0, Math.max(fresh, this.#samples.length - MAX_SAMPLES));
    } finally {
      if (!this.#stopped) {
        // What a reading fails of is told to who asks for a status; the next may go well.
        this.#timer = clock.setTimeout(() => void this.#tick().catch(() => {}), EVERY_MS);
      }
    }
  }
}

function pointOf(before: Sample, sample: Sample): TrafficPoint {
  const seconds = secondsBetween(before, sample);
  const then = before.reading;
  const now = sample.reading;
  const rate = (count: (reading: TrafficReading) => number): number =>
    round(perSecond(count(then), count(now), seconds));
  return {
    atMs: sample.atMs,
    answered: rate(({ requests }) => requests.get("ok") ?? 0),
    refused: rate(({ requests }) => sumOf(requests, (reason) => reason !== "ok" && !FAILURES.has(reason))),
    failed: rate(({ requests }) => sumOf(requests, (reason) => FAILURES.has(reason))),
    ...quantilesOf(then, now),
    informer: rate(told("informer")),
    peer: rate(told("peer")),
    clock: rate(told("clock")),
    ignored: rate(({ mutations }) => sumOf(mutations, (name) => !name.endsWith(" applied"))),
    inFlight: now.inFlight,
  };
}

/** How many facts a writer told. */
function told(writer: string): (reading: TrafficReading) => number {
  return ({ mutations }) => sumOf(mutations, (name) => name.startsWith(`${writer} `));
}

function ratesOf(
  now: ReadonlyMap<string, number>,
  then: ReadonlyMap<string, number> | undefined,
  seconds: number,
): RateOf[] {
  return [...now]
    .filter(([, total]) => total > 0)
    .map(([name, total]) => ({
      name,
      total,
      perSecond: seconds > 0 ? round(perSecond(then?.get(name) ?? 0, total, seconds)) : 0,
    }))
    .sort((a, b) => b.total - a.total);
}

/**
 * Quantiles of what happened between two readings, as Prometheus's histogram_quantile has them: within a bucket all
 * values are taken to lie evenly.
 */
function quantilesOf(then: TrafficReading, now: TrafficReading): { p50Ms?: number; p99Ms?: number } {
  const grown = now.durations.map(({ boundSeconds, count }, index) => {
    return { boundSeconds, count: count - (then.durations[index]?.count ?? 0) };
  });
  const total = grown.at(-1)?.count ?? 0;
  if (total <= 0) return {};
  const at = (quantile: number): number => {
    const rank = quantile * total;
    const index = grown.findIndex(({ count }) => count >= rank);
    const bucket = grown[index];
    const below = grown[index - 1] ?? { boundSeconds: 0, count: 0 };
    // Above the last bound nothing is known but that.
    if (!bucket || bucket.boundSeconds === Number.POSITIVE_INFINITY) return below.boundSeconds * 1_000;
    const share = (rank - below.count) / Math.max(1e-9, bucket.count - below.count);
    return (below.boundSeconds + (bucket.boundSeconds - below.boundSeconds) * share) * 1_000;
  };
  return { p50Ms: round(at(0.5)), p99Ms: round(at(0.99)) };
}

function sumOf(counts: ReadonlyMap<string, number>, which: (name: string) => boolean = () => true): number {
  let sum = 0;
  for (const [name, count] of counts) if (which(name)) sum += count;
  return sum;
}

function perSecond(then: number, now: number, seconds: number): number {
  return seconds > 0 ? Math.max(0, now - then) / seconds : 0;
}

function secondsBetween(then: Sample | undefined, now: Sample | undefined): number {
  return then && now ? (now.monotonicMs - then.monotonicMs) / 1_000 : 0;
}

/** Three digits behind the point are more than a screen shows. */
function round(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}
