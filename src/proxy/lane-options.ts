import { randomBytes } from "node:crypto";
import type { Clock } from "../system/clock.ts";
import { silentLog } from "../system/log.ts";
import type { RouteLookup } from "../routes/lookup.ts";
import { HeldRequests } from "./limits/held-requests.ts";
import type { LaneOptions } from "./passage/lane.ts";
import { LeastRate } from "./limits/least-rate.ts";
import { RefusalLog } from "./record/refusal-log.ts";
import { SmallBodies } from "./limits/small-bodies.ts";
import type { ProxyServerOptions } from "./server-options.ts";
/** Above, small bodies are streamed like long ones: more than 2,000 of them are being sent at that moment. */
const SMALL_BODIES_TOTAL_BYTES = 32 * 1024 * 1024;

/** A name for one router that says nothing of it, and that nobody else has by chance. */
export function newViaPseudonym(): string {
  return `lychgate-${randomBytes(8).toString("hex")}`;
}

/** What every lane works with, as the options say. `draining` is asked at any time. */
export function laneOptionsOf(
  options: ProxyServerOptions,
  clock: Clock,
  draining: () => boolean,
): LaneOptions {
  const log = options.log ?? silentLog;
  const windowMs = options.slowClientWindowMs;
  return {
    routes: options.routes,
    parseTarget: options.parseTarget,
    access: options.access,
    clients: options.clients,
    upstreams: options.upstreams,
    clock,
    log,
    refusals: new RefusalLog(log, clock),
    firstByteTimeoutMs: options.firstByteTimeoutMs,
    idleTimeoutMs: options.idleTimeoutMs,
    uploadRate: new LeastRate({ bytesPerSecond: options.minUploadBytesPerSecond, windowMs }),
    downloadRate: new LeastRate({ bytesPerSecond: options.minDownloadBytesPerSecond, windowMs }),
    smallBodies: new SmallBodies({
      maxBytes: options.smallBodyBytes,
      totalBytes: SMALL_BODIES_TOTAL_BYTES,
    }),
    trustForwarded: options.trustForwarded,
    redirect: options.redirect,
    viaPseudonym: options.viaPseudonym ?? newViaPseudonym(),
    maskHost: options.maskHost,
    replyPage: options.replyPage,
    held: options.held ?? holdNone(options.routes, clock),
    waking: options.waking,
    draining,
    observer: (record) => options.observer?.requestEnded?.(record),
    tracing: options.tracing,
  };
}

function holdNone(routes: RouteLookup, clock: Clock): HeldRequests {
  return new HeldRequests({ routes, clock, settleMs: 0, maxHeld: 0 }, { released() {} });
}
