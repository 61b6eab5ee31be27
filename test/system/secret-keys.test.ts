import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { SecretKeys } from "../../src/system/secret-keys.ts";
import { systemClock } from "../../src/system/clock.ts";
import { eventually } from "../support/eventually.ts";

const ONE = "1".repeat(32);
const TWO = "2".repeat(40);
const THREE = "3".repeat(64);

let directory: string;
const lines: string[] = [];
const write = (message: string, fields?: object) =>
  void lines.push(`${message} ${JSON.stringify(fields ?? {})}`);
const log = { debug: write, info: write, warn: write, error: write };
beforeEach(async () => {
  lines.length = 0;
  directory = await mkdtemp(join(tmpdir(), "lychgate-keys-"));
});
afterEach(() => rm(directory, { recursive: true }));

const file = (name: string) => join(directory, name);
const keysOf = (...names: string[]) =>
  new SecretKeys({
    setting: "peers.hmacKeyFiles",
    paths: names.map(file),
    clock: systemClock,
    log,
    everyMs: 10,
  });

/** As the kubelet renews a mounted Secret: a new directory, and one symbolic link to it that is renamed over the old one. */
async function mountSecret(version: string, contents: Record<string, string>): Promise<void> {
  await mkdir(file(version));
  for (const [name, text] of Object.entries(contents)) await writeFile(join(directory, version, name), text);
  await symlink(version, file("..data_tmp"));
  await rename(file("..data_tmp"), file("..data"));
}

test("Kubernetes swaps the Secret: the new keys are in force, and either is taken", async () => {
  await mountSecret("..1", { current: `${ONE}\n`, previous: TWO });
  for (const name of ["current", "previous"]) await symlink(join("..data", name), file(name));
  const keys = keysOf("current", "previous");
  expect(keys.current).toEqual([ONE, TWO]);
  await mountSecret("..2", { current: THREE, previous: ONE });
  await eventually(() => expect(keys.current).toEqual([THREE, ONE]));
  keys.stop();
  expect(lines.join("\n")).not.toMatch(/1{8}|2{8}|3{8}/);
});

test("a key whose file is deleted is taken no more", async () => {
  await writeFile(file("a"), ONE);
  await writeFile(file("b"), TWO);
  const keys = keysOf("a", "b");
  await rm(file("b"));
  await eventually(() => expect(keys.current).toEqual([ONE]));
  keys.stop();
  expect(lines.some((line) => line.includes("taken no more") && line.includes(file("b")))).toBe(true);
});

test("a file that is half written leaves the last key in force, and the log says so without it", async () => {
  await writeFile(file("a"), ONE);
  const keys = keysOf("a");
  await writeFile(file("a"), TWO.slice(0, 8));
  await eventually(() => expect(lines.some((line) => line.includes("its last key stays"))).toBe(true));
  expect(keys.current).toEqual([ONE]);
  await writeFile(file("a"), TWO);
  await eventually(() => expect(keys.current).toEqual([TWO]));
  keys.stop();
  expect(lines.join("\n")).not.toMatch(/1{8}|2{8}/);
});

test.each([
  ["missing", undefined, "can't be read: ENOENT"],
  ["too short", "s".repeat(31), "must hold one key"],
  ["two keys", `${ONE}\n${TWO}`, "must hold one key"],
  ["empty", "", "must hold one key"],
])(
  "at the start a file that is %s is an error that names it, and not what it holds",
  async (_what, text, fault) => {
    if (text !== undefined) await writeFile(file("a"), text);
    expect(() => keysOf("a")).toThrow(`peers.hmacKeyFiles: ${file("a")} ${fault}`);
    expect(() => keysOf("a")).not.toThrow(/1{8}|s{8}/);
  },
);

test("the same key in both files is one key", async () => {
  await writeFile(file("a"), ONE);
  await writeFile(file("b"), ONE);
  const keys = keysOf("a", "b");
  expect(keys.current).toEqual([ONE]);
  keys.stop();
});
