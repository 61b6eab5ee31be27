import type { Milliseconds } from "../../src/system/clock.ts";

/** Who answered, by its own words. Fields that it did not say are absent. */
export interface Speaker {
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
  readonly podUid?: string | undefined;
}

/** What came of one request. */
export type Outcome =
  /** A pod's answer: it has no `x-lychgate-reason`. */
  | { readonly kind: "pod"; readonly status: number; readonly speaker: Speaker }
  /** The router's own reply. */
  | { readonly kind: "router"; readonly status: number; readonly reason: string }
  /** An answer to a request that was not asked on this connection. */
  | { readonly kind: "foreign"; readonly said: string }
  /** The connection broke before the answer was whole. */
  | { readonly kind: "cut"; readonly code: string }
  | { readonly kind: "timeout" };

/** One request and what came of it. Times are {@link monotonicMs}. */
export interface Answer {
  /** Index of the {@link Target} that was asked for. */
  readonly target: number;
  readonly sentMs: Milliseconds;
  readonly answeredMs: Milliseconds;
  readonly outcome: Outcome;
}

/** Answers of one pod to requests for one target, taken together. */
export interface PodAnswers {
  readonly target: number;
  readonly status: number;
  readonly speaker: Speaker;
  readonly count: number;
  /** When the last of them was asked. */
  readonly lastSentMs: Milliseconds;
}

/**
 * Reads who answered from the JSON of a body and the header `x-pod-uid`; whatever is not there or is no text is absent.
 * Never throws. `path` is the request target as the pod saw it.
 */
export function readSpeaker(
  body: string,
  podUidHeader: unknown,
): { readonly speaker: Speaker; readonly path: string | undefined } {
  let said: Readonly<Record<string, unknown>> = {};
  try {
    const value: unknown = JSON.parse(body);
    if (typeof value === "object" && value !== null) said = value as Record<string, unknown>;
  } catch {
    // Not JSON: it says nothing of itself.
  }
  return {
    speaker: {
      namespace: text(said["namespace"]),
      name: text(said["name"]),
      podUid: text(said["podUid"]) ?? text(podUidHeader),
    },
    path: text(said["path"]),
  };
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** `namespace/name (pod UID)`, as far as it is known. */
export function describeSpeaker({ namespace, name, podUid }: Speaker): string {
  const who = name === undefined ? "a pod that does not say whose it is" : `${namespace ?? "?"}/${name}`;
  return podUid === undefined ? who : `${who} (pod ${podUid})`;
}
