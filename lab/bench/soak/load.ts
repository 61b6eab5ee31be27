import { capturedHeads } from "../heads/heads.ts";
import { startHttpLoad } from "../http-load.ts";
import type { Load } from "../http-load.ts";
import type { LoadPlan } from "../load-plan.ts";
import { LoadTally } from "../load-tally.ts";
import { startPushLoad } from "../push-load.ts";
import { drawnSizes } from "../size-distribution.ts";
import { startWebSocketLoad } from "../websocket-load.ts";
import { startLives } from "./lives.ts";

/** Where the load goes, and how much of it. */
export interface SoakTarget {
  readonly port: number;
  readonly peerPort: number;
  readonly podPort: number;
  readonly ratePerSecond: number;
  readonly livesPerSecond: number;
}

/** A running load of everything. */
export interface SoakLoad {
  /** Requests of all kinds, and their wrong answers. */
  readonly requests: LoadTally;
  /** Echoes of the WebSockets. */
  readonly webSockets: LoadTally;
  /** Sandboxes that were created and ended, with each answer right. */
  livesEnded(): number;
  /** Changes to other sandboxes that were pushed. */
  pushes(): number;
  stop(): Promise<void>;
}

const KIB = 1024;
const SEED = 12;
const PUSHES_PER_SECOND = 100;
const WEBSOCKETS = 32;
const WEBSOCKET_PAUSE_MS = 250;
/** So long does a set of WebSockets live before another takes its place. */
const WEBSOCKET_LIFE_MS = 20_000;

const common = {
  hosts: 20,
  podsClose: false,
  clientCloses: false,
  requestBytes: 0,
  responseBytes: KIB,
  connections: 16,
};
const heads = capturedHeads().map(({ name }) => name);

/** Kinds of requests and their share of the rate. */
const KINDS: readonly (readonly [share: number, plan: Partial<LoadPlan>])[] = [
  [0.7, { heads, connections: 48, responseSizes: drawnSizes(50, SEED, 256 * KIB) }],
  [0.25, { heads, requestBytes: KIB }],
  [0.01, { heads, requestBytes: 64 * KIB }],
  [0.02, { clientCloses: true }],
  [0.02, { heads, podsClose: true, hosts: 10 }],
];

/**
 * Starts all of it: heads of real programs in turn with sizes drawn from a distribution, POSTs, uploads, new connections on
 * both sides, WebSockets that come and go, changes of sandboxes by pushes, and whole lives of sandboxes.
 */
export function startSoakLoad(target: SoakTarget): SoakLoad {
  const { port, peerPort, podPort, ratePerSecond } = target;
  const requests = new LoadTally();
  const webSockets = new LoadTally();
  const failed = (message: string): void => requests.failed(message);
  const loads = KINDS.map(([share, plan]) =>
    startHttpLoad(
      {
        port,
        pid: process.pid,
        core: 0,
        protocol: "http",
        idleConnections: 0,
        warmupMs: 0,
        measureMs: 0,
        timerClock: true,
        ...common,
        ...plan,
        ratePerSecond: ratePerSecond * share,
      },
      podPort,
      requests,
    ),
  );
  const openWebSockets = (): Load =>
    startWebSocketLoad(
      { port, hosts: 200, connections: WEBSOCKETS },
      podPort,
      webSockets,
      WEBSOCKET_PAUSE_MS,
    );
  let sockets = openWebSockets();
  const renewal = setInterval(() => {
    void sockets.stop();
    sockets = openWebSockets();
  }, WEBSOCKET_LIFE_MS);
  const pushes = startPushLoad(peerPort, PUSHES_PER_SECOND, failed);
  const lives = startLives(target, failed);
  return {
    requests,
    webSockets,
    livesEnded: () => lives.ended,
    pushes: () => pushes.answered,
    async stop() {
      clearInterval(renewal);
      lives.stop();
      pushes.stop();
      await Promise.all([sockets, ...loads].map((each) => each.stop()));
    },
  };
}
