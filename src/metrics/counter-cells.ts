import { labelValue } from "./label-values.ts";
import type { LabelValues } from "./label-values.ts";

/** One series: its labels, and a plain number. */
export interface Cell {
  readonly labels: Readonly<Record<string, string>>;
  count: number;
}

interface Branch {
  readonly children: Map<string, Branch>;
  cell: Cell | undefined;
}

/**
 * The series of one counter as plain numbers, found by label values in the order of the labels: cheap enough for each
 * request. Values that are not listed count under the list's word for others and are not remembered, so memory stays
 * bounded whatever comes.
 */
export class CounterCells {
  readonly #labels: readonly (readonly [name: string, values: LabelValues])[];
  readonly #root: Branch = { children: new Map(), cell: undefined };
  readonly #cells: Cell[] = [];

  /**
   * @param labels the counter's labels, in the order in which `add` takes their values.
   * @param zeroInitialised make every combination at once, so that a rate over the first count is right.
   */
  constructor(labels: Readonly<Record<string, LabelValues>>, zeroInitialised: boolean) {
    this.#labels = Object.entries(labels);
    if (zeroInitialised) this.#makeAll([]);
  }

  /** Adds `amount` to the series of `values`, one per label. A counter never falls: other amounts are ignored. */
  add(amount: number, ...values: readonly string[]): void {
    if (amount >= 0 && Number.isFinite(amount)) this.cell(...values).count += amount;
  }

  /** The series of `values`, for who counts in it again and again. */
  cell(...values: readonly string[]): Cell {
    let branch: Branch | undefined = this.#root;
    for (const value of values) branch = branch?.children.get(value);
    return branch?.cell ?? this.#make(values.map((value, index) => this.#listed(index, value)));
  }

  /** Every series that exists, in the order in which they came to be. */
  cells(): readonly Cell[] {
    return this.#cells;
  }

  #listed(index: number, value: string): string {
    const values = this.#labels[index]?.[1];
    return values === undefined ? value : labelValue(values, value);
  }

  #make(values: readonly string[]): Cell {
    let branch = this.#root;
    for (const value of values) {
      const child = branch.children.get(value) ?? { children: new Map(), cell: undefined };
      branch.children.set(value, child);
      branch = child;
    }
    if (branch.cell === undefined) {
      const labels = Object.fromEntries(this.#labels.map(([name], index) => [name, values[index] ?? ""]));
      branch.cell = { labels, count: 0 };
      this.#cells.push(branch.cell);
    }
    return branch.cell;
  }

  #makeAll(prefix: readonly string[]): void {
    const next = this.#labels[prefix.length];
    if (next === undefined) this.#make(prefix);
    else if (next[1].kind === "closed") for (const value of next[1].values) this.#makeAll([...prefix, value]);
  }
}
