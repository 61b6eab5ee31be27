import { mkdirSync, renameSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Clock, systemClock } from "../../src/system/clock.ts";
import { type ApiClient, createApiClient } from "../../src/watch/api-client.ts";
import type { ApiCredentials } from "../../src/watch/api-credentials.ts";
import { type CredentialsOptions, loadCredentials } from "../../src/watch/credentials.ts";
import type { ApiFault } from "../../src/watch/fault.ts";
import { hasOpenssl, TestCa } from "./support/certificates.ts";
import { kubeconfig, Scratch } from "./support/kubeconfig.ts";

// Tokens and certificates that are replaced, expire or are wrong, against a TLS server that answers as an API server
// does: 401 to whoever it does not know. Needs the openssl command to make a CA.

interface Seen {
  /** The common name of a client certificate that the server accepts. */
  readonly name: string | undefined;
  readonly authorization: string | undefined;
  /** Counts connections. */
  readonly connection: number;
}

describe.skipIf(!hasOpenssl())("credentials that change", () => {
  let scratch: Scratch;
  let ca: TestCa;
  let server: https.Server;
  let isKnown: (seen: Seen) => boolean;
  const seen: Seen[] = [];
  const clients: ApiClient[] = [];
  const connections = new WeakMap<object, number>();

  beforeEach(async () => {
    scratch = new Scratch();
    ca = new TestCa(scratch.path);
    ca.issue("server", { extension: "subjectAltName=IP:127.0.0.1" });
    const tls = { cert: ca.read("server.crt"), key: ca.read("server.key"), ca: ca.read("ca.crt") };
    let opened = 0;
    // As kube-apiserver: a certificate is asked for, and a bad one is a 401, not a failed handshake.
    server = https.createServer(
      { ...tls, requestCert: true, rejectUnauthorized: false },
      (request, response) => {
        const socket = request.socket as TLSSocket;
        if (!connections.has(socket)) connections.set(socket, ++opened);
        const one: Seen = {
          name: socket.authorized ? String(socket.getPeerCertificate().subject.CN) : undefined,
          authorization: request.headers.authorization,
          connection: connections.get(socket) ?? 0,
        };
        seen.push(one);
        response.statusCode = isKnown(one) ? 200 : 401;
        response.end(JSON.stringify({ kind: "Status", message: "Unauthorized" }));
      },
    );
    await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  });

  afterEach(async () => {
    for (const client of clients.splice(0)) await client.close();
    await new Promise((resolve) => server.close(resolve));
    seen.splice(0);
    scratch[Symbol.dispose]();
  });

  const port = (): number => (server.address() as AddressInfo).port;

  async function open(user: object, options: CredentialsOptions = {}) {
    const cluster = { "certificate-authority": "ca.crt" };
    const parts = { server: `https://127.0.0.1:${port()}`, cluster, user: { ...user } };
    const path = scratch.write("config", kubeconfig(parts));
    return clientOf(await loadCredentials({ kubeconfig: path, ...options }), options.clock);
  }

  /** Sends one request and returns what the server saw of it, try by try. Throws the fault. */
  function clientOf(credentials: ApiCredentials, clock: Clock = systemClock) {
    const client = createApiClient({ credentials, clock });
    clients.push(client);
    const ask = async (): Promise<Seen[]> => {
      seen.splice(0);
      const { chunks } = await client.get({
        path: "/apis",
        firstByteTimeoutMs: 60_000,
        idleTimeoutMs: 60_000,
        reloadCredentials: false,
        signal: new AbortController().signal,
      });
      for await (const _ of chunks);
      return seen.splice(0);
    };
    const fail = (): Promise<ApiFault> =>
      ask().then(
        () => expect.fail("the request was answered"),
        (error: unknown) => error as ApiFault,
      );
    return { ask, fail };
  }

  const names = (tries: readonly Seen[]): unknown[] => tries.map(({ name }) => name);
  const tokens = (tries: readonly Seen[]): unknown[] => tries.map(({ authorization }) => authorization);

  test("a client certificate that is renewed on disk is used for the next request, on a new connection", async () => {
    isKnown = ({ name }) => name !== undefined;
    ca.issue("client", { commonName: "before" });
    const { ask } = await open({ "client-certificate": "client.crt", "client-key": "client.key" });
    const before = [...(await ask()), ...(await ask())];
    expect(names(before)).toEqual(["before", "before"]);
    ca.issue("client", { commonName: "after" });
    const after = [...(await ask()), ...(await ask())];
    expect(names(after)).toEqual(["after", "after"]);
    const old = new Set(before.map(({ connection }) => connection));
    expect(after.filter(({ connection }) => old.has(connection))).toEqual([]);
  });

  test("while only one file of a pair is replaced, the pair before is used", async () => {
    isKnown = ({ name }) => name !== undefined;
    ca.issue("client", { commonName: "before" });
    ca.issue("next", { commonName: "after" });
    const { ask } = await open({ "client-certificate": "client.crt", "client-key": "client.key" });
    expect(names(await ask())).toEqual(["before"]);
    scratch.write("client.crt", ca.read("next.crt"));
    expect(names(await ask())).toEqual(["before"]);
    scratch.write("client.key", "");
    expect(names(await ask())).toEqual(["before"]);
    scratch.write("client.key", ca.read("next.key"));
    expect(names(await ask())).toEqual(["after"]);
  });

  test("a pair that never fitted is a clear error, before anything is sent", async () => {
    ca.issue("client");
    ca.issue("other");
    const { fail } = await open({ "client-certificate": "client.crt", "client-key": "other.key" });
    expect(await fail()).toMatchObject({
      code: "credentials",
      message: `the credentials of user "main-user" of the kubeconfig ${scratch.path}/config cannot be used: the client key is not the client certificate's`,
    });
    expect(seen).toEqual([]);
  });

  test("an expired client certificate is asked for again, and said with its date until it is renewed", async () => {
    isKnown = ({ name }) => name !== undefined;
    ca.issue("client", { notAfter: new Date("2021-02-03T04:05:06Z") });
    const { ask, fail } = await open({ "client-certificate": "client.crt", "client-key": "client.key" });
    expect(await fail()).toMatchObject({
      code: "unauthorized",
      message:
        "the API server answered 401: Unauthorized; the client certificate expired on 2021-02-03T04:05:06.000Z",
    });
    expect(names(seen)).toEqual([undefined, undefined]);
    ca.issue("client", { commonName: "renewed" });
    expect(names(await ask())).toEqual(["renewed"]);
  });

  test("a certificate in the kubeconfig itself is followed as well, also when a handshake failed with the old one", async () => {
    isKnown = ({ name }) => name !== undefined;
    const user = () => ({
      "client-certificate-data": ca.read("client.crt").toString("base64"),
      "client-key-data": ca.read("client.key").toString("base64"),
    });
    ca.issue("client", { notAfter: new Date("2021-02-03T04:05:06Z") });
    const { ask, fail } = await open(user());
    expect(await fail()).toMatchObject({ code: "unauthorized" });
    ca.issue("client", { commonName: "renewed" });
    const cluster = { "certificate-authority": "ca.crt" };
    scratch.write("config", kubeconfig({ server: `https://127.0.0.1:${port()}`, cluster, user: user() }));
    expect(names(await ask())).toEqual(["renewed"]);
  });

  test("a CA that is replaced is trusted from the next request on", async () => {
    isKnown = () => true;
    const good = ca.read("ca.crt");
    mkdirSync(join(scratch.path, "other"));
    scratch.write("ca.crt", new TestCa(join(scratch.path, "other")).read("ca.crt"));
    const { ask, fail } = await open({ token: "t" });
    expect(await fail()).toMatchObject({ code: "unreachable" });
    scratch.write("ca.crt", good);
    expect(await ask()).toHaveLength(1);
  });

  test("an exec plugin's certificate is used, and the plugin runs again when the server refuses it", async () => {
    isKnown = ({ name }) => name === "second";
    ca.issue("first");
    ca.issue("second");
    const script = scratch.write(
      "plugin.cjs",
      `const fs = require("fs"); const read = (name) => fs.readFileSync(__dirname + "/" + name, "utf8");
       fs.appendFileSync(__dirname + "/runs", "x");
       const name = read("runs").length === 1 ? "first" : "second";
       const status = { clientCertificateData: read(name + ".crt"), clientKeyData: read(name + ".key") };
       console.log(JSON.stringify({ apiVersion: "client.authentication.k8s.io/v1beta1", kind: "ExecCredential", status }));`,
    );
    const exec = {
      apiVersion: "client.authentication.k8s.io/v1beta1",
      command: process.execPath,
      args: [script],
      interactiveMode: "Never",
    };
    const { ask } = await open({ exec });
    expect(names(await ask())).toEqual(["first", "second"]);
    expect(names(await ask())).toEqual(["second"]);
    expect(String(ca.read("runs"))).toBe("xx");
  });

  test("an exec plugin's token: kept until it expires, once more after a 401, and what failed is in the fault", async () => {
    let good = "run-1";
    isKnown = ({ authorization }) => authorization === `Bearer ${good}`;
    let nowMs = Date.now();
    const clock: Clock = { ...systemClock, nowMs: () => nowMs };
    const script = scratch.write(
      "plugin.cjs",
      `const fs = require("fs"); const f = __dirname + "/runs"; fs.appendFileSync(f, "x");
       const runs = fs.readFileSync(f).length;
       if (runs === 4) { console.error("run-4"); process.exit(7); }
       const status = { token: "run-" + runs, expirationTimestamp: new Date(${nowMs} + 60_000 * runs).toISOString() };
       console.log(JSON.stringify({ apiVersion: "client.authentication.k8s.io/v1", kind: "ExecCredential", status }));`,
    );
    const exec = {
      apiVersion: "client.authentication.k8s.io/v1",
      command: process.execPath,
      args: [script],
      interactiveMode: "IfAvailable",
      installHint: "ask ops",
    };
    const { ask, fail } = await open({ exec }, { clock });
    expect(tokens([...(await ask()), ...(await ask())])).toEqual(["Bearer run-1", "Bearer run-1"]);
    nowMs += 60_000;
    good = "run-2";
    expect(tokens(await ask())).toEqual(["Bearer run-2"]);
    good = "run-3";
    expect(tokens(await ask())).toEqual(["Bearer run-2", "Bearer run-3"]);
    good = "run-5";
    const fault = await fail();
    expect(fault).toMatchObject({
      code: "credentials",
      message: `the credential plugin ${process.execPath} of the kubeconfig failed with exit code 7; run it by hand to see why (ask ops)`,
    });
    expect(fault.stack + String(fault.cause)).not.toContain("run-4");
    expect(tokens(await ask())).toEqual(["Bearer run-5"]);
  });

  test("a token that the kubelet rotates is used at once, and a 401 in between is no fault", async () => {
    const account = join(scratch.path, "var/run/secrets/kubernetes.io/serviceaccount");
    mkdirSync(account, { recursive: true });
    // As the kubelet's atomic writer: files are links into ..data, which is a link that is swapped.
    let volumes = 0;
    const rotate = (token: string): void => {
      const volume = `..volume-${++volumes}`;
      mkdirSync(join(account, volume));
      writeFileSync(join(account, volume, "token"), token);
      writeFileSync(join(account, volume, "ca.crt"), ca.read("ca.crt"));
      // Of one size and one age, so that nothing but the inode tells the files apart.
      for (const file of ["token", "ca.crt"])
        utimesSync(join(account, volume, file), 1_600_000_000, 1_600_000_000);
      symlinkSync(volume, join(account, "..next"));
      renameSync(join(account, "..next"), join(account, "..data"));
    };
    rotate("token-1");
    for (const file of ["token", "ca.crt"]) symlinkSync(join("..data", file), join(account, file));
    const env = {
      HOME: "/none",
      KUBERNETES_SERVICE_HOST: "127.0.0.1",
      KUBERNETES_SERVICE_PORT: String(port()),
    };
    const { ask, fail } = clientOf(await loadCredentials({ env, rootDirectory: scratch.path }));
    isKnown = () => true;
    expect(tokens(await ask())).toEqual(["Bearer token-1"]);
    rotate("token-2");
    expect(tokens(await ask())).toEqual(["Bearer token-2"]);
    // Replaced between the reading and the server's answer.
    isKnown = ({ authorization }) => {
      if (authorization === "Bearer token-2") rotate("token-3");
      return authorization === "Bearer token-3";
    };
    expect(tokens(await ask())).toEqual(["Bearer token-2", "Bearer token-3"]);
    isKnown = () => false;
    expect(await fail()).toMatchObject({
      code: "unauthorized",
      message: "the API server answered 401: Unauthorized",
    });
    expect(tokens(seen)).toEqual(["Bearer token-3", "Bearer token-3"]);
  });

  test("a token that says when it expired is shown by that date alone", async () => {
    isKnown = () => false;
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
    const jwt = (exp: unknown): string => `${part({ alg: "none" })}.${part({ exp })}.c2lnbmF0dXJl`;
    const messageOf = async (token: string): Promise<string> => {
      const { fail } = await open({ token });
      const { message } = await fail();
      expect(message).not.toContain(token);
      return message;
    };
    const refused = "the API server answered 401: Unauthorized";
    expect(await messageOf(jwt(1_600_000_000))).toBe(
      `${refused}; the token expired on 2020-09-13T12:26:40.000Z`,
    );
    for (const exp of [Date.now(), -1e300, "1600000000", null])
      expect(await messageOf(jwt(exp))).toBe(refused);
    for (const token of ["opaque", "a.b.c", `a.${part([])}.c`]) expect(await messageOf(token)).toBe(refused);
  });
});
