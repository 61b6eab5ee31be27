import { stackOf } from "../../system/error-text.ts";
import { admit, NotAdmitted } from "../passage/admission.ts";
import type { AdmittedHead } from "../passage/admission.ts";
import { findPassage } from "../passage/lane.ts";
import type { LaneOptions, Passage } from "../passage/lane.ts";
import type { RequestTrace } from "../record/request-trace.ts";
import type { RefusalReason } from "../reply/reasons.ts";

/** A request of the full lane that has yet to be let through. */
export interface PassageSeeker {
  readonly trace: RequestTrace;
  /** It was answered, or its client is gone. */
  readonly isOver: boolean;
  /** It may go on. */
  forward(passage: Extract<Passage, { kind: "forward" }>): void;
  refuse(reason: RefusalReason, message?: string): void;
  /** Something threw: to be answered with `internal_error`, as far as that can be done. Must not throw. */
  broke(): void;
}

/**
 * The way of a request to its verdict: admission, then the wait while its sandbox is in doubt, then what
 * {@link findPassage} says. Nothing is thrown. Returns what ends the wait, if there is one.
 */
export function seekPassage(request: PassageSeeker, options: LaneOptions): (() => void) | undefined {
  const { trace } = request;
  const { held, parseTarget, viaPseudonym } = options;
  return guarded(request, options, () => {
    const admitted = admit(trace.head, trace.protocol, viaPseudonym);
    if (admitted instanceof NotAdmitted) {
      refuse(request, options, admitted);
      return undefined;
    }
    const hold = held.hold(parseTarget(admitted), () => {
      // Its sandbox is in doubt no more, or it has waited for long enough.
      if (!request.isOver) guarded(request, options, () => judge(request, options, admitted));
    });
    if (hold.kind === "held") return hold.cancel;
    if (hold.kind === "full") refuse(request, options, { reason: "overloaded" });
    else judge(request, options, admitted);
    return undefined;
  });
}

function judge(request: PassageSeeker, options: LaneOptions, admitted: AdmittedHead): void {
  const passage = findPassage(admitted, request.trace, options);
  if (passage.kind === "refuse") refuse(request, options, passage);
  else request.forward(passage);
}

function refuse(
  request: PassageSeeker,
  { refusals }: LaneOptions,
  { reason, message }: { readonly reason: RefusalReason; readonly message?: string | undefined },
): void {
  refusals.tell(request.trace, reason);
  request.refuse(reason, message);
}

function guarded<R>(request: PassageSeeker, { log }: LaneOptions, action: () => R): R | undefined {
  try {
    return action();
  } catch (error) {
    const { requestId } = request.trace;
    log.error("a request failed with an exception", { requestId, error: stackOf(error) });
    request.broke();
    return undefined;
  }
}
