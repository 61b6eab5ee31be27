import type { Config } from "../config/schema.ts";
import type { PeerBook } from "../history/peer-book.ts";
import type { Metrics } from "../metrics/registry.ts";
import { createPeerServer, type PeerServer, type PeerServerOptions } from "../peers/peer-server.ts";
import { SecretKeys } from "../system/secret-keys.ts";
import type { ReadinessCheck } from "../peers/readiness.ts";
import type { Clock } from "../system/clock.ts";
import type { Log } from "../system/log.ts";
import { listenAddress, withHost } from "./listeners.ts";

/** What the peer port needs beside the configuration. */
export interface PeerPortOptions {
  readonly config: Config;
  readonly sink: PeerServerOptions["sink"];
  readonly readiness: readonly ReadinessCheck[];
  /** Whether an address may push. Absent: each may. */
  readonly mayPush: PeerServerOptions["mayPush"] | undefined;
  readonly replicas: PeerServerOptions["replicas"] | undefined;
  /** Is told of refused pushes. */
  readonly book: PeerBook;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: Log;
}

/** The server of the peer port, as the configuration wants it: who may push, with which proof, and how much. */
export function createPeerPort(options: PeerPortOptions): PeerServer {
  const { config, sink, readiness, mayPush, replicas, book, metrics, clock, log } = options;
  const { peers } = config;
  const hmacKeys =
    peers.hmacKeyFiles.length > 0
      ? new SecretKeys({ setting: "peers.hmacKeyFiles", paths: peers.hmacKeyFiles, clock, log })
      : undefined;
  const server = createPeerServer({
    ...withHost(listenAddress(config.peerListen)),
    sink,
    maxConnections: peers.maxConnections,
    maxConnectionsPerAddress: peers.maxConnectionsPerAddress,
    connectionEvicted: () => metrics.connectionEvicted("peers"),
    observer: metrics.peers,
    readinessChecks: readiness,
    ...(mayPush && { mayPush }),
    proof: {
      require: peers.require,
      ...(hmacKeys && { hmac: { keys: () => hmacKeys.current, windowMs: peers.hmacWindowMs } }),
      ...(peers.tlsCertFile !== "" && {
        tls: {
          certFile: peers.tlsCertFile,
          keyFile: peers.tlsKeyFile,
          caFile: peers.tlsCaFile,
          names: peers.tlsNames,
        },
      }),
      observer: (method, result) => metrics.peers.proof(method, result),
      refused: (address) => book.refused(address, clock.nowMs()),
    },
    ...(replicas && { replicas }),
    rates: {
      pushesPerSender: peers.maxPushesPerSecond,
      bytesPerSender: peers.maxPushBytesPerSecond,
      pushesInAll: peers.maxTotalPushesPerSecond,
      bytesInAll: peers.maxTotalPushBytesPerSecond,
    },
    clock,
    log,
  });
  return {
    listen: () => server.listen(),
    close() {
      hmacKeys?.stop();
      return server.close();
    },
  };
}
