import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { stringify } from "yaml";
import type { ApiCredentials } from "../../../src/watch/api-credentials.ts";
import { freePort } from "../../e2e/support/free-port.ts";
import { eventually } from "../../support/eventually.ts";
import { KubeClient } from "./kube-client.ts";
import type { ProgramName, Programs } from "./programs.ts";
import { type ClusterOptions, NAMESPACES, type TestCluster } from "./test-cluster.ts";

const run = promisify(execFile);

/** A cold start of an API server on a busy machine. */
const START_MS = 120_000;

type ServerName = "apiextensions-apiserver" | "kube-apiserver";

/** Options of {@link startRealCluster}. */
export interface RealClusterOptions extends ClusterOptions {
  /**
   * Whether kube-apiserver wants a service account of each pod, as every cluster does. Default false: without a controller manager
   * no namespace has one.
   */
  readonly admitsServiceAccounts?: boolean;
}

/**
 * A real etcd and API server on loopback, with TLS, client certificates and the CRD of Sandboxes. There is no controller
 * manager and no kubelet: nothing happens but what the test does. `programs`: etcd and the server; etcdctl and etcdutl for backups.
 */
export async function startRealCluster(
  programs: Partial<Programs>,
  server: ServerName,
  options: RealClusterOptions = {},
  tries = 3,
): Promise<RealCluster> {
  const folder = mkdtempSync(join(tmpdir(), "lychgate-cluster-"));
  const ports = { client: await freePort(), peer: await freePort(), api: await freePort() };
  const cluster = new RealCluster(programs, server, folder, ports, options);
  try {
    await cluster.startStore();
    await cluster.startApiProcess();
    await cluster.prepare();
    return cluster;
  } catch (error) {
    const tail = cluster.logTail();
    await cluster.stop();
    // A port that was free a moment ago may be somebody's connection by now.
    if (tries > 1 && tail.includes("address already in use")) {
      return startRealCluster(programs, server, options, tries - 1);
    }
    throw new Error(`the cluster did not start:\n${tail}`, { cause: error });
  }
}

/** See {@link startRealCluster}. */
export class RealCluster implements TestCluster {
  readonly credentials: ApiCredentials;
  readonly kubeconfig: string;
  readonly client: KubeClient;
  /** Where it keeps its files; removed when it stops. */
  readonly folder: string;
  readonly #programs: Partial<Programs>;
  readonly #server: ServerName;
  readonly #options: RealClusterOptions;
  readonly #ports: { readonly client: number; readonly peer: number; readonly api: number };
  #etcd: ChildProcess | undefined;
  #api: ChildProcess | undefined;
  #data: string;
  #restores = 0;

  constructor(
    programs: Partial<Programs>,
    server: ServerName,
    folder: string,
    ports: { readonly client: number; readonly peer: number; readonly api: number },
    options: RealClusterOptions,
  ) {
    this.#options = options;
    this.#programs = programs;
    this.#server = server;
    this.folder = folder;
    this.#ports = ports;
    this.#options = options;
    this.#data = join(folder, "etcd-0");
    makeKeys(folder);
    const url = `https://127.0.0.1:${ports.api}`;
    const tls = {
      ca: readFileSync(join(folder, "ca.crt")),
      cert: readFileSync(join(folder, "admin.crt")),
      key: readFileSync(join(folder, "admin.key")),
      insecureSkipVerify: false,
    };
    this.credentials = {
      server: new URL(url),
      tls,
      defaultNamespace: undefined,
      authHeaders: () => Promise.resolve({}),
    };
    this.kubeconfig = this.writeKubeconfig("admin", {
      "client-certificate": join(folder, "admin.crt"),
      "client-key": join(folder, "admin.key"),
    });
    // The CRD server asks another API server who a token's owner is and what he may do; there is none.
    writeKubeconfig(join(folder, "nowhere.kubeconfig"), { server: "http://127.0.0.1:1" }, {});
    this.client = new KubeClient(this.credentials);
  }

  /** A kubeconfig of this cluster for another `user`, as kubeconfigs describe one. Returns its path. */
  writeKubeconfig(name: string, user: object): string {
    const path = join(this.folder, `${name}.kubeconfig`);
    const server = this.credentials.server.origin;
    writeKubeconfig(path, { server, "certificate-authority": join(this.folder, "ca.crt") }, user);
    return path;
  }

  get #etcdUrl(): string {
    return `http://127.0.0.1:${this.#ports.client}`;
  }

  get #peerUrl(): string {
    return `http://127.0.0.1:${this.#ports.peer}`;
  }

  async startStore(): Promise<void> {
    this.#etcd = this.#spawn("etcd", {
      name: "e",
      "data-dir": this.#data,
      "unsafe-no-fsync": true,
      "listen-client-urls": this.#etcdUrl,
      "advertise-client-urls": this.#etcdUrl,
      "listen-peer-urls": this.#peerUrl,
      "initial-advertise-peer-urls": this.#peerUrl,
      "initial-cluster": `e=${this.#peerUrl}`,
    });
    await this.#untilUp("etcd", this.#etcd, async () => (await fetch(`${this.#etcdUrl}/health`)).ok);
  }

  async killStore(): Promise<void> {
    await killed(this.#etcd);
  }

  /** Resolves when it answers, not yet for sandboxes. */
  async startApiProcess(): Promise<void> {
    const file = (name: string): string => join(this.folder, name);
    const nowhere = file("nowhere.kubeconfig");
    this.#api = this.#spawn(this.#server, {
      "etcd-servers": this.#etcdUrl,
      "bind-address": "127.0.0.1",
      "secure-port": this.#ports.api,
      "client-ca-file": file("ca.crt"),
      "tls-cert-file": file("api.crt"),
      "tls-private-key-file": file("api.key"),
      ...(this.#options.watchList === false && { "feature-gates": "WatchList=false" }),
      ...(this.#server === "kube-apiserver"
        ? {
            "advertise-address": "127.0.0.1",
            "service-cluster-ip-range": "10.96.0.0/16",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": file("sa.pub"),
            "service-account-signing-key-file": file("sa.key"),
            "authorization-mode": "RBAC",
            ...(!this.#options.admitsServiceAccounts && { "disable-admission-plugins": "ServiceAccount" }),
            "endpoint-reconciler-type": "none",
          }
        : {
            "authentication-skip-lookup": true,
            "authentication-kubeconfig": nowhere,
            "authorization-kubeconfig": nowhere,
            kubeconfig: nowhere,
            "disable-admission-plugins":
              "NamespaceLifecycle,MutatingAdmissionWebhook,ValidatingAdmissionWebhook,ValidatingAdmissionPolicy,MutatingAdmissionPolicy",
          }),
    });
    const path =
      this.#server === "kube-apiserver"
        ? "/readyz"
        : "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?limit=1";
    await this.#untilUp(
      this.#server,
      this.#api,
      async () => (await this.client.call("GET", path)).status === 200,
    );
  }

  async startApi(): Promise<void> {
    await this.startApiProcess();
    await this.#untilUp(this.#server, this.#api, () => this.client.serves());
  }

  async killApi(): Promise<void> {
    await killed(this.#api);
  }

  /** Namespaces, and the CRD; resolves when sandboxes are served. */
  async prepare(): Promise<void> {
    if (this.#server === "kube-apiserver") {
      for (const name of NAMESPACES)
        await this.client.call("POST", "/api/v1/namespaces", {
          apiVersion: "v1",
          kind: "Namespace",
          metadata: { name },
        });
    }
    await this.client.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", SANDBOX_CRD);
    await this.#untilUp(this.#server, this.#api, () => this.client.serves());
  }

  async backup(): Promise<{ readonly made: unknown }> {
    const file = join(this.folder, `backup-${Date.now()}.db`);
    await run(this.#programOf("etcdctl"), ["--endpoints", this.#etcdUrl, "snapshot", "save", file]);
    return { made: file };
  }

  async restore(
    backup: { readonly made: unknown },
    { bumpRevision = 0 }: { readonly bumpRevision?: number } = {},
  ): Promise<void> {
    this.#data = join(this.folder, `etcd-${++this.#restores}`);
    const flags = {
      "data-dir": this.#data,
      name: "e",
      "initial-cluster": `e=${this.#peerUrl}`,
      "initial-advertise-peer-urls": this.#peerUrl,
      ...(bumpRevision > 0 && { "bump-revision": bumpRevision, "mark-compacted": true }),
    };
    const file = String(backup.made);
    await run(this.#programOf("etcdutl"), ["snapshot", "restore", file, ...flagsOf(flags)]);
  }

  async stop(): Promise<void> {
    await this.client.close();
    await killed(this.#api);
    await killed(this.#etcd);
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** The last that each program wrote. */
  logTail(): string {
    return ["etcd", this.#server]
      .map((name) => {
        try {
          return `${name}: ${readFileSync(join(this.folder, `${name}.log`), "utf8").slice(-2_000)}`;
        } catch {
          return `${name}: not started`;
        }
      })
      .join("\n");
  }

  #programOf(name: ProgramName): string {
    const file = this.#programs[name];
    if (file === undefined) throw new Error(`${name} is not built`);
    return file;
  }

  #spawn(name: ProgramName, flags: Flags): ChildProcess {
    const log = openSync(join(this.folder, `${name}.log`), "a");
    try {
      return spawn(this.#programOf(name), flagsOf(flags), {
        cwd: this.folder,
        stdio: ["ignore", log, log],
      });
    } finally {
      closeSync(log);
    }
  }

  async #untilUp(
    name: string,
    process: ChildProcess | undefined,
    isUp: () => Promise<boolean>,
  ): Promise<void> {
    await eventually(
      async () => {
        if (hasEnded(process)) return true;
        return isUp();
      },
      { timeoutMs: START_MS, everyMs: 20 },
    );
    if (hasEnded(process)) throw new Error(`${name} ended with ${process?.exitCode}:\n${this.logTail()}`);
  }
}

type Flags = Readonly<Record<string, string | number | boolean>>;

function flagsOf(flags: Flags): string[] {
  return Object.entries(flags).map(([name, value]) => (value === true ? `--${name}` : `--${name}=${value}`));
}

function hasEnded(process: ChildProcess | undefined): boolean {
  return process === undefined || process.exitCode !== null || process.signalCode !== null;
}

async function killed(process: ChildProcess | undefined): Promise<void> {
  if (process === undefined || hasEnded(process)) return;
  const exited = once(process, "exit");
  process.kill("SIGKILL");
  await exited;
}

function writeKubeconfig(path: string, cluster: object, user: object): void {
  const name = "test";
  writeFileSync(
    path,
    stringify({
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name, cluster }],
      users: [{ name, user }],
      contexts: [{ name, context: { cluster: name, user: name } }],
      "current-context": name,
    }),
    { mode: 0o600 },
  );
}

/** A CA, a certificate of the server and of an administrator, and the key that signs service accounts' tokens. */
function makeKeys(folder: string): void {
  // Its words hold no space.
  const openssl = (command: string): void =>
    void execFileSync("openssl", command.split(" "), { cwd: folder, stdio: "pipe" });
  const newKey = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
  openssl(`req -x509 ${newKey} -days 2 -subj /CN=test-ca -keyout ca.key -out ca.crt`);
  const sign = (name: string, subject: string, san: string): void => {
    const extensions = `subjectAltName=${san}\nextendedKeyUsage=serverAuth,clientAuth\n`;
    writeFileSync(join(folder, `${name}.ext`), extensions);
    openssl(`req ${newKey} -subj ${subject} -keyout ${name}.key -out ${name}.csr`);
    openssl(
      `x509 -req -in ${name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out ${name}.crt -extfile ${name}.ext`,
    );
  };
  sign("api", "/CN=kube-apiserver", "IP:127.0.0.1,DNS:localhost,DNS:kubernetes.default.svc");
  sign("admin", "/O=system:masters/CN=admin", "DNS:admin");
  openssl("genrsa -out sa.key 2048");
  openssl("rsa -in sa.key -pubout -out sa.pub");
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
