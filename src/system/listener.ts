import type { Server } from "node:http";
import type { AddressInfo, Server as NetServer } from "node:net";
import type { Milliseconds } from "./clock.ts";

/** Where a server listens. */
export interface ListenerAddress {
  /** All addresses when absent. */
  readonly host?: string | undefined;
  /** 0 lets the system choose. */
  readonly port: number;
  /** Other processes may listen on the port too; the system spreads connections. Default false. */
  readonly reusePort?: boolean;
}

/** What the kernel allows at most by default (`net.core.somaxconn`): in a flood a probe waits behind those that came before it. */
const BACKLOG = 4096;

/**
 * Makes `server` listen; resolves once connections are accepted. `purpose` says in the error what for: `listening for
 * peers on *:7789 failed: …`, with the system's error as `cause`. Call it once for each server.
 */
export function openListener(
  server: NetServer,
  purpose: string,
  address: ListenerAddress,
): Promise<AddressInfo> {
  const { host, port, reusePort = false } = address;
  return new Promise((resolve, reject) => {
    server.once("error", (cause: Error) => {
      reject(
        new Error(`listening for ${purpose} on ${host ?? "*"}:${port} failed: ${cause.message}`, { cause }),
      );
    });
    server.listen({ host, port, reusePort, backlog: BACKLOG }, () => {
      // Afterwards only accept() can fail (EMFILE, say); the next connection tries again.
      server.on("error", () => {});
      resolve(server.address() as AddressInfo);
    });
  });
}

/** Accepts no more, lets requests that have arrived finish within `graceMs`, and cuts the rest. */
export function closeListener(server: Server, graceMs: Milliseconds): Promise<void> {
  return new Promise((resolve) => {
    const cut = setTimeout(() => server.closeAllConnections(), graceMs);
    server.close(() => {
      clearTimeout(cut);
      resolve();
    });
    server.closeIdleConnections();
  });
}
