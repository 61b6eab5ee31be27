import { stackOf } from "../../system/error-text.ts";
import { admit, NotAdmitted } from "../passage/admission.ts";
import type { AdmittedHead } from "../passage/admission.ts";
import { opensPage } from "../limits/waking-requests.ts";
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
 * The way of a request to its verdict: admission, then the wait while its sandbox is in doubt, then what {@link findPassage} says, and
 * the wait while its sandbox is woken. Nothing is thrown. Returns what ends the wait, if there is one.
 */
export function seekPassage(request: PassageSeeker, options: LaneOptions): () => void {
  const { trace } = request;
  const { held, parseTarget, viaPseudonym } = options;
  let cancel: (() => void) | undefined;
  const goOn = (action: () => void): void => {
    cancel = undefined;
    if (!request.isOver) guarded(request, options, action);
  };
  const judge = (admitted: AdmittedHead, mayWait: boolean): void => {
    const passage = findPassage(admitted, trace, options);
    if (passage.kind === "forward") {
      request.forward(passage);
      return;
    }
    const { waking } = options;
    const { sleeper } = passage;
    if (waking === undefined || sleeper === undefined || !mayWait) {
      refuse(request, options, passage);
      return;
    }
    const hold = waking.hold(sleeper, {
      clientAddress: trace.clientAddress,
      opensPage: opensPage(admitted),
      resume: (reason) =>
        goOn(() => {
          if (reason === undefined) judge(admitted, false);
          else refuse(request, options, { reason });
        }),
    });
    if (hold.kind === "held") cancel = hold.cancel;
    else refuse(request, options, hold.kind === "full" ? { reason: "overloaded" } : passage);
  };
  guarded(request, options, () => {
    const admitted = admit(trace.head, trace.protocol, viaPseudonym);
    if (admitted instanceof NotAdmitted) {
      refuse(request, options, admitted);
      return;
    }
    // Its sandbox is in doubt no more, or it has waited for long enough.
    const hold = held.hold(parseTarget(admitted), () => goOn(() => judge(admitted, true)));
    if (hold.kind === "held") cancel = hold.cancel;
    else if (hold.kind === "full") refuse(request, options, { reason: "overloaded" });
    else judge(admitted, true);
  });
  return () => cancel?.();
}

function refuse(
  request: PassageSeeker,
  { refusals }: LaneOptions,
  { reason, message }: { readonly reason: RefusalReason; readonly message?: string | undefined },
): void {
  refusals.tell(request.trace, reason);
  request.refuse(reason, message);
}

function guarded(request: PassageSeeker, { log }: LaneOptions, action: () => void): void {
  try {
    action();
  } catch (error) {
    const { requestId } = request.trace;
    log.error("a request failed with an exception", { requestId, error: stackOf(error) });
    request.broke();
  }
}
