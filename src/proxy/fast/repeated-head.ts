import type { ScannedHead } from "../http1/scanned-head.ts";
import type { AdmittedHead } from "../passage/admission.ts";
import type { TargetResult } from "../target/target.ts";

/** What came of a head that is not plain. It holds for every later head that {@link RepeatedHead.of} finds it for. */
export interface HeadOutcome {
  readonly admitted: AdmittedHead<ScannedHead>;
  readonly target: TargetResult;
  /** The client's own `X-Request-Id`, where it counts; absent: each request gets a new one. */
  readonly requestId: string | undefined;
  /** The fields as the pod gets them, in two parts with the request's ID between them. */
  readonly before: string;
  readonly after: string;
  /** `Connection` asks to close. */
  readonly closes: boolean;
}

/** An idle connection keeps the head, its fields one by one, and what the pod got: about four times as much. */
const MAX_KEPT_BYTES = 4_096;

/**
 * The last head of one connection that had to be taken apart. A program sends the same fields with each request, and only the
 * request line differs: then everything that follows from method, version and fields is the same too, and need not be done
 * again: admission, target, forwarded fields. The verdict is not among it: routes change.
 *
 * `node lab/bench/fast-lane.ts 100000 all` shows what it buys: the fields of a request behind a load balancer cost as little
 * as three plain ones.
 */
export class RepeatedHead {
  #outcome: HeadOutcome | undefined;

  /** What came of the head before, if this one differs from it in its target alone. */
  of(head: ScannedHead): HeadOutcome | undefined {
    const known = this.#outcome;
    return known !== undefined && head.method === known.admitted.method && head.hasFieldsOf(known.admitted)
      ? known
      : undefined;
  }

  /** Remembers what came of a head, unless it is so long that idle connections must not keep it. */
  remember(outcome: HeadOutcome): void {
    this.#outcome = outcome.admitted.text.length <= MAX_KEPT_BYTES ? outcome : undefined;
  }
}
