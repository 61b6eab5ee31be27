import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { loadCredentials } from "../../src/watch/credentials.ts";
import { kubeconfig, Scratch } from "./support/kubeconfig.ts";

const SECRET = "s3cr3t-token";

test("a token, a namespace and a server with a path come from the current context", async () => {
  using scratch = new Scratch();
  const parts = {
    server: "https://rancher.example/k8s/clusters/c-1",
    user: { token: SECRET },
    namespace: "mine",
  };
  const credentials = await loadCredentials({ kubeconfig: scratch.write("config", kubeconfig(parts)) });
  expect(credentials.server.href).toBe("https://rancher.example/k8s/clusters/c-1");
  expect(credentials.defaultNamespace).toBe("mine");
  expect(await credentials.authHeaders(false)).toEqual({ authorization: `Bearer ${SECRET}` });
});

test("basic auth and impersonation", async () => {
  using scratch = new Scratch();
  const user = { username: "me", password: "pw", as: "them" };
  const credentials = await loadCredentials({ kubeconfig: scratch.write("config", kubeconfig({ user })) });
  expect(await credentials.authHeaders(false)).toEqual({
    authorization: `Basic ${Buffer.from("me:pw").toString("base64")}`,
    "impersonate-user": "them",
  });
});

test("plain HTTP works, with or without a user, and asks for nothing", async () => {
  using scratch = new Scratch();
  const path = scratch.write("config", kubeconfig({ server: "http://127.0.0.1:8001" }));
  const credentials = await loadCredentials({ kubeconfig: path });
  expect(credentials.server.href).toBe("http://127.0.0.1:8001/");
  expect(await credentials.authHeaders(false)).toEqual({});
});

test("a CA counts with and without a user, from data or from a file beside the kubeconfig; data wins", async () => {
  using scratch = new Scratch();
  scratch.write("ca.crt", "the CA");
  const cluster = { "certificate-authority": "ca.crt", "tls-server-name": "kubernetes" };
  const tlsOf = async (parts: Parameters<typeof kubeconfig>[0]) => {
    const credentials = await loadCredentials({ kubeconfig: scratch.write("config", kubeconfig(parts)) });
    await credentials.authHeaders(false);
    const { tls } = credentials;
    await credentials.authHeaders(true);
    // A new object would mean new connections.
    expect(credentials.tls).toBe(tls);
    return tls;
  };
  for (const user of [undefined, { token: SECRET }]) {
    expect(await tlsOf({ cluster, ...(user && { user }) })).toEqual({
      ca: Buffer.from("the CA"),
      servername: "kubernetes",
      insecureSkipVerify: false,
    });
  }
  const data = Buffer.from("by data").toString("base64");
  const both = await tlsOf({ cluster: { ...cluster, "certificate-authority-data": data } });
  expect(both.ca?.toString()).toBe("by data");
});

test("all kinds of impersonation", async () => {
  using scratch = new Scratch();
  const user = {
    token: SECRET,
    as: "them",
    "as-uid": "u1",
    "as-groups": ["g1", "g2"],
    "as-user-extra": { "Example.org/Scope": ["a", "b"] },
  };
  const credentials = await loadCredentials({ kubeconfig: scratch.write("config", kubeconfig({ user })) });
  expect(await credentials.authHeaders(false)).toEqual({
    authorization: `Bearer ${SECRET}`,
    "impersonate-user": "them",
    "impersonate-uid": "u1",
    "impersonate-group": ["g1", "g2"],
    "impersonate-extra-example.org%2Fscope": ["a", "b"],
  });
});

test("a kubeconfig that changes is followed, but never to another server or another context", async () => {
  using scratch = new Scratch();
  const first = kubeconfig({ name: "one", user: { token: "first" } });
  const path = scratch.write("config", first);
  const credentials = await loadCredentials({ kubeconfig: path });
  const headers = () => credentials.authHeaders(false);
  expect(await headers()).toEqual({ authorization: "Bearer first" });
  scratch.write("config", first.replace("first", "second"));
  expect(await headers()).toEqual({ authorization: "Bearer second" });
  // Half written: what was read before goes on.
  scratch.write("config", first.slice(0, first.indexOf("contexts:")));
  expect(await headers()).toEqual({ authorization: "Bearer second" });
  const elsewhere = first.replace("127.0.0.1:6443", "other.example").replace("first", SECRET);
  scratch.write("config", elsewhere);
  expect(await headers()).toEqual({ authorization: "Bearer second" });
  await expect(credentials.authHeaders(true)).rejects.toMatchObject({
    code: "server_changed",
    message: `the kubeconfig ${path} gives context "one" another server, https://other.example; restart to follow it`,
  });
  // As after `kubectl config use-context two`.
  const both = parse(first.replace("first", "third"));
  const two = parse(kubeconfig({ name: "two", server: "https://two.example", user: { token: SECRET } }));
  for (const list of ["clusters", "contexts", "users"]) both[list].push(...two[list]);
  scratch.write("config", stringify({ ...both, "current-context": "two" }));
  expect(await headers()).toEqual({ authorization: "Bearer third" });
  expect(await credentials.authHeaders(true)).toEqual({ authorization: "Bearer third" });
});

test("a tokenFile wins over a token, and is read again when it changes", async () => {
  using scratch = new Scratch();
  scratch.write("token", "first\n");
  const user = { token: "outdated", tokenFile: "token" };
  const credentials = await loadCredentials({ kubeconfig: scratch.write("config", kubeconfig({ user })) });
  expect(await credentials.authHeaders(false)).toEqual({ authorization: "Bearer first" });
  scratch.write("token", "second\n");
  expect(await credentials.authHeaders(false)).toEqual({ authorization: "Bearer second" });
  // While it is being replaced the last token is used, which may be good for long; a 401 says that it is not.
  scratch.write("token", "");
  expect(await credentials.authHeaders(false)).toEqual({ authorization: "Bearer second" });
  await expect(credentials.authHeaders(true)).rejects.toMatchObject({
    code: "auth_failed",
    message: `the token file ${scratch.path}/token is empty`,
  });
  rmSync(join(scratch.path, "token"));
  await expect(credentials.authHeaders(true)).rejects.toMatchObject({ code: "file_unreadable" });
  scratch.write("token", "third");
  expect(await credentials.authHeaders(false)).toEqual({ authorization: "Bearer third" });
});

test("a user's tokenFile is not another user's", async () => {
  using scratch = new Scratch();
  scratch.write("token", "from-the-file");
  const one = kubeconfig({ name: "one", user: { tokenFile: "token" } });
  const two = kubeconfig({ name: "two", user: { token: "its-own" } });
  const [first, second] = [parse(one), parse(two)];
  const both = { ...first };
  for (const list of ["clusters", "contexts", "users"]) both[list] = [...first[list], ...second[list]];
  const path = scratch.write("config", stringify(both));
  const headers = async (context: string) =>
    (await loadCredentials({ kubeconfig: path, context })).authHeaders(false);
  expect(await headers("one")).toEqual({ authorization: "Bearer from-the-file" });
  expect(await headers("two")).toEqual({ authorization: "Bearer its-own" });
});

test("an exec plugin is run, its token cached, and run again when forced: once for all who ask", async () => {
  using scratch = new Scratch();
  const script = scratch.write(
    "plugin.cjs",
    `const fs = require("fs"); const f = __dirname + "/runs";
     fs.appendFileSync(f, "x");
     const token = "run-" + fs.readFileSync(f).length;
     console.log(JSON.stringify({ apiVersion: "client.authentication.k8s.io/v1", kind: "ExecCredential", status: { token } }));`,
  );
  const exec = { apiVersion: "client.authentication.k8s.io/v1", command: process.execPath, args: [script] };
  const credentials = await loadCredentials({
    kubeconfig: scratch.write("config", kubeconfig({ user: { exec } })),
  });
  expect(await credentials.authHeaders(false)).toEqual({ authorization: "Bearer run-1" });
  expect(await credentials.authHeaders(false)).toEqual({ authorization: "Bearer run-1" });
  const again = await Promise.all([credentials.authHeaders(true), credentials.authHeaders(true)]);
  expect(again).toEqual([{ authorization: "Bearer run-2" }, { authorization: "Bearer run-2" }]);
});

test("KUBECONFIG may name several files: the first that defines a name wins, as with kubectl", async () => {
  using scratch = new Scratch();
  const one = scratch.write("one", kubeconfig({ name: "one", server: "https://one.example" }));
  const two = scratch.write("two", kubeconfig({ name: "two", server: "https://two.example" }));
  const clash = scratch.write("clash", kubeconfig({ name: "one", server: "https://clash.example" }));
  const env = { KUBECONFIG: `${one}:${scratch.path}/absent:${two}:${clash}`, HOME: scratch.path };
  expect((await loadCredentials({ env })).server.host).toBe("one.example");
  expect((await loadCredentials({ env, context: "two" })).server.host).toBe("two.example");
  // A context stands with its own file's words, whatever a later file says of the name.
  const other = scratch.write("other", kubeconfig({ name: "one", namespace: "of-the-later-file" }));
  const clashing = { KUBECONFIG: `${one}:${other}`, HOME: scratch.path };
  expect(await loadCredentials({ env: clashing })).toMatchObject({
    server: { host: "one.example" },
    defaultNamespace: undefined,
  });
});

test("of two files that define one user the first counts", async () => {
  using scratch = new Scratch();
  const first = scratch.write("first", kubeconfig({ user: { token: "first" } }));
  const second = scratch.write("second", kubeconfig({ user: { token: "second" } }));
  const credentials = await loadCredentials({ env: { KUBECONFIG: `${first}:${second}` } });
  expect(await credentials.authHeaders(false)).toEqual({ authorization: "Bearer first" });
});

test("a kubeconfig that is gone when it is read again is named, and one that comes back is used", async () => {
  using scratch = new Scratch();
  const content = kubeconfig({ user: { token: "old" } });
  mkdirSync(join(scratch.path, ".kube"));
  const path = scratch.write(".kube/config", content);
  const credentials = await loadCredentials({ env: { HOME: scratch.path } });
  rmSync(path);
  await expect(credentials.authHeaders(true)).rejects.toMatchObject({
    code: "kubeconfig_not_found",
    message: "the kubeconfig that was read before is gone",
  });
  // Until it is back, what was read before is used.
  expect(await credentials.authHeaders(false)).toEqual({ authorization: "Bearer old" });
  scratch.write(".kube/config", content.replace("old", "new"));
  expect(await credentials.authHeaders(true)).toEqual({ authorization: "Bearer new" });
});

test("without a kubeconfig, ~/.kube/config, and then the service account of the pod", async () => {
  using scratch = new Scratch();
  const account = join(scratch.path, "var/run/secrets/kubernetes.io/serviceaccount");
  mkdirSync(account, { recursive: true });
  writeFileSync(join(account, "token"), SECRET);
  writeFileSync(join(account, "ca.crt"), "the CA");
  writeFileSync(join(account, "namespace"), "pod-namespace");
  const env = { HOME: scratch.path, KUBERNETES_SERVICE_HOST: "fd00::1", KUBERNETES_SERVICE_PORT: "443" };
  const inCluster = await loadCredentials({ env, rootDirectory: scratch.path });
  expect(inCluster.server.href).toBe("https://[fd00::1]/");
  expect(inCluster.defaultNamespace).toBe("pod-namespace");
  expect(await inCluster.authHeaders(false)).toEqual({ authorization: `Bearer ${SECRET}` });
  expect(inCluster.tls.ca?.toString()).toBe("the CA");
  const { tls } = inCluster;
  writeFileSync(join(account, "token"), "rotated\n");
  expect(await inCluster.authHeaders(false)).toEqual({ authorization: "Bearer rotated" });
  expect(inCluster.tls).toBe(tls);
  writeFileSync(join(account, "ca.crt"), "another CA");
  await inCluster.authHeaders(false);
  expect(inCluster.tls.ca?.toString()).toBe("another CA");
  await expect(loadCredentials({ env, rootDirectory: scratch.path, context: "one" })).rejects.toMatchObject({
    code: "context_not_found",
  });
  writeFileSync(join(account, "token"), "");
  expect(await inCluster.authHeaders(false)).toEqual({ authorization: "Bearer rotated" });
  rmSync(join(account, "token"));
  expect(await inCluster.authHeaders(false)).toEqual({ authorization: "Bearer rotated" });
  writeFileSync(join(account, "token"), "\n");
  await expect(inCluster.authHeaders(true)).rejects.toMatchObject({ code: "auth_failed" });
  rmSync(join(account, "ca.crt"));
  await expect(inCluster.authHeaders(true)).rejects.toMatchObject({
    code: "file_unreadable",
    message: `${account}/ca.crt, which the credentials name, cannot be read: ENOENT`,
  });

  mkdirSync(join(scratch.path, ".kube"));
  writeFileSync(join(scratch.path, ".kube/config"), kubeconfig({ server: "https://home.example" }));
  expect((await loadCredentials({ env, rootDirectory: scratch.path })).server.host).toBe("home.example");
});

test.each<readonly [string, string, string | undefined, string, string]>([
  [
    "a context that is not there",
    kubeconfig(),
    "other",
    "context_not_found",
    'no context "other"; it has main',
  ],
  [
    "no current-context",
    kubeconfig().replace(/current-context.*\n/, ""),
    undefined,
    "context_not_found",
    "no current-context",
  ],
  [
    "a cluster that is not there",
    kubeconfig().replace("cluster: main-cluster", "cluster: gone"),
    undefined,
    "kubeconfig_invalid",
    'no cluster "gone"',
  ],
  [
    "a user that is not there",
    kubeconfig({ user: { token: SECRET } }).replace("user: main-user", "user: gone"),
    undefined,
    "kubeconfig_invalid",
    'no user "gone"',
  ],
  [
    "a server that is no URL",
    kubeconfig({ server: "ftp://x" }),
    undefined,
    "kubeconfig_invalid",
    'not an http or https URL: "ftp://x"',
  ],
  [
    "a cluster without a server",
    kubeconfig().replace(/server: .*\n/, "{}\n"),
    undefined,
    "kubeconfig_invalid",
    "is not valid",
  ],
  [
    "a proxy",
    kubeconfig({ cluster: { "proxy-url": "http://proxy" } }),
    undefined,
    "unsupported",
    "proxy-url",
  ],
  [
    "what is not YAML",
    `users:\n- {token: ${SECRET}\n  x: }: [\n`,
    undefined,
    "kubeconfig_invalid",
    "is not YAML",
  ],
  ["what is no kubeconfig", SECRET, undefined, "context_not_found", "no current-context"],
  ["nothing", "", undefined, "kubeconfig_invalid", "is not valid: it is empty"],
  [
    "a token that YAML takes for a number",
    `${kubeconfig()}\n`.replace("users: []", "users: [{name: u, user: {token: 12345678901234567890}}]"),
    undefined,
    "kubeconfig_invalid",
    'is not valid: token of user "u" is not a text; put it in quotes',
  ],
  [
    "a client certificate without its key",
    kubeconfig({ user: { "client-certificate": "client.crt" } }),
    undefined,
    "kubeconfig_invalid",
    "has a client-certificate but no client-key",
  ],
  [
    "a client key without its certificate",
    kubeconfig({ user: { "client-key-data": "a2V5" } }),
    undefined,
    "kubeconfig_invalid",
    "has a client-key but no client-certificate",
  ],
  [
    "a group but no user to impersonate",
    kubeconfig({ user: { token: SECRET, "as-groups": ["g"] } }),
    undefined,
    "kubeconfig_invalid",
    "as-groups or as-user-extra but no as; add as",
  ],
])("%s is a clear error", async (_, text, context, code, message) => {
  using scratch = new Scratch();
  const path = scratch.write("config", text);
  const loading = loadCredentials({ kubeconfig: path, context });
  await expect(loading).rejects.toMatchObject({
    name: "CredentialsError",
    code,
    message: expect.stringContaining(message),
  });
  const error = await loading.then(
    () => undefined,
    (error: unknown) => error as Error,
  );
  expect(error?.message).toContain(path);
  expect(error?.message + String(error?.cause)).not.toContain(SECRET);
});

test("files that are not there are named, with what to do", async () => {
  using scratch = new Scratch();
  const absent = join(scratch.path, "absent");
  await expect(loadCredentials({ kubeconfig: absent })).rejects.toMatchObject({
    code: "kubeconfig_not_found",
    message: `the kubeconfig ${absent} does not exist`,
  });
  await expect(loadCredentials({ env: { KUBECONFIG: absent } })).rejects.toMatchObject({
    code: "kubeconfig_not_found",
  });
  await expect(
    loadCredentials({ env: { HOME: scratch.path }, rootDirectory: scratch.path }),
  ).rejects.toMatchObject({
    code: "not_in_cluster",
    message: expect.stringContaining("name a kubeconfig"),
  });
  await expect(loadCredentials({ kubeconfig: scratch.path })).rejects.toMatchObject({
    code: "file_unreadable",
  });
  const cluster = { "certificate-authority": "gone.crt" };
  const credentials = await loadCredentials({ kubeconfig: scratch.write("config", kubeconfig({ cluster })) });
  await expect(credentials.authHeaders(false)).rejects.toMatchObject({
    code: "file_unreadable",
    message: `${scratch.path}/gone.crt, which the credentials name, cannot be read: ENOENT`,
  });
});

test("auth providers of old kubeconfigs are the Kubernetes client's own, and an unknown one is named", async () => {
  using scratch = new Scratch();
  const headers = async (provider: unknown) => {
    const user = { "auth-provider": provider };
    const path = scratch.write("config", kubeconfig({ user }));
    return (await loadCredentials({ kubeconfig: path })).authHeaders(false);
  };
  const inAnHour = new Date(Date.now() + 3_600_000).toISOString();
  const gcp = { name: "gcp", config: { "access-token": "of-gcp", expiry: inAnHour } };
  expect(await headers(gcp)).toEqual({ authorization: "Bearer of-gcp" });
  const expired = { name: "gcp", config: { "access-token": SECRET, expiry: "2020-01-01T00:00:00Z" } };
  await expect(headers(expired)).rejects.toMatchObject({
    code: "auth_failed",
    message: 'the auth-provider "gcp" of user "main-user" failed to renew its token',
  });
  await expect(headers({ name: "openstack" })).rejects.toMatchObject({
    code: "unsupported",
    message: expect.stringContaining("it is one of oidc, gcp, azure, or use an exec plugin"),
  });
  const jwt = ["{}", JSON.stringify({ exp: Date.now() / 1_000 + 3_600 }), "signature"];
  const token = jwt.map((part) => Buffer.from(part).toString("base64url")).join(".");
  expect(await headers({ name: "oidc", config: { "id-token": token } })).toEqual({
    authorization: `Bearer ${token}`,
  });
});

test("of the Kubernetes client only the reader of the format is loaded: the whole would cost 80 MB", () => {
  using scratch = new Scratch();
  const account = join(scratch.path, "var/run/secrets/kubernetes.io/serviceaccount");
  mkdirSync(account, { recursive: true });
  for (const file of ["token", "ca.crt", "namespace"]) writeFileSync(join(account, file), "x");
  const path = scratch.write("config", kubeconfig({ user: { token: "y" } }));
  const module = join(import.meta.dirname, "../../src/watch/credentials.ts");
  const script = `
    import { registerHooks } from "node:module";
    registerHooks({ resolve(specifier, context, next) {
      const found = next(specifier, context);
      if (found.url.includes("client-node")) console.log("loaded", found.url.slice(found.url.lastIndexOf("/") + 1));
      return found;
    } });
    const { loadCredentials } = await import(${JSON.stringify(module)});
    const env = { HOME: "/none", KUBERNETES_SERVICE_HOST: "10.0.0.1", KUBERNETES_SERVICE_PORT: "443" };
    const inPod = await loadCredentials({ env, rootDirectory: ${JSON.stringify(scratch.path)} });
    console.log(JSON.stringify(await inPod.authHeaders(false)));
    const byFile = await loadCredentials({ kubeconfig: ${JSON.stringify(path)} });
    console.log(JSON.stringify(await byFile.authHeaders(false)));
  `;
  const said = execFileSync(process.execPath, ["--input-type=module", "--eval", script], {
    encoding: "utf8",
  });
  expect(said.split("\n")).toEqual([
    "loaded config_types.js",
    '{"authorization":"Bearer x"}',
    '{"authorization":"Bearer y"}',
    "",
  ]);
});
