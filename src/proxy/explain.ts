import type { Lookup, RouteLookup } from "../routes/lookup.ts";
import { DOUBTED, IP_NOT_ALLOWED } from "../routes/route.ts";
import { REASONS } from "./reply/reasons.ts";
import { replyFor } from "./reply/reply.ts";
import type { RequestHead } from "./http1/request-head.ts";
import type { Target, TargetParser } from "./target/target.ts";
import type { AccessGate } from "./passage/access-gate.ts";
import { decide } from "./passage/verdict.ts";

/** What would become of a request, step by step. Holds no token. */
export interface ProxyExplanation {
  readonly steps: readonly { readonly step: string; readonly result: string }[];
  readonly verdict: { readonly reason: string; readonly status: number; readonly message: string };
  /** What the request names, when it names something. */
  readonly target: Target | undefined;
}

/**
 * Takes a request the proxy's own way, target and verdict, and says what came of each, without sending anything. Like
 * the proxy it does not tell a sandbox's state apart for those without its token: show it to operators only.
 */
export function explainRequest(
  head: RequestHead,
  parseTarget: TargetParser,
  routes: RouteLookup,
  access: AccessGate,
): ProxyExplanation {
  const steps = [
    { step: "table", result: routes.synced ? "synced" : "not synced: the first list is not in" },
  ];
  const result = parseTarget(head);
  const target = result.kind === "target" ? result.target : undefined;
  steps.push({ step: "target", result: describeTarget(result) });
  if (target) {
    steps.push({ step: "lookup", result: describeLookup(target, routes) });
    const found = foundBy(target, routes);
    if (found.kind === "found") {
      steps.push({ step: "access", result: access.describe(found, target.port) });
    }
  }

  const verdict = decide(head, result, routes, access);
  if (verdict.kind === "forward") {
    const { ip } = verdict.incarnation;
    const pod = `${ip.includes(":") ? `[${ip}]` : ip}:${verdict.port}`;
    steps.push({ step: "verdict", result: "forward" });
    return {
      steps,
      verdict: { reason: "ok", status: 0, message: `forwarded to ${pod}${withoutQueryValues(verdict.path)}` },
      target,
    };
  }
  const { reason, sandbox, port, message } = verdict;
  steps.push({ step: "verdict", result: `refused: ${reason}` });
  const reply = replyFor(reason, { method: "GET", requestId: "-", sandbox, port, message });
  return {
    steps,
    verdict: { reason, status: REASONS[reason].status, message: reply.body.toString() },
    target,
  };
}

/** `/a?b=c&d=e` as `/a?b=…&d=…`: the pod gets the whole query, but tokens travel in its values. */
function withoutQueryValues(path: string): string {
  const mark = path.indexOf("?");
  if (mark < 0) return path;
  const query = path.slice(mark + 1).replaceAll(/[^&]+/g, (pair) => {
    const equals = pair.indexOf("=");
    return equals < 0 ? "…" : `${pair.slice(0, equals)}=…`;
  });
  return `${path.slice(0, mark)}?${query}`;
}

function describeTarget(result: ReturnType<TargetParser>): string {
  switch (result.kind) {
    case "none":
      return "no sandbox in path, headers or Host";
    case "malformed":
      return `malformed: ${result.message}`;
    case "target": {
      const { by, port, source, path } = result.target;
      const named = by.kind === "id" ? `ID ${by.id}` : `object ${by.namespace}/${by.name}`;
      return `${named}, port ${port}, from the ${source}; path for the pod: ${withoutQueryValues(path)}`;
    }
  }
}

function foundBy({ by }: Target, routes: RouteLookup): Lookup {
  return by.kind === "id" ? routes.lookup(by.id) : routes.lookupObject(by.namespace, by.name);
}

function describeLookup(target: Target, routes: RouteLookup): string {
  const found = foundBy(target, routes);
  switch (found.kind) {
    case "unknown":
      return "no route is in effect";
    case "id_conflict":
      return `claimed by ${found.keys.join(" and ")}: none is served`;
    case "found": {
      const { route, state, incarnation, ipReassigned } = found;
      const place = route.ip ? `on ${route.ip}` : "without a pod IP";
      const served = incarnation
        ? `incarnation ${incarnation.number}`
        : ipReassigned
          ? "another sandbox has, or may have, its pod IP"
          : state === IP_NOT_ALLOWED
            ? "no pod can have this IP: it is special, this router's own or outside routes.podCidrs"
            : state === DOUBTED
              ? "a peer pushed that it ended or moved, or that another has its pod IP, and the API server does not answer"
              : route.wake !== undefined
                ? `not servable; its owner lets traffic wake it (wake.enabled), and it is ${route.wake === "asleep" ? "told to sleep" : "told to run by now"}`
                : "not servable";
      return `${route.namespace}/${route.name} is ${state} ${place} at version ${route.resourceVersion}: ${served}`;
    }
  }
}
