import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { CLIENT_TRANSITIONS } from "../../src/proxy/fast/client-phase.ts";
import { FAULT_KINDS } from "../../src/watch/fault.ts";
import {
  IDLE,
  LIST_REASONS,
  type ReflectorEvent,
  type ReflectorState,
  transition,
  type Tries,
} from "../../src/watch/list-watch-state.ts";
import { ROOT } from "./citations.ts";
import { REFLECTOR_SETTINGS } from "../support/defaults.ts";

const { retry: RETRY } = REFLECTOR_SETTINGS;

// The tables of docs/architecture.md#state-machines against the code.

const page = readFileSync(join(ROOT, "docs/architecture.md"), "utf8");

/** The cells of a table's rows, without its head. */
function rowsOf(table: string): string[][] {
  const text = page.split(`<!-- ${table}:begin -->`)[1]?.split(`<!-- ${table}:end -->`)[0] ?? "";
  const [, , ...rows] = text.trim().split("\n");
  return rows.map((row) =>
    row
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

const wordsIn = (cell = "") => [...cell.matchAll(/`([\w-]+)`/g)].map(([, word = ""]) => word);

test("the reflector goes where its table says, and nowhere else", () => {
  const policy = RETRY;
  const tries: Tries[] = [0, policy.watchFaultsBeforeRelist].flatMap((count) =>
    [true, false].map((unauthorized) => ({
      failures: count,
      watchFaults: count,
      watchesLost: count,
      behind: 0,
      unauthorized,
    })),
  );
  const listing = tries.flatMap((tries) =>
    LIST_REASONS.map((reason) => ({ kind: "listing" as const, reason, tries })),
  );
  const watching = tries.map((tries) => ({ kind: "watching" as const, tries }));
  const states: ReflectorState[] = [
    IDLE,
    ...listing,
    ...watching,
    ...[...listing, ...watching].map((next) => ({
      kind: "backing_off" as const,
      next,
      fault: "reset" as const,
      delayMs: 1,
    })),
    { kind: "stopped" },
  ];
  const events: ReflectorEvent[] = [
    { kind: "start" },
    { kind: "listed" },
    { kind: "waited" },
    ...FAULT_KINDS.map((fault) => ({ kind: "failed" as const, fault })),
    ...FAULT_KINDS.flatMap((fault) =>
      [0, policy.healthyAfterMs].flatMap((lastedMs) =>
        [true, false].map((progressed) => ({ kind: "watch_ended" as const, fault, lastedMs, progressed })),
      ),
    ),
  ];
  const found = new Map<string, Set<string>>();
  for (const state of states) {
    expect(transition(state, { kind: "stop" }, policy, 0).kind).toBe("stopped");
    for (const event of events) {
      const next = transition(state, event, policy, 0);
      if (next === state) continue;
      const way = `${state.kind} ${event.kind}`;
      found.set(way, (found.get(way) ?? new Set()).add(next.kind));
    }
  }

  const told = new Map<string, Set<string>>();
  let state = "";
  for (const [name, , event, next] of rowsOf("reflector")) {
    state = wordsIn(name)[0] ?? state;
    const [word] = wordsIn(event);
    if (word !== undefined) told.set(`${state} ${word}`, new Set(wordsIn(next)));
  }
  expect(told).toEqual(found);
});

test("the phases of a client connection lead where their table says, or end with the connection", () => {
  const told = rowsOf("fast-client").map(([phase, , , next]) => [wordsIn(phase)[0], wordsIn(next).sort()]);
  const real = Object.entries(CLIENT_TRANSITIONS).map(([phase, next]) => [
    phase,
    next.filter((name) => name !== "gone").sort(),
  ]);
  expect(told).toEqual(real);
  for (const [phase, next] of Object.entries(CLIENT_TRANSITIONS)) {
    expect((next as readonly string[]).includes("gone")).toBe(phase !== "gone");
  }
});
