import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const ENTRY = new URL("../../src/cli.ts", import.meta.url);

/** Everything that starting the command line loads: static imports that remain when types are stripped. */
function loadedFrom(entry: URL): { files: string[]; packages: string[] } {
  const files = new Set<string>();
  const packages = new Set<string>();
  const visit = (file: URL) => {
    if (files.has(file.href)) return;
    files.add(file.href);
    const source = readFileSync(fileURLToPath(file), "utf8");
    for (const [, name = ""] of source.matchAll(
      /^(?:(?:import|export) (?!type)[^;"=(]* from|import) "([^"]+)";/gm,
    )) {
      if (name.startsWith(".")) visit(new URL(name, file));
      else if (!name.startsWith("node:")) packages.add(name);
    }
  };
  visit(entry);
  return {
    files: [...files].map((href) => href.slice(new URL("../../src/", import.meta.url).href.length)),
    packages: [...packages].sort(),
  };
}

test("the command line starts without the router: only the schema, what it checks with, and YAML are loaded", () => {
  const { files, packages } = loadedFrom(ENTRY);
  expect(packages).toEqual(["ipaddr.js", "yaml", "zod"]);
  expect(files.length).toBeGreaterThan(20);
  for (const file of files)
    expect(file).toMatch(
      /^(cli\.ts|system\/(version|launcher|process-signals|cidrs|ip-address)\.ts|cli\/|config\/|proxy\/target\/(host-template|authority|target-options-error)\.ts)/,
    );
});
