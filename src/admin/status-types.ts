import type { Overview, PeerView } from "./api-types.ts";

/** `GET /api/status`, and every event `status` of `GET /api/live`. */
export interface Status {
  /** Milliseconds since the epoch, by the router's clock. */
  readonly atMs: number;
  readonly overview: Overview;
  readonly health: Health;
  /** Absent without an informer. */
  readonly watch?: WatchView;
  /** Who pushed, the latest first. */
  readonly peers: readonly PeerView[];
  /** Pushes by what became of them, since the start. */
  readonly pushes: Readonly<Record<string, number>>;
  readonly workers: WorkersView;
  readonly traffic: TrafficView;
  /** What is kept of the routes' histories. */
  readonly history: {
    readonly facts: number;
    readonly routes: number;
    readonly maxFacts: number;
    readonly maxFactsPerRoute: number;
  };
}

/** Whether the router is well, and why not. */
export interface Health {
  /** `down`: it is not ready. `degraded`: it serves, and somebody should look. */
  readonly level: "ok" | "degraded" | "down";
  /** In one sentence. */
  readonly headline: string;
  readonly findings: readonly Finding[];
  /** Each check of readiness. */
  readonly checks: readonly { readonly name: string; readonly ok: boolean; readonly why: string }[];
}

/** One thing that is wrong, or worth a look. */
export interface Finding {
  readonly level: "degraded" | "down";
  /** What is so. */
  readonly text: string;
  /** What it means, or what to do. */
  readonly advice: string;
}

/** The informer. */
export interface WatchView {
  /** URL of the API server, without credentials. */
  readonly server: string;
  readonly scopes: readonly WatchScopeView[];
}

/** One watched namespace, `""` for all (docs/agent-sandbox.md#one-table). */
export interface WatchScopeView {
  readonly scope: string;
  /** What the reflector does at this moment, in a word. */
  readonly state: string;
  readonly synced: boolean;
  readonly live: boolean;
  readonly connected: boolean;
  readonly watermark?: string | undefined;
  readonly lastHeardAtMs?: number | undefined;
  readonly lastEventAtMs?: number | undefined;
  readonly relists: number;
  readonly restarts: number;
  /** What went wrong last and is not cured. */
  readonly fault?: string | undefined;
}

/** The processes that serve. */
export interface WorkersView {
  /** 0 when one process does everything. */
  readonly wanted: number;
  readonly ready: number;
  readonly processes: readonly ProcessView[];
}

/** One process. */
export interface ProcessView {
  /** `router` when one does everything, else `primary`, `0`, `1` … */
  readonly name: string;
  readonly memoryBytes?: number | undefined;
  /** Cores in use, 1 is one whole core; over the last samples. */
  readonly cpu?: number | undefined;
  /** How far its routes are behind. */
  readonly lagMs?: number | undefined;
}

/** Traffic and churn. */
export interface TrafficView {
  readonly now: TrafficNow;
  /** The last minutes, oldest first; in `status` events only what is new. */
  readonly points: readonly TrafficPoint[];
  /** Answers by reason, the most frequent first; `ok` is the pods'. */
  readonly reasons: readonly RateOf[];
  /** What the table was told, as `writer outcome`. */
  readonly churn: readonly RateOf[];
  /** Resurrections stopped since the start, as `writer guard`. */
  readonly stopped: readonly RateOf[];
}

/** A count since the start, and its rate over the last minute. */
export interface RateOf {
  readonly name: string;
  readonly total: number;
  readonly perSecond: number;
}

/** This moment, and rates over some seconds. */
export interface TrafficNow {
  readonly inFlight: number;
  readonly upgrades: number;
  readonly clientConnections: number;
  readonly podConnections: number;
  readonly requestsPerSecond: number;
  /** Answers of the router's own that mean trouble with a pod or with the router. */
  readonly failuresPerSecond: number;
  readonly bytesInPerSecond: number;
  readonly bytesOutPerSecond: number;
  /** Over the last minute, of answers by pods; absent without any. */
  readonly p50Ms?: number | undefined;
  readonly p99Ms?: number | undefined;
  readonly requests: number;
  readonly stopped: number;
}

/** A stretch of time between two samples. */
export interface TrafficPoint {
  /** Its end. */
  readonly atMs: number;
  /** Per second: answers by pods, requests that the router refused, and those that failed on the way to the pod. */
  readonly answered: number;
  readonly refused: number;
  readonly failed: number;
  readonly p50Ms?: number | undefined;
  readonly p99Ms?: number | undefined;
  /** Facts told to the table per second, by writer, and those of them that it refused. */
  readonly informer: number;
  readonly peer: number;
  readonly clock: number;
  readonly ignored: number;
  readonly inFlight: number;
}
