import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { README_FILE, withTables } from "../scripts/readme-tables.ts";
import { renderReplies, REPLIES_FILE } from "../scripts/replies-reference.ts";
import { REASONS } from "../src/proxy/reply/reasons.ts";
import { COMMANDS } from "../src/cli/main.ts";
import { settingOf } from "../src/config/settings.ts";

const readme = readFileSync(README_FILE, "utf8");

test("the README's tables are what the code says (else run: node scripts/readme-tables.ts)", () => {
  expect(withTables(readme)).toBe(readme);
});

test("docs/reference/replies.md is what the code says (else run: node scripts/replies-reference.ts)", () => {
  const text = readFileSync(REPLIES_FILE, "utf8");
  expect(text).toBe(renderReplies());
  for (const reason of Object.keys(REASONS)) if (reason !== "ok") expect(text).toContain(`\`${reason}\``);
});

test("every command, key, script and file that the README names exists", () => {
  for (const [, name] of readme.matchAll(/(?:npx )?lychgate ([a-z][a-z-]+)/g)) {
    // `host` alone stands for its commands.
    expect(COMMANDS.map((command) => command.name.split(" ")[0])).toContain(name);
  }
  for (const [, key = ""] of readme.matchAll(
    /`((?:target|upstream|drain|peers|auth|client|host|anycast|admin)\.[a-zA-Z]+)`/g,
  )) {
    expect(settingOf(key), key).toBeDefined();
  }
  const scripts = Object.keys(
    (JSON.parse(readFileSync(join(dirname(README_FILE), "package.json"), "utf8")) as { scripts: object })
      .scripts,
  );
  for (const [, name] of readme.matchAll(/npm run ([a-z:0-9]+)/g)) expect(scripts).toContain(name);
  for (const [, path = ""] of readme.matchAll(/\]\((docs\/[^)]+)\)|`((?:src|test|\.ci)\/[\w./-]+)`/g)) {
    if (path) expect(existsSync(join(dirname(README_FILE), path)), path).toBe(true);
  }
});
