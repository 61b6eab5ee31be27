import { randomUUID } from "node:crypto";
import type { Clock } from "../system/clock.ts";
import type { Config } from "../config/schema.ts";
import type { Log } from "../system/log.ts";
import { PacedLog } from "../system/paced-log.ts";
import type { Metrics } from "../metrics/registry.ts";
import { AntiEntropy, type ReplicaAddress } from "../peers/anti-entropy/anti-entropy.ts";
import { answerExchange } from "../peers/anti-entropy/exchange-answers.ts";
import { httpReplica } from "../peers/anti-entropy/http-replica.ts";
import { LocalReplica } from "../peers/anti-entropy/local-replica.ts";
import { systemResolver } from "../peers/discovery/dns-resolver.ts";
import { findMembersIn, staticAddresses } from "../peers/discovery/find-members.ts";
import type { PeerSource } from "../peers/discovery/peer-source.ts";
import { PolledPeers } from "../peers/discovery/polled-peers.ts";
import type { ReplicaAnswers } from "../peers/replica-requests.ts";
import type { RouteTable } from "../routes/table.ts";
import { SnapshotBytes, SnapshotChecksum } from "../snapshot/snapshot-bytes.ts";
import { isHeard, writeSnapshot } from "../snapshot/snapshot-writer.ts";
import { type SnapshotGivers, snapshotSourceOf } from "./snapshots.ts";

/** What comparing replicas is made of. */
export interface ReplicasOptions {
  readonly config: Config;
  readonly table: RouteTable;
  /** Members of the memberlist, once it has begun. */
  readonly members: () => PeerSource | undefined;
  /** URL of the API server, without credentials. */
  readonly server: string;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: Log;
}

/** This router among its replicas. */
export interface Replicas extends SnapshotGivers {
  /** Answers them, on the peer port. */
  readonly answers: ReplicaAnswers;
  /** Begins to compare. */
  start(): void;
  stop(): Promise<void>;
}

/** OpenKruise's gateways and Lychgate's routers take such names; managers take `sm-…`, and have nothing to compare. */
const ROUTER_NAME = /^sg-/;
const ASK_TIMEOUT_MS = 5_000;
const CONNECT_TIMEOUT_MS = 2_000;
/** A page of facts has half a MiB, and one route more. */
const MAX_ANSWER_BYTES = 1 << 20;
const SNAPSHOT_TIMEOUT_MS = 120_000;
/** About two million sandboxes. */
const MAX_SNAPSHOT_BYTES = 2 ** 30;
/** How often names are looked up again. */
const FIND_EVERY_MS = 30_000;
const LOG_EVERY_MS = 10 * 60_000;

/** Compares this router with its replicas (`antiEntropy.enabled`). Undefined when that is off: then nothing is imported or kept. */
export async function createReplicas(options: ReplicasOptions): Promise<Replicas | undefined> {
  const { config, table, members, server, metrics, clock, log } = options;
  const { enabled, peers, port, intervalMs } = config.antiEntropy;
  if (!enabled) return undefined;
  // Imported late: undici costs 30 MB.
  const { Agent } = await import("undici");
  const dispatcher = new Agent({
    connect: { timeout: CONNECT_TIMEOUT_MS },
    connections: 1,
    pipelining: 1,
    headersTimeout: ASK_TIMEOUT_MS,
    bodyTimeout: ASK_TIMEOUT_MS,
  });
  const local = new LocalReplica({
    table,
    watched: config.source === "kubernetes",
    selector: config.selector,
    instance: randomUUID(),
  });
  const complaints = new PacedLog(log, clock, LOG_EVERY_MS);
  const listed = new PolledPeers({
    find: findMembersIn({
      sources: [staticAddresses(peers)],
      resolver: systemResolver(),
      defaultPort: port,
      failed: (where, error) =>
        complaints.tell("warn", "looking for other routers failed", () => ({ where, error }), where),
    }),
    // It knows itself by its instance.
    isSelf: () => false,
    intervalMs: FIND_EVERY_MS,
    clock,
  });
  const addresses = (): readonly ReplicaAddress[] => {
    const found = new Map<string, ReplicaAddress>();
    const routers =
      members()
        ?.peers()
        .filter(({ name }) => ROUTER_NAME.test(name)) ?? [];
    for (const peer of [...listed.peers(), ...routers]) {
      const address = { host: peer.host, port: peer.port ?? port };
      found.set(originOf(address), address);
    }
    return [...found.values()];
  };
  const antiEntropy = new AntiEntropy({
    local,
    sink: {
      relayUpdate: (route, from) => table.pushUpdate(route, clock.nowMs(), from, false, true),
      relayDelete: (push, from) => table.pushDelete(push, clock.nowMs(), from, false, true),
    },
    replicas: addresses,
    connect: (address) =>
      httpReplica({
        origin: originOf(address),
        dispatcher,
        timeoutMs: ASK_TIMEOUT_MS,
        maxBytes: MAX_ANSWER_BYTES,
      }),
    ready: () => table.synced,
    intervalMs,
    observer: metrics.antiEntropy,
    clock,
    log,
  });
  metrics.readFrom({ antiEntropyDrift: () => antiEntropy.drift });
  const source = snapshotSourceOf(config, table, server);
  return {
    answers: {
      answer: (path, query) => answerExchange(local, path, query),
      snapshot() {
        if (config.source === "none" || !isHeard(table)) return undefined;
        return async (write) => {
          const checksum = new SnapshotChecksum();
          const writeLines = async (lines: string): Promise<void> => {
            checksum.add(lines);
            await write(lines);
          };
          await writeSnapshot({ table, source, nowMs: () => clock.nowMs(), write: writeLines });
          await write(checksum.line());
        };
      },
    },
    addresses,
    async snapshotOf(address) {
      const { statusCode, body } = await dispatcher.request({
        origin: originOf(address),
        path: "/anti-entropy/snapshot",
        method: "GET",
        signal: AbortSignal.timeout(SNAPSHOT_TIMEOUT_MS),
      });
      if (statusCode !== 200) {
        await body.dump();
        throw new Error(`it answered ${statusCode}`);
      }
      const bytes = new SnapshotBytes(source);
      let length = 0;
      for await (const chunk of body as AsyncIterable<Buffer>) {
        length += chunk.length;
        if (length > MAX_SNAPSHOT_BYTES) throw new Error(`it is longer than ${MAX_SNAPSHOT_BYTES} bytes`);
        bytes.take(chunk);
      }
      return bytes.finish();
    },
    start() {
      listed.start();
      antiEntropy.start();
    },
    async stop() {
      listed.stop();
      antiEntropy.stop();
      local.stop();
      await dispatcher.destroy();
    },
  };
}

function originOf({ host, port }: ReplicaAddress): string {
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}
