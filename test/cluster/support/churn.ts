import { chance, type Random, randomInteger } from "../../../lab/devcluster/random.ts";
import type { Replicas, Running } from "./replicas.ts";

/** How far back pushes are repeated. */
const LATE_PUSHES = 40;

type BoxState =
  | { readonly kind: "absent" }
  | { readonly kind: "running"; readonly running: Running }
  | { readonly kind: "paused"; readonly uid: string };

/**
 * One sandbox name that is created, paused, resumed on another address, deleted and created again. After each step both
 * replicas must come to know it. A pod whose sandbox has ended may live on for a while: a route that came back would reach it.
 */
export class Box {
  readonly name: string;
  readonly #scene: Replicas;
  readonly #random: Random;
  #state: BoxState = { kind: "absent" };
  /** Address of the pod that has outlived its sandbox. */
  #leftover: string | undefined;
  /** Its deletion that the manager has not pushed yet. */
  #untold: Running | undefined;

  constructor(name: string, scene: Replicas, random: Random) {
    this.name = name;
    this.#scene = scene;
    this.#random = random;
  }

  /** Its next step. Afterwards the manager repeats something that it pushed before. */
  async step(): Promise<void> {
    const state = this.#state;
    if (state.kind === "absent") await this.#run(() => this.#scene.create(this.name));
    else if (state.kind === "paused") await this.#run(() => this.#scene.run(this.name, state.uid));
    else if (chance(this.#random, 0.5)) await this.#pause(state.running);
    else await this.#delete(state.running);
    await this.#repeatPush();
  }

  async #repeatPush(): Promise<void> {
    const route = this.#scene.pushed.at(-randomInteger(this.#random, 1, LATE_PUSHES));
    if (route !== undefined) await this.#scene.pushAgain(route);
  }

  async #run(start: () => Promise<Running>): Promise<void> {
    const running = await start();
    this.#state = { kind: "running", running };
    await this.#scene.served(running);
    // Its last pod has lived until here, and another one is served: if it answers once more, a dead route has come back.
    if (this.#untold !== undefined) await this.#scene.push(this.#untold, "dead");
    this.#untold = undefined;
    await this.#repeatPush();
    if (this.#leftover !== undefined) await this.#release(this.#leftover);
    this.#leftover = undefined;
  }

  async #pause(running: Running): Promise<void> {
    await this.#scene.killPod(running.ip);
    await this.#scene.pause(running);
    this.#state = { kind: "paused", uid: running.uid };
    await this.#scene.refused(this.name, "sandbox_paused");
    await this.#release(running.ip);
  }

  async #delete(running: Running): Promise<void> {
    const outlives = chance(this.#random, 0.5);
    if (!outlives) await this.#scene.killPod(running.ip);
    // Some deletions are pushed when the next sandbox of that name runs already.
    const tells = chance(this.#random, 0.7);
    await this.#scene.delete(running, { tells });
    if (!tells) this.#untold = running;
    this.#state = { kind: "absent" };
    await this.#scene.refused(this.name, "sandbox_not_found", "sandbox_dead");
    if (outlives) this.#leftover = running.ip;
    else await this.#release(running.ip);
  }

  async #release(ip: string): Promise<void> {
    await this.#scene.killPod(ip);
    this.#scene.freeIp(ip);
  }
}

/** Lets each box make steps, all side by side, until `enough`. Resolves to the number of steps. */
export async function churn(boxes: readonly Box[], enough: (steps: number) => boolean): Promise<number> {
  let steps = 0;
  await Promise.all(
    boxes.map(async (box) => {
      while (!enough(steps)) {
        await box.step();
        steps++;
      }
    }),
  );
  return steps;
}
