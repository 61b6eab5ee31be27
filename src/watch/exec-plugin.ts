import { type ChildProcessByStdio, spawn } from "node:child_process";
import { resolve } from "node:path";
import type { Readable } from "node:stream";
import type { Clock, Milliseconds } from "../system/clock.ts";
import { CredentialsError } from "./api-credentials.ts";
import { type ClientCertificate, clientCertificate } from "./client-certificate.ts";
import { printable } from "./fault.ts";
import { arrayOrEmpty, isJsonObject, type JsonObject, objectOrEmpty, stringOrEmpty } from "./json-fields.ts";

/**
 * Credential plugins of kubeconfigs: a command that prints an ExecCredential.
 * @see https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
 */

/** What a plugin printed. */
export interface ExecCredential {
  readonly token: string | undefined;
  readonly certificate: ClientCertificate | undefined;
  /** From then on the plugin is run again, in milliseconds since the epoch. Infinity: only after a 401. */
  readonly expiresAtMs: Milliseconds;
}

/** The `exec` part of a kubeconfig's user. */
export interface ExecConfig {
  readonly apiVersion: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Added to the router's own environment. */
  readonly env: Readonly<Record<string, string>>;
  /** What the kubeconfig says to people who have not installed the command; `""`: nothing. */
  readonly installHint: string;
  readonly provideClusterInfo: boolean;
}

/** What a plugin may be told of the cluster: the `spec.cluster` of an ExecCredential. */
export type ExecCluster = JsonObject;

/** Options of {@link ExecPlugin}. */
export interface ExecPluginOptions {
  readonly config: ExecConfig;
  /** Asked for with each run, if the plugin wants it (`provideClusterInfo`). */
  readonly cluster: () => ExecCluster;
  /** The router's environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  /** Longest run of the plugin. Default 25 s: less than a request waits for its credentials (30 s). */
  readonly timeLimitMs?: Milliseconds;
}

/** As client-go 1.24 and later. */
const API_VERSIONS = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];
const INTERACTIVE_MODES = ["Never", "IfAvailable", "Always"];
const MAX_OUTPUT_BYTES = 1024 * 1024;

/**
 * A plugin whose clock or ours is wrong may print credentials that have expired already. They are tried for this long, so
 * that not every request runs the plugin.
 */
const LEAST_USE_MS: Milliseconds = 1_000;

/**
 * Reads the `exec` part of a user. `who` names the user in messages, `directory` is the kubeconfig's.
 * @throws {CredentialsError} `kubeconfig_invalid`, or `unsupported` for a version that is gone from Kubernetes or a plugin that
 * wants a terminal.
 */
export function parseExecConfig(exec: unknown, who: string, directory: string): ExecConfig {
  const of = `the exec plugin of ${who}`;
  const raw = objectOrEmpty(exec);
  const command = stringOrEmpty(raw["command"]);
  if (command === "") throw new CredentialsError("kubeconfig_invalid", `${of} has no command`);
  const apiVersion = stringOrEmpty(raw["apiVersion"]);
  if (!API_VERSIONS.includes(apiVersion)) {
    throw new CredentialsError(
      "unsupported",
      `${of} has apiVersion ${JSON.stringify(apiVersion)}; use ${API_VERSIONS.join(" or ")} (a newer ${command} may write it)`,
    );
  }
  const mode = raw["interactiveMode"] ?? "IfAvailable";
  if (typeof mode !== "string" || !INTERACTIVE_MODES.includes(mode)) {
    throw new CredentialsError(
      "kubeconfig_invalid",
      `${of} has an unknown interactiveMode; it is one of ${INTERACTIVE_MODES.join(", ")}`,
    );
  }
  if (mode === "Always") {
    throw new CredentialsError(
      "unsupported",
      `${of} asks questions (interactiveMode: Always), but a router has no terminal; use a service account or a plugin that needs none`,
    );
  }
  return {
    apiVersion,
    // As client-go: a name is looked up in PATH, a path is relative to the kubeconfig.
    command: command.includes("/") ? resolve(directory, command) : command,
    args: textsOf(raw["args"], `${of}: args`),
    env: Object.fromEntries(
      arrayOrEmpty(raw["env"])
        .map(objectOrEmpty)
        .map((entry) => {
          const [name, value] = textsOf([entry["name"], entry["value"] ?? ""], `${of}: env`);
          return [name, value];
        }),
    ),
    installHint: printable(stringOrEmpty(raw["installHint"])).trim(),
    provideClusterInfo: raw["provideClusterInfo"] === true,
  };
}

function textsOf(value: unknown, of: string): string[] {
  return arrayOrEmpty(value).map((item) => {
    if (typeof item === "string") return item;
    throw new CredentialsError("kubeconfig_invalid", `${of} holds something that is not a text; quote it`);
  });
}

/**
 * Reads what a plugin printed.
 * @throws {Error} with a message that quotes nothing of it.
 */
export function parseExecCredential(output: string, apiVersion: string): ExecCredential {
  let printed: unknown;
  try {
    printed = JSON.parse(output);
  } catch {
    throw new Error("it is not JSON");
  }
  const credential = objectOrEmpty(printed);
  if (credential["kind"] !== "ExecCredential") throw new Error("it is not of kind ExecCredential");
  if (credential["apiVersion"] !== apiVersion)
    throw new Error(`it is not of apiVersion ${apiVersion}, which the kubeconfig names`);
  const { status } = credential;
  if (!isJsonObject(status)) throw new Error("it has no status");
  const text = (field: string): string => stringOrEmpty(status[field]);
  const token = text("token").trim() || undefined;
  const cert = text("clientCertificateData");
  const key = text("clientKeyData");
  if ((cert === "") !== (key === "")) throw new Error("it has a client certificate or its key, but not both");
  if (token === undefined && cert === "") throw new Error("it has neither a token nor a client certificate");
  const certificate = cert === "" ? undefined : clientCertificate(Buffer.from(cert), Buffer.from(key));
  const timestamp = status["expirationTimestamp"] ?? undefined;
  if (timestamp === undefined)
    return { token, certificate, expiresAtMs: certificate?.expiresAtMs ?? Number.POSITIVE_INFINITY };
  const expiresAtMs = typeof timestamp === "string" ? Date.parse(timestamp) : Number.NaN;
  if (Number.isNaN(expiresAtMs)) throw new Error("its expirationTimestamp is no date (RFC 3339)");
  return { token, certificate, expiresAtMs };
}

/**
 * Runs a plugin for the first credential and again after that one has expired: once for all who ask meanwhile. What the
 * plugin prints appears in no message.
 */
export class ExecPlugin {
  readonly #options: ExecPluginOptions;
  #cached: { readonly credential: ExecCredential; readonly useUntilMs: Milliseconds } | undefined;
  #running: Promise<ExecCredential> | undefined;
  #stop: () => void = () => {};

  constructor(options: ExecPluginOptions) {
    this.#options = options;
  }

  /** @throws {CredentialsError} `auth_failed`, with the command, what it did, and the kubeconfig's install hint. */
  credential(): Promise<ExecCredential> {
    if (this.#cached !== undefined && this.#options.clock.nowMs() < this.#cached.useUntilMs)
      return Promise.resolve(this.#cached.credential);
    this.#running ??= this.#run().finally(() => (this.#running = undefined));
    return this.#running;
  }

  /** Ends a run, which then fails. */
  stop(): void {
    this.#stop();
  }

  async #run(): Promise<ExecCredential> {
    const { clock, config } = this.#options;
    const output = await this.#output();
    let credential: ExecCredential;
    try {
      credential = parseExecCredential(output, config.apiVersion);
    } catch (error) {
      throw this.#failure(`printed something else than credentials: ${(error as Error).message}`);
    }
    const useUntilMs = Math.max(credential.expiresAtMs, clock.nowMs() + LEAST_USE_MS);
    this.#cached = { credential, useUntilMs };
    return credential;
  }

  #spawn(): ChildProcessByStdio<null, Readable, null> {
    const { config, env } = this.#options;
    const environment = { ...env, ...config.env, KUBERNETES_EXEC_INFO: this.#execInfo() };
    try {
      // Not its standard error: a plugin may print its token there.
      return spawn(config.command, config.args, { env: environment, stdio: ["ignore", "pipe", "ignore"] });
    } catch {
      // Node's message quotes the argument.
      throw this.#failure("could not be started: args or env hold a null character");
    }
  }

  async #output(): Promise<string> {
    const { clock, timeLimitMs = 25_000 } = this.#options;
    const { promise, resolve: done, reject } = Promise.withResolvers<string>();
    const child = this.#spawn();
    const end = (how: string): void => {
      reject(this.#failure(how));
      child.kill("SIGKILL");
      // A process that the plugin began may hold the pipe open for longer.
      child.stdout.destroy();
    };
    const timer = clock.setTimeout(() => end(`did not end within ${timeLimitMs} ms`), timeLimitMs);
    this.#stop = () => end("was stopped");
    const chunks: Buffer[] = [];
    let bytes = 0;
    child.stdout.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > MAX_OUTPUT_BYTES) end(`printed more than ${MAX_OUTPUT_BYTES} bytes`);
      else chunks.push(chunk);
    });
    child.on("error", (error) => reject(this.#failure(notStarted(error))));
    child.on("close", (code, signal) => {
      if (code === 0) done(Buffer.concat(chunks).toString());
      else
        reject(
          this.#failure(
            `${signal ? `was ended by ${signal}` : `failed with exit code ${code}`}; run it by hand to see why`,
          ),
        );
    });
    return promise.finally(() => {
      timer.clear();
      this.#stop = () => {};
    });
  }

  #execInfo(): string {
    const { config, cluster } = this.#options;
    const spec = { interactive: false, ...(config.provideClusterInfo ? { cluster: cluster() } : {}) };
    return JSON.stringify({ apiVersion: config.apiVersion, kind: "ExecCredential", spec });
  }

  #failure(how: string): CredentialsError {
    const { command, installHint } = this.#options.config;
    const hint = installHint === "" ? "" : ` (${installHint})`;
    return new CredentialsError(
      "auth_failed",
      `the credential plugin ${command} of the kubeconfig ${how}${hint}`,
    );
  }
}

function notStarted(error: Error): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ENOENT") return "is not installed or not in PATH";
  if (code === "EACCES") return "may not be executed";
  return `could not be started: ${code ?? "unknown error"}`;
}
