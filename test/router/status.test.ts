import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { ConfigView, RouteHistoryView } from "../../src/admin/api-types.ts";
import type { Status } from "../../src/admin/status-types.ts";
import { eventually } from "../support/eventually.ts";
import { startTestRouter } from "./support.ts";

// What the admin port says of a whole router: the parts behind it are the real ones.

const TOKEN = "sekrit-5f2a9c01";

const route = { namespace: "team-a", name: "box", id: "box", uid: "u1", ip: "127.0.0.9", state: "running" };

test("who pushed what and what came of it, requests, and the configuration without its secrets", async () => {
  const folder = mkdtempSync(join(tmpdir(), "lychgate-"));
  const tokenFile = join(folder, "token");
  writeFileSync(tokenFile, `${TOKEN}\n`);
  const router = await startTestRouter({ source: "none", admin: { tokenFile } });
  const get = async <T>(path: string): Promise<T> => {
    const response = await fetch(router.adminUrl + path, { headers: { authorization: `Bearer ${TOKEN}` } });
    expect(response.status).toBe(200);
    return (await response.json()) as T;
  };
  try {
    expect(await router.push({ ...route, resourceVersion: "5", accessToken: TOKEN })).toBe(204);
    expect(await router.push({ ...route, state: "dead", resourceVersion: "7" })).toBe(204);
    expect(await router.push({ ...route, resourceVersion: "6" })).toBe(204);
    await router.ask("box");

    const { facts } = await get<RouteHistoryView>("/api/history?namespace=team-a&name=box");
    expect(facts.map(({ what, from, outcome, revival }) => [what, from, outcome, revival])).toEqual([
      ["update", "127.0.0.1", "applied", undefined],
      ["deletion", "127.0.0.1", "applied", undefined],
      ["incarnation_ended", undefined, "dead", undefined],
      ["update", "127.0.0.1", "ignored_tombstone", true],
    ]);
    const status = await eventually(async () => {
      const now = await get<Status>("/api/status");
      return now.traffic.reasons.length > 0 && now;
    });
    if (status === false) throw new Error("no status");
    expect(status).toMatchObject({
      health: { level: "ok" },
      overview: { counts: { tombstones: 1 } },
      peers: [{ address: "127.0.0.1", pushes: 3, applied: 2, ignored: 1, stopped: 1 }],
      workers: { wanted: 0, processes: [{ name: "router" }] },
      traffic: { stopped: [{ name: "peer tombstone", total: 1 }] },
      history: { facts: 4, routes: 1 },
    });
    expect(status).not.toHaveProperty("watch");
    const config = await get<ConfigView>("/api/config");
    const byKey = new Map(config.settings.map((setting) => [setting.key, setting]));
    expect(byKey.get("admin.tokenFile")).toMatchObject({
      value: JSON.stringify(tokenFile),
      isDefault: false,
    });
    expect(JSON.stringify([facts, status, config])).not.toContain(TOKEN);
    expect((await fetch(`${router.adminUrl}/metrics`)).status).toBe(401);
  } finally {
    await router.router.stop();
    rmSync(folder, { recursive: true });
  }
});

test("a token file that is not there keeps the router from starting, and says which", async () => {
  await expect(startTestRouter({ source: "none", admin: { tokenFile: "/nowhere/token" } })).rejects.toThrow(
    "admin.tokenFile can't be read: ENOENT",
  );
});
