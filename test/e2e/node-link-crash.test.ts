import { describe, expect, test } from "vitest";
import { differences } from "../../src/node/link/differences.ts";
import { readMoveState, writeMoveState } from "../../src/node/link/move-state.ts";
import { moveLink, rollBack } from "../../src/node/link/mover.ts";
import type { MoveOptions } from "../../src/node/link/begin-move.ts";
import { type Death, leftBehind, runMoveChild } from "../node/link/support/deadly-calls.ts";
import { GATEWAY, look, makeCiliumPod, moveOf, type Pod, surroundings } from "../node/link/support/pod.ts";
import { NO_NAMESPACES } from "../node/support/namespaces.ts";
import { eventually } from "../support/eventually.ts";

const title = `a move that is killed${NO_NAMESPACES ? ` (${NO_NAMESPACES})` : ""}`;
/** What `restoring` does after a rehearsal is done in `moving` already. */
const STEPS = ["", "rehearsing", "moving", "pinning", "verifying"] as const;

/** Rules of both families, a nexthop object, a route that needs order, and a gateway to pin. */
function furnishedPod(): Pod {
  const made = makeCiliumPod();
  made.pod.sh("rule add from 10.9.0.0/24 lookup 101 priority 50");
  made.pod.sh("-6 rule add oif eth0 lookup 101 priority 60");
  made.pod.sh(`nexthop add id 7 via ${GATEWAY} dev eth0`);
  made.pod.sh("route add 10.60.0.0/16 nhid 7");
  made.pod.sh(`route add 10.61.0.0/16 via ${GATEWAY} dev eth0 table 101`);
  made.pod.sh(`neighbour replace ${GATEWAY} lladdr 02:00:00:00:00:99 nud stale dev eth0`);
  return made;
}

/** Before the first call of each step and after its last one, in the middle of the long ones, and after each call while the link is away. */
function deathsIn(calls: readonly string[], steps: readonly string[]): readonly Death[] {
  return steps.flatMap((step): readonly Death[] => {
    const [first, last] = [calls.indexOf(step) + 1, calls.lastIndexOf(step) + 1];
    expect(first, `no call at "${step}"`).toBeGreaterThan(0);
    const middle = Math.round((first + last) / 2);
    return [
      { when: "before", call: first },
      ...(last - first > 8 ? [{ when: "after", call: middle } as const] : []),
      ...(step === "moving"
        ? Array.from({ length: last - first }, (_, at) => ({ when: "after", call: first + at }) as const)
        : []),
      { when: "after", call: last },
    ];
  });
}

async function stepOf(options: MoveOptions): Promise<string> {
  return (await readMoveState(options.statePath))?.step.at ?? "";
}

describe.skipIf(NO_NAMESPACES)(title, () => {
  test("wherever it is killed, the same command again ends with the link moved and whole", async () => {
    const whole = runMoveChild(moveOf(furnishedPod(), { neighbourTimeoutMs: 0 }));
    expect(whole).toMatchObject({ killed: false, step: { at: "restored" } });
    const died = new Set<string>();
    for (const death of deathsIn(whole.calls, STEPS)) {
      const made = furnishedPod();
      const before = await look(made.pod);
      const options = moveOf(made, { neighbourTimeoutMs: 0 });
      expect(runMoveChild(options, death).killed).toBe(true);
      const at = await stepOf(options);
      died.add(at);
      // A rehearsal's scratch namespace ends with the process that is killed in it.
      await eventually(() => expect(leftBehind(options)).toEqual([]));
      const label = `killed ${death.when} call ${death.call}, at "${at}"`;
      expect(runMoveChild(options), label).toMatchObject({ step: { at: "restored" }, stderr: "" });
      expect(differences(before, await look(made.interior)), label).toEqual([]);
      expect(made.pod.sh("link show"), label).not.toContain("eth0");
    }
    expect([...died]).toEqual(expect.arrayContaining([...STEPS]));
  });

  test("killed as it takes up one that was killed with the link on its way, the third command ends with it whole, or takes it back", async () => {
    /** Moved, with a part of what it had. */
    const killedOnItsWay = async (made: Pod): Promise<MoveOptions> => {
      const options = moveOf(made, { neighbourTimeoutMs: 0 });
      const call = whole.calls.indexOf("moving") + 3;
      expect(runMoveChild(options, { when: "after", call }).killed).toBe(true);
      expect(await stepOf(options)).toBe("moving");
      expect(made.interior.sh("address show eth0")).toContain("10.8.0.201");
      return options;
    };
    const whole = runMoveChild(moveOf(furnishedPod(), { neighbourTimeoutMs: 0 }));
    const again = runMoveChild(await killedOnItsWay(furnishedPod()));
    expect(again).toMatchObject({ step: { at: "restored" } });
    for (const death of deathsIn(again.calls, ["restoring"])) {
      const made = furnishedPod();
      const before = await look(made.pod);
      const options = await killedOnItsWay(made);
      expect(runMoveChild(options, death).killed).toBe(true);
      expect(await stepOf(options)).toBe("restoring");
      const label = `killed ${death.when} call ${death.call}`;
      expect(runMoveChild(options), label).toMatchObject({ step: { at: "restored" }, stderr: "" });
      expect(differences(before, await look(made.interior)), label).toEqual([]);
      const { step } = await rollBack(options.statePath, surroundings());
      expect(step, label).toMatchObject({ at: "rolled_back" });
      expect(differences(before, await look(made.pod)), label).toEqual([]);
    }
  });

  test("killed with the link on its way, a rollback brings it back whole", async () => {
    const whole = runMoveChild(moveOf(furnishedPod(), { neighbourTimeoutMs: 0 }));
    for (const death of deathsIn(whole.calls, ["moving"])) {
      const made = furnishedPod();
      const before = await look(made.pod);
      const options = moveOf(made, { neighbourTimeoutMs: 0 });
      expect(runMoveChild(options, death).killed).toBe(true);
      const label = `killed ${death.when} call ${death.call}`;
      const { step, differences: found } = await rollBack(options.statePath, surroundings());
      expect(step, label).toMatchObject({ at: "rolled_back" });
      expect(found, label).toEqual([]);
      expect(differences(before, await look(made.pod)), label).toEqual([]);
      expect(made.interior.sh("rule show").trim().split("\n"), label).toHaveLength(3);
    }
  });

  test("killed on the way back, the same command again ends with it rolled back", async () => {
    /** A finished move that a failure sends back, in the next process. */
    const sentBack = async (made: Pod): Promise<MoveOptions> => {
      const options = moveOf(made, { neighbourTimeoutMs: 0 });
      await moveLink(options, surroundings());
      const state = await readMoveState(options.statePath);
      if (!state) throw new Error("no state");
      writeMoveState(options.statePath, { ...state, step: { at: "moving_back", cause: "the first" } });
      return options;
    };
    const whole = runMoveChild(await sentBack(furnishedPod()));
    for (const death of deathsIn(whole.calls, ["moving_back", "restoring_back"])) {
      const made = furnishedPod();
      const before = await look(made.pod);
      const options = await sentBack(made);
      expect(runMoveChild(options, death).killed).toBe(true);
      const label = `killed ${death.when} call ${death.call}, at "${await stepOf(options)}"`;
      expect(runMoveChild(options), label).toMatchObject({ step: { at: "rolled_back", cause: "the first" } });
      expect(differences(before, await look(made.pod)), label).toEqual([]);
      expect(made.interior.sh("link show"), label).not.toContain("eth0");
      expect(made.interior.sh("rule show").trim().split("\n"), label).toHaveLength(3);
    }
  });
});
