import type { AddressInfo } from "node:net";
import { type ListenAddress, parseListenAddress } from "../config/listen-address.ts";
import type { Config } from "../config/schema.ts";
import { flagOf } from "../config/settings.ts";
import { messageOf } from "../system/error-text.ts";
import type { TrafficAddresses } from "./traffic.ts";

/** The address that a setting has. The schema has checked it. */
export function listenAddress(text: string): ListenAddress {
  const address = parseListenAddress(text);
  if ("fault" in address) throw new Error(`the listen address ${JSON.stringify(text)} ${address.fault}`);
  return address;
}

/** A listen address as `node:net` takes it. */
export function withHost({ host, port }: ListenAddress): { readonly host?: string; readonly port: number } {
  return host === undefined ? { port } : { host, port };
}

const LISTENERS = ["listen", "peerListen", "adminListen"] as const;

/** Where a router listens. */
export interface Addresses {
  readonly traffic: AddressInfo;
  /** Absent without `tls.listen`. */
  readonly tls?: AddressInfo | undefined;
  readonly peers: AddressInfo;
  readonly admin: AddressInfo;
}

/**
 * Opens all listeners, and says of all that can't be opened which setting each is about: a taken port is the likeliest fault of
 * a first start, and rarely comes alone. Those that were opened are for the caller to close.
 */
export async function listenOnAll(
  config: Config,
  open: {
    readonly traffic: () => Promise<TrafficAddresses>;
    readonly peers: () => Promise<AddressInfo>;
    readonly admin: () => Promise<AddressInfo>;
  },
): Promise<Addresses> {
  const [ofTraffic, ...ofOthers] = await Promise.allSettled([open.traffic(), open.peers(), open.admin()]);
  const results = [ofTraffic, ...ofOthers];
  const faults: string[] = [];
  const others: string[] = [];
  results.forEach((result, index) => {
    if (result.status === "fulfilled") return;
    const error: unknown = result.reason;
    const key =
      error instanceof Error && error.message.startsWith("listening for TLS")
        ? "tls.listen"
        : LISTENERS[index];
    if (key === undefined) return;
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    faults.push(`${key} (${flagOf(key)}): ${messageOf(cause)}`);
    const address = key === "tls.listen" ? config.tls.listen : config[key];
    if (cause instanceof Error && "code" in cause && cause.code === "EADDRINUSE")
      others.push(`${flagOf(key)} ${address.replace(/\d+$/, "0")}`);
  });
  const [peers, admin] = ofOthers.map((result) => (result.status === "fulfilled" ? result.value : undefined));
  if (ofTraffic.status === "fulfilled" && peers && admin) {
    const { plain: traffic, tls } = ofTraffic.value;
    return { traffic, peers, admin, ...(tls && { tls }) };
  }
  const advice =
    others.length > 0
      ? `. Does another router run here? This one needs other ports, such as: ${others.join(" ")} (0 takes a free one)`
      : "";
  throw new Error(`${faults.join("; ")}${advice}`, {
    cause: results.find(({ status }) => status === "rejected"),
  });
}
