import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";

// What keeps a process alive shows only in one that has nothing else to do.
const printedBy = (script: string) => {
  const clock = new URL("../../src/system/clock.ts", import.meta.url).href;
  const source = `import { sleep, systemClock } from ${JSON.stringify(clock)};\n${script}`;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", source], {
    encoding: "utf8",
  });
  return stdout + stderr;
};
const fired = '() => console.log("fired")';

test.each([
  [`systemClock.setTimeout(${fired}, 20)`, ""],
  [`systemClock.setTimeout(${fired}, 20, { keepAlive: true })`, "fired\n"],
  [`systemClock.setTimeout(${fired}, 3_600_000, { keepAlive: true }).clear()`, ""],
  [`await sleep(systemClock, 20);\nconsole.log("slept")`, "slept\n"],
])("a process with nothing else to do: %s", (script, printed) => {
  expect(printedBy(script)).toBe(printed);
});
