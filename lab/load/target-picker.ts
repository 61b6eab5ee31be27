/** How a target is asked: it runs, it rests or changes, or it is gone. */
export type TargetMode = "running" | "resting" | "ended";

/** A target to ask, or one that is to be asked otherwise than before. */
export interface TargetChange {
  readonly index: number;
  /** Value of the request's Host. */
  readonly host: string;
  readonly mode: TargetMode;
}

/** A choice. */
export interface PickedTarget {
  readonly index: number;
  readonly host: string;
}

/** So much of the load goes to sandboxes that do not run: a client does not know that its sandbox is gone. */
const SHARES: readonly (readonly [mode: TargetMode, upTo: number])[] = [
  ["ended", 0.1],
  ["resting", 0.2],
  ["running", 1],
];

/** Of the sandboxes that are gone, the latest are asked for. */
const ENDED_KEPT = 200;

/** Chooses whom to ask next. */
export class TargetPicker {
  readonly #lists: Record<TargetMode, PickedTarget[]> = { running: [], resting: [], ended: [] };
  readonly #random: () => number;

  /** `random` returns numbers in [0, 1). */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** Takes up a target, or asks it otherwise from now on. */
  change({ index, host, mode }: TargetChange): void {
    for (const list of Object.values(this.#lists)) {
      const at = list.findIndex((target) => target.index === index);
      if (at >= 0) list.splice(at, 1);
    }
    const list = this.#lists[mode];
    list.push({ index, host });
    if (mode === "ended" && list.length > ENDED_KEPT) list.shift();
  }

  /** A target by chance, most often one that runs; `undefined` when there is none. */
  pick(): PickedTarget | undefined {
    const roll = this.#random();
    const wanted = SHARES.find(([, upTo]) => roll < upTo)?.[0] ?? "running";
    for (const mode of [wanted, "running", "resting", "ended"] as const) {
      const list = this.#lists[mode];
      const target = list[Math.floor(this.#random() * list.length)];
      if (target) return target;
    }
    return undefined;
  }
}
