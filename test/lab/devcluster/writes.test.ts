import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ApiServer } from "../../../lab/devcluster/api-server.ts";
import type { ObjectStore } from "../../../lab/devcluster/object-store.ts";
import { call, makeStore, manifest, sandboxPath, startApi } from "./support.ts";

let store: ObjectStore;
let api: ApiServer;

beforeEach(async () => {
  store = makeStore();
  api = await startApi(store, { maxBodyBytes: 10_000 });
});
afterEach(() => api.stop());

const patch = (type: string, body: unknown, path = sandboxPath("ns", "a")): ReturnType<typeof call> =>
  call(api, path, { method: "PATCH", body, headers: { "content-type": type } });
const merge = (body: unknown, path?: string): ReturnType<typeof call> =>
  patch("application/merge-patch+json", body, path);

describe("creating", () => {
  it("fills in what the server owns and ignores a status", async () => {
    const { status, body } = await call(api, sandboxPath("ns"), {
      method: "POST",
      body: { ...manifest("a"), status: { phase: "Running" } },
    });
    expect(status).toBe(201);
    expect(body.metadata).toMatchObject({
      name: "a",
      namespace: "ns",
      generation: 1,
      resourceVersion: "1001",
    });
    expect(body.metadata.uid).toMatch(
      /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    );
    expect(Date.parse(body.metadata.creationTimestamp)).toBeGreaterThan(Date.now() - 60_000);
    expect(body.status).toBeUndefined();
  });

  it("makes a name from generateName", async () => {
    const body = { ...manifest("x"), metadata: { generateName: "gen-" } };
    const reply = await call(api, sandboxPath("ns"), { method: "POST", body });
    expect(reply.body.metadata.name).toMatch(/^gen-[a-z0-9]{5}$/);
  });

  it("refuses a name that is taken, and gives a new UID once it is free", async () => {
    const first = store.create(manifest("a"));
    const taken = await call(api, sandboxPath("ns"), { method: "POST", body: manifest("a") });
    expect([taken.status, taken.body.reason]).toEqual([409, "AlreadyExists"]);
    store.delete("ns", "a");
    expect(store.create(manifest("a")).metadata.uid).not.toBe(first.metadata.uid);
  });

  it("names every faulty field", async () => {
    const body = { ...manifest("Not_A_Name"), spec: { paused: "yes", shutdownTime: "tomorrow" } };
    const reply = await call(api, sandboxPath("ns"), { method: "POST", body });
    expect([reply.status, reply.body.reason]).toEqual([422, "Invalid"]);
    const fields = reply.body.details.causes.map((cause: { field: string }) => cause.field);
    expect(fields.sort()).toEqual(["metadata.name", "spec.paused", "spec.shutdownTime"]);
    expect(store.size).toBe(0);
  });

  it.each([
    ["not JSON", "{", 400, "BadRequest"],
    ["no object", "7", 400, "BadRequest"],
    ["too big", `"${"x".repeat(20_000)}"`, 413, "RequestEntityTooLarge"],
    ["for another namespace", JSON.stringify(manifest("a", { namespace: "other" })), 400, "BadRequest"],
  ])("refuses a body that is %s", async (_, body, status, reason) => {
    const reply = await call(api, sandboxPath("ns"), { method: "POST", body });
    expect([reply.status, reply.body.reason]).toEqual([status, reason]);
  });

  it("refuses YAML with 415", async () => {
    const headers = { "content-type": "application/yaml" };
    const reply = await call(api, sandboxPath("ns"), { method: "POST", body: "kind: Sandbox", headers });
    expect([reply.status, reply.body.reason]).toEqual([415, "UnsupportedMediaType"]);
  });
});

describe("replacing", () => {
  it("needs the newest resourceVersion", async () => {
    const old = store.create(manifest("a"));
    const put = (object: unknown): ReturnType<typeof call> =>
      call(api, sandboxPath("ns", "a"), { method: "PUT", body: object });
    const first = await put({ ...old, spec: { paused: true } });
    expect([first.status, first.body.metadata.generation]).toEqual([200, 2]);
    const second = await put({ ...old, spec: { paused: false } });
    expect([second.status, second.body.reason]).toEqual([409, "Conflict"]);
    expect(second.body.message).toContain("the object has been modified");
    expect(store.get("ns", "a")?.spec.paused).toBe(true);
    const { resourceVersion: _, ...metadata } = old.metadata;
    expect((await put({ ...old, metadata })).status).toBe(422);
  });

  it("keeps status and identity whatever the body says", async () => {
    const old = store.create(manifest("a"));
    const metadata = {
      ...old.metadata,
      generation: 99,
      creationTimestamp: "2001-01-01T00:00:00Z",
      labels: { a: "b" },
    };
    const { body } = await call(api, sandboxPath("ns", "a"), {
      method: "PUT",
      body: { ...old, metadata, status: { phase: "Failed" } },
    });
    const { creationTimestamp, uid } = old.metadata;
    expect(body.metadata).toMatchObject({ generation: 1, creationTimestamp, uid, labels: { a: "b" } });
    expect(body.status).toBeUndefined();
  });
});

describe("patching", () => {
  beforeEach(() => {
    store.create(manifest("a", { labels: { keep: "1", drop: "2" } }));
  });

  it("merges, null removing (RFC 7396)", async () => {
    const { status, body } = await merge({
      metadata: { labels: { drop: null, add: "3" } },
      spec: { paused: true },
    });
    expect(status).toBe(200);
    expect(body.metadata).toMatchObject({
      labels: { keep: "1", add: "3" },
      generation: 2,
      resourceVersion: "1002",
    });
    expect(body.metadata.labels).not.toHaveProperty("drop");
    expect(body.spec.paused).toBe(true);
  });

  it("writes nothing when nothing changes", async () => {
    const { body } = await merge({ spec: { paused: false } });
    expect(body.metadata.resourceVersion).toBe("1001");
    expect(store.version).toBe(1001n);
  });

  it("applies JSON patches (RFC 6902)", async () => {
    const { status, body } = await patch("application/json-patch+json", [
      { op: "test", path: "/metadata/labels/keep", value: "1" },
      { op: "remove", path: "/metadata/labels/drop" },
      { op: "add", path: "/metadata/annotations", value: { "a.b/c": "x" } },
      { op: "copy", from: "/metadata/annotations/a.b~1c", path: "/metadata/labels/copied" },
      { op: "replace", path: "/spec/paused", value: true },
    ]);
    expect(status).toBe(200);
    expect(body.metadata.labels).toEqual({ keep: "1", copied: "x" });
    expect(body.spec.paused).toBe(true);
  });

  it.each([
    ["a test that fails", [{ op: "test", path: "/spec/paused", value: true }], 422],
    ["a path that is not there", [{ op: "remove", path: "/spec/nothing" }], 422],
    ["an unknown operation", [{ op: "frobnicate", path: "/spec" }], 400],
    ["no array", { op: "remove", path: "/spec" }, 400],
    ["removing the whole object", [{ op: "remove", path: "" }], 400],
  ])("changes nothing for a JSON patch with %s", async (_, body, status) => {
    expect((await patch("application/json-patch+json", body)).status).toBe(status);
    expect(store.version).toBe(1001n);
  });

  it.each(["application/strategic-merge-patch+json", "application/apply-patch+yaml", "application/json"])(
    "refuses %s with 415, as for any custom resource",
    async (type) => {
      const { status, body } = await patch(type, { spec: { paused: true } });
      expect([status, body.reason]).toEqual([415, "UnsupportedMediaType"]);
    },
  );

  it("conflicts when it names another version or UID", async () => {
    expect((await merge({ metadata: { resourceVersion: "1000" }, spec: { paused: true } })).status).toBe(409);
    expect((await merge({ metadata: { uid: "another" } })).status).toBe(409);
    expect((await merge({ metadata: { resourceVersion: "1001" }, spec: { paused: true } })).status).toBe(200);
  });

  it("keeps spec and status apart", async () => {
    const status = sandboxPath("ns", "a") + "/status";
    const viaStatus = await merge({ spec: { paused: true }, status: { phase: "Running" } }, status);
    expect([viaStatus.body.spec.paused, viaStatus.body.status.phase]).toEqual([false, "Running"]);
    expect(viaStatus.body.metadata.generation).toBe(1);
    const viaMain = await merge({ spec: { paused: true }, status: { phase: "Failed" } });
    expect([viaMain.body.spec.paused, viaMain.body.status.phase]).toEqual([true, "Running"]);
  });

  it("can't reach a prototype", async () => {
    await patch(
      "application/merge-patch+json",
      '{"__proto__":{"polluted":true},"spec":{"__proto__":{"polluted":true}}}',
    );
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
    expect(store.get("ns", "a")?.spec["polluted"]).toBeUndefined();
  });
});

describe("deleting", () => {
  it("removes an object without finalizers at once", async () => {
    const { uid } = store.create(manifest("a")).metadata;
    const { status, body } = await call(api, sandboxPath("ns", "a"), { method: "DELETE" });
    expect([status, body.status, body.details.uid]).toEqual([200, "Success", uid]);
    expect((await call(api, sandboxPath("ns", "a"))).status).toBe(404);
    expect((await call(api, sandboxPath("ns", "a"), { method: "DELETE" })).body.reason).toBe("NotFound");
  });

  it("marks an object with finalizers, and removes it with the last of them", async () => {
    store.create(manifest("a", { finalizers: ["one", "two"] }));
    const first = await call(api, sandboxPath("ns", "a"), { method: "DELETE" });
    expect(first.body.metadata.deletionTimestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    const { resourceVersion } = first.body.metadata;
    const again = await call(api, sandboxPath("ns", "a"), { method: "DELETE" });
    expect(again.body.metadata.resourceVersion).toBe(resourceVersion);
    await merge({ metadata: { finalizers: ["two"] } });
    expect(store.size).toBe(1);
    await merge({ metadata: { finalizers: null } });
    expect(store.size).toBe(0);
  });

  it("obeys preconditions", async () => {
    const { uid } = store.create(manifest("a")).metadata;
    const remove = (preconditions: object): ReturnType<typeof call> =>
      call(api, sandboxPath("ns", "a"), { method: "DELETE", body: { preconditions } });
    expect((await remove({ uid: "another" })).status).toBe(409);
    expect((await remove({ uid, resourceVersion: "1" })).status).toBe(409);
    expect((await remove({ uid })).status).toBe(200);
  });

  it("removes a selection", async () => {
    for (const name of ["a", "b", "c"])
      store.create(manifest(name, { labels: { doomed: String(name !== "b") } }));
    const path = `${sandboxPath("ns")}?labelSelector=doomed%3Dtrue`;
    expect((await call(api, path, { method: "DELETE" })).body.items).toHaveLength(2);
    expect([...store.values()].map(({ metadata }) => metadata.name)).toEqual(["b"]);
  });
});

describe("what is not there", () => {
  it("answers other methods, paths and options with a Status", async () => {
    expect((await call(api, sandboxPath("ns"), { method: "PUT", body: {} })).status).toBe(405);
    expect((await call(api, "/api/v1/pods")).body).toMatchObject({
      kind: "Status",
      reason: "NotFound",
      code: 404,
    });
    const dry = await call(api, `${sandboxPath("ns")}?dryRun=All`, { method: "POST", body: manifest("a") });
    expect([dry.status, store.size]).toEqual([400, 0]);
    const protobuf = { accept: "application/vnd.kubernetes.protobuf" };
    expect((await call(api, sandboxPath("ns"), { headers: protobuf })).status).toBe(406);
  });
});
