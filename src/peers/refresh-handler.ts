import { isIP } from "node:net";
import type { Clock } from "../system/clock.ts";
import type { Log } from "../system/log.ts";
import type { PacedLog } from "../system/paced-log.ts";
import type { Outcome } from "../routes/outcome.ts";
import type { PushedRoute } from "../routes/push.ts";
import { isTerminal } from "../routes/route.ts";
import type { PeerObserver, PushResult } from "./peer-observer.ts";
import type { PushSink } from "./push-sink.ts";
import { decodeRefreshPayload } from "./refresh-payload.ts";
import type { RefreshPayload } from "./payload.ts";

/** The reply to a push: a 204 has no body. */
export interface RefreshReply {
  readonly status: 204 | 400;
  readonly body: string;
}

/** What {@link handleRefresh} works on. */
export interface RefreshContext {
  readonly sink: PushSink;
  readonly observer: PeerObserver;
  readonly clock: Clock;
  readonly log: Log;
  /** For refusals that somebody should look at. */
  readonly refusals: PacedLog;
  /** The address that the push came from. */
  readonly from: string;
  /** The sender proved who it is. */
  readonly proven: boolean;
}

const NO_CONTENT: RefreshReply = { status: 204, body: "" };
const INVALID: RefreshReply = { status: 400, body: "invalid route refresh payload\n" };

/**
 * Decides one push: the body of a `POST /refresh`, whole. The order of the checks is part of the wire
 * (docs/peers.md#post-refresh): a push that names only an ID is accepted and changes nothing even when it says dead, and a
 * dead one without a resourceVersion is refused before the table is asked. Never throws unless the sink does.
 */
export function handleRefresh(body: Buffer, context: RefreshContext): RefreshReply {
  const { observer, log } = context;
  const decoded = decodeRefreshPayload(body);
  if (decoded.kind === "malformed") {
    log.debug("refused a push", { fault: decoded.fault });
    observer.pushed("malformed");
    return INVALID;
  }
  const { payload } = decoded;
  if (payload.namespace === "" && payload.name === "" && payload.id !== "") {
    observer.pushed("id_only");
    return NO_CONTENT;
  }
  if (isTerminal(payload.state) && payload.resourceVersion === "") {
    log.debug("refused a push", { fault: "dead without a resourceVersion" });
    observer.pushed("invalid");
    return INVALID;
  }
  return judge(payload, context);
}

/**
 * What is pushed, in the table's words. A peer says that traffic may wake a sandbox, and not whether it was told to sleep: one that is
 * paused most likely was.
 */
function pushedRoute({ wakeOnTraffic, ...route }: RefreshPayload): PushedRoute {
  const isAsleep = wakeOnTraffic && route.state === "paused";
  return { ...route, ip: plainIp(route.ip), ...(isAsleep && { wake: "asleep" }) };
}

function judge(payload: RefreshPayload, context: RefreshContext): RefreshReply {
  const { sink, observer, clock, log, refusals, from, proven } = context;
  const { namespace, name, resourceVersion } = payload;
  const arrivedMs = clock.monotonicMs();
  const kind = isTerminal(payload.state) ? "delete" : "update";
  const outcome =
    kind === "delete"
      ? sink.pushDelete({ namespace, name, resourceVersion }, from, proven)
      : sink.pushUpdate(pushedRoute(payload), from, proven);
  const result = resultOf(outcome);
  if (result === "invalid") log.debug("refused a push", { fault: outcome });
  if (outcome === "ignored_implausible") {
    refusals.tell("warn", "a push was refused: its version is far ahead of the cluster's", () => ({
      from,
      sandbox: `${namespace}/${name}`,
      resourceVersion: resourceVersion.slice(0, 40),
    }));
  }
  observer.pushed(result, { kind, namespace, name, resourceVersion, outcome, arrivedMs });
  return result === "invalid" ? INVALID : NO_CONTENT;
}

/** Text that is not an IP is never dialled: the route is kept without one. A zone makes no sense off its host. */
function plainIp(text: string): string {
  return isIP(text) !== 0 && !text.includes("%") ? text : "";
}

function resultOf(outcome: Outcome): PushResult {
  if (outcome === "applied" || outcome === "unsettled") return outcome;
  return outcome.startsWith("invalid_") ? "invalid" : "ignored";
}
