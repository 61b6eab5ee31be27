import fc from "fast-check";
import {
  explore,
  informerScripts,
  pushesOf,
  snapshotScripts,
  type Step,
  type Violation,
  Witness,
} from "./explorer.ts";
import { HAPPENINGS, type Happening, type Moment, timeline } from "./timeline.ts";
import { RULES, type Rules } from "../../../src/routes/rules.ts";

/** Every different timeline of `length` steps that the named sandboxes can take. */
export function* timelines(names: readonly string[], length: number): Generator<Moment[]> {
  const steps = names.flatMap((name) =>
    HAPPENINGS.map((happening): [string, Happening] => [name, happening]),
  );
  const seen = new Set<string>();
  for (const sequence of sequences(steps, length)) {
    const moments = timeline(sequence);
    const print = JSON.stringify(moments);
    if (!seen.has(print)) yield moments;
    seen.add(print);
  }
}

function* sequences<T>(items: readonly T[], length: number): Generator<T[]> {
  if (length === 0) {
    yield [];
    return;
  }
  for (const rest of sequences(items, length - 1)) for (const item of items) yield [...rest, item];
}

/** Every two pushes out of all that could be sent, each in both orders, and each one twice. */
export function* pairs(pushes: readonly Step[]): Generator<Step[][]> {
  for (const [index, first] of pushes.entries()) {
    yield [[first, first]];
    for (const second of pushes.slice(index + 1)) {
      yield [
        [first, second],
        [second, first],
      ];
    }
  }
}

/** Every comparison with a replica beside every push, in both orders, and each comparison twice. */
export function* replicaPairs(replicas: readonly Step[], pushes: readonly Step[]): Generator<Step[][]> {
  for (const replica of replicas) {
    yield [[replica, replica]];
    for (const push of pushes) {
      yield [
        [replica, push],
        [push, replica],
      ];
    }
  }
}

/** Which histories are explored. */
export interface Exploration {
  readonly rules?: Rules;
  /** The ways of the informer. Default {@link informerScripts}. */
  readonly scriptsOf?: ScriptsOf;
  /** What comes beside it, in which orders. Default every two pushes. */
  readonly ordersOf?: (moments: readonly Moment[]) => Iterable<Step[][]>;
  /** Only one of so many pairs is taken, with all its mergings. Default 1: every pair. */
  readonly oneIn?: number;
}

/** The ways in which an informer can learn a timeline. */
export type ScriptsOf = (moments: readonly Moment[]) => readonly (readonly Step[])[];

/** What small histories are made of, beside the pushes. */
export const INFORMERS: readonly { readonly what: string; readonly scriptsOf: ScriptsOf }[] = [
  { what: "lists, events, gaps and restarts", scriptsOf: informerScripts },
  { what: "a restart from a snapshot", scriptsOf: snapshotScripts },
];

/** Explores the histories of the timelines until a violation is found. */
export function exploreAll(
  all: Iterable<readonly Moment[]>,
  {
    rules = RULES,
    scriptsOf = informerScripts,
    ordersOf = (moments) => pairs(pushesOf(moments)),
    oneIn = 1,
  }: Exploration = {},
): { readonly histories: number; readonly violation: Violation | undefined } {
  let histories = 0;
  let pair = 0;
  for (const moments of all) {
    for (const script of scriptsOf(moments)) {
      for (const orders of ordersOf(moments)) {
        if (pair++ % oneIn > 0) continue;
        const found = explore(moments, script, orders, rules);
        histories += found.histories;
        if (found.violation) return { histories, violation: found.violation };
      }
    }
  }
  return { histories, violation: undefined };
}

/**
 * Long random histories: one way of the informer, and pushes of what happened that go in at any point of it, in any order, any
 * number of times.
 */
export function longHistories(
  names: readonly string[],
  scriptsOf: ScriptsOf,
): fc.Arbitrary<{ readonly moments: readonly Moment[]; readonly steps: readonly Step[] }> {
  const happening = fc.tuple(fc.constantFrom(...names), fc.constantFrom(...HAPPENINGS));
  return fc
    .tuple(
      fc.array(happening, { minLength: 4, maxLength: 24 }),
      fc.nat(),
      fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 40 }),
    )
    .map(([happenings, scriptPick, pushPicks]) => {
      const moments = timeline(happenings);
      const scripts = scriptsOf(moments);
      const pushes = pushesOf(moments);
      const script = scripts[scriptPick % scripts.length] as readonly Step[];
      const steps = script.slice(0, -1);
      if (pushes.length > 0) {
        for (const [push, at] of pushPicks)
          steps.splice(at % (steps.length + 1), 0, pushes[push % pushes.length] as Step);
      }
      // The informer has the last word: it brings the watermark to the end.
      return { moments, steps: [...steps, ...script.slice(-1)] };
    });
}

/** Tells a table one history to its end; returns the first violation. */
export function tellAll(moments: readonly Moment[], steps: readonly Step[]): Violation | undefined {
  const witness = new Witness(moments);
  for (const step of steps) {
    const violation = witness.take(step);
    if (violation) return violation;
  }
  return witness.notConverged();
}
