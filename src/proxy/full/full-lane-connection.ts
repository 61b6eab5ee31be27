import type { TimerHandle } from "../../system/clock.ts";
import { PooledConnection } from "../upstream/pooled-connection.ts";
import type { ConnectSettings } from "../upstream/pooled-connection.ts";
import type { UpstreamSocket } from "../upstream/upstream-socket.ts";

/** A connection that one of the full lane's libraries speaks on: with a timer of its own while it connects. */
export abstract class FullLaneConnection extends PooledConnection {
  readonly #connectTimer: TimerHandle;

  constructor(socket: UpstreamSocket, connect: ConnectSettings) {
    super(socket, connect);
    const { clock, connectTimeoutMs } = connect;
    this.#connectTimer = clock.setTimeout(() => this.connectTimedOut(connectTimeoutMs), connectTimeoutMs);
    this.connect();
  }

  override destroy(): void {
    this.#connectTimer.clear();
    super.destroy();
  }

  protected override onOpen(): void {
    this.#connectTimer.clear();
    this.socket.setNoDelay(true);
    // Pods behind a NAT or on a lost node are noticed while a stream is silent.
    this.socket.setKeepAlive(true, 30_000);
  }

  protected override onOpenFailed(): void {
    this.#connectTimer.clear();
  }
}
