import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ApiServer } from "../../../lab/devcluster/api-server.ts";
import type { ObjectStore } from "../../../lab/devcluster/object-store.ts";
import { call, makeStore, manifest, sandboxPath, SANDBOXES, startApi } from "./support.ts";

let store: ObjectStore;
let api: ApiServer;

beforeEach(async () => {
  store = makeStore();
  api = await startApi(store);
});
afterEach(() => api.stop());

const names = (body: { items: { metadata: { name: string } }[] }): string[] =>
  body.items.map(({ metadata }) => metadata.name);

describe("listing sandboxes", () => {
  it("gives an empty cluster a version to watch from", async () => {
    const { status, body } = await call(api, SANDBOXES);
    expect(status).toBe(200);
    expect(body).toEqual({
      apiVersion: "agents.kruise.io/v1alpha1",
      kind: "SandboxList",
      metadata: { resourceVersion: "1000" },
      items: [],
    });
  });

  it("lists one namespace or all", async () => {
    store.create(manifest("a", { namespace: "one" }));
    store.create(manifest("b", { namespace: "two" }));
    expect(names((await call(api, SANDBOXES)).body)).toEqual(["a", "b"]);
    expect(names((await call(api, sandboxPath("two"))).body)).toEqual(["b"]);
  });

  it("shows the same moment on every page while objects come, change and go", async () => {
    for (const name of ["a", "b", "c", "d", "e"]) store.create(manifest(name));
    const first = (await call(api, `${SANDBOXES}?limit=2`)).body;
    expect(names(first)).toEqual(["a", "b"]);
    expect(first.metadata).toMatchObject({ resourceVersion: "1005", remainingItemCount: 3 });
    store.create(manifest("bb"));
    store.delete("ns", "c");
    store.delete("ns", "a");
    store.modify("ns", "d", (draft) => {
      draft.spec.paused = true;
    });
    const token = encodeURIComponent(first.metadata.continue);
    const second = (await call(api, `${SANDBOXES}?limit=2&continue=${token}`)).body;
    expect(names(second)).toEqual(["c", "d"]);
    expect(second.metadata).toMatchObject({ resourceVersion: "1005", remainingItemCount: 1 });
    expect(second.items[1]?.spec.paused).toBe(false);
    const third = (await call(api, `${SANDBOXES}?limit=2&continue=${second.metadata.continue}`)).body;
    expect(names(third)).toEqual(["e"]);
    expect(third.metadata).toEqual({ resourceVersion: "1005" });
    expect(names((await call(api, SANDBOXES)).body)).toEqual(["b", "bb", "d", "e"]);
  });

  it("answers 410 to a continue token whose moment was compacted", async () => {
    for (const name of ["a", "b", "c"]) store.create(manifest(name));
    const { metadata } = (await call(api, `${SANDBOXES}?limit=1`)).body;
    store.create(manifest("d"));
    store.compact();
    const { status, body } = await call(api, `${SANDBOXES}?limit=1&continue=${metadata.continue}`);
    expect(status).toBe(410);
    expect(body).toMatchObject({ kind: "Status", status: "Failure", reason: "Expired", code: 410 });
  });

  it("cuts pages by what matches, not by what is read", async () => {
    for (const name of ["a", "b", "c", "d"])
      store.create(manifest(name, { labels: { even: String("bd".includes(name)) } }));
    const first = (await call(api, `${SANDBOXES}?limit=1&labelSelector=even%3Dtrue`)).body;
    expect(names(first)).toEqual(["b"]);
    expect(first.metadata.remainingItemCount).toBeUndefined();
    const second = (
      await call(api, `${SANDBOXES}?limit=1&labelSelector=even%3Dtrue&continue=${first.metadata.continue}`)
    ).body;
    expect(names(second)).toEqual(["d"]);
    expect(second.metadata.continue).toBeUndefined();
  });

  it("reads an exact past version, and refuses one that has not come", async () => {
    store.create(manifest("a"));
    store.create(manifest("b"));
    const exact = await call(api, `${SANDBOXES}?resourceVersion=1001&resourceVersionMatch=Exact`);
    expect(names(exact.body)).toEqual(["a"]);
    expect(exact.body.metadata.resourceVersion).toBe("1001");
    expect(names((await call(api, `${SANDBOXES}?resourceVersion=1001`)).body)).toEqual(["a", "b"]);
    expect(names((await call(api, `${SANDBOXES}?resourceVersion=0`)).body)).toEqual(["a", "b"]);
    const future = await call(api, `${SANDBOXES}?resourceVersion=2000`);
    expect(future.status).toBe(504);
    expect(future.body.details.causes[0]?.reason).toBe("ResourceVersionTooLarge");
  });

  it.each([
    ["limit=many", "limit must be a whole number"],
    ["continue=xyz", "continue key is not valid"],
    ["resourceVersion=01", "invalid resource version"],
    ["labelSelector=a%3D%3D%3Db", "unable to parse requirement"],
    ["fieldSelector=status.phase%3DRunning", "field label not supported: status.phase"],
  ])("names the fault of ?%s", async (query, message) => {
    const { status, body } = await call(api, `${SANDBOXES}?${query}`);
    expect(status).toBe(400);
    expect(body.message).toContain(message);
  });
});
