import { messageOf } from "../system/error-text.ts";
import type { Milliseconds } from "../system/clock.ts";
import type { ObjectKey } from "../routes/route.ts";
import type { FromWorker, StartMessage, ToWorker, WakeFailure, WorkerAddresses } from "./messages.ts";
import { RouteMirror } from "./route-mirror.ts";

/** The worker's end of the channel to its primary. */
export interface PrimaryChannel {
  /** Does nothing when the primary is gone. */
  send(message: FromWorker): void;
  onMessage(listener: (message: ToWorker) => void): void;
  /** The primary is gone, whatever became of it. */
  onDisconnect(listener: () => void): void;
}

/** What a worker does with its routes: serves traffic. */
export interface WorkerTraffic {
  listen(): Promise<WorkerAddresses>;
  /** Takes a changed configuration (`StartMessage.settings`). */
  apply(settings: unknown): void;
  /** A sandbox that requests wait for was not woken. */
  wakeFailed(key: ObjectKey, uid: string, failure: WakeFailure): void;
  /** For the primary, which adds them up. */
  metrics(names: readonly string[] | undefined): Promise<unknown>;
  /** The ordered end; resolves when nothing is left. May be called before `listen`. */
  drain(timeoutMs: Milliseconds): Promise<void>;
  /** How long a drain may take that the primary can't ask for any more. */
  readonly orphanTimeoutMs: Milliseconds;
}

/**
 * Runs the worker's side: takes batches into a mirror and acknowledges them, listens once the first snapshot is whole
 * (earlier, a replacement would refuse what the others could serve), answers for its metrics, and drains when it is told
 * to or when the primary is gone. Resolves when it has drained; the process is then to end.
 */
export function runWorkerSide(
  primary: PrimaryChannel,
  start: (message: StartMessage, mirror: RouteMirror) => WorkerTraffic,
): Promise<void> {
  return new Promise((resolve) => {
    const mirror = new RouteMirror();
    let traffic: WorkerTraffic | undefined;
    let listening = false;
    let draining = false;

    const listen = async (of: WorkerTraffic): Promise<void> => {
      if (listening || draining) return;
      listening = true;
      try {
        primary.send({ kind: "listening", addresses: await of.listen() });
      } catch (error) {
        if (draining) return;
        const code = error instanceof Error && "code" in error ? String(error.code) : undefined;
        primary.send({ kind: "failed", message: messageOf(error), code });
      }
    };
    const drain = async (timeoutMs: Milliseconds): Promise<void> => {
      if (draining) return;
      draining = true;
      await traffic?.drain(timeoutMs);
      resolve();
    };

    primary.onMessage((message) => {
      switch (message.kind) {
        case "start":
          try {
            traffic = start(message, mirror);
          } catch (error) {
            primary.send({ kind: "failed", message: messageOf(error), code: undefined });
          }
          break;
        case "routes":
          mirror.apply(message.batch);
          primary.send({ kind: "applied", sequence: message.batch.sequence });
          if (mirror.current && traffic) void listen(traffic);
          break;
        case "settings":
          traffic?.apply(message.settings);
          break;
        case "wake_failed":
          traffic?.wakeFailed(message.key, message.uid, message.failure);
          break;
        case "metrics":
          void traffic?.metrics(message.names).then((metrics) => {
            primary.send({ kind: "metrics", request: message.request, metrics });
          });
          break;
        case "drain":
          void drain(message.timeoutMs);
      }
    });
    primary.onDisconnect(() => {
      mirror.disconnected();
      void drain(traffic?.orphanTimeoutMs ?? 0);
    });
  });
}
