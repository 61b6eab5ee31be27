import { describeNodeToolError, NodeToolError } from "../node-tool-error.ts";
import { beginMove, type MoveOptions, type MoveSurroundings } from "./begin-move.ts";
import { describeNamespace } from "./capture.ts";
import { locate } from "./locate.ts";
import {
  inodeOf,
  isThere,
  lockMoveState,
  type MoveState,
  readMoveState,
  removeMoveState,
  removeStaleStates,
  writeMoveState,
} from "./move-state.ts";
import { isOver, type MoveStep, nextStep } from "./move-step.ts";
import { isNothing, type MoveMemory, performStep } from "./perform-step.ts";
import { makeScratchNamespace } from "./scratch-namespace.ts";

/** How a move ended: `restored` (in the target), `refused` (nothing moved) or `rolled_back`. */
export type MoveResult = Pick<
  MoveState,
  "step" | "snapshot" | "targetName" | "onlink" | "unrestorable" | "differences"
>;

/**
 * Moves a link to another network namespace with all that it has, or leaves it as it was. Goes on with a move that broke off: its
 * state file says where. Needs CAP_NET_ADMIN and CAP_SYS_ADMIN. Resolves to how it ended; throws `NodeToolError` when it
 * could not begin, or when the way back failed too (the state file stays: run it again).
 */
export async function moveLink(options: MoveOptions, surroundings: MoveSurroundings): Promise<MoveResult> {
  const { statePath } = options;
  const unlock = await lockMoveState(statePath);
  try {
    const left = await readMoveState(statePath);
    if (left) await checkFrom(left);
    const at = left && (await locate(left));
    if (left && at !== "nowhere") {
      await checkSame(left, options);
      const isUnderWay = !isOver(left.step) && left.step.at !== "rehearsing";
      if (isUnderWay) {
        surroundings.progress(`going on with the move of ${left.startedAt}, at ${left.step.at}`);
        return await run(left, statePath, surroundings);
      }
      if (left.step.at === "restored" && at === "target") {
        surroundings.progress(`it was moved at ${left.startedAt} already`);
        return left;
      }
    }
    if (left && at === "nowhere" && !isOver(left.step)) {
      surroundings.progress(`the link of the move of ${left.startedAt} is gone: this is a new one`);
    }
    const ended = await beginAndRun(options, surroundings);
    await removeStaleStates(statePath);
    return ended;
  } finally {
    await unlock();
  }
}

async function beginAndRun(options: MoveOptions, surroundings: MoveSurroundings): Promise<MoveResult> {
  const scratch = makeScratchNamespace();
  try {
    const begun = await beginMove(options, surroundings, scratch.session);
    return await run(begun, options.statePath, surroundings, { scratch });
  } finally {
    // Not before: while the kernel removes it, the link would wait on its way.
    scratch.close();
  }
}

/**
 * Takes a move back, whether it has ended or broke off. Throws `NodeToolError`, `not_found` without a state file, and when the link is gone: then the
 * file goes too, since nothing is left to take back.
 */
export async function rollBack(statePath: string, surroundings: MoveSurroundings): Promise<MoveResult> {
  const unlock = await lockMoveState(statePath);
  try {
    const state = await readMoveState(statePath);
    if (!state) {
      throw new NodeToolError("not_found", `there is no state of a move at ${statePath}`, {
        fix: "give the --state that move was given; a snapshot alone is put back with lychgate node link restore",
      });
    }
    await checkFrom(state);
    const step = nextStep(state.step, { kind: "rollback_asked" });
    if (!isOver(step) && (await locate(state)) === "nowhere") await checkNotGone(state, statePath);
    return await run({ ...state, step }, statePath, surroundings);
  } finally {
    await unlock();
  }
}

/** A link that is nowhere went with its namespace, unless both are there: then someone can bring it back. Throws. */
async function checkNotGone(state: MoveState, statePath: string): Promise<void> {
  const { from, fromInode, to, toInode, snapshot } = state;
  const [isFromThere, isToThere] = await Promise.all([isThere(from, fromInode), isThere(to, toInode)]);
  if (isFromThere && isToThere) return;
  await removeMoveState(statePath);
  const gone = [...(isFromThere ? [] : [from]), ...(isToThere ? [] : [to])].map(describeNamespace);
  throw new NodeToolError(
    "not_found",
    `there is nothing to take back: ${snapshot.link.name} went with ${gone.join(" and ")}`,
    { fix: `${statePath} was removed, so that the next move begins anew` },
  );
}

async function run(
  from: MoveState,
  statePath: string,
  surroundings: MoveSurroundings,
  memory: MoveMemory = {},
): Promise<MoveResult> {
  let state = from;
  writeMoveState(statePath, state);
  while (!isOver(state.step)) {
    surroundings.progress(PROGRESS[state.step.at](state));
    state = await afterStep(state, memory, surroundings);
    // A run that goes on from the step before does that again, and this one after it.
    if (!isNothing(state, memory)) writeMoveState(statePath, state);
  }
  // Only a link that is in the target can be taken back.
  if (state.step.at !== "restored") await removeMoveState(statePath);
  return state;
}

async function afterStep(
  state: MoveState,
  memory: MoveMemory,
  { progress }: MoveSurroundings,
): Promise<MoveState> {
  try {
    return { ...state, ...(await performStep(state, memory)), step: nextStep(state.step, { kind: "done" }) };
  } catch (error) {
    const cause = describeNodeToolError(error);
    const isHome = state.step.at === "moving" && (await locate(state)) === "source";
    const step = nextStep(state.step, { kind: "failed", cause, isHome });
    if (step === state.step) throw stuck(state, error);
    progress(`failed: ${cause}`);
    return { ...state, step };
  }
}

/** The way back failed: the first cause is told first. */
function stuck({ step, snapshot }: MoveState, error: unknown): NodeToolError {
  const first = "cause" in step ? step.cause : "";
  return new NodeToolError(
    "failed",
    `${first}; and then the way back of ${snapshot.link.name} failed: ${describeNodeToolError(error)}`,
    {
      cause: error,
      fix: "mend that and run lychgate node link rollback, as often as needed; should the link be gone for good, run the next move",
    },
  );
}

const PROGRESS: Record<MoveStep["at"], (state: MoveState) => string> = {
  rehearsing: () => "rehearsing in a scratch namespace",
  moving: ({ to }) => `moving to ${describeNamespace(to)}`,
  restoring: () => "restoring addresses, rules and routes",
  pinning: ({ snapshot }) => `pinning ${snapshot.gateways.length} gateways`,
  verifying: () => "verifying by a second snapshot",
  restored: () => "restored",
  refused: () => "refused",
  moving_back: ({ from }) => `moving back to ${describeNamespace(from)}`,
  restoring_back: () => "restoring what was there",
  rolled_back: () => "rolled back",
};

async function checkSame(
  left: MoveState,
  { from, to, link, statePath, targetName = link }: MoveOptions,
): Promise<void> {
  if (isOver(left.step)) return;
  const isSame =
    left.snapshot.link.name === link &&
    left.targetName === targetName &&
    left.fromInode === (await inodeOf(from)) &&
    JSON.stringify(left.to) === JSON.stringify(to);
  if (isSame) return;
  throw new NodeToolError(
    "failed",
    `${statePath} is of another move, of ${left.snapshot.link.name}, that broke off at ${left.step.at}`,
    {
      fix: `end that one first: lychgate node link rollback --state ${statePath}, or the same move again`,
    },
  );
}

/** "This namespace" must be the one that it was. */
async function checkFrom({ from, fromInode }: MoveState): Promise<void> {
  if (from.kind !== "own" || (await inodeOf(from)) === fromInode) return;
  throw new NodeToolError("failed", "the move began in another network namespace than this one", {
    fix: "run it there",
  });
}
