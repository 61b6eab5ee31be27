import { z } from "zod";

const ended = z.string();

/**
 * Where a move is. Each step that has something to do is written to the state file before it is done, and each may be done again from its
 * beginning:
 *
 * | at             | what is done                                          | done            | failed           |
 * | -------------- | ----------------------------------------------------- | --------------- | ---------------- |
 * | rehearsing     | the restore, in a scratch namespace                   | moving          | refused          |
 * | moving         | the link goes to the target, where the rehearsal is repeated at once | restoring       | moving_back; refused when it did not move |
 * | restoring      | the snapshot is put back there, unless that was done  | pinning         | moving_back      |
 * | pinning        | the gateways become permanent neighbours              | verifying       | moving_back      |
 * | verifying      | a second snapshot is compared with the first          | restored        | moving_back      |
 * | restored       | end: the link is in the target                        |                 |                  |
 * | refused        | end: nothing was moved                                |                 |                  |
 * | moving_back    | the link comes back, rules that were added go         | restoring_back  | stays: run again |
 * | restoring_back | the snapshot is put back where it was taken           | rolled_back     | stays: run again |
 * | rolled_back    | end: the link is where it was                         |                 |                  |
 */
export const moveStepSchema = z.discriminatedUnion("at", [
  z.strictObject({ at: z.literal("rehearsing") }),
  z.strictObject({ at: z.literal("moving") }),
  z.strictObject({ at: z.literal("restoring") }),
  z.strictObject({ at: z.literal("pinning") }),
  z.strictObject({ at: z.literal("verifying") }),
  z.strictObject({ at: z.literal("restored") }),
  /** `cause`: the first failure. */
  z.strictObject({ at: z.literal("refused"), cause: ended }),
  z.strictObject({ at: z.literal("moving_back"), cause: ended }),
  z.strictObject({ at: z.literal("restoring_back"), cause: ended }),
  z.strictObject({ at: z.literal("rolled_back"), cause: ended }),
]);

/** See {@link moveStepSchema}. */
export type MoveStep = z.infer<typeof moveStepSchema>;

/** What happened to a move. */
export type MoveEvent =
  | { readonly kind: "done" }
  /** `isHome`: the link has not left the source. */
  | { readonly kind: "failed"; readonly cause: string; readonly isHome?: boolean }
  /** Someone wants it undone. */
  | { readonly kind: "rollback_asked" };

const ENDS = { done: "stays", failed: "stays" } as const;

/** The table of {@link moveStepSchema}, with `rollback_asked`. `stays`: the event changes nothing. */
const NEXT = {
  rehearsing: { done: "moving", failed: "refused", rollback_asked: "refused" },
  moving: { done: "restoring", failed: "moving_back", rollback_asked: "moving_back" },
  restoring: { done: "pinning", failed: "moving_back", rollback_asked: "moving_back" },
  pinning: { done: "verifying", failed: "moving_back", rollback_asked: "moving_back" },
  verifying: { done: "restored", failed: "moving_back", rollback_asked: "moving_back" },
  restored: { ...ENDS, rollback_asked: "moving_back" },
  refused: { ...ENDS, rollback_asked: "stays" },
  moving_back: { done: "restoring_back", failed: "stays", rollback_asked: "stays" },
  restoring_back: { done: "rolled_back", failed: "stays", rollback_asked: "stays" },
  rolled_back: { ...ENDS, rollback_asked: "stays" },
} as const satisfies Record<MoveStep["at"], Record<MoveEvent["kind"], MoveStep["at"] | "stays">>;

/** Where a move is after `event`: the same step when the event changes nothing. */
export function nextStep(step: MoveStep, event: MoveEvent): MoveStep {
  // What the kernel did not take has lost nothing: to put it back would take its traffic away for no reason.
  const isUnmoved = step.at === "moving" && event.kind === "failed" && event.isHome;
  const at = isUnmoved ? "refused" : NEXT[step.at][event.kind];
  switch (at) {
    case "stays":
      return step;
    case "refused":
    case "moving_back":
    case "restoring_back":
    case "rolled_back":
      return { at, cause: causeOf(step, event) };
    case "moving":
    case "restoring":
    case "pinning":
    case "verifying":
    case "restored":
      return { at };
  }
}

/** The first cause stays: what goes wrong on the way back follows from it or is told by itself. */
function causeOf(step: MoveStep, event: MoveEvent): string {
  if ("cause" in step) return step.cause;
  return event.kind === "failed" ? event.cause : "a rollback was asked for";
}

/** Whether nothing is left to do. */
export function isOver({ at }: MoveStep): boolean {
  return at === "restored" || at === "refused" || at === "rolled_back";
}
