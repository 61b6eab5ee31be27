/** What one measurement sends, and for how long. */
export interface LoadPlan {
  /** Where the proxy listens, on 127.0.0.1. */
  readonly port: number;
  /** Process of the proxy; its children count too. */
  readonly pid: number;
  /** The core that it is pinned to. */
  readonly core: number;
  readonly protocol: "http" | "websocket";
  /** Bytes of the request's body; 0 is a GET. */
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** In place of it: answers of these sizes in turn. */
  readonly responseSizes?: readonly number[];
  /** Heads of the corpus (`heads/`) that are sent in turn; left out: one of three fields, made up. */
  readonly heads?: readonly string[];
  /** Requests go to so many hosts in turn. */
  readonly hosts: number;
  readonly connections: number;
  /** Clients speak TLS; each new connection shakes hands in full. */
  readonly tls?: boolean;
  /** A new client connection for each request, which says `Connection: close`. */
  readonly clientCloses: boolean;
  /** Pods answer `Connection: close` and close, so that the proxy needs a new connection for each request. */
  readonly podsClose: boolean;
  /** Requests per second, sent by the clock whatever the answers do. Without it each connection sends when it got its answer. */
  readonly ratePerSecond?: number;
  /** The clock is a timer: a request may be a millisecond late, and the load's core is not full. For long runs. */
  readonly timerClock?: boolean;
  /** Further client connections that send one request and then nothing. 0 for none. */
  readonly idleConnections: number;
  /** Changes to other sandboxes, pushed meanwhile to `POST /refresh` on this port. */
  readonly pushes?: { readonly port: number; readonly perSecond: number };
  readonly warmupMs: number;
  readonly measureMs: number;
}

/** What came of it. Only answers that came within the measured time count, and each of them was checked. */
export interface LoadResult {
  readonly requests: number;
  readonly measuredMs: number;
  /** CPU time of the proxy's processes meanwhile. */
  readonly cpuUs: number;
  /** Share of that spent in the kernel, 0 to 1; by the clock tick, so only roughly. */
  readonly kernelShare: number;
  /** Share of the proxy's core that other processes took: above some percent the figures mean little. */
  readonly othersShare: number;
  /** CPU time of the load generator and the pods. */
  readonly loadCpuUs: number;
  /** Resident memory of the proxy's processes at the end of the measured time. */
  readonly residentBytes: number;
  /** What each idle connection added to that; only when there were any. */
  readonly bytesPerIdleClient?: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  /** Wrong or missing answers, from the first connection on. */
  readonly errors: number;
  readonly firstError?: string;
  /** Pushes that were answered within the measured time. */
  readonly pushes: number;
}

/** Programs that send the load: the benchmark's own, which checks each byte, and wrk, which is faster. */
export const GENERATORS = ["own", "wrk"] as const;
export type Generator = (typeof GENERATORS)[number];

/** An installed wrk. */
export interface WrkProgram {
  readonly program: string;
  /** For its script and requests. */
  readonly directory: string;
}

/** From `run.ts` to the load process. */
export interface LoadCommand {
  readonly id: number;
  readonly plan: LoadPlan;
  /** wrk sends the load; left out: the load process itself. */
  readonly wrk?: WrkProgram;
}

/** From the load process to `run.ts`. */
export type LoadMessage =
  | { readonly kind: "pods"; readonly port: number }
  | { readonly kind: "result"; readonly id: number; readonly result: LoadResult }
  | { readonly kind: "failed"; readonly id: number; readonly message: string };

/** The path that makes a pod answer so. */
export function requestPath(plan: Pick<LoadPlan, "responseBytes" | "podsClose">): string {
  return `/r/${plan.responseBytes}${plan.podsClose ? "/close" : ""}`;
}
