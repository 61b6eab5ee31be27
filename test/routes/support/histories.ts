import { type Step, explore, informerScripts, pushesOf, type Violation } from "./explorer.ts";
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

/** Explores every history of the timelines until a violation is found. */
export function exploreAll(
  all: Iterable<readonly Moment[]>,
  rules: Rules = RULES,
  scriptsOf: (moments: readonly Moment[]) => readonly (readonly Step[])[] = informerScripts,
  ordersOf: (moments: readonly Moment[]) => Iterable<Step[][]> = (moments) => pairs(pushesOf(moments)),
): { readonly histories: number; readonly violation: Violation | undefined } {
  let histories = 0;
  for (const moments of all) {
    for (const script of scriptsOf(moments)) {
      for (const orders of ordersOf(moments)) {
        const found = explore(moments, script, orders, rules);
        histories += found.histories;
        if (found.violation) return { histories, violation: found.violation };
      }
    }
  }
  return { histories, violation: undefined };
}
