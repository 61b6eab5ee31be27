import { FullLaneConnection } from "./full-lane-connection.ts";
import { GuardedSocket } from "./guarded-socket.ts";
import type { ConnectionKind, ConnectSettings, HttpSettings } from "../upstream/pooled-connection.ts";

/** A connection that carries one tunnel, and nothing before or after it. */
export class TunnelConnection extends FullLaneConnection {
  declare readonly socket: GuardedSocket;

  constructor({ maxResponseHeaderBytes }: HttpSettings, connect: ConnectSettings) {
    super(new GuardedSocket(maxResponseHeaderBytes), connect);
  }

  override get used(): boolean {
    return false;
  }
}

/** Connections for tunnels. */
export function tunnelConnections(settings: HttpSettings): ConnectionKind<TunnelConnection> {
  return { open: (connect) => new TunnelConnection(settings, connect) };
}
