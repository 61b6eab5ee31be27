import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../src/system/clock.ts";
import { anonymousCredentials } from "../../src/watch/api-credentials.ts";
import { createApiClient } from "../../src/watch/api-client.ts";
import { ObjectReader } from "../../src/watch/object-reader.ts";
import { openKruiseSandbox } from "../../src/watch/sandbox-projection.ts";
import { FaultyApiServer } from "./support/faulty-api-server.ts";
import { SandboxStore } from "./support/sandbox-store.ts";

// Reads of what is so at this moment (rule 12): one object, or a namespace.

async function reading({
  selector = undefined as string | undefined,
  fieldSelector = undefined as string | undefined,
  pageSize = 100,
  maxPageBytes = 1_000_000,
  timeoutMs = 20_000,
} = {}) {
  const store = new SandboxStore();
  const server = await FaultyApiServer.start(store);
  const reloads: boolean[] = [];
  const anonymous = anonymousCredentials(server.url);
  const api = createApiClient({
    credentials: {
      ...anonymous,
      authHeaders: (forceReload) => {
        reloads.push(forceReload);
        return anonymous.authHeaders(forceReload);
      },
    },
    clock: systemClock,
  });
  const target = { resource: openKruiseSandbox, selector, fieldSelector };
  const reader = new ObjectReader({ target, api, pageSize, maxPageBytes, timeoutMs });
  onTestFinished(async () => {
    reader.stop();
    await api.close();
    await server.stop();
  });
  return { store, server, reader, reloads };
}

test("one object is asked for by a list of its namespace with its name, and no resourceVersion", async () => {
  const { store, server, reader } = await reading({ selector: "app=x", fieldSelector: "spec.a=b" });
  store.put("ns", "one", { ip: "10.0.0.7", labels: { app: "x" } });
  const { version, observation } = await reader.readObject("ns", "one");
  expect([version, observation?.name, observation?.route?.ip]).toEqual(["1001", "one", "10.0.0.7"]);
  const [request] = server.requests;
  expect(request?.path).toBe("/apis/agents.kruise.io/v1alpha1/namespaces/ns/sandboxes");
  expect(Object.fromEntries(request?.query ?? [])).toEqual({
    labelSelector: "app=x",
    fieldSelector: "spec.a=b,metadata.name=one",
    limit: "100",
  });
});

test("without a field selector of the target the name alone is sent; of a namespace none is", async () => {
  const { server, reader } = await reading();
  await reader.readObject("ns", "one");
  await reader.readNamespace("ns");
  expect(server.requests.map(({ query }) => query.get("fieldSelector"))).toEqual(["metadata.name=one", null]);
});

test("an object that is not there: nothing, at the version of the list", async () => {
  const { store, reader } = await reading();
  store.put("ns", "one");
  store.delete("ns", "one");
  expect(await reader.readObject("ns", "one")).toEqual({ version: "1002", observation: undefined });
});

test("a namespace is read page by page, into all of its objects by name", async () => {
  const { store, server, reader } = await reading({ pageSize: 2 });
  for (let i = 0; i < 5; i++) store.put("ns", `s${i}`, { ip: `10.0.0.${i}` });
  store.put("other", "s9");
  const { version, observations } = await reader.readNamespace("ns");
  expect(version).toBe("1006");
  expect([...observations].map(([name, { route }]) => `${name} ${route?.ip}`)).toEqual(
    [0, 1, 2, 3, 4].map((i) => `s${i} 10.0.0.${i}`),
  );
  expect(server.count("list")).toBe(3);
});

test("what can't be read, or is of another namespace, is left aside", async () => {
  const { server, reader } = await reading();
  const items = [{}, { metadata: { namespace: "other", name: "one", uid: "u", resourceVersion: "7" } }];
  server.faults.list.push({
    kind: "body",
    bytes: JSON.stringify({ metadata: { resourceVersion: "9" }, items }),
  });
  expect(await reader.readObject("ns", "one")).toEqual({ version: "9", observation: undefined });
});

test("a list that begins again forgets what its first pages showed", async () => {
  const { store, server, reader } = await reading({ pageSize: 1 });
  store.put("ns", "gone");
  store.put("ns", "stays");
  let lists = 0;
  server.onRequest = () => {
    lists += 1;
    if (lists !== 2) return;
    store.delete("ns", "gone");
    server.faults.list.push({ kind: "status", code: 410 });
  };
  const { observations } = await reader.readNamespace("ns");
  expect([...observations.keys()]).toEqual(["stays"]);
});

test("a 401 is asked again with credentials that are read again: at once, and by the next read if it was in vain", async () => {
  const { server, reader, reloads } = await reading();
  server.faults.list.push({ kind: "status", code: 401 });
  await reader.readObject("ns", "one");
  expect(reloads.splice(0)).toEqual([false, true]);
  server.faults.list.push({ kind: "status", code: 401 }, { kind: "status", code: 401 });
  await expect(reader.readObject("ns", "one")).rejects.toMatchObject({ code: "unauthorized" });
  await reader.readObject("ns", "one");
  expect(reloads.splice(0)).toEqual([false, true, true]);
  server.faults.list.push({ kind: "status", code: 503 });
  await expect(reader.readObject("ns", "one")).rejects.toMatchObject({ code: "unavailable" });
  await reader.readObject("ns", "one");
  expect(reloads).toEqual([false, false]);
});

test("a server that says nothing, or stops within its answer, is given up", async () => {
  const { server, reader } = await reading({ timeoutMs: 50 });
  for (const fault of ["silent", "stall"] as const) {
    server.faults.list.push({ kind: fault });
    await expect(reader.readObject("ns", "one")).rejects.toMatchObject({ code: "stalled" });
  }
});

test("stop cuts what is under way, and a read after it fails at once", async () => {
  const { server, reader } = await reading();
  server.faults.list.push({ kind: "silent" });
  const { promise: asked, resolve } = Promise.withResolvers<void>();
  server.onRequest = () => resolve();
  const read = reader.readObject("ns", "one");
  const failed = expect(read).rejects.toMatchObject({ code: "closed" });
  await asked;
  reader.stop();
  await failed;
  await expect(reader.readNamespace("ns")).rejects.toMatchObject({ code: "closed" });
});
