import type { AddressInfo } from "node:net";
import type { ListenerAddress } from "../system/listener.ts";
import type { Milliseconds } from "../system/clock.ts";
import type { ObjectKey } from "../routes/route.ts";
import type { RouteBatch } from "./route-batch.ts";

/** Why a sandbox was not woken; `unavailable`: the API server does not answer. */
export type WakeFailure = "failed" | "unavailable";

/** Where a worker accepts connections. */
export interface WorkerAddresses {
  readonly plain: AddressInfo;
  /** Absent without a TLS listener. */
  readonly tls: AddressInfo | undefined;
}

/** What a worker is told first. */
export interface StartMessage {
  readonly kind: "start";
  /** 0 … workers − 1; a replacement has the number of the one whose place it takes. */
  readonly worker: number;
  /** The router's configuration and name, passed through as they are. Here and not in `argv` or the environment, which others see. */
  readonly settings: unknown;
  /** Port 0 lets the system choose; the others are told what it chose. */
  readonly listen: ListenerAddress;
  /** The same for the TLS listener, if there is one. */
  readonly listenTls: ListenerAddress | undefined;
}

/** From the primary to a worker. */
export type ToWorker =
  | StartMessage
  | { readonly kind: "routes"; readonly batch: RouteBatch }
  /** The configuration changed while it runs; `settings` as in {@link StartMessage}, whole. */
  | { readonly kind: "settings"; readonly settings: unknown }
  /** `names`: only these; absent: all. */
  | { readonly kind: "metrics"; readonly request: number; readonly names?: readonly string[] | undefined }
  /** A sandbox that a worker asked for was not woken. */
  | {
      readonly kind: "wake_failed";
      readonly key: ObjectKey;
      readonly uid: string;
      readonly failure: WakeFailure;
    }
  /** Accept no more and end when all requests have, at most after `timeoutMs`. */
  | { readonly kind: "drain"; readonly timeoutMs: Milliseconds };

/** From a worker to the primary. */
export type FromWorker =
  | { readonly kind: "listening"; readonly addresses: WorkerAddresses }
  /** It can't start; it waits to be killed. */
  | { readonly kind: "failed"; readonly message: string; readonly code: string | undefined }
  | { readonly kind: "applied"; readonly sequence: number }
  /** A request waits for this sandbox, which sleeps. */
  | { readonly kind: "wake"; readonly key: ObjectKey; readonly uid: string }
  /** `metrics` is passed through as it is. */
  | { readonly kind: "metrics"; readonly request: number; readonly metrics: unknown };
