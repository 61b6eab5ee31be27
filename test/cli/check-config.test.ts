import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import { configFrom } from "../../src/config/load.ts";
import { runInProcess, runLychgate } from "./run-lychgate.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lychgate-check-config-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function file(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

test("a valid file: the effective configuration with origins, exit 0", async () => {
  const path = await file("valid.yaml", "listen: 127.0.0.1:80\nwatch:\n  pageSize: 9\n");
  const { code, stdout, stderr } = await runLychgate(["check-config", path, "--target-strict"], {
    LYCHGATE_NAMESPACE: "a,b",
  });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toMatch(/^listen: "127\.0\.0\.1:80" +# \/.*\/valid\.yaml:1:9$/m);
  expect(stdout).toMatch(/^namespace: \["a", "b"\] +# LYCHGATE_NAMESPACE$/m);
  expect(stdout).toMatch(/^ {2}strict: true +# --target-strict$/m);
  expect(stdout).toMatch(/^ {2}ttlMs: 600000 +# default$/m);

  const expected = configFrom({
    listen: "127.0.0.1:80",
    namespace: ["a", "b"],
    watch: { pageSize: 9 },
    target: { strict: true },
  });
  expect(parse(stdout)).toEqual(expected);
  const again = await runInProcess(["check-config", await file("printed.yaml", stdout)]);
  expect(again.code).toBe(0);
  expect(parse(again.stdout)).toEqual(expected);
});

test("--json prints configuration and origins", async () => {
  const path = await file("json.yaml", '{"logLevel": "debug"}');
  const { code, stdout } = await runInProcess(["check-config", path, "--json"]);
  expect(code).toBe(0);
  const { valid, config, origins } = JSON.parse(stdout) as {
    valid: boolean;
    config: unknown;
    origins: Record<string, string>;
  };
  expect({ valid, config }).toEqual({ valid: true, config: configFrom({ logLevel: "debug" }) });
  expect(origins["logLevel"]).toBe(`${path}:1:14`);
  expect(origins["watch.pageSize"]).toBe("default");
});

test("a faulty file: every fault with its place on standard error, exit 1", async () => {
  const path = await file("faulty.yaml", "lisen: :1\nwatch:\n  pageSize: many\n");
  const { code, stdout, stderr } = await runLychgate(["check-config", path]);
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toBe(
    `${path}:1:1: unknown key "lisen"; did you mean "listen"?\n` +
      `${path}:3:13: watch.pageSize must be an integer from 1 to 10000; it is "many"\n` +
      "lychgate check-config: 2 faults in the configuration\n",
  );
});

test("a faulty file with --json: the faults are the data, exit 1", async () => {
  const path = await file("faulty.json", '{"drain": {"delayMs": -1}}');
  const { code, stdout, stderr } = await runInProcess(["check-config", path, "--json"]);
  expect({ code, stderr }).toEqual({ code: 1, stderr: "" });
  expect(JSON.parse(stdout)).toMatchObject({
    valid: false,
    problems: [
      { code: "invalid_value", key: "drain.delayMs", origin: { kind: "file", line: 1, column: 23 } },
    ],
  });
});

test("a wrong flag with --json: a fault of the line, told as one", async () => {
  const { code, stdout, stderr } = await runInProcess([
    "check-config",
    "/dev/null",
    "--json",
    "--listen",
    "x",
  ]);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr).toContain("--listen: listen must be [host]:port");
});

test("a file that is not there: exit 1; a wrong flag: exit 2", async () => {
  const gone = await runInProcess(["check-config", join(folder, "gone.yaml")]);
  expect(gone.code).toBe(1);
  expect(gone.stderr).toContain("gone.yaml:1:1: the file can't be read: ENOENT");
  expect((await runInProcess(["check-config", "/dev/null", "--nope"])).code).toBe(2);
});
