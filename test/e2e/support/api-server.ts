import { type ChildProcess, spawn } from "node:child_process";
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { existsSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Agent, request } from "undici";
import { eventually } from "../../support/eventually.ts";
import { freePort } from "./free-port.ts";

const ASSETS = process.env["KUBEBUILDER_ASSETS"] ?? "";

/** Why no API server can be started; `undefined` when one can. */
export const NO_API_SERVER = ["etcd", "kube-apiserver"].every((name) =>
  existsSync(join(ASSETS || "/nowhere", name)),
)
  ? undefined
  : "KUBEBUILDER_ASSETS names no folder with etcd and kube-apiserver";

/** A real kube-apiserver over a real etcd, on loopback. */
export interface RealApiServer {
  readonly kubeconfig: string;
  /** Sends JSON and returns what came; a body that is no JSON is a fault. */
  call(
    method: string,
    path: string,
    body?: object,
  ): Promise<{ status: number; body: { [key: string]: unknown } }>;
  stop(): Promise<void>;
}

/** Starts both programs of `KUBEBUILDER_ASSETS` in a folder of their own, which goes with them. */
export async function startApiServer(): Promise<RealApiServer> {
  const folder = mkdtempSync(join(tmpdir(), "lychgate-api-"));
  const [client = 0, peer = 0, secure = 0] = [await freePort(), await freePort(), await freePort()];
  const children: ChildProcess[] = [];
  const run = (name: string, args: readonly string[]): void => {
    const log = openSync(join(folder, `${name}.log`), "w");
    children.push(spawn(join(ASSETS, name), args, { stdio: ["ignore", log, log] }));
  };
  const etcdUrl = `http://127.0.0.1:${client}`;
  const peerUrl = `http://127.0.0.1:${peer}`;
  run("etcd", [
    ...["--name", "e", "--data-dir", join(folder, "etcd"), "--unsafe-no-fsync"],
    ...["--listen-client-urls", etcdUrl, "--advertise-client-urls", etcdUrl],
    ...[
      "--listen-peer-urls",
      peerUrl,
      "--initial-advertise-peer-urls",
      peerUrl,
      "--initial-cluster",
      `e=${peerUrl}`,
    ],
  ]);
  const { privateKey, publicKey } = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    privateKeyEncoding: { type: "pkcs1", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  });
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const token = randomUUID();
  run("kube-apiserver", [
    ...["--etcd-servers", etcdUrl, "--bind-address", "127.0.0.1", "--secure-port", String(secure)],
    ...["--cert-dir", join(folder, "certs"), "--service-cluster-ip-range", "10.96.0.0/16"],
    ...["--service-account-issuer", "https://kubernetes.default.svc"],
    ...["--service-account-key-file", file("sa.pub", publicKey)],
    ...["--service-account-signing-key-file", file("sa.key", privateKey)],
    ...[
      "--authorization-mode",
      "RBAC",
      "--token-auth-file",
      file("tokens.csv", `${token},admin,1,"system:masters"\n`),
    ],
    ...["--disable-admission-plugins", "ServiceAccount", "--endpoint-reconciler-type", "none"],
  ]);
  const server = `https://127.0.0.1:${secure}`;
  // It signs its own certificate, anew each time.
  const dispatcher = new Agent({ connect: { rejectUnauthorized: false } });
  const call: RealApiServer["call"] = async (method, path, body) => {
    const answer = await request(`${server}${path}`, {
      dispatcher,
      method,
      headers: {
        authorization: `Bearer ${token}`,
        "content-type": method === "PATCH" ? "application/merge-patch+json" : "application/json",
      },
      ...(body && { body: JSON.stringify(body) }),
    });
    const text = await answer.body.text();
    return { status: answer.statusCode, body: JSON.parse(text) as { [key: string]: unknown } };
  };
  const stop = async (): Promise<void> => {
    await dispatcher.destroy();
    for (const child of children.toReversed()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await ended;
    }
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await eventually(async () => (await call("GET", "/api/v1/namespaces/default")).status === 200, {
      everyMs: 200,
    });
  } catch (error) {
    await stop();
    throw error;
  }
  const kubeconfig = file(
    "kubeconfig",
    JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "c", cluster: { server, "insecure-skip-tls-verify": true } }],
      users: [{ name: "u", user: { token } }],
      contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
      "current-context": "c",
    }),
  );
  return { kubeconfig, call, stop };
}
