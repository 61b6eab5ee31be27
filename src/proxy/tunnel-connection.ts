import { FullLaneConnection } from "./full-lane-connection.ts";
import type { ConnectionKind, ConnectSettings } from "./pooled-connection.ts";
import { UpstreamSocket } from "./upstream-socket.ts";

/** A connection that carries one tunnel, and nothing before or after it. */
export class TunnelConnection extends FullLaneConnection {
  constructor(connect: ConnectSettings) {
    super(new UpstreamSocket(), connect);
  }

  override get used(): boolean {
    return false;
  }
}

/** Connections for tunnels. */
export const tunnelConnections: ConnectionKind<TunnelConnection> = {
  open: (connect) => new TunnelConnection(connect),
};
