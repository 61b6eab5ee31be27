import type { AddressInfo } from "node:net";
import { type ListenAddress, parseListenAddress } from "../config/listen-address.ts";
import type { Config } from "../config/schema.ts";
import { flagOf } from "../config/settings.ts";
import { messageOf } from "../system/error-text.ts";

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

const LISTENERS = [
  ["traffic", "listen"],
  ["peers", "peerListen"],
  ["admin", "adminListen"],
] as const;

/** Where a router listens. */
export type Addresses = Readonly<Record<(typeof LISTENERS)[number][0], AddressInfo>>;

/**
 * Opens all listeners, and says of all that can't be opened which setting each is about: a taken port is the likeliest fault of
 * a first start, and rarely comes alone. Those that were opened are for the caller to close.
 */
export async function listenOnAll(
  config: Config,
  open: Readonly<Record<(typeof LISTENERS)[number][0], () => Promise<AddressInfo>>>,
): Promise<Addresses> {
  const results = await Promise.allSettled(LISTENERS.map(([name]) => open[name]()));
  const faults: string[] = [];
  const others: string[] = [];
  results.forEach((result, index) => {
    const key = LISTENERS[index]?.[1];
    if (result.status === "fulfilled" || key === undefined) return;
    const error: unknown = result.reason;
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    faults.push(`${key} (${flagOf(key)}): ${messageOf(cause)}`);
    if (cause instanceof Error && "code" in cause && cause.code === "EADDRINUSE")
      others.push(`${flagOf(key)} ${config[key].replace(/\d+$/, "0")}`);
  });
  const [traffic, peers, admin] = results.map((result) =>
    result.status === "fulfilled" ? result.value : undefined,
  );
  if (traffic && peers && admin) return { traffic, peers, admin };
  const advice =
    others.length > 0
      ? `. Does another router run here? This one needs other ports, such as: ${others.join(" ")} (0 takes a free one)`
      : "";
  throw new Error(`${faults.join("; ")}${advice}`, {
    cause: results.find(({ status }) => status === "rejected"),
  });
}
