import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { IssuerKeys, isTrustworthy } from "../../src/access/issuer-keys.ts";
import type { Log } from "../../src/system/log.ts";
import { ManualClock } from "../proxy/support/manual-clock.ts";
import { eventually } from "../support/eventually.ts";

// docs/access.md#issuer-keys, with a real HTTP server for the issuer.

const CONFIGURATION = "/.well-known/openid-configuration";
const closers: (() => void)[] = [];
let url: string;
let answers: Record<string, { readonly status?: number; readonly body: string }>;
let asked: string[];
let warnings: string[];
let clock: ManualClock;

const log: Log = {
  debug() {},
  info() {},
  warn: (message, fields) => warnings.push(`${message}: ${String(fields?.["why"])}`),
  error() {},
};

function jwk(kid: string): object {
  return { ...generateKeyPairSync("ed25519").publicKey.export({ format: "jwk" }), kid };
}

beforeEach(async () => {
  asked = [];
  warnings = [];
  clock = new ManualClock();
  const server = createServer((request, response) => {
    asked.push(request.url ?? "");
    const { status = 200, body } = answers[request.url ?? ""] ?? { status: 404, body: "" };
    response.writeHead(status, { location: "/keys" }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(() => server.close());
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/tenant`;
  answers = {
    [`/tenant${CONFIGURATION}`]: { body: JSON.stringify({ issuer: url, jwks_uri: `${url}/keys` }) },
    "/tenant/keys": { body: JSON.stringify({ keys: [jwk("one")] }) },
  };
});
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

function start(): IssuerKeys {
  const keys = new IssuerKeys({ issuer: url, refreshMs: 60_000, clock, log });
  closers.push(() => keys.stop());
  return keys;
}

const names = (keys: IssuerKeys) => [...(keys.keys?.keys() ?? [])];
/** Time passes, and what is due happens. */
function pass(ms: number): void {
  clock.stall(ms);
  clock.fireDue();
}

test("the keys are found by discovery, read again, and another set takes the place of the first", async () => {
  const keys = start();
  expect(keys.keys).toBeUndefined();
  await eventually(() => expect(names(keys)).toEqual(["one"]));
  const first = keys.keys;
  await eventually(() => {
    pass(60_000);
    expect(asked.length).toBeGreaterThanOrEqual(4);
  });
  // Nothing has changed, so what was verified is still remembered.
  expect(keys.keys).toBe(first);
  answers["/tenant/keys"] = { body: JSON.stringify({ keys: [jwk("two"), jwk("three")] }) };
  await eventually(() => {
    pass(60_000);
    expect(names(keys)).toEqual(["two", "three"]);
  });
});

test("while the issuer is away the last keys stay, and it is asked again until it answers", async () => {
  const keys = start();
  await eventually(() => expect(names(keys)).toEqual(["one"]));
  answers["/tenant/keys"] = { status: 503, body: "" };
  await eventually(() => {
    pass(60_000);
    expect(warnings.join()).toContain("the last ones stay in force");
  });
  expect(names(keys)).toEqual(["one"]);
  answers["/tenant/keys"] = { body: JSON.stringify({ keys: [jwk("two")] }) };
  await eventually(() => {
    pass(30_000);
    expect(names(keys)).toEqual(["two"]);
  });
});

test("a token with an unknown key makes them be read sooner, but not more often than each 10 s", async () => {
  const keys = start();
  await eventually(() => expect(names(keys)).toEqual(["one"]));
  const before = asked.length;
  for (let i = 0; i < 100; i++) keys.keyMissed();
  expect(asked.length).toBe(before);
  clock.stall(10_000);
  answers["/tenant/keys"] = { body: JSON.stringify({ keys: [jwk("new")] }) };
  for (let i = 0; i < 100; i++) keys.keyMissed();
  await eventually(() => expect(names(keys)).toEqual(["new"]));
  expect(asked.length).toBe(before + 2);
});

test.each<[string, () => void, string]>([
  [
    "another issuer's document",
    () =>
      (answers[`/tenant${CONFIGURATION}`] = {
        body: JSON.stringify({ issuer: "https://x", jwks_uri: `${url}/keys` }),
      }),
    "another issuer's",
  ],
  [
    "keys over plain HTTP from elsewhere",
    () =>
      (answers[`/tenant${CONFIGURATION}`] = {
        body: JSON.stringify({ issuer: url, jwks_uri: "http://keys.example.com/" }),
      }),
    "no https URL",
  ],
  ["a redirect", () => (answers["/tenant/keys"] = { status: 302, body: "" }), "answered 302"],
  ["no JSON", () => (answers["/tenant/keys"] = { body: "<html>" }), "JSON"],
  [
    "a set without a key",
    () => (answers["/tenant/keys"] = { body: '{"keys":[]}' }),
    "no key that can be used",
  ],
  [
    "more than 1 MiB",
    () =>
      (answers["/tenant/keys"] = {
        body: JSON.stringify({ keys: [jwk("one")], more: "x".repeat(1_100_000) }),
      }),
    "more than 1048576 bytes",
  ],
])("%s brings no keys, and the log says why", async (_case, prepare, why) => {
  prepare();
  const keys = start();
  await eventually(() => expect(warnings.join()).toContain(why));
  expect(keys.keys).toBeUndefined();
});

test("an issuer that does not answer costs nobody anything", async () => {
  answers = {};
  const keys = start();
  keys.keyMissed();
  await eventually(() => expect(warnings.length).toBeGreaterThan(0));
  keys.keyMissed();
  expect(asked.length).toBe(1);
});

test("only https, or this machine, is believed", () => {
  const urls = [
    "https://a.example",
    "http://127.0.0.1:1",
    "http://localhost/x",
    "http://a.example",
    "https://u@a",
    "file:///x",
    "x",
  ];
  expect(urls.filter(isTrustworthy)).toEqual(urls.slice(0, 3));
});
