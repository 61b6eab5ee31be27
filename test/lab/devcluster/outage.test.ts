import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ApiServer } from "../../../lab/devcluster/api-server.ts";
import type { ObjectStore } from "../../../lab/devcluster/object-store.ts";
import { eventually } from "../../support/eventually.ts";
import { call, makeStore, manifest, openWatch, SANDBOXES, startApi } from "./support.ts";

let store: ObjectStore;
let api: ApiServer;

beforeEach(async () => {
  store = makeStore();
  api = await startApi(store);
});
afterEach(() => api.stop());

describe("an API that is away", () => {
  it("refuses connections, breaks watches, and comes back at the same address", async () => {
    const { url } = api;
    const watch = await openWatch(api, "resourceVersion=1000");
    await api.setOutage("refuse");
    await eventually(() => watch.broken);
    await expect(call(api, SANDBOXES)).rejects.toMatchObject({ code: "ECONNREFUSED" });
    store.create(manifest("meanwhile"));
    await api.setOutage("none");
    expect(api.url).toBe(url);
    const again = await openWatch(api, "resourceVersion=1000");
    await again.first(1);
    expect(again.story).toEqual(["ADDED meanwhile"]);
  });

  it("stalls: nothing is answered, nothing breaks, and everything comes in the end", async () => {
    const watch = await openWatch(api, "resourceVersion=1000");
    await api.setOutage("stall");
    let answered = false;
    const list = call(api, SANDBOXES).finally(() => (answered = true));
    store.create(manifest("meanwhile"));
    const other = await startApi(store);
    await eventually(async () => (await call(other, SANDBOXES)).body.items.length === 1);
    expect([answered, watch.events.length, watch.broken]).toEqual([false, 0, false]);
    await api.setOutage("none");
    expect((await list).body.items).toHaveLength(1);
    await watch.first(1);
    await other.stop();
  });

  it("says 503 with a time to wait, and ends watches", async () => {
    const watch = await openWatch(api, "resourceVersion=1000");
    await api.setOutage("unavailable");
    await eventually(() => watch.ended);
    const { status, headers, body } = await call(api, SANDBOXES);
    expect([status, headers["retry-after"], body.reason]).toEqual([503, "1", "ServiceUnavailable"]);
  });

  it("stops while it stalls", async () => {
    await openWatch(api, "resourceVersion=1000");
    await api.setOutage("stall");
    const parked = call(api, SANDBOXES);
    const refused = expect(parked).rejects.toThrow();
    await eventually(() => api.watchCount === 1);
    await api.stop();
    await refused;
  });
});

describe("an API that wants a token", () => {
  it("answers 401 until it gets the right one, also after it changed", async () => {
    api.setToken("first");
    const get = async (authorization?: string): Promise<number> =>
      (await call(api, SANDBOXES, { headers: authorization === undefined ? {} : { authorization } })).status;
    expect([await get(), await get("Bearer second"), await get("Bearer first")]).toEqual([401, 401, 200]);
    api.setToken("second");
    expect([await get("Bearer first"), await get("Bearer second")]).toEqual([401, 200]);
  });
});
