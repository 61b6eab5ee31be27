import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";

import type { Milliseconds } from "../../system/clock.ts";
import { shareOfRequest } from "../upstream/client-share.ts";
import type { Lessee } from "../upstream/incarnation-pool.ts";
import type { FullLaneOptions } from "./exchange.ts";
import type { Passage } from "../passage/lane.ts";
import type { ConnectionKind } from "../upstream/pooled-connection.ts";
import { closeWithReply } from "../reply/raw-reply.ts";
import type { RefusalReason } from "../reply/reasons.ts";
import { replyFor } from "../reply/reply.ts";
import { RequestTrace } from "../record/request-trace.ts";
import { seekPassage } from "./seek-passage.ts";
import type { PassageSeeker } from "./seek-passage.ts";
import type { Transport } from "../transport/transport.ts";
import { tracedRequest } from "../record/traced-request.ts";
import { Tunnel } from "./tunnel.ts";
import type { TunnelRequest } from "./tunnel.ts";
import type { TunnelConnection } from "./tunnel-connection.ts";
import { exchangeFailure } from "../upstream/upstream-error.ts";
import type { UpstreamError } from "../upstream/upstream-error.ts";
import type { UpgradeRequest } from "./upgrade-request.ts";

/** What the upgrade lane needs beside {@link FullLaneOptions}. */
export interface UpgradeLaneOptions extends FullLaneOptions {
  readonly transport: Transport;
  readonly tunnels: ConnectionKind<TunnelConnection>;
  /** From the upgrade request to the pod's answer. 0: no limit. */
  readonly handshakeTimeoutMs: Milliseconds;
  /** How long one side may take to close after the other did. */
  readonly closeTimeoutMs: Milliseconds;
}

/** An upgraded connection, or one that asks to be, as the server sees it. */
export interface OpenTunnel {
  /** See {@link Tunnel.drain}; a handshake under way may finish. */
  drain(): void;
  /** Cuts both sides at once. */
  abort(reason: RefusalReason): void;
}

/**
 * Takes an upgrade request all the way: verdict, pod, tunnel, and one record when the tunnel ends. Refusals are
 * ordinary HTTP replies, of ours or of the pod. Must be called in the same tick as node:http's `upgrade` event:
 * from then on an unheard `error` of the socket would end the process. Nothing is thrown.
 */
export function handleUpgrade(
  request: IncomingMessage,
  client: Socket,
  head: Buffer,
  upgrade: UpgradeRequest,
  options: UpgradeLaneOptions,
): OpenTunnel {
  client.on("error", () => {});
  const handled = new HandledUpgrade(request, client, head, upgrade, options);
  handled.begin();
  return handled;
}

class HandledUpgrade implements Lessee<TunnelConnection>, OpenTunnel, PassageSeeker {
  readonly trace: RequestTrace;
  readonly client: string;
  readonly #client: Socket;
  readonly #head: Buffer;
  readonly #upgrade: UpgradeRequest;
  readonly #options: UpgradeLaneOptions;
  #outbound: TunnelRequest | undefined;
  #tunnel: Tunnel | undefined;
  #cancelHold: (() => void) | undefined;
  #cancelLease: (() => void) | undefined;
  #draining = false;
  #status = 499;

  constructor(
    request: IncomingMessage,
    client: Socket,
    head: Buffer,
    upgrade: UpgradeRequest,
    options: UpgradeLaneOptions,
  ) {
    this.#client = client;
    this.#head = head;
    this.#upgrade = upgrade;
    this.#options = options;
    this.trace = new RequestTrace(tracedRequest(request), options);
    this.client = shareOfRequest(this.trace, options.trustForwarded);
    client.once("close", () => this.#closed());
    // Told even of a socket that nobody reads, when it is empty, and not told again to a tunnel that begins later.
    client.once("end", this.#onEarlyEnd);
  }

  begin(): void {
    this.#cancelHold = seekPassage(this, this.#options);
  }

  get isOver(): boolean {
    return this.#client.destroyed;
  }

  broke(): void {
    this.refuse("internal_error");
  }

  granted(connection: TunnelConnection): void {
    const outbound = this.#outbound;
    if (!outbound || this.#client.destroyed) {
      connection.discard();
      return;
    }
    this.#client.off("end", this.#onEarlyEnd);
    this.trace.sentOn(connection);
    this.#tunnel = new Tunnel(this.#client, this.#head, connection, outbound, this.#options, {
      answered: (status) => {
        this.#status = status;
        this.trace.upgraded = status === 101;
        this.trace.firstByte();
      },
      failed: (error) => this.#failed(error),
      cut: (reason) => {
        this.trace.reason ??= reason;
      },
      informational: (text) => void this.#client.write(text, "latin1"),
      bytesIn: (count) => {
        this.trace.bytesIn += count;
      },
      bytesOut: (count) => {
        this.trace.bytesOut += count;
      },
    });
    try {
      this.#tunnel.start();
      if (this.#draining) this.#tunnel.drain();
    } catch (error) {
      connection.discard();
      this.#failed(error instanceof Error ? error : new Error(String(error)));
    }
  }

  refused(error: UpstreamError): void {
    this.#failed(error);
  }

  cut(error: UpstreamError): void {
    this.#tunnel?.cut(error);
  }

  drain(): void {
    this.#draining = true;
    this.#tunnel?.drain();
  }

  abort(reason: RefusalReason): void {
    this.#cancelHold?.();
    this.#cancelLease?.();
    if (this.#tunnel) this.#tunnel.abort(reason);
    this.trace.reason ??= reason;
    this.#client.destroy();
  }

  forward({ verdict, head }: Extract<Passage, { kind: "forward" }>): void {
    if (this.#options.draining()) {
      this.refuse("draining");
      return;
    }
    const { method, path, headers } = head;
    this.#outbound = { method, path, headers, ...this.#upgrade };
    const { incarnation, port } = verdict;
    const { upstreams } = this.#options;
    const options = { kind: this.#options.tunnels, port, want: "tunnel" } as const;
    this.#cancelLease = upstreams.lease(incarnation, options, this);
  }

  #failed(error: Error): void {
    const reason = exchangeFailure(error);
    this.#options.refusals.tell(this.trace, reason, error);
    this.refuse(reason);
  }

  refuse(reason: RefusalReason, message?: string): void {
    if (this.#client.destroyed) return;
    this.trace.reason = reason;
    const reply = replyFor(reason, this.trace.replyContext(message));
    this.#status = reply.status;
    this.trace.bytesOut = reply.body.length;
    closeWithReply(this.#client, reply, this.#options.clock);
  }

  readonly #onEarlyEnd = (): void => {
    // No one waits for the answer.
    this.#client.destroy();
  };

  #closed(): void {
    this.#cancelHold?.();
    this.#cancelLease?.();
    const reason = this.trace.reason ?? (this.#status === 499 ? "client_closed" : "ok");
    this.trace.end(this.#status, reason);
  }
}
