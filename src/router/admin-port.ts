import { readFileSync } from "node:fs";
import { type AdminServer, type AdminServerOptions, createAdminServer } from "../admin/admin-server.ts";
import { adminTokenOf } from "../config/admin-token.ts";
import type { Config } from "../config/schema.ts";
import type { Metrics } from "../metrics/registry.ts";
import type { Log } from "../system/log.ts";
import { VERSION } from "../system/version.ts";
import { listenAddress, withHost } from "./listeners.ts";

/** The admin port, as the configuration wants it. */
export interface AdminPort extends Pick<AdminServer, "listen" | "close"> {
  /** Reads who may ask by a later configuration, and returns what puts that in effect. Throws when the file of the token can't be read. */
  accessOf(next: Config): () => void;
}

/** What the admin port needs beside the configuration. */
export interface AdminPortOptions {
  readonly config: Config;
  readonly source: AdminServerOptions["source"];
  /** By {@link readAdminToken}. */
  readonly token: string | undefined;
  readonly metrics: Metrics;
  readonly log: Log;
}

/** Makes the admin port. Nothing listens yet. */
export function createAdminPort({ config, source, token, metrics, log }: AdminPortOptions): AdminPort {
  const address = listenAddress(config.adminListen);
  const hostsOf = ({ admin: { hosts } }: Config): string[] => [
    ...(address.host === undefined ? [] : [address.host.toLowerCase()]),
    ...hosts,
  ];
  const server = createAdminServer({
    ...withHost(address),
    maxConnections: config.admin.maxConnections,
    maxConnectionsPerAddress: config.admin.maxConnectionsPerAddress,
    connectionEvicted: () => metrics.connectionEvicted("admin"),
    version: VERSION,
    source,
    token,
    hosts: hostsOf(config),
    log,
  });
  let inEffect = JSON.stringify([token, hostsOf(config)]);
  return {
    listen: () => server.listen(),
    close: () => server.close(),
    accessOf(next) {
      const access = { token: readAdminToken(next), hosts: hostsOf(next) };
      const text = JSON.stringify([access.token, access.hosts]);
      return () => {
        // Live streams end with each change; a reload of something else need not end them.
        if (text !== inEffect) server.changeAccess(access);
        inEffect = text;
      };
    },
  };
}

/** The token that the configuration has, or its file. Throws when that can't be read. */
export function readAdminToken(config: Config): string | undefined {
  return adminTokenOf(config, (path) => readFileSync(path, "utf8"));
}
