import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ROOT } from "./citations.ts";

// What a docstring shows can be pasted: it has the types that it needs, runs, and prints what its comments say.

const run = promisify(execFile);

const FOLDER = mkdtempSync(join(tmpdir(), "lychgate-examples-"));

interface Example {
  readonly name: string;
  readonly code: string;
  /** The comments that stand behind a `console.log`. */
  readonly prints: readonly string[];
}

function examplesIn(file: string): Example[] {
  const text = readFileSync(join(ROOT, file), "utf8");
  return [
    ...text.matchAll(
      / \* @example\n \* ```ts\n((?: \*.*\n)+?) \* ```\n(?: \*.*\n)*? ?\*\/\n(?:export [a-z ]+ (\w+))?/g,
    ),
  ].map(([, lines = "", name = ""]) => {
    const code = lines.replaceAll(/^ \* ?/gm, "");
    const here = dirname(join(ROOT, file));
    return {
      name: `${name} (${file})`,
      code: code.replaceAll(
        / from "(\.[^"]+)"/g,
        (_, path: string) => ` from "${relative(FOLDER, resolve(here, path))}"`,
      ),
      prints: [...code.matchAll(/console\.log\(.*\);\n\/\/ (.*)\n/g)].map(([, printed = ""]) => printed),
    };
  });
}

const examples = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .flatMap((path) => examplesIn(`src/${path}`));

const files: string[] = [];
beforeAll(() => {
  writeFileSync(join(FOLDER, "package.json"), '{ "type": "module" }');
  for (const [index, { code }] of examples.entries()) {
    files.push(join(FOLDER, `example-${index}.ts`));
    writeFileSync(files[index] ?? "", code);
  }
});
afterAll(() => rmSync(FOLDER, { recursive: true, force: true }));

test("ten public entry points have an example, each with what it prints", () => {
  expect(examples.map(({ name }) => name)).toHaveLength(10);
  for (const { name, prints } of examples) {
    expect(name).toMatch(/^\w+ /);
    expect(prints, name).not.toEqual([]);
  }
});

test("they have right types", async () => {
  const config = join(FOLDER, "tsconfig.json");
  const settings = {
    extends: resolve(ROOT, "tsconfig.json"),
    compilerOptions: { typeRoots: [resolve(ROOT, "node_modules/@types")] },
    include: ["*.ts"],
  };
  writeFileSync(config, JSON.stringify(settings));
  const tsc = join(ROOT, "node_modules/.bin/tsc");
  const { stdout } = await run(tsc, ["--noEmit", "--project", config]).catch(
    (error: { stdout: string }) => error,
  );
  expect(stdout).toBe("");
});

test.each(examples.map(({ name, prints }, index) => [name, index, prints] as const))(
  "%s prints what it says",
  async (_, index, prints) => {
    const { stdout } = await run(process.execPath, [files[index] ?? ""], { cwd: ROOT, timeout: 60_000 });
    expect(stdout.trimEnd().split("\n")).toEqual(prints);
  },
);
