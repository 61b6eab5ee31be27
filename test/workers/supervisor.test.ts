import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterEach, expect, test } from "vitest";
import { type Clock, systemClock } from "../../src/system/clock.ts";
import { silentLog } from "../../src/system/log.ts";
import { RouteFeed } from "../../src/workers/route-feed.ts";
import { Supervisor } from "../../src/workers/supervisor.ts";
import { eventually } from "../support/eventually.ts";
import { newTable } from "../support/defaults.ts";

// Real processes of a small program that does what its first argument says.

const PROGRAM = fileURLToPath(new URL("support/odd-worker.mjs", import.meta.url));

/** Time that passes `speed` times as fast. */
function clockOf(speed: number): Clock {
  return {
    nowMs: () => systemClock.nowMs() * speed,
    monotonicMs: () => systemClock.monotonicMs() * speed,
    setTimeout: (callback, delayMs) => systemClock.setTimeout(callback, delayMs / speed),
  };
}

const running: Supervisor[] = [];
afterEach(() => {
  for (const supervisor of running.splice(0)) supervisor.kill();
});

function supervise(workers: number, behaviourOf: (spawned: number) => string, speed = 1) {
  const clock = clockOf(speed);
  const delaysMs: unknown[] = [];
  const children: ChildProcess[] = [];
  const replaced: string[] = [];
  const supervisor = new Supervisor({
    workers,
    spawn: () => {
      const child = spawn(process.execPath, [PROGRAM, behaviourOf(children.length)], {
        stdio: ["ignore", "ignore", "inherit", "ipc"],
        serialization: "advanced",
      });
      children.push(child);
      return child;
    },
    feed: new RouteFeed(newTable({ scopes: "none" }), clock),
    settings: {},
    listen: { host: "127.0.0.1", port: 0 },
    observer: { replaced: (end) => void replaced.push(end) },
    clock,
    log: { ...silentLog, error: (_message, fields) => void delaysMs.push(fields?.["delayMs"]) },
  });
  running.push(supervisor);
  return { supervisor, children, replaced, delaysMs };
}

const isAlive = ({ exitCode, signalCode }: ChildProcess) => exitCode === null && signalCode === null;

test("a worker that answers no more for half a minute is killed and replaced", async () => {
  const behaviourOf = (spawned: number) => (spawned === 1 ? "falls-silent" : "good");
  const { supervisor, children, replaced } = supervise(2, behaviourOf, 15);
  await supervisor.start();
  expect(supervisor.ready).toBe(2);
  await eventually(() => replaced.length > 0);
  expect(replaced).toEqual(["stuck"]);
  await eventually(() => supervisor.ready === 2);
  expect(children.map(isAlive)).toEqual([true, false, true]);
});

test("a worker that ends again and again is tried ever less often, and the others are let alone", async () => {
  const behaviourOf = (spawned: number) => (spawned === 0 ? "good" : "ends-soon");
  const { supervisor, children, replaced, delaysMs } = supervise(2, behaviourOf);
  await supervisor.start();
  await eventually(() => delaysMs.length >= 4);
  expect(delaysMs.slice(0, 4)).toEqual([0, 100, 200, 400]);
  expect(new Set(replaced)).toEqual(new Set(["exited"]));
  expect(children.slice(0, 2).map(isAlive)).toEqual([true, false]);
});

test("a worker that can't start at all fails the start, and leaves none behind", async () => {
  const { supervisor, children } = supervise(3, (spawned) => (spawned === 2 ? "cannot-start" : "good"));
  await expect(supervisor.start()).rejects.toMatchObject({ message: "listen EACCES", code: "EACCES" });
  expect(children.some(isAlive)).toBe(false);
});

test("a drain waits for workers, and kills those that take too long", async () => {
  const behaviourOf = (spawned: number) => (spawned === 1 ? "never-drains" : "good");
  const { supervisor, children } = supervise(2, behaviourOf, 4);
  await supervisor.start();
  await supervisor.drain(1_000);
  expect(children.map(({ exitCode, signalCode }) => exitCode ?? signalCode)).toEqual([0, "SIGKILL"]);
  expect(children.length).toBe(2);
});

test("who does not answer for its metrics in time is left out", async () => {
  const { supervisor } = supervise(2, (spawned) => (spawned === 1 ? "hides-metrics" : "good"));
  await supervisor.start();
  const told = await supervisor.metrics();
  expect(told).toMatchObject([{ worker: 0, metrics: "mine" }, { worker: 1 }]);
  expect(told[1]?.metrics).toBeUndefined();
});
