import { type ChildProcess, execFile, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Agent, request } from "undici";
import { stringify } from "yaml";
import { freePort } from "../../e2e/support/free-port.ts";
import { eventually } from "../../support/eventually.ts";

/** Where built programs stay, for all runs and checkouts. */
const CACHE = process.env["LYCHGATE_TEST_PROGRAMS"] ?? "/var/cache/lychgate/programs";

/** A cold start of an API server on a busy machine. */
const START_MS = 120_000;

const etcd = programOf("etcd");
const kubeApiserver = programOf("kube-apiserver");

/** Why there can be no Kubernetes; undefined when there can. */
export const NO_KUBERNETES =
  etcd === undefined || kubeApiserver === undefined
    ? `no etcd and kube-apiserver in KUBEBUILDER_ASSETS or ${CACHE}`
    : spawnSync("kubectl", ["version", "--client"]).error
      ? "kubectl is not installed"
      : undefined;

/** What a program did. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Kubernetes' API server with its admission (Pod Security, Priority, ServiceAccount, …) and RBAC. There is no controller and
 * no kubelet: nothing happens but what the test does.
 */
export interface Kubernetes {
  /** Path of an administrator's kubeconfig. */
  readonly kubeconfig: string;
  /** kubectl as administrator. `input` is its stdin. */
  kubectl(args: readonly string[], input?: string): Promise<Outcome>;
  /** The same for what must succeed; resolves to its stdout. */
  run(args: readonly string[], input?: string): Promise<string>;
  /** A request as administrator; any status resolves. The body of a PATCH is a merge patch. */
  call(
    method: "GET" | "POST" | "PATCH" | "DELETE",
    path: string,
    body?: object,
  ): Promise<{ status: number; body: unknown }>;
  /** Path of a kubeconfig for a service account, with a token by TokenRequest, as a pod has it. */
  kubeconfigOf(namespace: string, serviceAccount: string): Promise<string>;
  /** Ends all, and removes what it wrote. */
  stop(): Promise<void>;
}

/** Starts etcd and kube-apiserver on loopback, and installs the CRD of Sandboxes. Throws when {@link NO_KUBERNETES}. */
export async function startKubernetes(): Promise<Kubernetes> {
  if (etcd === undefined || kubeApiserver === undefined) throw new Error(NO_KUBERNETES);
  const folder = mkdtempSync(join(tmpdir(), "lychgate-kubernetes-"));
  const file = (name: string): string => join(folder, name);
  makeKeys(folder);
  const [client, peer, api] = [await freePort(), await freePort(), await freePort()];
  const server = `https://127.0.0.1:${api}`;
  const children: ChildProcess[] = [];
  const start = (program: string, args: readonly string[]): void => {
    const log = openSync(file("log"), "a");
    children.push(spawn(program, args, { cwd: folder, stdio: ["ignore", log, log] }));
  };
  const agent = new Agent({
    connect: {
      ca: readFileSync(file("ca.crt")),
      cert: readFileSync(file("admin.crt")),
      key: readFileSync(file("admin.key")),
    },
  });
  const call: Kubernetes["call"] = async (method, path, body) => {
    const response = await request(new URL(path, server), {
      method,
      dispatcher: agent,
      headers: {
        "content-type": method === "PATCH" ? "application/merge-patch+json" : "application/json",
      },
      body: body === undefined ? null : JSON.stringify(body),
    });
    const text = await response.body.text();
    return { status: response.statusCode, body: text.startsWith("{") ? JSON.parse(text) : text };
  };
  const writeKubeconfig = (path: string, user: object): string => {
    const name = "test";
    const cluster = { server, "certificate-authority": file("ca.crt") };
    const config = {
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name, cluster }],
      users: [{ name, user }],
      contexts: [{ name, context: { cluster: name, user: name } }],
      "current-context": name,
    };
    writeFileSync(path, stringify(config), { mode: 0o600 });
    return path;
  };
  const kubeconfig = writeKubeconfig(file("admin.kubeconfig"), {
    "client-certificate": file("admin.crt"),
    "client-key": file("admin.key"),
  });
  const kubectl: Kubernetes["kubectl"] = (args, input) =>
    new Promise((resolve) => {
      const all = ["--kubeconfig", kubeconfig, "--cache-dir", file("cache"), ...args];
      const options = { env: { PATH: process.env["PATH"], HOME: folder }, maxBuffer: 2 ** 26 };
      const child = execFile("kubectl", all, options, (error, stdout, stderr) =>
        resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
      );
      child.stdin?.on("error", () => {});
      child.stdin?.end(input ?? "");
    });
  const run: Kubernetes["run"] = async (args, input) => {
    const { code, stdout, stderr } = await kubectl(args, input);
    if (code !== 0) throw new Error(`kubectl ${args.join(" ")}: ${stderr}`);
    return stdout;
  };
  const stop = async (): Promise<void> => {
    await agent.destroy();
    for (const child of children.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    }
    rmSync(folder, { recursive: true, force: true });
  };
  const isUp = async (probe: () => Promise<boolean>): Promise<void> => {
    await eventually(
      async () => {
        if (children.some(({ exitCode }) => exitCode !== null)) return true;
        return await probe();
      },
      { timeoutMs: START_MS, everyMs: 50 },
    );
    if (children.some(({ exitCode }) => exitCode !== null)) throw new Error("a program ended");
  };
  try {
    const [clientUrl, peerUrl] = [`http://127.0.0.1:${client}`, `http://127.0.0.1:${peer}`];
    start(etcd, [
      "--name",
      "e",
      "--data-dir",
      file("etcd"),
      "--unsafe-no-fsync",
      "--listen-client-urls",
      clientUrl,
      "--advertise-client-urls",
      clientUrl,
      "--listen-peer-urls",
      peerUrl,
      "--initial-advertise-peer-urls",
      peerUrl,
      "--initial-cluster",
      `e=${peerUrl}`,
    ]);
    await isUp(async () => (await fetch(`${clientUrl}/health`)).ok);
    start(kubeApiserver, [
      "--etcd-servers",
      clientUrl,
      "--bind-address",
      "127.0.0.1",
      "--secure-port",
      String(api),
      "--advertise-address",
      "127.0.0.1",
      "--endpoint-reconciler-type",
      "none",
      "--tls-cert-file",
      file("api.crt"),
      "--tls-private-key-file",
      file("api.key"),
      "--client-ca-file",
      file("ca.crt"),
      "--service-cluster-ip-range",
      "10.96.0.0/16",
      "--service-account-issuer",
      "https://kubernetes.default.svc",
      "--service-account-key-file",
      file("sa.pub"),
      "--service-account-signing-key-file",
      file("sa.key"),
      "--authorization-mode",
      "RBAC",
    ]);
    await isUp(async () => (await call("GET", "/readyz")).status === 200);
    await run(["create", "-f", "-"], JSON.stringify(SANDBOX_CRD));
    await isUp(async () => (await call("GET", "/apis/agents.kruise.io/v1alpha1/sandboxes")).status === 200);
  } catch (error) {
    const log = existsSync(file("log")) ? readFileSync(file("log"), "utf8").slice(-4_000) : "";
    await stop();
    throw new Error(`Kubernetes did not start:\n${log}`, { cause: error });
  }
  return {
    kubeconfig,
    kubectl,
    run,
    call,
    async kubeconfigOf(namespace, serviceAccount) {
      const token = (await run(["create", "token", serviceAccount, "-n", namespace])).trim();
      return writeKubeconfig(file(`${namespace}-${serviceAccount}.kubeconfig`), { token });
    },
    stop,
  };
}

/** In the folder that `KUBEBUILDER_ASSETS` names, as envtest fills it, else the one that was built (`npm run test:cluster`). */
function programOf(name: string): string | undefined {
  const assets = process.env["KUBEBUILDER_ASSETS"];
  if (assets && existsSync(join(assets, name))) return join(assets, name);
  const built = existsSync(CACHE) ? readdirSync(CACHE) : [];
  const found = built.find(
    (entry) => entry.startsWith(`${name}-`) && /^[0-9a-f]{12}$/.test(entry.slice(name.length + 1)),
  );
  return found && join(CACHE, found);
}

/** A CA, a certificate of the server and of an administrator, and the key that signs service accounts' tokens. */
function makeKeys(folder: string): void {
  const openssl = (...args: string[]): void =>
    void execFileSync("openssl", args, { cwd: folder, stdio: "pipe" });
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  openssl("req", "-x509", ...curve, "-subj", "/CN=test-ca", "-keyout", "ca.key", "-out", "ca.crt");
  const sign = (name: string, subject: string, san: string): void => {
    openssl(
      "req",
      "-x509",
      ...curve,
      "-CA",
      "ca.crt",
      "-CAkey",
      "ca.key",
      "-subj",
      subject,
      "-addext",
      `subjectAltName=${san}`,
      "-addext",
      "extendedKeyUsage=serverAuth,clientAuth",
      "-keyout",
      `${name}.key`,
      "-out",
      `${name}.crt`,
    );
  };
  sign("api", "/CN=kube-apiserver", "IP:127.0.0.1");
  sign("admin", "/O=system:masters/CN=admin", "DNS:admin");
  openssl("genrsa", "-out", "sa.key", "2048");
  openssl("rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub");
}

/** As OpenKruise installs it, but without its schema. */
const SANDBOX_CRD = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "sandboxes.agents.kruise.io" },
  spec: {
    group: "agents.kruise.io",
    scope: "Namespaced",
    names: { plural: "sandboxes", singular: "sandbox", kind: "Sandbox", listKind: "SandboxList" },
    versions: [
      {
        name: "v1alpha1",
        served: true,
        storage: true,
        subresources: { status: {} },
        schema: {
          openAPIV3Schema: {
            type: "object",
            properties: {
              spec: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
              status: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
            },
          },
        },
      },
    ],
  },
};
