import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../src/system/clock.ts";
import { type ApiCredentials, type ApiTls, anonymousCredentials } from "../../src/watch/api-credentials.ts";
import { createApiClient } from "../../src/watch/api-client.ts";
import type { ApiFault } from "../../src/watch/fault.ts";
import { eventually } from "../support/eventually.ts";
import { type Fault, FaultyApiServer } from "./support/faulty-api-server.ts";
import { SandboxStore } from "./support/sandbox-store.ts";

// One GET: what is sent, what is an answer, and what each failure is called.

const NO_TLS: ApiTls = { insecureSkipVerify: false };
const LIST = "/apis/agents.kruise.io/v1alpha1/sandboxes";

async function client(
  change: (credentials: ApiCredentials) => Partial<ApiCredentials> = () => ({}),
  tls = () => NO_TLS,
) {
  const server = await FaultyApiServer.start(new SandboxStore());
  const anonymous = anonymousCredentials(server.url);
  const credentials = {
    ...anonymous,
    ...change(anonymous),
    get tls() {
      return tls();
    },
  };
  const api = createApiClient({ credentials, clock: systemClock });
  onTestFinished(async () => {
    await api.close();
    await server.stop();
  });
  const controller = new AbortController();
  const get = (timeoutMs = 20_000) =>
    api.get({
      path: LIST,
      firstByteTimeoutMs: timeoutMs,
      idleTimeoutMs: timeoutMs,
      reloadCredentials: false,
      signal: controller.signal,
    });
  const text = async () => {
    const parts: Buffer[] = [];
    for await (const chunk of (await get()).chunks) parts.push(chunk);
    return Buffer.concat(parts).toString();
  };
  const failure = (fault: Fault) => {
    server.faults.list.push(fault);
    return text().then(
      () => undefined,
      (error: unknown) => error as ApiFault,
    );
  };
  return { server, api, get, text, failure, controller };
}

test("what is sent: a GET of JSON with our name, and the credentials' headers", async () => {
  const { server, text } = await client(() => ({
    authHeaders: () => Promise.resolve({ authorization: "Bearer t", "impersonate-user": "\u00e9\t~" }),
  }));
  expect(JSON.parse(await text())).toMatchObject({ items: [] });
  const [request] = server.requests;
  expect(request?.path).toBe(LIST);
  expect(Object.fromEntries(request?.headers ?? [])).toMatchObject({
    accept: "application/json",
    "user-agent": "lychgate",
    authorization: "Bearer t",
  });
});

test.each(["", "/", "/k8s/cluster-1", "/k8s/cluster-1/"])(
  "a server at %j is asked below there",
  async (at) => {
    const { server, get } = await client(({ server: url }) => ({ server: new URL(at, url) }));
    const response = await get().catch(() => undefined);
    await response?.chunks.return();
    expect(server.requests[0]?.path).toBe(`${at.replace(/\/$/, "")}${LIST}`);
  },
);

test("a header that holds what none may is refused without its value, before anything is sent", async () => {
  for (const value of ["a\u0000", "a\r\nb: c", "\u0100", "a\u007f"]) {
    const { server, text } = await client(() => ({
      authHeaders: () => Promise.resolve({ "x-token": value }),
    }));
    const error = await text().catch((thrown: unknown) => thrown as ApiFault);
    expect(error).toMatchObject({ code: "credentials", message: expect.stringContaining("x-token") });
    expect(server.requests).toEqual([]);
  }
});

test("credentials that throw something else than an error are unreadable", async () => {
  const { text } = await client(() => ({ authHeaders: () => Promise.reject("no error") }));
  await expect(text()).rejects.toMatchObject({ code: "credentials", message: "unreadable" });
});

test.each<readonly [string, Fault, string, string]>([
  [
    "a Status with a message",
    { kind: "status", code: 403, message: "no, not you" },
    "forbidden",
    "the API server answered 403: no, not you",
  ],
  [
    "a message with control characters",
    { kind: "status", code: 500, message: "a\n\u001b[31mb\u009f" },
    "server_error",
    "the API server answered 500: a [31mb ",
  ],
  [
    "a message of 300 characters",
    { kind: "status", code: 500, message: "x".repeat(300) },
    "server_error",
    `the API server answered 500: ${"x".repeat(300)}`,
  ],
  [
    "one of 301",
    { kind: "status", code: 500, message: "x".repeat(301) },
    "server_error",
    `the API server answered 500: ${"x".repeat(300)}`,
  ],
  [
    "a Status above 64 KiB",
    { kind: "status", code: 404, message: "x".repeat(70_000) },
    "not_found",
    "the API server answered 404",
  ],
])("%s", async (_, fault, code, message) => {
  const { failure } = await client();
  expect(await failure(fault)).toMatchObject({ code, message });
});

test("an answer that is cut is a reset, one that stops is a stall, and none at all is unreachable", async () => {
  const { failure, server, get } = await client();
  expect(await failure({ kind: "cut", afterBytes: 10, by: "rst" })).toMatchObject({
    code: "reset",
    message: expect.stringContaining("was cut"),
  });
  expect(await failure({ kind: "reset" })).toMatchObject({
    code: "unreachable",
    message: expect.stringContaining("cannot be reached: "),
  });
  server.faults.list.push({ kind: "silent" });
  await expect(get(30)).rejects.toMatchObject({
    code: "stalled",
    message: "no answer from the API server for 30 ms",
  });
  server.faults.list.push({ kind: "stall" });
  const { chunks } = await get(30);
  const readAll = async () => {
    while (!(await chunks.next()).done);
  };
  await expect(readAll()).rejects.toMatchObject({
    code: "stalled",
    message: "no bytes from the API server for 30 ms",
  });
});

test("after it was aborted nothing is asked", async () => {
  const { get, server, controller } = await client();
  controller.abort();
  await expect(get()).rejects.toMatchObject({ code: "closed" });
  expect(server.requests).toEqual([]);
});

test("a wait that the server asks for is told, as seconds or as a date", async () => {
  const { failure } = await client();
  const asked = await failure({ kind: "status", code: 429, headers: { "retry-after": "7" } });
  expect(asked).toMatchObject({ code: "throttled", retryAfterMs: 7_000 });
  expect((await failure({ kind: "status", code: 503 }))?.retryAfterMs).toBeUndefined();
});

test("requests one after another go over one kept connection; other TLS material means a new one", async () => {
  let tls = NO_TLS;
  const { server, text } = await client(undefined, () => tls);
  const ask = async () => {
    await text();
    await new Promise((resolve) => setImmediate(resolve));
    return server.requests.at(-1)?.connection;
  };
  expect([await ask(), await ask()]).toEqual([1, 1]);
  tls = { insecureSkipVerify: false };
  expect([await ask(), await ask()]).toEqual([2, 2]);
});

test("close ends the connections that are kept, and those of TLS material that was given up", async () => {
  let tls = NO_TLS;
  const { api, server, text } = await client(undefined, () => tls);
  await text();
  tls = { insecureSkipVerify: false };
  await text();
  expect(server.sockets.size).toBeGreaterThan(0);
  await api.close();
  await eventually(() => server.sockets.size === 0);
  await expect(text()).rejects.toMatchObject({ code: "unreachable" });
});
