import type { Milliseconds } from "../../src/system/clock.ts";
import { type Answer, describeSpeaker, type PodAnswers } from "./answer.ts";
import type { Hearing } from "./hearing.ts";
import type { SandboxLife } from "./sandbox-life.ts";

/** What an answer says of the router. */
export type Judgement =
  /** The pod of the sandbox that was asked for. */
  | { readonly kind: "right" }
  /** A refusal while the sandbox changed, or of one that does not run. */
  | { readonly kind: "expected" }
  /** An answer of a pod that does not say who it is: it proves nothing. */
  | { readonly kind: "unidentified" }
  /** Another one answered: the fault that a router must never have. */
  | { readonly kind: "misroute"; readonly detail: string }
  /** Somebody answered for a sandbox, or a pod, that was gone before the request was sent. */
  | { readonly kind: "after-end"; readonly detail: string }
  /** A route is back that the router had surely heard the end of, even though nobody answered. */
  | { readonly kind: "revived"; readonly detail: string }
  /** A refusal or failure without a cause in the cluster. */
  | { readonly kind: "unexpected"; readonly label: string; readonly detail: string };

/** Judgements that fail a run, each by itself. */
export const VIOLATIONS = ["misroute", "after-end", "revived"] as const;

/** One of {@link VIOLATIONS}. */
export type ViolationKind = (typeof VIOLATIONS)[number];

/** With these the router may refuse a sandbox that is changing; each has status 502. */
const CHANGING: ReadonlySet<string> = new Set([
  "sandbox_not_found",
  "sandbox_paused",
  "sandbox_creating",
  "sandbox_dead",
  "sandbox_not_running",
  "incarnation_ended",
  "pod_ip_reassigned",
  "sandbox_in_doubt",
  "upstream_refused",
  "upstream_reset",
  "upstream_unreachable",
]);

/** What the router says of a sandbox when it has heard that it does not run. Anything else shows a living route. */
const AT_REST: Readonly<Record<"paused" | "ended", ReadonlySet<string>>> = {
  paused: new Set(["sandbox_paused"]),
  ended: new Set(["sandbox_not_found", "sandbox_dead"]),
};

/** Whose pod a UID names, as far as the cluster has told. */
export type PodOwner = (podUid: string) => SandboxLife | undefined;

/**
 * Was the answer right at some moment of the request's flight? `life` is what the cluster knows of the sandbox that was
 * asked for, told up to `answeredMs` at least; `hearing` what the router must have heard. Pure.
 */
export function judge(answer: Answer, life: SandboxLife, hearing: Hearing, ownerOf: PodOwner): Judgement {
  const { sentMs, answeredMs, outcome, target } = answer;
  switch (outcome.kind) {
    case "pod":
      return judgePod(
        {
          target,
          status: outcome.status,
          speaker: outcome.speaker,
          count: 1,
          lastSentMs: sentMs,
        },
        life,
        ownerOf,
      );
    case "foreign":
      return {
        kind: "misroute",
        detail: `${asked(life)} got the answer to another request: ${outcome.said}`,
      };
    case "router": {
      const { reason, status } = outcome;
      const label = `${status} ${reason}`;
      if (status !== 502 || !CHANGING.has(reason)) return unexpected(label, life, sentMs, answeredMs);
      const surely = surelyDuring(life, hearing, sentMs, answeredMs);
      if (surely === "running") return unexpected(label, life, sentMs, answeredMs);
      if ((surely === "paused" || surely === "ended") && !AT_REST[surely].has(reason)) {
        return { kind: "revived", detail: `${asked(life)}, ${surely} long before, got ${label}` };
      }
      return { kind: "expected" };
    }
    case "cut":
    case "timeout": {
      const label = outcome.kind === "cut" ? `connection: ${outcome.code}` : "timeout";
      // A pod that ends while its answer is on the way takes the client's connection with it.
      const mayBeCut = outcome.kind === "cut" && life.during(sentMs, answeredMs)?.state !== "running";
      return mayBeCut ? { kind: "expected" } : unexpected(label, life, sentMs, answeredMs);
    }
  }
}

/** {@link judge} for answers of one pod at once: the last of them is the likeliest to be wrong. */
export function judgePod(answers: PodAnswers, life: SandboxLife, ownerOf: PodOwner): Judgement {
  const { speaker, lastSentMs, status } = answers;
  const { sandbox } = life;
  const { namespace, name, podUid } = speaker;
  const owner = podUid === undefined ? undefined : ownerOf(podUid);
  if (name === undefined && owner === undefined) return { kind: "unidentified" };
  const saysOther =
    name !== undefined && (name !== sandbox.name || (namespace ?? sandbox.namespace) !== sandbox.namespace);
  if (saysOther || (owner !== undefined && owner !== life)) {
    return { kind: "misroute", detail: `${asked(life)} was answered by ${describeSpeaker(speaker)}` };
  }
  const diedAtMs = life.endedAtMs ?? (podUid === undefined ? undefined : life.podDiedAtMs(podUid));
  if (diedAtMs !== undefined && lastSentMs > diedAtMs) {
    const lateMs = (lastSentMs - diedAtMs).toFixed(1);
    return {
      kind: "after-end",
      detail: `${asked(life)} was answered by ${describeSpeaker(speaker)}, asked ${lateMs} ms after its end`,
    };
  }
  if (status === 200) return { kind: "right" };
  return { kind: "unexpected", label: `${status} from a pod`, detail: `${asked(life)} answered ${status}` };
}

/** What the sandbox did all the time of the flight, when it did it for so long that the router must know. */
function surelyDuring(
  life: SandboxLife,
  hearing: Hearing,
  sentMs: Milliseconds,
  answeredMs: Milliseconds,
): string | undefined {
  const found = life.during(sentMs, answeredMs);
  return found && found.sinceMs < hearing.heardUntil(sentMs) ? found.state : undefined;
}

function unexpected(
  label: string,
  life: SandboxLife,
  sentMs: Milliseconds,
  answeredMs: Milliseconds,
): Judgement {
  const found = life.during(sentMs, answeredMs);
  const doing = found
    ? `${found.state} for ${((sentMs - found.sinceMs) / 1000).toFixed(1)} s`
    : "changing at that time";
  return { kind: "unexpected", label, detail: `${asked(life)} (${doing}) got ${label}` };
}

function asked({ sandbox }: SandboxLife): string {
  return `${sandbox.id} (${sandbox.namespace}/${sandbox.name})`;
}
