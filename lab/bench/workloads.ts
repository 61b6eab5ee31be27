import { capturedHeads } from "./heads/heads.ts";
import type { LoadPlan } from "./load-plan.ts";
import { HOT_SANDBOXES } from "./sandboxes.ts";
import { drawnSizes } from "./size-distribution.ts";

/** One kind of traffic. */
export interface Workload {
  /** Short, unique, for flags and tables. */
  readonly name: string;
  /** What it is, for people. */
  readonly title: string;
  readonly load: Omit<
    LoadPlan,
    "port" | "pid" | "core" | "warmupMs" | "measureMs" | "pushes" | "ratePerSecond"
  >;
  /** Sent by the clock at this share of lychgate's own peak in `small-get`. */
  readonly shareOfPeak?: number;
  /** Changes pushed to lychgate meanwhile, per second. */
  readonly pushesPerSecond?: number;
  /** It needs a proxy that was just started. */
  readonly freshProxy?: boolean;
  /** Who takes part; left out: all main set-ups, see {@link MAIN_PROXIES}. */
  readonly proxies?: readonly string[];
}

/** Set-ups that take part in every workload. The others show one thing each. */
export const MAIN_PROXIES = [
  "lychgate",
  "lychgate-documented",
  "nginx",
  "haproxy",
  "envoy",
  "http-proxy-3",
  "reply-from",
] as const;

const SMALL_MESSAGE_PROXIES = [
  ...MAIN_PROXIES,
  "lychgate-log",
  "nginx-close",
  "haproxy-close",
  "envoy-close",
] as const;
const LYCHGATES = ["lychgate", "lychgate-documented"] as const;
/** Shares of lychgate's peak, in percent, at which latencies are compared: every proxy is offered the same requests per second. */
export const PACED_SHARES = [40, 60, 80] as const;

const KIB = 1024;

const smallGet: Workload["load"] = {
  protocol: "http",
  requestBytes: 0,
  responseBytes: KIB,
  hosts: 1,
  connections: 64,
  clientCloses: false,
  podsClose: false,
  idleConnections: 0,
};

/** The measure of everything: lychgate's peak is its rate under this one. */
export const SMALL_GET: Workload = {
  name: "small-get",
  title: "GET, 1 KiB response",
  load: smallGet,
  proxies: SMALL_MESSAGE_PROXIES,
};

/** Who is compared where each head counts. */
const HEAD_PROXIES = [...LYCHGATES, "nginx", "haproxy"] as const;
/** Who speaks TLS. The shared read buffer is not for such connections. */
const TLS_PROXIES = ["lychgate", "nginx", "haproxy"] as const;
const HEADS = capturedHeads().map(({ name }) => name);
/** Those of requests that were POSTs when they were captured: they are sent as POSTs too. */
const POST_HEADS = capturedHeads()
  .filter(({ isPost }) => isPost)
  .map(({ name }) => name);
/** Sizes of responses for `mixed-sizes`: always the same ones. */
const MIXED_SIZES = drawnSizes(200, 12);
/** Connections of a load beside the 64 that every other workload has. */
const OTHER_CONNECTIONS = [1, 16, 512] as const;
const HEAD_WORKLOAD = /^(?:head|post)-(.+)$/;

/** The head of the corpus that a workload sends and no other, by the workload's name; undefined for other workloads. */
export function headOf(workload: string): string | undefined {
  return HEAD_WORKLOAD.exec(workload)?.[1];
}

/** `base` with other numbers of connections, each a stage: `mixed-1`. */
function byConnections({ name, title, load, proxies }: Workload): (readonly Workload[])[] {
  return OTHER_CONNECTIONS.map((connections) => [
    {
      name: `${name}-${connections}`,
      title: `${title}, ${connections === 1 ? "one connection" : `${connections} connections`}`,
      load: { ...load, connections },
      ...(proxies !== undefined && { proxies }),
    },
  ]);
}

/** All workloads, in stages: within a stage each round runs each workload on each proxy in turn. */
export const STAGES: readonly (readonly Workload[])[] = [
  [SMALL_GET],
  [
    {
      name: "rotating-get",
      title: `GET, 1 KiB response, ${HOT_SANDBOXES} hosts in turn`,
      load: { ...smallGet, hosts: HOT_SANDBOXES },
    },
  ],
  ...HEADS.map((head): readonly Workload[] => [
    {
      name: `head-${head}`,
      title: `GET as ${head} sends it, 1 KiB response`,
      load: { ...smallGet, heads: [head] },
      proxies: HEAD_PROXIES,
    },
  ]),
  ...POST_HEADS.map((head): readonly Workload[] => [
    {
      name: `post-${head}`,
      title: `POST of 1 KiB as ${head} sends it, 1 KiB response`,
      load: { ...smallGet, requestBytes: KIB, heads: [head] },
      proxies: HEAD_PROXIES,
    },
  ]),
  [
    {
      name: "mixed-get",
      title: `all ${HEADS.length} heads and ${HOT_SANDBOXES} hosts in turn, 1 KiB response`,
      load: { ...smallGet, heads: HEADS, hosts: HOT_SANDBOXES },
    },
  ],
  [
    {
      name: "mixed-post",
      title: "the same with POSTs of 1 KiB",
      load: { ...smallGet, requestBytes: KIB, heads: HEADS, hosts: HOT_SANDBOXES },
      proxies: HEAD_PROXIES,
    },
  ],
  [
    {
      name: "mixed-sizes",
      title: "all heads in turn, responses of 100 bytes to 900 KB: many small, few large",
      load: { ...smallGet, heads: HEADS, responseSizes: MIXED_SIZES },
      proxies: HEAD_PROXIES,
    },
  ],
  ...byConnections({
    name: "mixed",
    title: `all heads and ${HOT_SANDBOXES} hosts in turn`,
    load: { ...smallGet, heads: HEADS, hosts: HOT_SANDBOXES },
    proxies: HEAD_PROXIES,
  }),
  ...byConnections({
    name: "small-get",
    title: "GET, 1 KiB response",
    load: smallGet,
    proxies: HEAD_PROXIES,
  }),
  [
    {
      name: "small-post",
      title: "POST of 1 KiB, 1 KiB response",
      load: { ...smallGet, requestBytes: KIB },
      proxies: SMALL_MESSAGE_PROXIES,
    },
  ],
  [
    {
      name: "response-64k",
      title: "GET, 64 KiB response",
      load: { ...smallGet, responseBytes: 64 * KIB },
    },
  ],
  [
    {
      name: "response-1m",
      title: "GET, 1 MiB response",
      load: { ...smallGet, responseBytes: KIB * KIB, connections: 16 },
    },
  ],
  [
    {
      name: "upload-64k",
      title: "POST of 64 KiB, 1 KiB response",
      load: { ...smallGet, requestBytes: 64 * KIB },
    },
  ],
  [
    {
      name: "new-client",
      title: "GET, new client connection for each",
      load: { ...smallGet, clientCloses: true },
    },
  ],
  [
    {
      name: "tls-kept",
      title: "GET over TLS, 1 KiB response, kept connections",
      load: { ...smallGet, tls: true },
      proxies: TLS_PROXIES,
    },
  ],
  [
    {
      name: "tls-new",
      title: "GET over TLS, a full handshake (ECDSA P-256) for each",
      load: { ...smallGet, tls: true, clientCloses: true },
      proxies: TLS_PROXIES,
    },
  ],
  [
    {
      name: "new-upstream",
      title: "GET, new upstream connection for each",
      load: { ...smallGet, podsClose: true },
    },
  ],
  [
    {
      name: "websocket",
      title: "WebSocket echo, 64 connections",
      load: { ...smallGet, protocol: "websocket" },
    },
  ],
  [
    {
      name: "idle-clients",
      title: "GET beside 1,000 idle connections",
      load: { ...smallGet, idleConnections: 1000 },
      freshProxy: true,
    },
  ],
  PACED_SHARES.map((percent) => ({
    name: `paced-${percent}`,
    title: `GET at ${percent} % of lychgate's peak`,
    load: smallGet,
    shareOfPeak: percent / 100,
    proxies: [...LYCHGATES, "nginx", "haproxy", "envoy"],
  })),
  [
    {
      name: "paced-get",
      title: "GET at 70 % of lychgate's peak",
      load: smallGet,
      shareOfPeak: 0.7,
      proxies: LYCHGATES,
    },
    {
      name: "churn",
      title: "the same, 1,000 changes/s pushed",
      load: smallGet,
      shareOfPeak: 0.7,
      pushesPerSecond: 1000,
      proxies: LYCHGATES,
    },
    {
      name: "flood",
      title: "the same, 10,000 changes/s pushed",
      load: smallGet,
      shareOfPeak: 0.7,
      pushesPerSecond: 10_000,
      proxies: LYCHGATES,
    },
    {
      name: "pushes-alone",
      title: "1,000 changes/s pushed, no requests",
      load: { ...smallGet, connections: 0 },
      pushesPerSecond: 1000,
      proxies: LYCHGATES,
    },
  ],
];
