import { z } from "zod";

const ended = z.string();

/**
 * Where a move is. Each step is written to the state file before it is done, and each may be done again from its beginning:
 *
 * | at             | what is done                                          | done            | failed           |
 * | -------------- | ----------------------------------------------------- | --------------- | ---------------- |
 * | rehearsing     | the restore, in a scratch namespace                   | moving          | refused          |
 * | moving         | the link goes to the target                           | restoring       | moving_back; refused when it did not move |
 * | restoring      | the snapshot is put back there                        | pinning         | moving_back      |
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

/** Where a move is after `event`: the same step when the event changes nothing. */
export function nextStep(step: MoveStep, event: MoveEvent): MoveStep {
  if (event.kind === "rollback_asked") return afterRollbackAsked(step);
  if (event.kind === "failed") return afterFailure(step, event.cause, event.isHome ?? false);
  switch (step.at) {
    case "rehearsing":
      return { at: "moving" };
    case "moving":
      return { at: "restoring" };
    case "restoring":
      return { at: "pinning" };
    case "pinning":
      return { at: "verifying" };
    case "verifying":
      return { at: "restored" };
    case "moving_back":
      return { at: "restoring_back", cause: step.cause };
    case "restoring_back":
      return { at: "rolled_back", cause: step.cause };
    case "restored":
    case "refused":
    case "rolled_back":
      return step;
  }
}

function afterFailure(step: MoveStep, cause: string, isHome: boolean): MoveStep {
  switch (step.at) {
    case "rehearsing":
      return { at: "refused", cause };
    // What the kernel did not take has lost nothing: to put it back would take its traffic away for no reason.
    case "moving":
      return isHome ? { at: "refused", cause } : { at: "moving_back", cause };
    case "restoring":
    case "pinning":
    case "verifying":
      return { at: "moving_back", cause };
    // The first cause stays: what goes wrong on the way back follows from it or is told by itself.
    case "moving_back":
    case "restoring_back":
    case "restored":
    case "refused":
    case "rolled_back":
      return step;
  }
}

function afterRollbackAsked(step: MoveStep): MoveStep {
  const cause = "a rollback was asked for";
  switch (step.at) {
    case "rehearsing":
      return { at: "refused", cause };
    case "moving":
    case "restoring":
    case "pinning":
    case "verifying":
    case "restored":
      return { at: "moving_back", cause };
    case "moving_back":
    case "restoring_back":
    case "refused":
    case "rolled_back":
      return step;
  }
}

/** Whether nothing is left to do. */
export function isOver({ at }: MoveStep): boolean {
  return at === "restored" || at === "refused" || at === "rolled_back";
}
