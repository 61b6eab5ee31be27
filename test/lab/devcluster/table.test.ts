import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ApiServer } from "../../../lab/devcluster/api-server.ts";
import type { ObjectStore } from "../../../lab/devcluster/object-store.ts";
import { humanDuration } from "../../../lab/devcluster/table-printer.ts";
import { call, makeStore, manifest, openWatch, sandboxPath, SANDBOXES, startApi } from "./support.ts";

// What kubectl sends, 1.20 and 1.32 alike.
const accept =
  "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";

let store: ObjectStore;
let api: ApiServer;

beforeEach(async () => {
  store = makeStore();
  api = await startApi(store, { bookmarkIntervalMs: 20 });
  store.create({
    ...manifest("a", {
      labels: { "agents.kruise.io/sandbox-id": "id-a", "agents.kruise.io/sandbox-claimed": "true" },
    }),
    status: {
      phase: "Running",
      podInfo: { podIP: "127.0.64.9" },
      conditions: [{ type: "Ready", status: "True" }],
    },
  });
});
afterEach(() => api.stop());

describe("a Table", () => {
  it("shows the columns of kubectl get sandboxes", async () => {
    const { status, body } = await call(api, SANDBOXES, { headers: { accept } });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      kind: "Table",
      apiVersion: "meta.k8s.io/v1",
      metadata: { resourceVersion: "1001" },
    });
    const columns = body.columnDefinitions.filter(({ priority }: { priority: number }) => priority === 0);
    expect(columns.map(({ name }: { name: string }) => name)).toEqual([
      "Name",
      "ID",
      "Status",
      "Pod IP",
      "Claimed",
      "Owner",
      "Age",
    ]);
    expect(body.rows[0]?.cells.slice(0, 6)).toEqual(["a", "id-a", "Running", "127.0.64.9", "true", ""]);
    expect(body.rows[0]?.cells).toHaveLength(body.columnDefinitions.length);
    expect(body.rows[0]?.object).toMatchObject({ kind: "PartialObjectMetadata", metadata: { name: "a" } });
    expect(body.rows[0]?.object).not.toHaveProperty("spec");
  });

  it("is cut into pages as a list is", async () => {
    store.create(manifest("b"));
    const first = (await call(api, `${SANDBOXES}?limit=1`, { headers: { accept } })).body;
    expect(first.rows).toHaveLength(1);
    const second = await call(api, `${SANDBOXES}?limit=1&continue=${first.metadata.continue}`, {
      headers: { accept },
    });
    expect(second.body.rows[0]?.cells[0]).toBe("b");
  });

  it("shows one object, and carries as much of it as is asked for", async () => {
    const get = async (include: string): Promise<unknown> =>
      (await call(api, `${sandboxPath("ns", "a")}?includeObject=${include}`, { headers: { accept } })).body
        .rows[0]?.object;
    expect(await get("None")).toBeNull();
    expect(await get("Object")).toMatchObject({ kind: "Sandbox", spec: { paused: false } });
  });

  it("comes as v1beta1 when a client knows no other", async () => {
    const old = "application/json;as=Table;v=v1beta1;g=meta.k8s.io, application/json";
    expect((await call(api, SANDBOXES, { headers: { accept: old } })).body.apiVersion).toBe(
      "meta.k8s.io/v1beta1",
    );
  });

  it("is what a watch sends: columns once, then rows; bookmarks without rows", async () => {
    const watch = await openWatch(api, "resourceVersion=1001&allowWatchBookmarks=true", { accept });
    store.create(manifest("b"));
    store.create(manifest("c"));
    store.delete("ns", "a");
    await watch.first(5);
    const shown = watch.events.filter(({ type }) => type !== "BOOKMARK");
    expect(shown.map(({ type, object }) => `${type} ${object.rows[0]?.cells[0]}`)).toEqual([
      "ADDED b",
      "ADDED c",
      "DELETED a",
    ]);
    expect(watch.events[0]?.object.columnDefinitions).not.toBeNull();
    expect(watch.events.slice(1).every(({ object }) => object.columnDefinitions === null)).toBe(true);
    const bookmark = watch.events.find(({ type }) => type === "BOOKMARK");
    expect(bookmark?.object).toMatchObject({ kind: "Table", rows: [] });
  });

  it("shows namespaces", async () => {
    const { body } = await call(api, "/api/v1/namespaces", { headers: { accept } });
    expect(body.rows.map(({ cells }: { cells: string[] }) => cells[0])).toEqual(["default", "ns"]);
    expect((await call(api, "/api/v1/namespaces/ns")).body).toMatchObject({
      kind: "Namespace",
      metadata: { name: "ns" },
    });
    expect((await call(api, "/api/v1/namespaces/none")).status).toBe(404);
  });
});

it.each([
  [-5, "0s"],
  [119_999, "119s"],
  [120_000, "2m"],
  [185_000, "3m5s"],
  [3_600_000, "60m"],
  [4 * 3_600_000 + 60_000, "4h1m"],
  [30 * 3_600_000, "30h"],
  [50 * 3_600_000, "2d2h"],
  [100 * 24 * 3_600_000, "100d"],
])("an age of %d ms is %s", (durationMs, text) => {
  expect(humanDuration(durationMs)).toBe(text);
});
