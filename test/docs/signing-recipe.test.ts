import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { signatureOf } from "../../src/peers/proof/hmac.ts";
import { startTestRouter } from "../router/support.ts";
import { hasOpenssl } from "../support/certificates.ts";

// docs/peers.md#hmac: the worked example is right, and the recipe works as it stands.

const page = readFileSync(new URL("../../docs/peers.md", import.meta.url), "utf8");
const section = page.slice(page.indexOf('<a id="hmac">'), page.indexOf('<a id="mtls">'));
const cell = (row: string): string => {
  const found = new RegExp(`^\\| ${row} \\| \`(.*)\` \\|$`, "m").exec(section)?.[1];
  if (found === undefined) throw new Error(`the worked example has no row ${row}`);
  return found;
};

test("the worked example", () => {
  const head = { method: "POST", target: "/refresh", time: cell("time"), nonce: cell("nonce") };
  const signature = signatureOf(cell("key"), head, Buffer.from(cell("body")));
  expect(cell("signature")).toBe(signature.toString("hex"));
});

// Needs the openssl and curl commands.
test.skipIf(!hasOpenssl())("the recipe for openssl and curl, word for word", async () => {
  const recipe = /```sh\n([^]*?)```/.exec(section)?.[1] ?? "";
  const directory = mkdtempSync(join(tmpdir(), "lychgate-recipe-"));
  const key = join(directory, "key");
  writeFileSync(key, `${cell("key")}\n`);
  const router = await startTestRouter({ source: "none", peers: { require: "hmac", hmacKeyFiles: [key] } });
  try {
    const { host: ROUTER } = new URL(router.peersUrl);
    const run = promisify(execFile);
    const options = { cwd: directory, env: { ...process.env, ROUTER } };
    expect((await run("sh", ["-euc", recipe], options)).stdout).toBe("204\n");
    expect(router.router.table.lookup("hello").kind).toBe("found");
    const other = mkdtempSync(join(directory, "other-"));
    writeFileSync(join(other, "key"), "a-key-that-the-router-does-not-know");
    expect((await run("sh", ["-euc", recipe], { ...options, cwd: other })).stdout).toBe("401\n");
  } finally {
    await router.router.stop();
    rmSync(directory, { recursive: true });
  }
});
