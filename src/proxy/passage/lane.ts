import type { Clock, Milliseconds } from "../../system/clock.ts";
import type { Log } from "../../system/log.ts";
import type { RouteLookup } from "../../routes/lookup.ts";
import type { AdmittedHead } from "./admission.ts";
import type { AccessGate, ClientGate } from "./access-gate.ts";
import { forwardRequestHead } from "../forwarding/forwarding.ts";
import type { ForwardedRequest } from "../forwarding/forwarding.ts";
import type { LeastRate } from "../limits/least-rate.ts";
import type { HeldRequests } from "../limits/held-requests.ts";
import type { WakingRequests } from "../limits/waking-requests.ts";
import type { Sleeper } from "../../routes/sleeper.ts";
import type { RefusalReason } from "../reply/reasons.ts";
import type { ReplyPage } from "../reply/reply-page.ts";
import type { RefusalLog } from "../record/refusal-log.ts";
import type { RequestObserver } from "../record/request-record.ts";
import type { RequestTrace } from "../record/request-trace.ts";
import type { RequestTracing } from "../record/request-spans.ts";
import type { SmallBodies } from "../limits/small-bodies.ts";
import type { TargetParser, TargetResult } from "../target/target.ts";
import { clientAddressOf, shareOfRequest } from "../upstream/client-share.ts";
import type { Upstreams } from "../upstream/upstreams.ts";
import { httpsLocation } from "./https-redirect.ts";
import { decide } from "./verdict.ts";
import type { Verdict } from "./verdict.ts";

/** What every lane works with. */
export interface LaneOptions {
  readonly routes: RouteLookup;
  readonly parseTarget: TargetParser;
  /** Who may pass. */
  readonly access: AccessGate;
  /** Which clients may ask, and how often. Absent: all, as often as they like. */
  readonly clients?: ClientGate | undefined;
  readonly upstreams: Upstreams;
  readonly clock: Clock;
  readonly log: Log;
  readonly refusals: RefusalLog;
  readonly firstByteTimeoutMs: Milliseconds;
  readonly idleTimeoutMs: Milliseconds;
  /** For request bodies. */
  readonly uploadRate: LeastRate;
  /** For clients that read their answers. */
  readonly downloadRate: LeastRate;
  /** Bodies that are read before a connection to the pod is taken. */
  readonly smallBodies: SmallBodies;
  readonly trustForwarded: boolean;
  /** See `ProxyServerOptions.maskHost`. */
  readonly maskHost?: string | undefined;
  /** Requests that came without TLS are sent to `https` at this port. Absent: they are served. */
  readonly redirect?: { readonly port: number } | undefined;
  /** See `ProxyServerOptions.viaPseudonym`. */
  readonly viaPseudonym: string;
  /** See `TraceSurroundings.replyPage`. */
  readonly replyPage?: ReplyPage | undefined;
  /** Where requests wait whose sandbox is in doubt. */
  readonly held: HeldRequests;
  /** Where requests wait whose sandbox is woken for them. Absent: none is. */
  readonly waking?: WakingRequests | undefined;
  readonly draining: () => boolean;
  readonly observer: RequestObserver;
  /** See {@link RequestTracing}. */
  readonly tracing?: RequestTracing | undefined;
}

/** Where a request goes, or why it does not. */
export type Passage =
  | {
      readonly kind: "forward";
      readonly verdict: Extract<Verdict, { kind: "forward" }>;
      readonly head: Extract<ForwardedRequest, { kind: "forward" }>;
    }
  | {
      readonly kind: "refuse";
      readonly reason: RefusalReason;
      readonly message?: string | undefined;
      /** See {@link Verdict}. */
      readonly sleeper?: Sleeper | undefined;
    };

/** The verdict on an admitted request whose target is known. Notes in the trace what it learns of the sandbox. */
export function judge(
  head: AdmittedHead,
  trace: RequestTrace,
  target: TargetResult,
  options: LaneOptions,
): Verdict {
  if (options.redirect !== undefined && trace.scheme === "http") {
    const location = httpsLocation(head, options.redirect.port, options.trustForwarded);
    if (location !== undefined) return { kind: "refuse", reason: "https_redirect", message: location };
  }
  const { clients } = options;
  const verdict =
    clients === undefined
      ? decide(head, target, options.routes, options.access)
      : decideWithin(clients, head, trace, target, options);
  trace.port = verdict.port;
  if (verdict.kind === "refuse") {
    trace.sandbox = verdict.sandbox;
    trace.replyFields = verdict.fields;
  } else {
    trace.sandbox = verdict.label;
    trace.incarnation = verdict.incarnation.number;
  }
  return verdict;
}

/** A client that may not ask learns nothing of any sandbox, and one that may not pass takes nothing of a sandbox's budget. */
function decideWithin(
  clients: ClientGate,
  head: AdmittedHead,
  trace: RequestTrace,
  target: TargetResult,
  { routes, access, trustForwarded }: LaneOptions,
): Verdict {
  // A request that was held is judged again, and was counted before.
  const isFirst = !trace.isCounted;
  trace.isCounted = true;
  if (isFirst) {
    const address = clientAddressOf(trace, trustForwarded);
    const reason = clients.refusalOf(address, shareOfRequest(trace, trustForwarded));
    if (reason !== undefined) return { kind: "refuse", reason };
  }
  const verdict = decide(head, target, routes, access);
  if (verdict.kind === "refuse" || !isFirst) return verdict;
  const reason = clients.refusalFor(verdict.incarnation.key);
  return reason === undefined
    ? verdict
    : { kind: "refuse", reason, sandbox: verdict.label, port: verdict.port };
}

/** The way from an admitted head to a verdict, the same for every lane. */
export function findPassage(head: AdmittedHead, trace: RequestTrace, options: LaneOptions): Passage {
  const { spans } = trace;
  spans?.judging();
  const result = options.parseTarget(head);
  const verdict = judge(head, trace, result, options);
  const { sandbox, incarnation } = trace;
  spans?.judged({ sandbox, incarnation, reason: verdict.kind === "refuse" ? verdict.reason : undefined });
  if (verdict.kind === "refuse") {
    const { reason, message, sleeper } = verdict;
    return { kind: "refuse", reason, message, sleeper };
  }
  const forwarded = forwardRequestHead(head, verdict.path, {
    clientAddress: trace.clientAddress,
    scheme: trace.scheme,
    requestId: trace.requestId,
    via: viaOf(trace.protocol, options),
    prefix: result.kind === "target" ? result.target.prefix : undefined,
    trustForwarded: options.trustForwarded,
    maskedHost: options.maskHost?.replace("{port}", String(verdict.port)),
    withheld: verdict.withheld,
  });
  if (forwarded.kind === "bad_request") {
    return { kind: "refuse", reason: "bad_request", message: forwarded.message };
  }
  if (!spans) return { kind: "forward", verdict, head: forwarded };
  return {
    kind: "forward",
    verdict,
    head: { ...forwarded, headers: [...spans.forwarding(forwarded.headers)] },
  };
}

/** What `Via` says of a request that came in this version: `1.1 lychgate-…` (RFC 9110 7.6.3). */
export function viaOf(protocol: string, { viaPseudonym }: LaneOptions): string {
  return `${protocol.slice("HTTP/".length)} ${viaPseudonym}`;
}
