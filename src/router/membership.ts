import { hostname, networkInterfaces, type NetworkInterfaceInfo } from "node:os";
import { messageOf } from "../system/error-text.ts";
import type { Clock } from "../system/clock.ts";
import { parseListenAddress } from "../config/listen-address.ts";
import type { Config } from "../config/schema.ts";
import type { Log } from "../system/log.ts";
import type { Metrics } from "../metrics/registry.ts";
import { systemResolver } from "../peers/discovery/dns-resolver.ts";
import { type AddressSource, findMembersIn, staticAddresses } from "../peers/discovery/find-members.ts";
import { addressesOfPods, MEMBERLIST_URL_ANNOTATION } from "../peers/discovery/manager-pods.ts";
import { parsePeerAddress, PEER_ADDRESS_FORM } from "../peers/discovery/peer-address.ts";
import { MemberPeers, type PeerSource } from "../peers/discovery/peer-source.ts";
import { bytesOfHost, isUnicast } from "../peers/memberlist/endpoint.ts";
import type { MemberView } from "../peers/memberlist/memberlist.ts";
import { DEFAULT_BOUNDS, LAN_SETTINGS, type ProtocolSettings } from "../peers/memberlist/settings.ts";
import { startMemberlist } from "../peers/memberlist/start.ts";
import type { ApiCredentials } from "../watch/api-credentials.ts";
import { ApiFault } from "../watch/fault.ts";

/** As OpenKruise's managers and gateways are configured: all members must count with the same numbers. */
const OPENKRUISE_SETTINGS: ProtocolSettings = {
  ...LAN_SETTINGS,
  probeIntervalMs: 500,
  probeTimeoutMs: 200,
  gossipIntervalMs: 500,
};

/** Managers listen there, and expect it of others where no port is given. */
const DEFAULT_PORT = 7946;
/** Longest time for saying farewell. */
const LEAVE_TIMEOUT_MS = 2_000;
/** Longest wait for a page of the managers' pods. */
const POD_LIST_TIMEOUT_MS = 5_000;
/** The most that a member takes in a full exchange: its name and metadata have up to 767 bytes. */
const MEMBER_BYTES = 1_024;
/** A source of addresses that goes on failing is logged once in this time. */
const COMPLAINT_MS = 10 * 60_000;

/** What a router's membership is made of. */
export interface MembershipOptions {
  readonly config: Config["memberlist"];
  /** Loads the API server's credentials, for the list of managers' pods; called only when that is configured. */
  readonly credentials: () => Promise<ApiCredentials>;
  /** Addresses that may take part; undefined is all. */
  readonly allows: ((host: string) => boolean) | undefined;
  /** Reads a file, as text. */
  readonly readFile: (path: string) => string;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: Log;
}

/** This router as a member among managers and other routers. */
export interface Membership {
  /** Which of them are up. */
  readonly peers: PeerSource;
  /** All that are remembered, but this one. */
  members(): MemberView[];
  /** How badly this side keeps up: 0 is well. */
  healthScore(): number;
  /** Says farewell first, within two seconds, unless `abrupt`. */
  stop(abrupt: boolean): Promise<void>;
}

/**
 * Joins the memberlist of `config`, and keeps joining. Undefined when that is off. Rejects with an error that names the
 * setting when a port is taken, an address is none or a key can't be read.
 */
export async function startMembership(options: MembershipOptions): Promise<Membership | undefined> {
  const { config, metrics, clock, log } = options;
  if (!config.enabled) return undefined;
  const name = config.name || `sg-${hostname()}`;
  const { host: bindHost, port } = listenAddressOf(config);
  const advertiseHost = advertiseHostOf(config, bindHost, Object.values(networkInterfaces()));
  const keys = keysOf(config, options.readFile);
  const pods = config.podNamespace === "" ? undefined : await podSource(options, config.podNamespace);
  const peers = new MemberPeers(name);
  try {
    const running = await startMemberlist({
      name,
      bindHost: bindHost ?? (advertiseHost.includes(":") ? "::" : "0.0.0.0"),
      bindPort: port,
      advertiseHost,
      find: findMembersIn({
        sources: [staticAddresses(config.join), ...(pods ? [pods.source] : [])],
        resolver: systemResolver(),
        defaultPort: DEFAULT_PORT,
        failed: complaining(log, clock),
      }),
      allows: options.allows,
      changed: (member) => peers.changed(member),
      settings: OPENKRUISE_SETTINGS,
      bounds: {
        ...DEFAULT_BOUNDS,
        maxMembers: config.maxMembers,
        maxStreamBytes: Math.max(DEFAULT_BOUNDS.maxStreamBytes, config.maxMembers * MEMBER_BYTES),
      },
      label: config.label,
      keys,
      observer: metrics.members,
      clock,
      log,
    });
    log.info("member of a memberlist", {
      name,
      address: advertiseHost,
      port: running.port,
      encrypted: keys.length > 0,
    });
    const others = (): MemberView[] => running.list.members().filter((member) => member.name !== name);
    return {
      peers,
      members: others,
      healthScore: () => running.list.healthScore,
      async stop(abrupt) {
        await Promise.all([running.stop(abrupt ? 0 : LEAVE_TIMEOUT_MS), pods?.close()]);
      },
    };
  } catch (error) {
    await pods?.close();
    throw named("memberlist.listen", messageOf(error), error);
  }
}

/**
 * The IP address where others reach this machine: what is configured, else what is listened on, else the first address
 * that is not loopback, IPv4 if there is one.
 */
export function advertiseHostOf(
  { advertiseAddress }: Pick<Config["memberlist"], "advertiseAddress">,
  bindHost: string | undefined,
  interfaces: readonly (readonly NetworkInterfaceInfo[] | undefined)[],
): string {
  if (advertiseAddress !== "") return advertiseAddress;
  const bound = bindHost === undefined ? undefined : bytesOfHost(bindHost);
  if (bindHost !== undefined && bound && isUnicast(bound)) return bindHost;
  const own = interfaces.flatMap((addresses) => addresses ?? []).filter(({ internal }) => !internal);
  // A link-local address needs a zone, which no message can carry.
  const usable = own.filter(({ address }) => !address.startsWith("fe80:"));
  const found = usable.find(({ family }) => family === "IPv4") ?? usable[0];
  if (found) return found.address;
  throw named("memberlist.advertiseAddress", "is needed, since this machine has no address but loopback");
}

/** Keys of `memberlist.keyFile`: a line each, in base64. The error says nothing of what the file holds. */
export function keysOf(
  { keyFile }: Pick<Config["memberlist"], "keyFile">,
  readFile: (path: string) => string,
): Buffer[] {
  if (keyFile === "") return [];
  let text: string;
  try {
    text = readFile(keyFile);
  } catch (error) {
    throw named("memberlist.keyFile", `can't be read: ${messageOf(error)}`, error);
  }
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  const keys = lines.filter((line) => line !== "" && !line.startsWith("#"));
  if (keys.length === 0) throw named("memberlist.keyFile", `(${keyFile}) holds no key`);
  return keys.map((line, i) => {
    const key = Buffer.from(line, "base64");
    const isBase64 = key.toString("base64").replace(/=+$/, "") === line.replace(/=+$/, "");
    if (isBase64 && [16, 24, 32].includes(key.length)) return key;
    throw named("memberlist.keyFile", `(${keyFile}): key ${i + 1} must be 16, 24 or 32 bytes in base64`);
  });
}

function listenAddressOf({ listen, join }: Config["memberlist"]): { host: string | undefined; port: number } {
  for (const text of join) {
    if (!parsePeerAddress(text, DEFAULT_PORT))
      throw named("memberlist.join", `holds ${JSON.stringify(text)}, which is not ${PEER_ADDRESS_FORM}`);
  }
  const address = parseListenAddress(listen);
  if ("fault" in address) throw named("memberlist.listen", address.fault);
  if (address.host !== undefined && !bytesOfHost(address.host))
    throw named("memberlist.listen", `must have an IP address, not the name ${address.host}`);
  return address;
}

interface PodSource {
  readonly source: AddressSource;
  close(): Promise<void>;
}

async function podSource(
  { config, credentials, clock }: MembershipOptions,
  namespace: string,
): Promise<PodSource> {
  // Imported late: undici costs 30 MB, which a router without an API server need not have.
  const [{ createApiClient }, { ObjectReader }, { podsWithAnnotation }] = await Promise.all([
    import("../watch/api-client.ts"),
    import("../watch/object-reader.ts"),
    import("../watch/pod-projection.ts"),
  ]);
  const api = createApiClient({ credentials: await credentials(), clock });
  const reader = new ObjectReader({
    target: {
      resource: podsWithAnnotation(MEMBERLIST_URL_ANNOTATION),
      selector: config.podSelector || undefined,
    },
    api,
    pageSize: 100,
    maxPageBytes: 32 * 1024 * 1024,
    timeoutMs: POD_LIST_TIMEOUT_MS,
  });
  return {
    source: {
      name: `the pods of ${namespace}`,
      addresses: async () => {
        try {
          return addressesOfPods((await reader.readNamespace(namespace)).observations.values());
        } catch (error) {
          if (!(error instanceof ApiFault) || error.code !== "forbidden") throw error;
          const advice = `grant list on pods in namespace ${namespace} (a Role)`;
          throw new Error(`${error.message}; ${advice}`, { cause: error });
        }
      },
    },
    async close() {
      reader.stop();
      await api.close();
    },
  };
}

/** Logs what failed, each thing once in {@link COMPLAINT_MS}: looking for members never ends. */
function complaining(log: Log, clock: Clock): (what: string, error: unknown) => void {
  const complainedMs = new Map<string, number>();
  return (what, error) => {
    const nowMs = clock.monotonicMs();
    const lastMs = complainedMs.get(what) ?? Number.NEGATIVE_INFINITY;
    if (nowMs - lastMs < COMPLAINT_MS) return;
    // The annotations of pods that come and go.
    if (complainedMs.size >= 1_000) complainedMs.clear();
    complainedMs.set(what, nowMs);
    log.warn("looking for members of the memberlist failed", { where: what, error });
  };
}

function named(key: string, message: string, cause?: unknown): Error {
  return new Error(`${key}: ${message}`, { cause });
}
