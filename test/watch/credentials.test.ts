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

test("a CA counts without a user as well, and certificates come from data or from files beside the kubeconfig", async () => {
  using scratch = new Scratch();
  scratch.write("ca.crt", "the CA");
  scratch.write("client.crt", "the certificate");
  const user = {
    "client-certificate": "client.crt",
    "client-key-data": Buffer.from("the key").toString("base64"),
  };
  const cluster = { "certificate-authority": "ca.crt", "tls-server-name": "kubernetes" };
  const withUser = await loadCredentials({
    kubeconfig: scratch.write("config", kubeconfig({ cluster, user })),
  });
  await withUser.authHeaders(false);
  expect(withUser.tls).toEqual({
    ca: Buffer.from("the CA"),
    cert: Buffer.from("the certificate"),
    key: Buffer.from("the key"),
    servername: "kubernetes",
    insecureSkipVerify: false,
  });
  const { tls } = withUser;
  await withUser.authHeaders(true);
  expect(withUser.tls).toBe(tls);
  scratch.write("client.crt", "the next certificate");
  await withUser.authHeaders(false);
  expect(withUser.tls.cert?.toString()).toBe("the next certificate");

  const withoutUser = await loadCredentials({ kubeconfig: scratch.write("config", kubeconfig({ cluster })) });
  await withoutUser.authHeaders(false);
  expect(withoutUser.tls.ca?.toString()).toBe("the CA");
});

test("a tokenFile wins over a token, and is read again when forced", async () => {
  using scratch = new Scratch();
  scratch.write("token", "first\n");
  const user = { token: "outdated", tokenFile: "token" };
  const credentials = await loadCredentials({ kubeconfig: scratch.write("config", kubeconfig({ user })) });
  expect(await credentials.authHeaders(false)).toEqual({ authorization: "Bearer first" });
  scratch.write("token", "second\n");
  expect(await credentials.authHeaders(false)).toEqual({ authorization: "Bearer first" });
  expect(await credentials.authHeaders(true)).toEqual({ authorization: "Bearer second" });
  expect(await credentials.authHeaders(false)).toEqual({ authorization: "Bearer second" });
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
  await expect(inCluster.authHeaders(false)).rejects.toMatchObject({ code: "auth_failed" });
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
  ["nothing", "", undefined, "kubeconfig_invalid", "is not valid"],
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

test.each<readonly [string, { command: string; args?: string[] }, string]>([
  ["is not installed", { command: "no-such-plugin" }, "is not installed"],
  [
    "fails, and says a token",
    { command: "sh", args: ["-c", `echo ${SECRET} >&2; exit 3`] },
    "failed; run it by hand",
  ],
  ["prints no JSON but a token", { command: "sh", args: ["-c", `echo ${SECRET}`] }, "failed; run it by hand"],
])("an exec plugin that %s is a clear error without its output", async (_, plugin, message) => {
  using scratch = new Scratch();
  const exec = { apiVersion: "client.authentication.k8s.io/v1", ...plugin };
  const credentials = await loadCredentials({
    kubeconfig: scratch.write("config", kubeconfig({ user: { exec } })),
  });
  const error = await credentials.authHeaders(false).then(
    () => undefined,
    (error: unknown) => error as Error,
  );
  expect(error).toMatchObject({ code: "auth_failed", message: expect.stringContaining(message) });
  expect(error?.message + String(error?.cause)).not.toContain(SECRET);
});

test("in a pod the Kubernetes client is not loaded: it would cost 60 MB", () => {
  using scratch = new Scratch();
  const account = join(scratch.path, "var/run/secrets/kubernetes.io/serviceaccount");
  mkdirSync(account, { recursive: true });
  for (const file of ["token", "ca.crt", "namespace"]) writeFileSync(join(account, file), "x");
  const module = join(import.meta.dirname, "../../src/watch/credentials.ts");
  const script = `
    import { registerHooks } from "node:module";
    registerHooks({ resolve(specifier, context, next) {
      if (specifier.includes("client-node")) console.log("loaded", specifier);
      return next(specifier, context);
    } });
    const { loadCredentials } = await import(${JSON.stringify(module)});
    const env = { HOME: "/none", KUBERNETES_SERVICE_HOST: "10.0.0.1", KUBERNETES_SERVICE_PORT: "443" };
    const credentials = await loadCredentials({ env, rootDirectory: ${JSON.stringify(scratch.path)} });
    console.log(JSON.stringify(await credentials.authHeaders(false)));
  `;
  const said = execFileSync(process.execPath, ["--input-type=module", "--eval", script], {
    encoding: "utf8",
  });
  expect(said).toBe('{"authorization":"Bearer x"}\n');
});
