import { expect, test } from "vitest";
import { AdminTokenError, adminTokenOf } from "../../src/config/admin-token.ts";
import { renderYaml, REDACTED, shownConfig } from "../../src/config/render.ts";
import { faults, load } from "./support.ts";

const TOKEN = "sekrit-5f2a9c01";

test("a secret is in effect, and no view of the configuration shows it", () => {
  for (const given of [
    { argv: ["--admin-token", TOKEN] },
    { environment: { LYCHGATE_ADMIN_TOKEN: TOKEN } },
    { file: `admin:\n  token: ${TOKEN}\n` },
  ]) {
    const loaded = load(given);
    expect(loaded.config.admin.token).toBe(TOKEN);
    const yaml = renderYaml(loaded);
    expect(yaml).not.toContain(TOKEN);
    expect(yaml).toMatch(/^ {2}# token: "\(set, not shown\)" +# /m);
    expect(load({ file: yaml }).config.admin.token).toBe("");
    expect(shownConfig(loaded.config)).toMatchObject({
      listen: ":7788",
      admin: { token: REDACTED, hosts: [] },
    });
  }
  expect(shownConfig(load({}).config)).toMatchObject({ admin: { token: "" } });
});

test("a faulty secret is told without its value", () => {
  const said = faults({ file: `admin:\n  token: "${TOKEN} x"\n` }).join("\n");
  expect(said).toContain("admin.token must be empty, or 8 to 4096 printable ASCII characters without spaces");
  expect(said).not.toContain(TOKEN);
  expect(faults({ argv: ["--admin-token", TOKEN, "--admin-token-file", "/x"] })).toEqual([
    "--admin-token-file: admin.tokenFile must not be given together with admin.token",
  ]);
});

test("the token is that of the setting, or what the file holds", () => {
  const of = (argv: readonly string[], text: string) =>
    adminTokenOf(load({ argv }).config, (path) => {
      if (path === "/none") throw new Error("ENOENT: no such file");
      return text;
    });
  expect(of([], "")).toBeUndefined();
  expect(of(["--admin-token", TOKEN], "")).toBe(TOKEN);
  expect(of(["--admin-token-file", "/t"], `${TOKEN}\n`)).toBe(TOKEN);
  expect(() => of(["--admin-token-file", "/none"], "")).toThrow(AdminTokenError);
  for (const text of ["", "short", `${TOKEN} ${TOKEN}`, "tökentöken"]) {
    expect(() => of(["--admin-token-file", "/t"], text)).toThrow(
      "admin.tokenFile (/t) must hold one token: 8 to 4096 printable ASCII characters without spaces",
    );
  }
});
